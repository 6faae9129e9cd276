"""Queries over the engine's socket: formats, streaming, parameters, settings, errors."""

import gzip
import http.client
import io
import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.waiting import until

from .conftest import Client, Engine


def test_ping_says_ok(client: Client) -> None:
    """Health is ClickHouse's own answer."""
    client.connection.request("GET", "/ping")
    response = client.connection.getresponse()
    assert (response.status, response.read()) == (200, b"Ok.\n")


def test_query_in_the_url_and_in_the_body(client: Client) -> None:
    """Both places of a query work, by GET and POST, compressed or not."""
    assert client.ask("SELECT 1", method="GET").text == "1"
    assert client.ask("SELECT 2").text == "2"
    assert client.ask(body=b"SELECT 3 -- the last").text == "3"
    packed = gzip.compress(b"SELECT 4")
    assert client.ask(body=packed, headers={"Content-Encoding": "gzip"}).text == "4"
    assert client.ask(body=iter([b"SEL", b"ECT 5"])).text == "5"


def test_response_headers(client: Client) -> None:
    """Format, id, timezone and summary are told as ClickHouse does."""
    query_id = str(uuid.uuid4())
    answer = client.ask("SELECT number FROM numbers(7) FORMAT JSONEachRow", query_id=query_id)
    assert answer.headers["X-ClickHouse-Query-Id"] == query_id
    assert answer.headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert answer.headers["X-ClickHouse-Timezone"] == "UTC"
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["read_rows"] == "7"


def test_request_headers(client: Client) -> None:
    """Database, format and id may come as headers."""
    headers = {"X-ClickHouse-Database": "system", "X-ClickHouse-Format": "JSON", "X-ClickHouse-Query-Id": "from-header"}
    answer = client.ask("SELECT dummy FROM one", headers=headers)
    assert json.loads(answer.body)["data"] == [{"dummy": 0}]
    assert answer.headers["X-ClickHouse-Query-Id"] == "from-header"


def test_a_hostile_query_id_starts_no_header(client: Client) -> None:
    """A line break in a client's id stays inside its header."""
    answer = client.ask("SELECT 1", query_id="é☃\r\nX-Evil: 1")
    assert answer.status == 200
    assert answer.headers.get("X-Evil") is None


@pytest.mark.parametrize(
    ("query", "result"),
    [
        ("SELECT 1 FORMAT CSV;", "1"),
        ("SELECT 1 FORMAT CSV SETTINGS max_threads = 1", "1"),
        ("SELECT getSetting('max_threads') SETTINGS max_threads = 3 FORMAT CSV", "3"),
        ("SELECT ' FORMAT JSON; -- ' AS format /* FORMAT x */", " FORMAT JSON; -- "),
        ("WITH 5 AS x SELECT x", "5"),
        ("(SELECT 1) UNION ALL (SELECT 1)", "1\n1"),
        ("FROM system.one SELECT dummy", "0"),
        ("EXISTS TABLE system.one", "1"),
        ("SELECT 1 # the end", "1"),
        ("SELECT $$a;'b$$", "a;\\'b"),
        ("SELECT 1 WHERE 0", ""),
        ("SELECT 1 AS `FORMAT`", "1"),
    ],
)
def test_statement_forms(client: Client, query: str, result: str) -> None:
    """The output clause finds its place whatever surrounds it."""
    assert client.ok(query) == result


@pytest.mark.parametrize(
    "output_format", ["JSON", "JSONCompact", "CSVWithNames", "Native", "Parquet", "ArrowStream", "Arrow"]
)
def test_large_results_are_whole_in_every_format(client: Client, output_format: str) -> None:
    """A streamed result has one head and one foot, as the same result read at once."""
    rows = 200_000
    query = f"SELECT number, toString(number) AS s FROM numbers({rows}) FORMAT {output_format}"
    streamed = client.ask(query)
    assert streamed.headers["Transfer-Encoding"] == "chunked"
    held = client.ask(query, wait_end_of_query=1)
    assert held.headers["Content-Length"] == str(len(held.body))
    if output_format == "JSON":
        assert json.loads(streamed.body)["data"] == json.loads(held.body)["data"]
        assert len(json.loads(held.body)["data"]) == rows
    elif output_format == "JSONCompact":
        assert json.loads(streamed.body)["rows"] == rows
    else:
        assert streamed.body == held.body


