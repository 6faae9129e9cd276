"""The life of `gnomon up`: start, refusals, drain, crashes, restarts; probes, own telemetry, the other verbs."""

import concurrent.futures
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pyarrow as pa
import pytest
from tests import otlp
from tests.otlp import PROTOBUF
from tests.server import Server
from tests.waiting import until

OFF = ("--listen", "127.0.0.1:0", "--otlp-grpc", "off", "--otlp-http", "off")
EXPOSITION = re.compile(
    r'(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>(?:\w+="(?:[^"\\]|\\.)*",?)*)\})? (?P<value>[-+]?(?:[\d.e+-]+|Inf|NaN))'
)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A verb of the command, to its end."""
    command = [sys.executable, "-m", "gnomon_server.cli", *arguments]
    env = {name: value for name, value in os.environ.items() if not name.startswith("GNOMON_")}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**env, "COLUMNS": "200", **environment}
    )


def get(server: Server, path: str) -> tuple[int, str]:
    """Status and body of a page."""
    try:
        with urllib.request.urlopen(f"{server.api}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def engine_pid(server: Server) -> int:
    """The engine that was started last."""
    return int(re.findall(r"engine_started pid (\d+)", server.log.read_text("utf-8"))[-1])


def is_alive(pid: int) -> bool:
    """Whether a process runs (and is no zombie)."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return False


def send(server: Server, service: str) -> int:
    """One span; the status."""
    body = otlp.one_of("traces", service).SerializeToString()
    return server.post(f"{server.otlp_http}/v1/traces", body, PROTOBUF)[0]


def stored(server: Server, service: str) -> int:
    """How many spans of a service are there."""
    return int(server.sql("SELECT count() AS n FROM spans WHERE service = {s:String}", s=service)[0]["n"])


# -- start


@pytest.mark.parametrize("which", ["http", "otlp-http", "otlp-grpc"])
def test_a_port_that_is_taken(gnomon: Server, tmp_path: Path, which: str) -> None:
    """The second server ends with 1 and says which address, what to do; without a traceback."""
    taken = gnomon.addresses[which]
    flags = dict(zip(OFF[::2], OFF[1::2], strict=True)) | {"--listen" if which == "http" else f"--{which}": taken}
    ended = run("up", "--data", str(tmp_path / "d"), *(word for pair in flags.items() for word in pair))
    assert ended.returncode == 1
    assert taken in ended.stderr
    assert "port_taken" in ended.stderr
    assert "hint:" in ended.stderr
    assert "Traceback" not in ended.stderr
    checked = run("check", "--data", str(tmp_path / "d"), *(word for pair in flags.items() for word in pair))
    assert checked.returncode == 1
    assert taken in checked.stderr


def test_a_data_directory_that_is_taken(gnomon: Server) -> None:
    """One server owns a data directory: the second one ends with 1 and says so; the first goes on."""
    ended = run("up", "--data", str(gnomon.folder / "data"), *OFF)
    assert ended.returncode == 1
    assert "data_dir_taken" in ended.stderr
    assert str(gnomon.folder / "data") in ended.stderr
    assert "Traceback" not in ended.stderr
    assert send(gnomon, "still-there") == 200


