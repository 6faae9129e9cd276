"""Errors of databases: what they repeat of statements and values is exported nowhere."""

# ruff: noqa: E501 - rows of texts and what they become stand side by side

import os
import re
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from tests.databases import postgres_server
from tests.sdk.receiver import Receiver, attributes, receiving

from gnomon.privacy.errors import FAILED, reduced, shown
from gnomon.privacy.masking import LONGEST, Masker

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL of our own."""
    with postgres_server() as port:
        yield f"postgresql://shop@127.0.0.1:{port}/postgres"


def exported(planted: str, *urls: str) -> Receiver:
    """What the program sends, with this value in its statements."""
    with receiving() as receiver:
        done = subprocess.run(
            [sys.executable, HERE / "leaking.py", receiver.url, *urls],
            env={**os.environ, "PLANTED": planted},
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return receiver


def assert_nowhere(planted: str, receiver: Receiver) -> None:
    """Neither as it is, nor any word of it."""
    for _, request in receiver.received:
        for text in re.findall(r"[^\x00-\x1f]{3,}", request.SerializeToString().decode("utf-8", "replace")):
            for word in re.findall(r"\w{4,}", planted):
                assert word not in text, text


@pytest.mark.parametrize("planted", ["Zdenka Quux", "Zdenka ] ''Quux''", "zdenka@quux.example"])
def test_sqlite_tells_nothing_of_a_statement(planted: str) -> None:
    """Through SQLAlchemy and the driver, in spans, statuses, logs and causes; what went wrong is still told."""
    receiver = exported(planted)
    assert_nowhere(planted, receiver)
    messages = {
        attributes(event)["exception.message"].partition("\n")[0]
        for span in receiver.spans
        for event in span.events
        if span.name.startswith("fault")
    }
    assert "(sqlite3.IntegrityError) UNIQUE constraint failed: people.name" in messages
    assert "(sqlite3.OperationalError) no such column: nickname" in messages
    assert "UNIQUE constraint failed: people.name" in messages
    assert len(receiver.logs) >= 50


@pytest.mark.parametrize("planted", ["Zdenka Quux", "zdenka@quux.example"])
def test_postgres_tells_nothing_of_a_statement(planted: str, postgres_url: str) -> None:
    """Nor what it puts into DETAIL and LINE: psycopg, asyncpg, both with and without SQLAlchemy."""
    receiver = exported(planted, postgres_url)
    assert_nowhere(planted, receiver)
    messages = {
        attributes(event)["exception.message"].partition("\n")[0] for span in receiver.spans for event in span.events
    }
    told = 'duplicate key value violates unique constraint "people_pkey"'
    assert {told.replace("pkey", "name_key")} <= messages
    assert any(text.startswith("(psycopg.errors.UniqueViolation) duplicate key") for text in messages)
    assert any("asyncpg" in text and text.endswith('unique constraint "people_name_key"') for text in messages)
    assert "invalid input syntax for type integer: ?" in messages


class Failing(sqlite3.Error):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no str")


def of(module: str, *arguments: Any) -> BaseException:
    """An error of a driver that is not installed here: told by its module's name."""
    return type("IntegrityError", (Exception,), {"__module__": module})(*arguments)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("it's 'Ann'"), "it's 'Ann'"),
        (Failing(), FAILED),
        (sqlite3.OperationalError('near "Ann": syntax error'), "near ?: syntax error"),
        (sqlite3.OperationalError("no such table: people"), "no such table: people"),
        (sqlite3.OperationalError("""unrecognized token: "'Ann"""), "unrecognized token: ?"),
        (of("pymysql.err", 1062, "Duplicate entry 'O'Ann ' x' for key 'u.name'"), "(1062) Duplicate entry ? for key 'u.name'"),
        (of("MySQLdb", 1146, "Table 'shop.users' doesn't exist"), "(1146) Table 'shop.users' doesn't exist"),
        (of("pyodbc", "23000", "The duplicate key value is (Ann). (2627)"), "(23000) The duplicate key value is (?)"),
        (of("psycopg2.errors", 'value "Ann" is out of range\nDETAIL: Ann'), "value ? is out of range"),
        (of("asyncpg.exceptions", "invalid input for query argument $1: Ann (no int)"), "invalid input for query argument $1: ?"),
        (redis.ResponseError("Command # 2 (SET k Ann\nLee) of pipeline caused error: OOM"), "Command # 2 (SET ?) of pipeline caused error: OOM"),
        (redis.ResponseError("unknown command 'ANN', with args beginning with: 'Ann' "), "unknown command ?"),
        (sa.exc.StatementError("x", None, None, ValueError("'Ann'")), "(builtins.ValueError) ?"),
        (sa.exc.TimeoutError("QueuePool limit of size 1 overflow 0 reached"), "QueuePool limit of size 1 overflow 0 reached"),
    ],
)  # fmt: skip
def test_what_is_shown(error: BaseException, text: str) -> None:
    """Names stay, values go, and no driver need be there."""
    assert shown(error) == text
    assert shown(error) == text  # and is known