def test_arrow_stream_opens_in_pyarrow(client: Client) -> None:
    """The format the store reads; an empty result has its schema too."""
    query = "SELECT number, ['a', 'b'] AS list, map('k', 'v') AS m FROM numbers(150000)"
    table = pa.ipc.open_stream(client.ask(query, default_format="ArrowStream").body).read_all()
    assert table.num_rows == 150_000
    assert table["m"][0].as_py() == [("k", "v")]
    empty = pa.ipc.open_stream(client.ask(query + " WHERE number < 0", default_format="ArrowStream").body).read_all()
    assert empty.schema == table.schema
    assert empty.num_rows == 0


def test_dictionaries_survive_streaming(client: Client) -> None:
    """Low-cardinality columns come as Arrow dictionaries when asked for."""
    query = "SELECT toLowCardinality(toString(number % 7)) AS k FROM numbers(300000)"
    settings = {"output_format_arrow_low_cardinality_as_dictionary": 1}
    body = client.ask(query, default_format="ArrowStream", **settings).body
    values = pa.ipc.open_stream(body).read_all()["k"].to_pylist()
    assert values == [str(number % 7) for number in range(300_000)]


def test_streaming_is_bounded_in_memory(engine: Engine, client: Client) -> None:
    """A result of 800 MB passes through a process that stays small."""
    before = engine.resident_bytes()
    client.connection.request("POST", "/?default_format=Native", body=b"SELECT number FROM numbers(100000000)")
    response = client.connection.getresponse()
    total, peak = 0, 0
    while piece := response.read(1 << 22):
        total += len(piece)
        peak = max(peak, engine.resident_bytes())
    assert total > 800_000_000
    assert peak - before < 200_000_000


@pytest.mark.parametrize(
    ("declared", "value", "result"),
    [
        ("String", "it's", "it\\'s"),
        ("String", "é☃\\n\\t", "é☃\\n\\t"),
        ("String", "'; DROP TABLE x; --", "\\'; DROP TABLE x; --"),
        ("String", "a\\\\b", "a\\\\b"),
        ("String", "", ""),
        ("UInt64", "18446744073709551615", "18446744073709551615"),
        ("Array(String)", "['a','b\\'c']", "['a','b\\'c']"),
        ("Nullable(String)", "\\N", "\\N"),
        ("Map(String, UInt8)", "{'k':1}", "{'k':1}"),
        ("DateTime64(9)", "2024-01-02 03:04:05.123456789", "2024-01-02 03:04:05.123456789"),
        ("Identifier", "number", "0"),
    ],
)
def test_parameters(client: Client, declared: str, value: str, result: str) -> None:
    """Values keep their type and content, hostile ones too."""
    answer = client.ask(f"SELECT {{x:{declared}}} FROM numbers(1)", param_x=value)
    assert (answer.status, answer.body) == (200, f"{result}\n".encode()), answer.text


def test_parameters_never_cross_between_threads(engine: Engine) -> None:
    """Of 1,200 parameterised queries from 8 threads each gets its own value and its own setting."""

    def work(thread: int) -> list[str]:
        wrong = []
        with engine.client() as mine:
            for number in range(150):
                value = f"{thread}-{number}"
                answer = mine.ask("SELECT {x:String}, getSetting('log_comment')", param_x=value, log_comment=value)
                if answer.text != f"{value}\t{value}":
                    wrong.append(answer.text)
        return wrong

    with ThreadPoolExecutor(8) as pool:
        assert [wrong for found in pool.map(work, range(8)) for wrong in found] == []


def test_nothing_leaks_into_the_next_request(client: Client) -> None:
    """Settings, the current database and temporary tables end with their request."""
    before = client.ok("SELECT getSetting('max_threads'), currentDatabase()")
    assert client.ask("SELECT getSetting('max_threads')", max_threads=7).text == "7"
    assert client.ask("SELECT currentDatabase()", database="system").text == "system"
    client.ok("SET max_threads = 9")
    client.ok("USE system")
    client.ok("CREATE TEMPORARY TABLE leaky (a Int32) ENGINE = Memory")
    assert client.ok("SELECT getSetting('max_threads'), currentDatabase()") == before
    assert client.ask("SELECT * FROM leaky").code == 60


