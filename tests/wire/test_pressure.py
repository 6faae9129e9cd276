"""The real server under load and on a bad disk: refused so that senders come again; recovery by itself."""

import concurrent.futures
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests import otlp
from tests.otlp import METHODS, PROTOBUF
from tests.server import Server
from tests.waiting import until

MIB = 1 << 20


@contextlib.contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Server]:
    """A server with settings of its own."""
    server = Server(folder, arguments)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def send(server: Server, service: str, size: int = 1) -> tuple[int, dict[str, str], str]:
    """One log record; status, headers, words."""
    body = otlp.logs(service, [{"body": otlp.value("x" * size)}]).SerializeToString()
    code, headers, answer = server.post(f"{server.otlp_http}/v1/logs", body, PROTOBUF)
    return code, headers, otlp.status(PROTOBUF, answer)[1] if code >= 400 else ""


def ready(server: Server) -> int:
    """The status of the readiness probe."""
    try:
        with urllib.request.urlopen(f"{server.api}/readyz") as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def metric(server: Server, name: str) -> float:
    """The value of one of the server's own metrics."""
    with urllib.request.urlopen(f"{server.api}/metrics") as answer:
        found = re.search(rf"^{name}(?:{{.*}})? (\S+)$", answer.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_a_full_queue_is_told_and_passes(tmp_path: Path) -> None:
    """Past the queue's bound: 429 with Retry-After, RESOURCE_EXHAUSTED with RetryInfo; sent again, it is taken."""
    settings = ("--set", "intake.queue_bytes=1MiB", "--set", "intake.commit_interval_s=2", "--set", "own_telemetry_s=0")
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder, serving(Path(folder), *settings) as server:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            first = pool.submit(send, server, "first", 900_000)
            until(lambda: metric(server, "gnomon_intake_queued_bytes") > 0)
            code, headers, words = send(server, "second", 900_000)
            assert code == 429
            assert int(headers["retry-after"]) >= 1
            assert "queue_full" in words
            body = otlp.logs("third", [{"body": otlp.value("x" * 900_000)}]).SerializeToString()
            with grpc.insecure_channel(server.otlp_grpc) as channel, pytest.raises(grpc.RpcError) as refused:
                channel.unary_unary(METHODS["logs"])(body, timeout=30)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert otlp.retry_delay_s(dict(refused.value.trailing_metadata())["grpc-status-details-bin"]) > 0
            assert first.result()[0] == 200
        assert send(server, "second", 900_000)[0] == 200
        stored = server.sql("SELECT service FROM logs ORDER BY service")
        assert stored == [{"service": "first"}, {"service": "second"}]


def test_an_engine_away_for_longer_than_the_hold() -> None:
    """503 with Retry-After while the engine cannot be started again, and not ready; then all is well by itself."""
    with (
        tempfile.TemporaryDirectory(prefix="gnomon-") as folder,
        serving(Path(folder), "--set", "intake.hold_s=0") as server,
    ):
        assert send(server, "before")[0] == 200
        data = server.folder / "data" / "clickhouse"
        pid = int(re.findall(r"engine_started pid (\d+)", server.log.read_text("utf-8"))[-1])
        data.rename(data.with_name("aside"))
        data.touch()  # a file where the directory should be: the engine cannot start
        os.kill(pid, signal.SIGKILL)
        code, headers, words = send(server, "meanwhile")
        assert code == 503
        assert int(headers["retry-after"]) >= 1
        assert "engine_restarting" in words or "store_away" in words
        assert ready(server) == 503
        with pytest.raises(AssertionError, match="503"):
            server.sql("SELECT 1")
        data.unlink()
        data.with_name("aside").rename(data)
        until(lambda: send(server, "after")[0] == 200)
        assert {"service": "before"} in server.sql("SELECT DISTINCT service FROM logs")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 MiB."""
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("mounting a small file system takes root")
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", folder], capture_output=True, text=True, check=False
        )
        if mounted.returncode:
            pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    """503 `disk_full` with Retry-After; queries are answered; when space is freed, writing goes on by itself."""
    with serving(small_disk, "--set", "own_telemetry_s=0", "--set", "disk.reserve_bytes=0") as server:
        assert send(server, "before")[0] == 200
        ballast = small_disk / "ballast"
        with ballast.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(MIB))
        code, headers, words = send(server, "meanwhile", 100_000)
        assert (code, "disk_full" in words) == (503, True)
        assert int(headers["retry-after"]) >= 1
        with grpc.insecure_channel(server.otlp_grpc) as channel, pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(METHODS["logs"])(otlp.one_of("logs", "g").SerializeToString(), timeout=30)
        assert refused.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert otlp.retry_delay_s(dict(refused.value.trailing_metadata())["grpc-status-details-bin"]) > 0
        assert server.sql("SELECT service FROM logs") == [{"service": "before"}]
        ballast.unlink()
        until(lambda: send(server, "after")[0] == 200)
        assert {row["service"] for row in server.sql("SELECT service FROM logs")} == {"before", "after"}


def test_a_read_only_data_directory(small_disk: Path) -> None:
    """503 with the reason while the directory cannot be written; queries are answered; recovery by itself."""
    with serving(small_disk, "--set", "own_telemetry_s=0", "--set", "disk.reserve_bytes=0") as server:
        assert send(server, "before")[0] == 200
        data = str(small_disk / "data" / "clickhouse")
        # Over itself: whatever is opened by its path from now on is on a read-only file system.
        subprocess.run(["mount", "--bind", data, data], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", data], check=True)
            code, headers, words = send(server, "meanwhile")
            assert (code, "data_read_only" in words) == (503, True)
            assert "retry-after" in headers
            assert server.sql("SELECT service FROM logs") == [{"service": "before"}]
        finally:
            subprocess.run(["umount", "-l", data], check=True)
        until(lambda: send(server, "after")[0] == 200)
        assert {row["service"] for row in server.sql("SELECT service FROM logs")} == {"before", "after"}