def test_mysql_has_values_in_double_quotes() -> None:
    """They are names elsewhere."""
    error = sa.exc.StatementError("x", 'SELECT "ann"', None, of("pymysql.err", 1, "no"))
    assert shown(error) == "(pymysql.err.IntegrityError) (1) no\n[SQL: SELECT ?]"


def failed() -> sqlite3.Error:
    """An error of the real thing."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("SELECT 'Ann")
    except sqlite3.Error as error:
        return error
    finally:
        connection.close()
    raise AssertionError("it took that")


def test_what_another_exception_copied() -> None:
    """The text of a database's error in another's message goes too, also after `from None`."""
    error = failed()
    caused, hidden = RuntimeError(f"no: {error}!"), RuntimeError(f"no: {error}!")
    caused.__cause__ = hidden.__context__ = error
    hidden.__suppress_context__ = True
    assert shown(caused) == shown(hidden) == "no: unrecognized token: ?!"
    hidden.__context__ = KeyError("a")
    hidden.__context__.__context__ = hidden  # a circle, as Python allows it
    assert shown(hidden) == str(hidden)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("[SQL: SELECT 'a]\n' FROM t]\n[parameters: ('Ann',)]\n(Background", "[SQL: SELECT ? FROM t]\n[parameters: ?]\n(Background"),
        ("[SQL: SELECT 'Ann", "[SQL: SELECT ?"),
        ("failed\nDETAIL: Key (a)=(Ann\nLee) exists.\nHINT: none", "failed\nDETAIL: ?\nHINT: none"),
        ("failed\nLINE 1: SELECT 'Ann'\n        ^", "failed\nLINE 1: ?\n        ^"),
        ('psycopg.errors.Bad: invalid: "Ann"\nnext "one"', 'psycopg.errors.Bad: invalid: ?\nnext "one"'),
        ("redis.exceptions.ResponseError: Command # 1 (SET k Ann\nLee) of pipeline failed", "redis.exceptions.ResponseError: Command # 1 (SET ?) of pipeline failed"),
        ("it said: Command # 1 (SET k Ann\nLee) of pipeline failed", "it said: Command # 1 (SET ?) of pipeline failed"),
        ('no: syntax error at or near "Ann"', "no: syntax error at or near ?"),
        ('no: near "Ann": syntax error', "no: near ?: syntax error"),
        ("IntegrityError(1062, \"Duplicate entry 'Ann' for key 'u.name'\")", 'IntegrityError(1062, "Duplicate entry ?'),
        ("connected with psycopg 3.2, LINE up", "connected with psycopg 3.2, LINE up"),
    ],
)  # fmt: skip
def test_what_a_mask_makes_of_texts(text: str, rest: str) -> None:
    """It knows errors of databases by their text: in stack traces, messages and whatever else; twice is as once."""
    masker = Masker()
    assert masker("m", text) == masker("m", text) == rest
    assert masker("m", rest) == rest
    assert masker.counts["sql"] == 2 * (text != rest)


def test_a_stack_trace_that_python_wrote() -> None:
    """As the standard library's `logging` writes it."""
    text = "".join(traceback.format_exception(failed())).replace('"SELECT \'Ann"', "")
    assert "Ann" in text
    assert "Ann" not in reduced(text)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["[SQL: ", "DETAIL: ", "Command # 1 (", "psycopg.a.", "psycopg.E: ", "[SQL: '", "LINE 1: "]
)
def test_no_text_takes_long(piece: str) -> None:
    """Of anything in which a pattern could go back and forth."""
    text = (piece * LONGEST)[: LONGEST - 1]
    assert isinstance(Masker()("m", text), str)
