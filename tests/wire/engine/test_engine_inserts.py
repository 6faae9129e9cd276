"""Inserts over the engine's socket: every row stored once and right, or an error and none."""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from .conftest import Client, Engine


@pytest.fixture
def table(client: Client) -> Iterator[str]:
    """An empty table of two columns."""
    client.ok("CREATE OR REPLACE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    yield "t"
    client.ok("DROP TABLE t")


def arrow_stream(table: pa.Table, rows_per_batch: int | None = None) -> bytes:
    """The table as an Arrow IPC stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows_per_batch)
    return sink.getvalue()


def stored(client: Client) -> str:
    """Rows of the table, in order."""
    return client.ok("SELECT a, b FROM t ORDER BY a FORMAT CSV")


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("INSERT INTO t (a, b) FORMAT CSV", b'1,"x"\n2,"y"\n'),
        ("INSERT INTO t(a,b) FORMAT JSONEachRow", b'{"a":1,"b":"x"}{"a":2,"b":"y"}'),
        ("insert into default.t settings async_insert=1 format CSV", b'1,"x"\n2,"y"\n'),
        ("INSERT INTO `t` (* EXCEPT(b), b) VALUES", b"(1, 'x'), (2, 'y')"),
        ("INSERT INTO TABLE default.`t` /* FORMAT x */ FORMAT CSV", b'1,"x"\n2,"y"\n'),
        (None, b"INSERT INTO t FORMAT CSV\n1,x\n2,y\n"),
        (None, b"INSERT INTO t (b, a) VALUES ('x', 1), ('y', 2)"),
        (None, b"INSERT INTO t SELECT number + 1, ['x', 'y'][number + 1] FROM numbers(2)"),
        (None, b"INSERT INTO t (SELECT number + 1, ['x', 'y'][number + 1] FROM numbers(2))"),
        (None, b"INSERT INTO t WITH 2 AS n SELECT number + 1, ['x', 'y'][number + 1] FROM numbers(n)"),
        (None, b"WITH q AS (SELECT 1, 'x' UNION ALL SELECT 2, 'y') INSERT INTO t SELECT * FROM q"),
        ("INSERT INTO t VALUES (1, 'x'), (2, 'y')", None),
    ],
)
def test_forms_of_insert(client: Client, table: str, query: str | None, body: bytes | None) -> None:
    """Data in the body, behind the statement or beside it, and no data at all."""
    answer = client.ask(query, body)
    assert answer.status == 200, answer.text
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "2"
    assert stored(client) == '1,"x"\n2,"y"'


def test_arrow_with_every_column_type(client: Client) -> None:
    """What the store sends: maps, dictionaries, fixed binaries, nanoseconds, nulls."""
    client.ok(
        "CREATE OR REPLACE TABLE wide (i Int64, u UInt32, f Float64, s String, lc LowCardinality(String), "
        "m Map(LowCardinality(String), String), x FixedString(4), ts DateTime64(9), l Array(Float64), "
        "n Nullable(Int8), flag Bool) ENGINE = MergeTree ORDER BY i"
    )
    data = pa.table(
        {
            "i": pa.array([1, -2], pa.int64()),
            "u": pa.array([1, 2**32 - 1], pa.uint32()),
            "f": pa.array([float("nan"), 1.5], pa.float64()),
            "s": pa.array(["é\x00\n'", ""], pa.string()),
            "lc": pa.array(["k", "k"]).dictionary_encode(),
            "m": pa.array([[("a", "1"), ("b", "2")], []], pa.map_(pa.string(), pa.string())),
            "x": pa.array([b"abcd", b"\x00\xff\x00\x01"], pa.binary(4)),
            "ts": pa.array([1_700_000_000_123_456_789, 0], pa.timestamp("ns", "UTC")),
            "l": pa.array([[1.0, 2.0], []], pa.list_(pa.float64())),
            "n": pa.array([None, 7], pa.int8()),
            "flag": pa.array([True, False]),
        }
    )
    names = ", ".join(data.column_names)
    assert client.ask(f"INSERT INTO wide ({names}) FORMAT ArrowStream", arrow_stream(data)).status == 200
    query = f"SELECT {names} FROM wide ORDER BY i DESC"
    back = pa.ipc.open_stream(client.ask(query, default_format="ArrowStream").body).read_all()
    for name in set(data.column_names) - {"f", "x"}:
        assert back[name].to_pylist() == data[name].to_pylist(), name
    assert [bytes(value) for value in back["x"].to_pylist()] == data["x"].to_pylist()
    assert client.ok("SELECT isNaN(f) FROM wide WHERE i = 1") == "1"


def test_native_from_one_table_goes_into_another(client: Client, table: str) -> None:
    """Native in and out, chunked and in compressed forms."""
    rows = "SELECT number AS a, toString(number) AS b FROM numbers(1000)"
    native = client.ask(rows, default_format="Native").body
    packed = {"gzip": gzip.compress(native), "deflate": zlib.compress(native)}
    for encoding, body in {"identity": native, **packed}.items():
        pieces = iter([body[:1000], body[1000:]])
        answer = client.ask("INSERT INTO t FORMAT Native", pieces, headers={"Content-Encoding": encoding})
        assert answer.status == 200, answer.text
    assert client.ok("SELECT count(), sum(a) FROM t") == f"3000\t{3 * 499_500}"


def test_a_batch_becomes_one_part(client: Client, table: str) -> None:
    """Several record batches of one body are stored together."""
    data = pa.table({"a": range(100_000), "b": ["x"] * 100_000})
    assert client.ask("INSERT INTO t FORMAT ArrowStream", arrow_stream(data, 10_000)).status == 200
    assert client.ok("SELECT uniqExact(_part), count() FROM t") == "1\t100000"


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("INSERT INTO t FORMAT JSONEachRow", b'{"a":1}\n' * 1_200_000 + b'{"a":"x"}'),
        (
            "INSERT INTO t FORMAT ArrowStream",
            arrow_stream(pa.table({"a": range(9000), "b": ["x"] * 9000}), 1000)[:-9000],
        ),
        ("INSERT INTO t FORMAT ArrowStream", b""),
        ("INSERT INTO t FORMAT ArrowStream", b"not arrow at all"),
        ("INSERT INTO t FORMAT CSV", b"1,x\n-,y\n"),
        ("INSERT INTO t (a, nosuch) FORMAT CSV", b"1,x\n"),
        ("INSERT INTO t FORMAT nosuch", b"1,x\n"),
    ],
)
def test_a_failed_insert_stores_nothing(client: Client, table: str, query: str, body: bytes) -> None:
    """Bad data fails the whole body, however late it comes."""
    answer = client.ask(query, body)
    assert answer.status >= 400
    assert answer.code is not None
    assert client.ok("SELECT count() FROM t") == "0"


def test_refusals_of_the_engine_reach_the_client(client: Client) -> None:
    """Constraints, too many parts and too many partitions are errors, and settings of the request change them."""
    client.ok(
        "CREATE OR REPLACE TABLE strict (d Date, a Int32, CONSTRAINT positive CHECK a > 0) "
        "ENGINE = MergeTree PARTITION BY d ORDER BY a"
    )
    insert = "INSERT INTO strict FORMAT CSV"
    assert client.ask(insert, b"2024-01-01,-1\n").code == 469
    days = "".join(f"{year}-01-01,1\n" for year in range(1970, 2140)).encode()
    assert client.ask(insert, days).code == 252
    assert client.ok("SELECT count() FROM strict") == "0"
    assert client.ask(insert, days, max_partitions_per_insert_block=1000).status == 200
    assert client.ok("SELECT count() FROM strict") == "170"
    assert client.ask(insert, days).code == 252
    client.ok("CREATE OR REPLACE TABLE few (a Int32) ENGINE = MergeTree ORDER BY a SETTINGS parts_to_throw_insert = 1")
    client.ok("SYSTEM STOP MERGES few")
    assert client.ask("INSERT INTO few VALUES (1)").status == 200
    assert client.ask("INSERT INTO few VALUES (1)").code == 252


def test_a_deduplication_token_binds_only_its_insert(client: Client) -> None:
    """The same token is stored once; the next insert has none."""
    client.ok(
        "CREATE OR REPLACE TABLE once (a Int32) ENGINE = MergeTree ORDER BY a "
        "SETTINGS non_replicated_deduplication_window = 100"
    )
    for _ in range(2):
        assert client.ask("INSERT INTO once FORMAT CSV", b"1\n", insert_deduplication_token="first").status == 200
    assert client.ok("SELECT count() FROM once") == "1"
    for value in (b"2\n", b"3\n"):
        assert client.ask("INSERT INTO once FORMAT CSV", value).status == 200
    assert client.ok("SELECT count() FROM once") == "3"


def test_data_is_never_run(client: Client, table: str) -> None:
    """Statements inside data, behind blank lines and quotes, are data."""
    evil = b"1\tx\n\nDROP TABLE t;\n\nINSERT INTO t VALUES (666, 'evil')\n"
    assert client.ask("INSERT INTO t FORMAT TSV", evil).status >= 400
    assert client.ask(body=b"INSERT INTO t FORMAT TSV\n" + evil).status >= 400
    assert client.ask("SELECT 1", b"; DROP TABLE t").code == 48
    assert client.ask("INSERT INTO t SELECT * FROM input('a UInt64, b String') FORMAT TSV", b"1\tx\n").status >= 400
    assert client.ok("SELECT count() FROM t") == "0"
    client.ask(body=b"INSERT INTO t VALUES (1, 'x'); DROP TABLE t")
    assert client.ok("SELECT count() FROM t") == "1"


def test_a_statement_may_arrive_in_pieces(client: Client, table: str) -> None:
    """An INSERT cut anywhere, in its words too, is read as one."""
    body = b"INSERT INTO t /* FORMAT TSV */ (a, b) FORMAT CSV\n1,x\n2,y\n"
    for cut in range(1, len(body)):
        assert client.ask(body=iter([body[:cut], body[cut:]])).status == 200, cut
    assert client.ok("SELECT b, count() FROM t GROUP BY b ORDER BY b") == f"x\t{len(body) - 1}\ny\t{len(body) - 1}"


def test_parallel_inserts_store_what_each_sent(engine: Engine, client: Client) -> None:
    """Four writers, two tables, many batches: every row is in its own table, once, with its own content."""
    for name in ("left", "right"):
        client.ok(f"CREATE OR REPLACE TABLE {name} (w UInt8, n UInt32, v String) ENGINE = MergeTree ORDER BY (w, n)")
    rounds, rows = 60, 50

    def write(writer: int) -> None:
        name = ("left", "right")[writer % 2]
        with engine.client() as mine:
            for batch in range(rounds):
                numbers = range(batch * rows, (batch + 1) * rows)
                data = pa.table(
                    {
                        "w": pa.array([writer] * rows, pa.uint8()),
                        "n": pa.array(numbers, pa.uint32()),
                        "v": [f"{name}-{writer}-{number}" for number in numbers],
                    }
                )
                answer = mine.ask(f"INSERT INTO {name} (w, n, v) FORMAT ArrowStream", arrow_stream(data))
                assert answer.status == 200, answer.text

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    for name, writers in (("left", "0, 2"), ("right", "1, 3")):
        wrong = f"countIf(v != concat('{name}-', toString(w), '-', toString(n)) OR w NOT IN ({writers}))"
        expected = f"{2 * rounds * rows}\t{2 * rounds * rows}\t0"
        assert client.ok(f"SELECT count(), uniqExact(w, n), {wrong} FROM {name}") == expected


def test_large_bodies_go_over_the_disk(client: Client, engine: Engine, table: str) -> None:
    """A body above the memory limit is spooled, leaves no file behind, and is stored whole."""
    data = pa.table({"a": range(400_000), "b": [str(number) * 10 for number in range(400_000)]})
    body = arrow_stream(data)
    assert len(body) > 20_000_000
    assert client.ask("INSERT INTO t FORMAT ArrowStream", body).status == 200
    pieces = (body[start : start + 999_999] for start in range(0, len(body), 999_999))
    assert client.ask("INSERT INTO t FORMAT ArrowStream", pieces).status == 200
    assert client.ok("SELECT count(), uniqExact(b), sum(a) FROM t") == f"800000\t400000\t{399_999 * 400_000}"
    assert list((engine.folder / "data" / "spool").iterdir()) == []


def test_bodies_are_bounded(folder: Path) -> None:
    """A body above the limit is refused with 413, declared or chunked, before it is read."""
    engine = Engine(folder, "--max-body", "1000000").start()
    with engine.client() as client:
        client.ok("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
        assert client.ask("INSERT INTO t FORMAT CSV", b"1\n" * 400_000).status == 200
    with engine.client() as client:
        client.connection.putrequest("POST", "/?query=INSERT+INTO+t+FORMAT+CSV")
        client.connection.putheader("Content-Length", "1000001")
        client.connection.endheaders()
        assert client.connection.getresponse().status == 413
    with engine.client() as client:
        client.connection.putrequest("POST", "/?query=INSERT+INTO+t+FORMAT+CSV")
        client.connection.putheader("Transfer-Encoding", "chunked")
        client.connection.endheaders(b"fffff\r\n")
        assert client.connection.getresponse().status == 413
    with engine.client() as client:
        assert client.ok("SELECT count() FROM t") == "400000"
    assert engine.stop() == 0


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_that_breaks_off_stores_nothing(engine: Engine, client: Client, table: str, *, chunked: bool) -> None:
    """Half a body is never taken for a whole one, though its rows are good."""
    with engine.client() as broken:
        broken.connection.putrequest("POST", "/?query=INSERT+INTO+t+FORMAT+CSV")
        broken.connection.putheader(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", "100")))
        broken.connection.endheaders(b"6\r\n1,one\n\r\n" if chunked else b"1,one\n")
    assert client.ok("SELECT count() FROM t") == "0"
    assert client.ok("SELECT count() FROM system.processes WHERE query LIKE 'INSERT%'") == "0"