def test_receivers_switched_off(tmp_path: Path) -> None:
    """`off` listens nowhere; OTLP is still taken on the API's address."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        server = Server(Path(folder), ("--otlp-grpc", "off", "--otlp-http", "off", "--set", "own_telemetry_s=0"))
        server.start()
        try:
            assert set(server.addresses) == {"http"}
            parts = {part["name"]: part["state"] for part in server.get("/status")["parts"]}
            assert (parts["otlp-grpc"], parts["otlp-http"], parts["http"]) == ("off", "off", "up")
            body = otlp.one_of("traces", "off").SerializeToString()
            assert server.post(f"{server.api}/v1/traces", body, PROTOBUF)[0] == 200
            assert stored(server, "off") == 1
        finally:
            assert server.stop() == 0


# -- stop, crash, restart


def test_a_stop_drains(own_gnomon: Server) -> None:
    """SIGTERM: what was sent is acknowledged or refused, what was acknowledged is there at the next start; exit 0."""
    engine = engine_pid(own_gnomon)

    def keep_sending(number: int) -> int:
        sent = 0
        while True:
            try:
                code = send(own_gnomon, f"drain-{number}")
            except OSError:  # the listener is gone
                return sent
            if code != 200:
                assert code == 503
                return sent
            sent += 1

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        senders = [pool.submit(keep_sending, number) for number in range(4)]
        time.sleep(0.7)
        assert own_gnomon.stop() == 0
        sent = [sender.result() for sender in senders]
    assert min(sent) > 0
    assert not is_alive(engine)
    log = own_gnomon.log.read_text("utf-8")
    assert log.rstrip().endswith("stopped")
    assert "Traceback" not in log
    own_gnomon.start()
    kept = [stored(own_gnomon, f"drain-{number}") for number in range(4)]
    # One more each may be stored whose answer did not come through.
    assert all(there in (known, known + 1) for there, known in zip(kept, sent, strict=True)), (kept, sent)


def test_crashes(own_gnomon: Server) -> None:
    """The engine's and the server's own `kill -9`: senders wait and succeed, nothing acknowledged is lost."""
    server = own_gnomon
    assert get(server, "/readyz")[0] == 200
    assert send(server, "before") == 200
    first_engine = engine_pid(server)
    os.kill(first_engine, signal.SIGKILL)
    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        waiting = [pool.submit(send, server, "waits") for _ in range(8)]
        unready = pool.submit(until, lambda: get(server, "/readyz")[0] == 503, 10)
        assert [one.result() for one in waiting] == [200] * 8
        unready.result()
    until(lambda: get(server, "/readyz")[0] == 200)
    assert "gnomon_engine_restarts_total 1" in get(server, "/metrics")[1]
    assert get(server, "/healthz") == (200, "ok\n")
    assert (stored(server, "before"), stored(server, "waits")) == (1, 8)
    second_engine = engine_pid(server)
    assert second_engine != first_engine
    server.kill()
    until(lambda: not is_alive(second_engine))
    server.start()
    assert (stored(server, "before"), stored(server, "waits")) == (1, 8)
    assert send(server, "after") == 200


def test_a_stop_during_the_start() -> None:
    """SIGTERM before it is ready ends it, and its engine."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        command = [sys.executable, "-m", "gnomon_server.cli", "up", "--data", f"{folder}/data", *OFF]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr
            line = process.stderr.readline()
            engine = int(line.partition("pid ")[2].partition(",")[0])
            process.send_signal(signal.SIGTERM)
            rest = process.stderr.read()
        assert process.returncode == 0
        assert "Traceback" not in rest
        until(lambda: not is_alive(engine))


# -- watching


def test_metrics_are_an_exposition(gnomon: Server) -> None:
    """/metrics parses: each series has a head above it, no series twice, buckets are cumulative."""
    assert send(gnomon, "exposed") == 200
    code, text = get(gnomon, "/metrics")
    assert code == 200
    typed: dict[str, str] = {}
    seen: set[tuple[str, str | None]] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            assert name not in typed
            typed[name] = kind
            continue
        if line.startswith("# HELP "):
            continue
        match = EXPOSITION.fullmatch(line)
        assert match, line
        assert re.sub(r"_(bucket|sum|count)$", "", match["name"]) in typed or match["name"] in typed
        assert (match["name"], match["labels"]) not in seen
        seen.add((match["name"], match["labels"]))
    assert typed["gnomon_received_records_total"] == "counter"
    assert typed["gnomon_commit_seconds"] == "histogram"
    buckets = [int(n) for n in re.findall(r"^gnomon_commit_seconds_bucket\{.*\} (\d+)$", text, re.MULTILINE)]
    assert buckets == sorted(buckets)
    assert re.search(rf"^gnomon_commit_seconds_count {buckets[-1]}$", text, re.MULTILINE)


