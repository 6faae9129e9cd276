"""SQLAlchemy: statements on SQLite and PostgreSQL, of both kinds of engines."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy
from opentelemetry import context as api
from opentelemetry.trace import StatusCode
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from tests.sdk.clients.seen import Seen

from gnomon.context import SPAN_KEY, current
from gnomon.integrations import database_client
from gnomon.integrations import sqlalchemy as ours
from gnomon.integrations.sqlalchemy import Database, Engines

DURATION = "db.client.operation.duration"


class Base(DeclarativeBase):
    """Of the tests' tables."""


class User(Base):
    """A table with a constraint to break."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)


@pytest.fixture
def sqlite() -> Iterator[Engine]:
    """A database in memory, with the table, made before anything is installed."""
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def postgres(postgres_port: int) -> Iterator[Engine]:
    """PostgreSQL, with the table."""
    engine = create_engine(f"postgresql+psycopg://shop:hunter2@127.0.0.1:{postgres_port}/postgres")
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def test_a_statement_is_a_span_without_its_values(postgres: Engine, seen: Seen, postgres_port: int) -> None:
    """Name, attributes and metric are those of the stable database conventions; a literal occurs nowhere."""
    with seen.installed(ours), postgres.connect() as connection:
        connection.execute(text("SELECT id FROM users WHERE email='a@b.c' AND id > :least"), {"least": 4711})
    assert seen.client.name == "SELECT users"
    assert seen.told() == {
        "db.system.name": "postgresql",
        "db.namespace": "postgres",
        "db.collection.name": "users",
        "db.operation.name": "SELECT",
        "db.query.summary": "SELECT users",
        "db.query.text": "SELECT id FROM users WHERE email=? AND id > %(least)s",
        "server.address": "127.0.0.1",
        "server.port": postgres_port,
    }
    labels = ("db.system.name", "db.operation.name", "db.collection.name", "error.type")
    assert seen.counts(DURATION, *labels) == {("postgresql", "SELECT", "users", None): 1}
    body = seen.exported()
    for secret in (b"a@b.c", b"4711", b"hunter2"):
        assert secret not in body


def test_a_broken_constraint_is_an_error_without_its_words(postgres: Engine, seen: Seen) -> None:
    """The database's code and the error's type say what happened; its message holds values, and stays here."""
    with seen.installed(ours), Session(postgres) as session:
        session.add(User(id=1, email="a@b.c"))
        session.commit()
        session.add(User(id=2, email="a@b.c"))
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            session.commit()
    *_, failed = seen.clients
    assert failed.attributes["db.response.status_code"] == "23505"
    assert failed.attributes["error.type"] == "UniqueViolation"
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, "UniqueViolation: 23505")
    assert seen.counts(DURATION, "error.type")["UniqueViolation",] == 1
    assert b"a@b.c" not in seen.exported()


def test_many_rows_are_a_batch(postgres: Engine, seen: Seen) -> None:
    """Its size is told where it is one execution; text and name are those of one row, however many there are."""
    rows = [{"id": number, "email": f"{number}@b.c"} for number in range(1000, 1007)]
    with seen.installed(ours):
        with postgres.begin() as connection:
            connection.execute(sqlalchemy.insert(User), rows)
        with Session(postgres) as session:
            session.add_all([User(email=f"{number}@d.e") for number in range(100, 150)])
            session.commit()
    batch, many = seen.clients
    assert (batch.name, batch.attributes["db.operation.batch.size"]) == ("BATCH INSERT users", 7)
    assert (
        batch.attributes["db.query.text"]
        == "INSERT INTO users (id, email) VALUES (%(id)s::INTEGER, %(email)s::VARCHAR)"
    )
    assert many.attributes["db.query.text"].startswith("INSERT INTO users (email)")
    assert many.attributes["db.query.text"].count("VARCHAR") < 3
    assert many.attributes["db.collection.name"] == "users"
    body = seen.exported()
    assert b"@b.c" not in body
    assert b"@d.e" not in body


def test_a_query_that_fails_on_sqlite(sqlite: Engine, seen: Seen) -> None:
    """SQLite's own name of the error is its code."""
    with seen.installed(ours), sqlite.connect() as connection, pytest.raises(sqlalchemy.exc.OperationalError):
        connection.execute(text("SELECT * FROM nowhere"))
    assert seen.told()["db.response.status_code"] == "SQLITE_ERROR"
    assert seen.told()["error.type"] == "OperationalError"
    assert current().get(SPAN_KEY) is None


