"""The real shop against a real server that goes away in the middle: afterwards ledger and store agree to the unit."""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.server import Server

from gnomon_shop import check, ledger
from gnomon_shop.truth.records import Ledger

WAIT_S, DEADLINE_S = 60, 20


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that comes back where it was: senders know no other address."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        started = Server(Path(folder))
        started.start()
        own = {"--listen": "http", "--otlp-grpc": "otlp-grpc", "--otlp-http": "otlp-http"}
        started.arguments = tuple(word for flag, name in own.items() for word in (flag, started.addresses[name]))
        yield started
        started.stop()


@contextmanager
def shop(server: Server, directory: Path, *arguments: str) -> Iterator[None]:
    """The shop at work. Leaving stops it, and waits for the parts to give away their telemetry."""
    command = [sys.executable, "-m", "gnomon_shop", "run", "--otlp-grpc", server.otlp_grpc, "--otlp-http"]
    command += [server.otlp_http, "--dir", str(directory), "--rate", "2", *arguments]
    with (directory / "run.log").open("wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            if "--seconds" not in arguments:
                running.send_signal(signal.SIGTERM)
            code = running.wait(WAIT_S)
    assert code == 0, told(directory)


def told(directory: Path) -> str:
    """What the runner said."""
    return (directory / "run.log").read_text("utf-8", "replace")


def until(directory: Path, holds: Callable[[], bool]) -> None:
    """Wait for something to become so."""
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, told(directory)
        time.sleep(0.2)


def orders(directory: Path) -> int:
    """How many there are so far."""
    return sum(record.get("fact") == "order" for record in ledger.read(directory))


def delivered(directory: Path) -> dict[tuple[str, str], int]:
    """What has arrived so far, by instance and signal."""
    return {(each.instance, each.sdk): each.delivered for each in Ledger.read(directory).telemetry}


def agree(server: Server, directory: Path) -> bool:
    """Whether all checks pass in time; the table is printed."""
    return check.run(argparse.Namespace(dir=directory, api=server.api, token="", deadline=DEADLINE_S)) == 0


def interrupted(server: Server, directory: Path, end: Callable[[], object]) -> None:
    """A run in whose middle the server ends in that way and starts again; it lasts until all senders have come back."""
    with shop(server, directory):
        until(directory, lambda: orders(directory) >= 3)
        end()
        server.start()
        before, sold = delivered(directory), orders(directory)
        until(directory, lambda: orders(directory) > sold)
        until(directory, lambda: all(count > before.get(key, 0) for key, count in delivered(directory).items()))


def bend(directory: Path) -> None:
    """Make the ledger say that orders were a cent cheaper, and that nobody outside ever asked for anything."""
    for path in (directory / "ledger").iterdir():
        records = [json.loads(line) for line in path.read_text().splitlines()]
        for record in records:
            record["cents"] = record.get("cents", 0) - (record.get("fact") == "order")
            record["kind"] = "internal" if record.get("kind") == "server" else record.get("kind", "")
        path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.mark.timeout(300)  # of a busy machine; a quiet one needs 45 s
def test_agreement_across_a_restart(server: Server, tmp_path: Path) -> None:
    """Counts and cents are exact; that a ledger was tampered with is found."""
    interrupted(server, tmp_path, server.stop)
    assert agree(server, tmp_path)
    bend(tmp_path)
    failed = {row.what for row in check.check(tmp_path, check.Api(server.api, "")) if not row.passed}
    assert {f"orders and revenue from {source}" for source in ("spans", "log events", "counters")} <= failed
    assert "gateway: operations are spans" in failed


@pytest.mark.timeout(300)
def test_agreement_across_a_kill(server: Server, tmp_path: Path) -> None:
    """What was acknowledged is there, and what was sent again is there once."""
    interrupted(server, tmp_path, server.kill)
    assert agree(server, tmp_path)


@pytest.mark.timeout(300)
def test_a_planted_fault_is_seen_when_it_was_planted(server: Server, tmp_path: Path) -> None:
    """From its first second to its last, and not before."""
    with shop(server, tmp_path, "--seconds", "18", "--faults", "errors:1:10:8"):
        pass
    assert agree(server, tmp_path)
