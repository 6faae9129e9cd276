"""The engine as a process: start, refusals, cancel, crash, stop."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.waiting import until

from .conftest import Answer, Engine

ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(number)"


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def running(engine: Engine) -> int:
    """How many statements of clients are running."""
    with engine.client() as client:
        return int(client.ok("SELECT count() FROM system.processes WHERE query NOT LIKE '%system.processes%'"))


def test_a_client_that_leaves_ends_its_query(engine: Engine) -> None:
    """The work stops when nobody waits for it: before a result, and in the middle of one."""
    for query in (ENDLESS, "SELECT number FROM numbers(1000000000000) FORMAT Native"):
        client = engine.client()
        client.connection.request("POST", "/", body=query.encode())
        until(lambda: running(engine) == 1)
        client.connection.close()
        left = time.monotonic()
        until(lambda: running(engine) == 0)
        assert time.monotonic() - left < 10


def test_kill_query_by_the_clients_id(engine: Engine) -> None:
    """A client names its query, another ends it."""
    with engine.client() as one, engine.client() as other, ThreadPoolExecutor(1) as pool:
        killed = pool.submit(one.ask, ENDLESS, query_id="it's mine")
        until(lambda: running(engine) == 1)
        assert other.ask("SELECT 1", query_id="it's mine").code == 216
        assert other.ask("KILL QUERY WHERE query_id = 'it\\'s mine' SYNC").status == 200
        assert killed.result().code == 394
        assert other.ask("SELECT 1", query_id="it's mine").text == "1"


def test_overload_is_refused(folder: Path) -> None:
    """More statements than places and queue: 503 with ClickHouse's code; pings and kills still pass."""
    engine = Engine(folder, "--concurrency", "2", "--queue", "1").start()
    with ThreadPoolExecutor(8) as pool, engine.client() as other:

        def ask(number: int) -> Answer:
            with engine.client() as client:
                return client.ask(ENDLESS, query_id=f"q{number}")

        asked = [pool.submit(ask, number) for number in range(8)]
        until(lambda: sum(future.done() for future in asked) == 5)
        assert {(future.result().status, future.result().code) for future in asked if future.done()} == {(503, 202)}
        other.connection.request("GET", "/ping")
        assert other.connection.getresponse().read() == b"Ok.\n"
        assert other.ask("SELECT 1").status == 503

        def kill() -> bool:
            assert other.ask("KILL QUERY WHERE query_id LIKE 'q%' ASYNC").status == 200
            return all(future.done() for future in asked)

        until(kill)
        assert sorted(future.result().code or 0 for future in asked) == [202] * 5 + [394] * 3
        assert other.ask("SELECT 1").text == "1"
    assert engine.stop() == 0


def test_a_stop_lets_short_queries_finish(folder: Path) -> None:
    """SIGTERM: what runs answers, then the process ends with 0, its socket removed."""
    engine = Engine(folder).start()
    with engine.client() as client, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.ok, "SELECT sleep(1.5)")
        until(lambda: running(engine) == 1)
        assert engine.stop() == 0
        assert answer.result() == "0"
    assert not engine.socket.exists()
    assert "Traceback" not in engine.errors()


def test_a_stop_kills_long_queries(folder: Path) -> None:
    """What outlives the grace is killed, and says so."""
    engine = Engine(folder, "--grace", "0.2").start()
    with engine.client() as client, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.ask, ENDLESS)
        until(lambda: running(engine) == 1)
        assert engine.stop(signal.SIGINT) == 0
        assert answer.result().code == 394


def test_acknowledged_rows_survive_kill_nine(folder: Path) -> None:
    """Kill the process in the middle of inserts: every acknowledged row is there, and no half of a batch."""
    engine = Engine(folder).start()
    with engine.client() as client:
        client.ok(
            "CREATE TABLE t (a UInt64, b UInt64) ENGINE = MergeTree ORDER BY a "
            "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
        )
    acknowledged = []

    def write() -> None:
        with engine.client() as client:
            for batch in range(100_000):
                rows = "\n".join(f"{batch * 10 + n},{batch}" for n in range(10)).encode()
                try:
                    answer = client.ask("INSERT INTO t FORMAT CSV", rows)
                except OSError:
                    return
                if answer.status == 200:
                    acknowledged.append(batch)

    writer = threading.Thread(target=write)
    writer.start()
    until(lambda: len(acknowledged) > 20)
    engine.stop(signal.SIGKILL)
    writer.join()
    assert engine.socket.exists()
    engine.start()
    assert engine.ready["event"] == "ready"
    with engine.client() as client:
        there = {int(line) for line in client.ok("SELECT DISTINCT b FROM t").splitlines()}
        assert set(acknowledged) <= there
        assert client.ok("SELECT count() FROM (SELECT b FROM t GROUP BY b HAVING count() != 10)") == "0"
    assert engine.stop() == 0


