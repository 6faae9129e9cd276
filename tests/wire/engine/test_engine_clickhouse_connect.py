"""The stock ``clickhouse-connect`` client, as it comes, against the engine."""

import datetime as dt
from collections.abc import Iterator

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from .conftest import Engine


@pytest.fixture
def stock(engine: Engine) -> Iterator[Client]:
    """A client with its default options: sessions, compression and all."""
    host, port = engine.ready["tcp"]
    client = clickhouse_connect.get_client(host=host, port=port)
    client.command("CREATE OR REPLACE TABLE cc (k UInt32, v String, t DateTime64(3, 'UTC'), a Array(Int64)) ORDER BY k")
    yield client
    client.close()


# The client gives UTC back without a timezone.
DAYS = [dt.datetime(2024, 1, day, tzinfo=dt.UTC).replace(tzinfo=None) for day in (2, 3)]
ROWS = [[1, "é'\n", DAYS[0], [1, 2]], [2, "", DAYS[1], []]]


def test_insert_and_query(stock: Client) -> None:
    """Native both ways, compressed by the client's choice."""
    assert stock.insert("cc", ROWS, column_names=["k", "v", "t", "a"]).written_rows == 2
    result = stock.query("SELECT * FROM cc ORDER BY k")
    assert result.column_names == ("k", "v", "t", "a")
    assert [list(row) for row in result.result_rows] == ROWS
    assert stock.query("SELECT * FROM cc LIMIT 0").column_names == ("k", "v", "t", "a")
    assert stock.query("SELECT * FROM cc WHERE 0").result_rows == []


def test_arrow_both_ways(stock: Client) -> None:
    """Tables in and out as Arrow."""
    table = pa.table({"k": pa.array([7], pa.uint32()), "v": ["x"], "t": pa.array([0], pa.timestamp("ms")), "a": [[5]]})
    stock.insert_arrow("cc", table)
    assert stock.query_arrow("SELECT k, v, a FROM cc").to_pylist() == [{"k": 7, "v": "x", "a": [5]}]


def test_large_results_and_streams(stock: Client) -> None:
    """Large results come whole, block by block too."""
    assert len(stock.query("SELECT number FROM numbers(500000)").result_rows) == 500_000
    with stock.query_row_block_stream("SELECT number FROM numbers(500000)") as blocks:
        assert sum(len(block) for block in blocks) == 500_000


def test_parameters_and_settings(stock: Client) -> None:
    """Server-side parameters of any type, settings of one call."""
    parameters = {"s": "a'b\n\\", "n": 5, "l": ["x'", "y"], "none": None}
    query = "SELECT {s:String}, {n:Int32} + 1, {l:Array(String)}, {none:Nullable(String)}, getSetting('max_threads')"
    row = stock.query(query, parameters=parameters, settings={"max_threads": 3}).result_rows[0]
    assert row == ("a'b\n\\", 6, ["x'", "y"], None, 3)
    long = stock.query("SELECT length({s:String})", parameters={"s": "x" * 300_000})
    assert long.result_rows == [(300_000,)]


def test_commands_and_raw_access(stock: Client) -> None:
    """Scalars, DDL, raw bytes and ping."""
    assert stock.command("SELECT 5") == 5
    assert stock.raw_query("SELECT 1 AS a", fmt="JSONEachRow") == b'{"a":1}\n'
    assert stock.raw_insert("cc", ["k"], b"9\n", fmt="CSV").written_rows == 1
    assert stock.ping()


def test_errors_have_their_code(stock: Client) -> None:
    """The client reads the code and the name, at the start and in mid-stream."""
    with pytest.raises(DatabaseError) as caught:
        stock.query("SELECT * FROM nosuch")
    assert (caught.value.code, caught.value.name) == (60, "UNKNOWN_TABLE")
    late = "SELECT throwIf(number = 3000000) FROM numbers(5000000)"
    with pytest.raises(DatabaseError, match="throwIf"):
        stock.query(late)
    with pytest.raises(Exception, match="throwIf"), stock.query_row_block_stream(late) as blocks:
        for _ in blocks:
            pass