def test_settings_of_a_request_apply(client: Client) -> None:
    """Limits and filters given as URL parameters bind this query."""
    client.ok("CREATE OR REPLACE TABLE filtered ENGINE = MergeTree ORDER BY n AS SELECT number AS n FROM numbers(10)")
    filters = "{'default.filtered': 'n < 3'}"
    assert client.ask("SELECT count() FROM filtered", additional_table_filters=filters).text == "3"
    assert client.ask("SELECT count() FROM filtered").text == "10"
    assert client.ask("SELECT groupArray(number) FROM numbers(100000000)", max_memory_usage=50_000_000).code == 241
    slow = client.ask("SELECT count() FROM numbers(100000000000)", max_execution_time=1)
    assert (slow.code, slow.status) == (159, 408)
    assert client.ask("INSERT INTO filtered SELECT 1", readonly=1).code == 164
    assert client.ask("INSERT INTO filtered SELECT 1", method="GET").code == 164


def test_a_view_reads_the_tenant_from_a_setting(client: Client) -> None:
    """``getSetting('log_comment')`` carries a value from the request into a view, through the primary key."""
    client.ok("CREATE OR REPLACE TABLE rows (tenant UInt32, v String) ENGINE = MergeTree ORDER BY tenant")
    client.ok("INSERT INTO rows VALUES (1, 'one'), (2, 'two')")
    client.ok(
        "CREATE OR REPLACE VIEW mine AS SELECT v FROM rows WHERE tenant = toUInt32OrZero(getSetting('log_comment'))"
    )
    assert client.ask("SELECT v FROM mine", log_comment="1").text == "one"
    assert client.ask("SELECT v FROM mine", log_comment="2").text == "two"
    assert client.ask("SELECT v FROM mine").text == ""
    assert "Condition: (tenant in [2, 2])" in client.ok("EXPLAIN indexes = 1 SELECT v FROM mine", log_comment="2")


@pytest.mark.parametrize(
    ("query", "params", "code", "status"),
    [
        ("SELECT * FROM nosuch", {}, 60, 404),
        ("SELECT nosuch", {}, 47, 404),
        ("SELECT nosuch(1)", {}, 46, 404),
        ("SELEC 1", {}, 62, 400),
        ("SELECT 'unclosed", {}, 62, 400),
        ("SELECT 1 /* unclosed", {}, 62, 400),
        ("SELECT 1; SELECT 2", {}, 62, 400),
        ("1 + 1", {}, 62, 400),
        (" ", {}, 62, 400),
        ("SELECT 1 FORMAT nosuch", {}, 73, 404),
        ("SELECT 1", {"database": "nosuch"}, 81, 404),
        ("SELECT 1", {"nosuch_setting": "1"}, 115, 404),
        ("SELECT 1", {"a' = 1, b": "1"}, 115, 404),
        ("SELECT 1", {"SQL_tenant": "1"}, 115, 404),
        ("SELECT 1", {"max_threads": "many"}, 27, 400),
        ("SELECT {x:String}", {}, 456, 500),
        ("SELECT {x:UInt8}", {"param_x": "a"}, 457, 500),
        ("SELECT throwIf(1)", {}, 395, 500),
        ("SELECT toDate('x')", {}, 38, 400),
        ("SELECT 1 INTO OUTFILE '/tmp/never'", {}, 445, 500),
        ("SELECT 1", {"compress": "1"}, 48, 501),
        ("SELECT 1", {"log_comment": b"\xff"}, 36, 400),
        ("SELECT {x:String}", {"param_x": b"\xff"}, 36, 400),
        ("SELECT 1", {"query_id": b"\xff"}, 36, 400),
    ],
)
def test_errors_have_clickhouse_codes(
    client: Client, query: str, params: dict[str, Any], code: int, status: int
) -> None:
    """Code, HTTP status and text are the server's; the connection lives on."""
    answer = client.ask(query, **params)
    assert (answer.code, answer.status) == (code, status), answer.text
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert answer.text.count("DB::Exception") == 1
    assert client.ask("SELECT 1").text == "1"