def test_the_socket_is_private(engine: Engine) -> None:
    """Only the owner may connect, and only the owner may enter the data directory."""
    assert stat.S_IMODE(engine.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE((engine.folder / "data").stat().st_mode) == 0o700


def refusal(*options: str, **popen: object) -> dict[str, str]:
    """What an engine says that cannot start; nothing else, and exit code 2."""
    command = [sys.executable, "-m", "gnomon_server.engine", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **popen)  # type: ignore[call-overload]
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    said: dict[str, str] = json.loads(done.stdout)
    assert said["event"] == "failed"
    return said


def test_refusals_to_start(engine: Engine, folder: Path) -> None:
    """Each reason has its word: the store decides by it."""
    data, own = str(engine.folder / "data"), str(folder / "data")
    assert engine.process is not None
    second = refusal("--data", data, "--socket", str(folder / "s"))
    assert second["reason"] == "locked"
    assert str(engine.process.pid) in second["message"]
    assert refusal("--data", own, "--socket", str(engine.socket))["reason"] == "socket"
    assert refusal("--data", own, "--socket", "/" + "x" * 200)["reason"] == "socket"
    assert refusal("--data", own, "--tcp", "127.0.0.1:{}".format(engine.ready["tcp"][1]))["reason"] == "socket"
    assert refusal("--data", own, "--tcp", "0.0.0.0:0")["reason"] == "socket"
    assert refusal("--data", own, "--tcp", "nonsense")["reason"] == "socket"
    assert refusal("--data", own)["reason"] == "arguments"
    assert refusal("--socket", "s")["reason"] == "arguments"
    assert refusal("--data", own, "--socket", str(folder / "s"), "--config-file", "x.xml")["reason"] == "config"
    (folder / "file").write_text("")
    assert refusal("--data", str(folder / "file"), "--socket", str(folder / "s"))["reason"] == "data"
    with engine.client() as client:
        assert client.ok("SELECT 1") == "1"


def test_a_broken_table_definition_is_told(folder: Path) -> None:
    """A directory that cannot be opened ends in a reason, not in a hang."""
    engine = Engine(folder).start()
    with engine.client() as client:
        client.ok("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    assert engine.stop() == 0
    for definition in (folder / "data" / "db").rglob("t.sql"):
        definition.write_text("garbage")
    assert refusal("--data", str(folder / "data"), "--socket", str(folder / "s"))["reason"] == "data"


def test_it_dies_with_its_parent(folder: Path) -> None:
    """The end of standard input, or of the parent, is the end of the engine."""
    reader, writer = os.pipe()
    engine = Engine(folder, "--die-with-parent").start(stdin=reader)
    os.close(reader)
    assert engine.process is not None
    assert engine.process.poll() is None
    os.close(writer)
    assert engine.process.wait(20) == 0
    assert engine.process.stdout is not None
    engine.process.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the signal at a parent's death is Linux's")
def test_it_dies_with_its_parent_though_standard_input_lives(folder: Path) -> None:
    """The parent is killed; a copy of its pipe is still open elsewhere."""
    reader, writer = os.pipe()
    options = ["--data", str(folder / "data"), "--socket", str(folder / "s"), "--die-with-parent"]
    command = [sys.executable, "-m", "gnomon_server.engine", *options]
    script = f"import subprocess; subprocess.Popen({command!r}, stdin={reader}, pass_fds=[{reader}]).wait()"
    parent = subprocess.Popen([sys.executable, "-c", script], pass_fds=[reader], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = json.loads(parent.stdout.readline())["pid"]
    parent.kill()
    parent.wait()
    assert parent.stdout.read() == ""  # the child held the other end
    until(lambda: not alive(child))
    parent.stdout.close()
    os.close(reader)
    os.close(writer)


def test_a_crash_ends_the_process_at_once(folder: Path) -> None:
    """A segmentation fault is a death with a stack on standard error, not a hang."""
    engine = Engine(folder).start()
    assert engine.stop(signal.SIGSEGV) == -signal.SIGSEGV
    assert "Segmentation fault" in engine.errors()
    assert engine.start().ready["event"] == "ready"
    assert engine.stop() == 0
