"""The reading of statements: where data begins, where the output clause stands."""

import pytest

from gnomon_server.engine.protocol import EngineError
from gnomon_server.engine.statement import find_result_clause, into_file, is_kill, read_insert, rename_query_id


@pytest.mark.parametrize(
    ("text", "target", "output", "data"),
    [
        (b"INSERT INTO t FORMAT CSV\n1,2", b"INSERT INTO t ", "CSV", b"1,2"),
        (b"INSERT INTO t FORMAT CSV 1,2", b"INSERT INTO t ", "CSV", b"1,2"),
        (b"INSERT INTO t FORMAT TSV\r\n\n1", b"INSERT INTO t ", "TSV", b"\n1"),
        (b"insert into db.t (a, b) values (1, 2)", b"insert into db.t (a, b) ", "Values", b"(1, 2)"),
        (b"INSERT INTO values VALUES (1)", b"INSERT INTO values ", "Values", b"(1)"),
        (b"INSERT INTO db . format FORMAT CSV\n1", b"INSERT INTO db . format ", "CSV", b"1"),
        (b"INSERT INTO `VALUES` (`FORMAT`) FORMAT CSV\n1", b"INSERT INTO `VALUES` (`FORMAT`) ", "CSV", b"1"),
        (
            b"-- c\nINSERT INTO TABLE t /* VALUES */ FORMAT CSV\n1",
            b"-- c\nINSERT INTO TABLE t /* VALUES */ ",
            "CSV",
            b"1",
        ),
        (
            b"INSERT INTO FUNCTION file('VALUES', 'CSV') FORMAT CSV\n1",
            b"INSERT INTO FUNCTION file('VALUES', 'CSV') ",
            "CSV",
            b"1",
        ),
        (b"INSERT INTO t FORMAT Native\n\x00'\"`\xff", b"INSERT INTO t ", "Native", b"\x00'\"`\xff"),
    ],
)
def test_an_insert_is_cut_before_its_data(text: bytes, target: bytes, output: str, data: bytes) -> None:
    """Target, format and data of an INSERT, whatever the table is called."""
    insert = read_insert(text)
    assert insert is not None
    assert (insert.target, insert.format, text[insert.data_start :]) == (target, output, data)


def test_settings_of_an_insert_follow_the_file() -> None:
    """SETTINGS keep their place between the file and the format."""
    insert = read_insert(b"INSERT INTO t (a) SETTINGS x = 1 FORMAT CSV\n1")
    assert insert is not None
    assert insert.from_file("/f", "gzip").split() == (
        b"INSERT INTO t (a) FROM INFILE '/f' COMPRESSION 'gzip' SETTINGS x = 1 FORMAT CSV".split()
    )


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT 1",
        b"INSERT INTO t SELECT 1 FORMAT CSV",
        b"INSERT INTO t (a) WITH 1 AS x SELECT x",
        b"INSERT INTO t (SELECT 1)",
        b"INSERT INTO t FROM INFILE 'f' FORMAT CSV",
        b"INSERT INTO t; DROP TABLE t",
        b"INSERT INTO t FORMAT",
        b"INSERT INTO t /* FORMAT CSV",
        b"INSERT INTO t ' FORMAT CSV",
        b"INSERT",
        b"",
    ],
)
def test_what_carries_no_data(text: bytes) -> None:
    """Everything else is left to the library."""
    assert read_insert(text) is None


@pytest.mark.parametrize(
    ("text", "routed"),
    [
        (b"SELECT 1", b"SELECT 1\nINTO OUTFILE '/f' TRUNCATE\nFORMAT TSV"),
        (b"SELECT 1 -- c", b"SELECT 1 -- c\nINTO OUTFILE '/f' TRUNCATE\nFORMAT TSV"),
        (b"SELECT 1 ; ;", b"SELECT 1 \nINTO OUTFILE '/f' TRUNCATE\nFORMAT TSV"),
        (b"SELECT 1 format JSON;", b"SELECT 1 \nINTO OUTFILE '/f' TRUNCATE\nformat JSON"),
        (b"SELECT 1 FORMAT CSV SETTINGS a = 1", b"SELECT 1 \nINTO OUTFILE '/f' TRUNCATE\nFORMAT CSV SETTINGS a = 1"),
        (b"SELECT format FROM t", b"SELECT format FROM t\nINTO OUTFILE '/f' TRUNCATE\nFORMAT TSV"),
        (b"SELECT (SELECT 1 FORMAT CSV)", b"SELECT (SELECT 1 FORMAT CSV)\nINTO OUTFILE '/f' TRUNCATE\nFORMAT TSV"),
        (b"SELECT ' FORMAT CSV'", b"SELECT ' FORMAT CSV'\nINTO OUTFILE '/f' TRUNCATE\nFORMAT TSV"),
    ],
)
def test_the_output_clause_is_put_before_the_format(text: bytes, routed: bytes) -> None:
    """The result goes to the file in the format named, or the default."""
    assert into_file(text, find_result_clause(text), "/f", "TSV") == routed


def test_a_client_may_not_write_files() -> None:
    """INTO OUTFILE is refused; in a string it is a string."""
    with pytest.raises(EngineError) as caught:
        find_result_clause(b"SELECT 1 INTO /* */ outfile 'x'")
    assert caught.value.code == 445
    assert find_result_clause(b"SELECT 'INTO OUTFILE x'").format is None


def test_kill_speaks_of_the_clients_ids() -> None:
    """The column is renamed, a string of the same name is not."""
    text = b"KILL QUERY WHERE query_id = 'query_id' SYNC"
    assert is_kill(text)
    assert not is_kill(b"SELECT 'KILL QUERY'")
    assert rename_query_id(text, b"x") == b"KILL QUERY WHERE x = 'query_id' SYNC"