def test_an_error_in_mid_stream_is_visible(engine: Engine, client: Client) -> None:
    """The answer carries ClickHouse's trailer and lacks its last chunk, so no reader takes it for whole."""
    query = b"SELECT number, throwIf(number = 5000000) FROM numbers(10000000) FORMAT CSV"
    client.connection.request("POST", "/", body=query)
    response = client.connection.getresponse()
    assert response.status == 200
    with pytest.raises(http.client.IncompleteRead) as caught:
        response.read()
    tag = response.headers["X-ClickHouse-Exception-Tag"].encode()
    tail = caught.value.partial[-2000:]
    assert b"__exception__\r\n" + tag + b"\r\nCode: 395. DB::Exception: " in tail
    assert tail.endswith(tag + b"\r\n__exception__\r\n")
    with engine.client() as other:
        assert other.ask(query.decode(), wait_end_of_query=1).code == 395


def test_a_form_carries_what_is_too_long_for_a_url(client: Client) -> None:
    """Fields of a multipart form are parameters."""
    value = "x" * 200_000
    fields = {"query": "SELECT length({v:String})", "param_v": value}
    parts = "".join(f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items())
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert client.ask(body=(parts + "--b--\r\n").encode(), headers=headers).text == "200000"


def test_malformed_http_is_answered_and_closed(engine: Engine) -> None:
    """Garbage, endless headers and bad lengths end in a 4xx."""
    requests = {
        b"GARBAGE\r\n\r\n": b" 400 ",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n": b" 400 ",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n": b" 400 ",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n": b" 414 ",
        b"GET / HTTP/1.1\r\n" + b"".join(b"h%d: x\r\n" % n for n in range(300)) + b"\r\n": b" 431 ",
        b"GET /nosuch HTTP/1.1\r\nConnection: close\r\n\r\n": b" 404 ",
        b"DELETE / HTTP/1.1\r\nConnection: close\r\n\r\n": b" 501 ",
    }
    for request, expected in requests.items():
        with engine.client() as raw:
            raw.connection.connect()
            raw.connection.sock.sendall(request)
            answer = io.BytesIO()
            while piece := raw.connection.sock.recv(65536):
                answer.write(piece)
            assert expected in answer.getvalue().split(b"\r\n")[0] + b" ", request[:60]


def test_many_idle_connections_leave_room(engine: Engine) -> None:
    """Two hundred silent clients do not stand in another's way."""
    idle = [engine.client() for _ in range(200)]
    for one in idle:
        one.connection.connect()
    with engine.client() as client:
        assert client.ask("SELECT 1").text == "1"
    for one in idle:
        one.connection.close()


def test_concurrent_queries_all_answer(engine: Engine) -> None:
    """More clients than workers: the queue holds them."""
    barrier = threading.Barrier(24)

    def work(number: int) -> str:
        with engine.client() as client:
            barrier.wait()
            return client.ok(f"SELECT {number} + sleep(0.05)")

    with ThreadPoolExecutor(24) as pool:
        assert list(pool.map(work, range(24))) == [str(number) for number in range(24)]


def test_nothing_is_left_open(engine: Engine) -> None:
    """Abandoned, failed and large requests leave no descriptor behind."""
    assert engine.process is not None
    descriptors = Path(f"/proc/{engine.process.pid}/fd")

    def is_pipe(descriptor: Path) -> bool:
        try:
            return "pipe" in str(descriptor.readlink())
        except FileNotFoundError:  # closed since it was listed
            return False

    def round_of_requests() -> int:
        for query in ("SELECT 1", "SELECT throwIf(1)", "SELECT number FROM numbers(300000)", "SELECT sleep(3)"):
            with engine.client() as client:
                client.connection.request("POST", "/", body=query.encode())
                if "sleep" not in query:
                    client.connection.getresponse().read()
        with engine.client() as client:
            while client.ok("SELECT count() FROM system.processes") != "1":
                pass
        return len([entry for entry in descriptors.iterdir() if is_pipe(entry)])

    first = round_of_requests()
    for _ in range(10):
        round_of_requests()
    # A statement that was abandoned ends within half a second, and then its pipe is closed.
    until(lambda: round_of_requests() <= first)