def test_own_telemetry() -> None:
    """Its metrics, logs and spans are rows of `_gnomon`, of nobody else; at rest each interval writes the same."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        server = Server(Path(folder), ("--set", "own_telemetry_s=0.2"))
        server.start()
        try:
            own = {"X_Scope_OrgID": "_gnomon"}

            def rows(query: str, **headers: str) -> list[list[object]]:
                body = json.dumps({"query": query}).encode()
                code, _, answer = server.post(f"{server.api}/api/gnomon/v1/sql", body, "application/json", **headers)
                assert code == 200, answer
                found: list[list[object]] = json.loads(answer)["rows"]
                return found

            assert send(server, "seen") == 200
            until(lambda: rows("SELECT count() > 0 FROM spans WHERE name = 'commit'", **own) == [[True]])
            until(lambda: rows("SELECT count() > 0 FROM logs WHERE event = 'ready'", **own) == [[True]])
            received = "SELECT max(value) FROM metrics WHERE metric = 'gnomon_received_records_total'"
            until(lambda: rows(received, **own) == [[1.0]])
            spans = rows("SELECT count() FROM spans", **own)
            time.sleep(1.5)
            assert rows("SELECT count() FROM spans", **own) == spans
            per_interval = rows("SELECT count() AS n FROM metrics GROUP BY time ORDER BY time DESC LIMIT 5", **own)
            assert len(per_interval) == 5
            assert len({count for (count,) in per_interval}) == 1
            for view in ("logs", "metrics"):
                assert rows(f"SELECT count() FROM {view}") == [[0]]
            assert rows("SELECT service FROM spans") == [["seen"]]
        finally:
            server.stop()


# -- the other verbs


def test_sql_outputs(gnomon: Server) -> None:
    """`gnomon sql` prints a table, JSON, CSV or an Arrow stream; the query is an argument or standard input."""
    query = "SELECT {a:UInt8} AS one, 'x,y' AS two"
    asked = ("sql", query, "--api", gnomon.api, "--param", "a=7")
    table = run(*asked)
    assert (table.returncode, table.stdout.split()) == (0, ["one", "two", "7", "x,y"])
    assert "1 rows" in table.stderr
    answer = json.loads(run(*asked, "--format", "json").stdout)
    assert (answer["columns"][0]["name"], answer["rows"]) == ("one", [[7, "x,y"]])
    assert list(csv.reader(io.StringIO(run(*asked, "--format", "csv").stdout)))[-1] == ["7", "x,y"]
    command = [sys.executable, "-m", "gnomon_server.cli", *asked[:1], "--api", gnomon.api, "--format", "arrow"]
    arrow = subprocess.run(command, input=b"SELECT 7 AS one", capture_output=True, timeout=60, check=True).stdout
    assert pa.ipc.open_stream(arrow).read_all().to_pydict() == {"one": [7]}


def test_sql_errors(gnomon: Server) -> None:
    """A refused query, a wrong parameter, no server: exit code 1 or 2 and words, no traceback."""
    for arguments, told in (
        (("SELECT nonsense FROM spans", "--api", gnomon.api), "nonsense"),
        (("SELECT 1 FROM system.one", "--api", gnomon.api), "system"),
        (("SELECT 1", "--api", gnomon.api, "--param", "a"), "NAME=VALUE"),
        (("SELECT 1", "--api", gnomon.api, "--tenant", "a/b"), "tenant"),
        (("SELECT 1", "--api", "http://127.0.0.1:1"), "no server answers"),
        (("SELECT 1", "--api", "ftp://x"), "http"),
        (("SELECT 1", "--api", f"http://{gnomon.otlp_grpc}"), "no server answers"),
    ):
        ended = run("sql", *arguments)
        assert ended.returncode in (1, 2)
        assert told in ended.stderr
        assert "Traceback" not in ended.stderr


def test_check(tmp_path: Path) -> None:
    """Good settings are said to be good; values come from flag, environment, file, default, in this order."""
    file = tmp_path / "gnomon.yaml"
    file.write_text("retention: {traces: 3d, logs: 4d, metrics: 5d}\nquery: {rows: 10}\n", "utf-8")
    data = tmp_path / "not" / "yet"
    flags = ("--config", str(file), "--data", str(data), *OFF, "--set", "retention.logs=6d")
    good = run("check", "--print", *flags, GNOMON_RETENTION_TRACES="9d", GNOMON_RETENTION_LOGS="8d")
    assert good.returncode == 0, good.stderr
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in good.stdout.splitlines() if line.split()}
    assert lines["retention.traces"] == "9d env GNOMON_RETENTION_TRACES"
    assert lines["retention.logs"] == "6d flag"
    assert lines["retention.metrics"] == f"5d file {file}"
    assert lines["query.rows"] == f"10 file {file}"
    assert lines["query.deadline_s"] == "30.0 default"
    assert not data.exists()


def test_check_names_every_mistake(tmp_path: Path) -> None:
    """All mistakes at once, each with its key and where it stands; `up` refuses with the same letter."""
    file = tmp_path / "gnomon.yaml"
    file.write_text("retention: {traces: soon}\nnot_there: 1\nquery: {rows: 0, nor_there: x}\nlisten: 4319\n", "utf-8")
    for verb in ("check", "up"):
        ended = run(
            verb, "--config", str(file), "--set", "and.this=1", "--set", "otlp.grpc=nowhere",
            GNOMON_SUCH_A_THING="1", GNOMON_QUERY_DEADLINE_S="long",
        )  # fmt: skip
        assert ended.returncode == 1
        assert "Traceback" not in ended.stderr
        for told in (
            "retention.traces: 'soon'", f"not_there: there is no such setting (file {file})", "query.rows:",
            "query.nor_there: there is no such setting", "listen: 4319 is not HOST:PORT",
            "and: there is no such setting (flag)", "otlp.grpc: 'nowhere'",
            "GNOMON_SUCH_A_THING: there is no such setting", "query.deadline_s:",
        ):  # fmt: skip
            assert told in ended.stderr, told