def test_inside_a_statement_its_span_is_current(sqlite: Engine, seen: Seen) -> None:
    """What a driver's own instrumentation makes is a child of ours; afterwards all is as before."""
    inside = []

    @event.listens_for(sqlite, "do_execute")
    def executed(*_: Any) -> None:
        inside.append(current().get(SPAN_KEY))

    with seen.installed(ours), seen.tracer.start_as_current_span("work") as work, sqlite.connect() as connection:
        connection.execute(text("SELECT 1"))
        assert current().get(SPAN_KEY) is work
    assert inside == [seen.client]
    assert seen.client.parent == work.id
    assert seen.client.name == "SELECT"


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_asyncio_engines(driver: str, seen: Seen, postgres: Engine, postgres_port: int) -> None:
    """The same spans, concurrent ones each in its trace; a cancelled one is no error, and its connection comes back."""
    engine = create_async_engine(f"postgresql+{driver}://shop@127.0.0.1:{postgres_port}/postgres")

    async def ask(number: int) -> None:
        with seen.tracer.start_as_current_span(f"work {number}") as work:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT pg_sleep(0.05), :n"), {"n": str(number)})
            assert current().get(SPAN_KEY) is work

    with seen.installed(ours):
        await asyncio.gather(*(ask(number) for number in range(4)))
        parents = {span.id: span.trace for span in seen.spans if span.name.startswith("work")}
        assert len(seen.clients) == 4
        assert {span.parent: span.trace for span in seen.clients} == parents
        async with engine.connect() as connection:
            task = asyncio.create_task(connection.execute(text("SELECT pg_sleep(30)")))  # type: ignore[arg-type]
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await engine.dispose()
    assert seen.clients[-1].attributes["error.type"] == "CancelledError"
    assert seen.clients[-1].status.status_code is StatusCode.UNSET
    seen.exported()


def test_pings_and_the_dialects_own_questions_are_no_spans(postgres_port: int, seen: Seen) -> None:
    """With `pool_pre_ping`, and on an engine's first connection, there are the host's statements alone."""
    with seen.installed(ours):
        engine = create_engine(f"postgresql+psycopg://shop@127.0.0.1:{postgres_port}/postgres", pool_pre_ping=True)
        for _ in range(3):
            with engine.begin() as connection:
                connection.execute(text("SELECT 1"))
        engine.dispose()
    assert [span.name for span in seen.clients] == ["SELECT"] * 3


def test_suppressed_and_uninstalled(sqlite: Engine, seen: Seen) -> None:
    """Neither leaves a trace."""
    before = Engine.raw_connection
    with seen.installed(ours), sqlite.connect() as connection:
        token = api.attach(api.set_value("suppress_instrumentation", value=True))
        connection.execute(text("SELECT 1"))
        api.detach(token)
    assert Engine.raw_connection is before
    with sqlite.connect() as connection:
        connection.execute(text("SELECT 1"))
    assert not seen.spans
    assert not seen.values("db.client.connection.pending_requests")


def test_failures_that_nobody_is_told_of(sqlite: Engine, seen: Seen) -> None:
    """Where SQLAlchemy keeps an error from listeners we do not begin: the span would stay current for ever."""
    with seen.installed(ours), sqlite.connect() as connection:
        quiet = connection.execution_options(skip_user_error_events=True)
        with pytest.raises(sqlalchemy.exc.OperationalError):
            quiet.execute(text("SELECT * FROM nowhere"))
    assert current().get(SPAN_KEY) is None
    assert not seen.spans


def test_a_listener_that_raises(sqlite: Engine, seen: Seen) -> None:
    """The host's listeners may fail before and after us: the span ends once, and nothing of it stays current."""

    def broken(*_: Any) -> None:
        raise ValueError("the host's own")

    with seen.installed(ours), sqlite.connect() as connection:
        for name in ("before_cursor_execute", "after_cursor_execute", "handle_error"):
            event.listen(sqlite, name, broken)
            with pytest.raises(ValueError, match="own"):
                connection.execute(text("SELECT * FROM nowhere" if name == "handle_error" else "SELECT 1"))
            assert current().get(SPAN_KEY) is None
            event.remove(sqlite, name, broken)
    assert len(seen.clients) == 3
    seen.exported()


@pytest.mark.parametrize("broken", ["sanitised", "suppressed", "Database.code", "_unheard"])
def test_our_faults_stay_with_us(
    broken: str, sqlite: Engine, seen: Seen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever of ours raises, statements are executed, and fail, as ever."""

    def raising(*_: Any, **__: Any) -> Any:
        raise RuntimeError("ours")

    monkeypatch.setattr(f"{ours.__name__}.{broken}", raising)
    with seen.installed(ours), caplog.at_level(logging.CRITICAL + 1), sqlite.connect() as connection:
        assert connection.execute(text("SELECT 41 + 1")).scalar() == 42
        with pytest.raises(sqlalchemy.exc.OperationalError):
            connection.execute(text("SELECT * FROM nowhere"))
    assert current().get(SPAN_KEY) is None


def test_what_is_known_is_bounded(sqlite: Engine, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements that hold their values do not fill the memory; very long ones are not kept at all."""
    monkeypatch.setattr(database_client, "MOST_KNOWN", 3)
    database = Engines(seen.telemetry).database(sqlite)
    for number in range(10):
        database.known(f"SELECT {number}", how=False)
    assert 0 < len(database._known) <= 3
    database.known("SELECT " + "1," * 5000, how=False)
    assert all(len(statement) < 5000 for statement, *_ in database._known)


def test_an_engine_that_is_gone_is_forgotten(seen: Seen) -> None:
    """Engines made for a while leave nothing behind."""
    engines = Engines(seen.telemetry)
    engine = create_engine("sqlite://")
    assert isinstance(engines.database(engine), Database)
    assert engines.database(engine) is engines.database(engine.execution_options(isolation_level="AUTOCOMMIT"))
    engine.dispose()
    import gc  # noqa: PLC0415 - for this one test

    del engine
    gc.collect()
    assert not engines._databases


@pytest.mark.parametrize(
    ("url", "system", "name"),
    [
        ("mysql+pymysql://u:p@db:3306/shop", "mysql", "db:3306/shop"),
        ("mssql+pyodbc://u:p@db/shop", "microsoft.sql_server", "db/shop"),
        ("sqlite:///:memory:", "sqlite", ":memory:"),
        ("sqlite://", "sqlite", "sqlite"),
    ],
)
def test_names_of_systems_and_pools(url: str, system: str, name: str, seen: Seen) -> None:
    """The conventions' names of databases; a pool's name has no password in it."""
    made = sqlalchemy.make_url(url)
    engine = sqlalchemy.create_mock_engine("sqlite://", executor=None)
    engine.url, engine.logging_name = made, None  # type: ignore[attr-defined]
    database = Database(Engines(seen.telemetry), engine, lambda: None)  # type: ignore[arg-type]
    assert database.pool_name == name
    assert database.known("SELECT 1", how=False).block[1]["db.system.name"] == system


def test_double_quotes_are_values_to_mysql(seen: Seen) -> None:
    """And names everywhere else."""
    engine = sqlalchemy.create_mock_engine("sqlite://", executor=None)
    shown = []
    for url in ("mysql+pymysql://db/shop", "sqlite://"):
        engine.url, engine.logging_name = sqlalchemy.make_url(url), None  # type: ignore[attr-defined]
        database = Database(Engines(seen.telemetry), engine, lambda: None)  # type: ignore[arg-type]
        shown.append(database.known('SELECT "x" FROM t', how=False).block[1]["db.query.text"])
    assert shown == ["SELECT ? FROM t", 'SELECT "x" FROM t']


@pytest.mark.parametrize(
    ("error", "code"), [(ValueError(), ""), (ValueError("x"), ""), (ValueError(1062, "Duplicate"), "1062")]
)
def test_codes_of_drivers(error: Exception, code: str, sqlite: Engine, seen: Seen) -> None:
    """MySQL's drivers have a number first; an error without a code has none."""
    assert Engines(seen.telemetry).database(sqlite).code(error) == code
