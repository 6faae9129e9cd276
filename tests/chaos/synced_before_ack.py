"""`python -m tests.chaos.synced_before_ack`: strace shows that each 2xx follows the syncs of what it acknowledges.

One request at a time, over HTTP and gRPC, each signal. In the trace of server and engine, every part that was renamed
into place since the reply before must, when the reply's bytes are sent, have had each of its written files synced
before the rename, and its table's directory synced after it.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import engine_socket
from tests.chaos.load import over_grpc, over_http
from tests.chaos.payloads import SIGNALS, Request
from tests.server import Server

_CALLS = "write,pwrite64,writev,pwritev,rename,renameat,renameat2,fsync,fdatasync,sendto,sendmsg"
_ATTACH_S = 30.0
_LINE = re.compile(r"^(\d+) +[\d.]+ (.*)$")
_RESUMED = re.compile(r"^<\.\.\. \w+ resumed>")
_CALL = re.compile(r"^(\w+)\((.*)$", re.DOTALL)
_DESCRIPTOR = re.compile(r"^\d+<(TCP\S*|[^>]*)>")
_RENAME = re.compile(r'"([^"]*/tmp_insert_[^"]*?)/?", (?:AT_FDCWD(?:<[^>]*>)?, )?"([^"]*?)/?"')
_LOCAL_PORT = re.compile(r"TCP(?:v6)?:\[\S*?:(\d+)->")
_BYTES = re.compile(r'"((?:[^"\\]|\\.)*)"')
_EXPECTED = {
    "traces": {"spans", "trace_index"},
    "logs": {"logs"},
    "metrics": {"samples", "native_histograms"},
}


def unavailable_because() -> str:
    """Empty where strace may watch other processes."""
    if not shutil.which("strace"):
        return "strace is missing"
    probe = subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return "" if probe.returncode == 0 else f"strace is not permitted: {probe.stderr.decode().strip()}"


@dataclass(slots=True)
class Event:
    """A call that mattered: its kind and the path or reply it was about."""

    kind: str
    path: str = ""
    target: str = ""


@dataclass(slots=True)
class Outcome:
    """Replies seen, parts they acknowledged, syncs that preceded them, and what was wrong."""

    replies: int = 0
    parts: int = 0
    file_syncs: int = 0
    faults: list[str] = field(default_factory=list)


def _calls(trace: Path) -> Iterator[tuple[str, str, bool]]:
    """(call, arguments, done): each call twice, at its start and at its end; others may lie between."""
    pending: dict[str, tuple[str, str]] = {}
    for raw in trace.read_text("utf-8", "replace").splitlines():
        if not (line := _LINE.match(raw)):
            continue
        thread, text = line[1], line[2]
        if _RESUMED.match(text):
            if thread in pending:
                name, arguments = pending.pop(thread)
                yield name, arguments + text, True
        elif call := _CALL.match(text):
            if text.endswith("<unfinished ...>"):
                pending[thread] = (call[1], call[2])
                yield call[1], call[2], False
            else:
                yield call[1], call[2], False
                yield call[1], call[2], True


def events(trace: Path, ports: set[str]) -> Iterator[Event]:
    """What matters of the trace, in its order: sends at their start, everything else at its end."""
    for name, arguments, done in _calls(trace):
        where = found[1] if (found := _DESCRIPTOR.match(arguments)) else ""
        if name in ("sendto", "sendmsg", "write", "writev") and (port := _LOCAL_PORT.match(where)):
            if not done and port[1] in ports and _is_reply(arguments):
                yield Event("reply", port[1])
        elif not done:
            continue
        elif name in ("write", "pwrite64", "writev", "pwritev") and "/store/" in where:
            yield Event("write", where)
        elif name in ("fsync", "fdatasync"):
            yield Event("sync", where)
        elif name.startswith("rename") and (paths := _RENAME.search(arguments)):
            yield Event("rename", *paths.groups())


def _is_reply(arguments: str) -> bool:
    data = b"".join(
        part.encode("latin-1").decode("unicode_escape").encode("latin-1") for part in _BYTES.findall(arguments)
    )
    if data.startswith(b"HTTP/1.1"):
        return data.startswith(b"HTTP/1.1 200")
    while len(data) >= 9:  # HTTP/2 frames: length, type, flags, stream; type 1 is HEADERS
        if data[3] == 1:
            return True
        data = data[9 + int.from_bytes(data[:3], "big") :]
    return False


def judge(happened: Iterator[Event], names: dict[str, str]) -> tuple[Outcome, list[set[str]]]:
    """Follow the events; also the tables that got a part before each reply. `names`: directories to tables."""
    outcome, tables = Outcome(), []
    dirty: set[str] = set()
    renamed: dict[str, bool] = {}
    for event in happened:
        match event.kind:
            case "write":
                dirty.add(event.path)
            case "sync":
                if event.path in dirty:
                    outcome.file_syncs += 1
                    dirty.discard(event.path)
                for part in renamed:
                    if part.rpartition("/")[0] == event.path:
                        renamed[part] = True
            case "rename":
                unsynced = sorted(path for path in dirty if path.startswith(event.path + "/"))
                if unsynced:
                    outcome.faults.append(f"renamed before its files were synced: {unsynced[:2]}")
                renamed[event.target] = False
            case "reply":
                outcome.replies += 1
                outcome.parts += len(renamed)
                late = [part for part, synced in renamed.items() if not synced]
                if late:
                    outcome.faults.append(f"acknowledged before its directory was synced: {late[:2]}")
                tables.append({names.get(part.rpartition("/")[0], "?") for part in renamed})
                renamed = {}
    return outcome, tables


def run(rounds: int = 5, prepare: Callable[[Server], None] = lambda _server: None) -> Outcome:
    """Send `rounds` requests of each signal over each protocol under strace, and judge the trace."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as name:
        folder = Path(name)
        server = Server(folder, environment={"GNOMON_OWN_TELEMETRY_S": "0"})
        server.start()
        try:
            prepare(server)
            return _run(server, folder / "trace", rounds)
        finally:
            server.stop()


def _run(server: Server, trace: Path, rounds: int) -> Outcome:
    engine = re.findall(r"engine_started pid (\d+)", server.log.read_text())[-1]
    assert server.process is not None
    command = ["strace", "-f", "-ttt", "-yy", "-x", "-s", "512", "-e", f"trace={_CALLS}", "-e", "signal=none"]
    command += ["-o", str(trace), "-p", str(server.process.pid), "-p", engine]
    said = trace.with_suffix(".said")
    with said.open("wb") as output:
        tracer = subprocess.Popen(command, stderr=output)
    deadline = time.monotonic() + _ATTACH_S
    while said.read_bytes().count(b"attached") < 2:
        assert tracer.poll() is None, said.read_text()
        assert time.monotonic() < deadline, "strace did not attach"
        time.sleep(0.02)
    expected = []
    sends = [(signal, way(lambda: server.addresses, signal)) for signal in SIGNALS for way in (over_http, over_grpc)]
    try:
        for number in range(rounds):
            for place, (signal, send) in enumerate(sends):
                request = Request(signal, f"strace-{place}", number, 20, time.time_ns())
                assert send(request)
                expected.append(_EXPECTED[signal])
    finally:
        tracer.terminate()
        tracer.wait()
    paths = engine_socket.command(
        server,
        "SELECT arrayJoin(data_paths), name FROM system.tables "
        "WHERE database = 'gnomon' AND engine LIKE '%MergeTree' FORMAT TSV",
    )
    names = {path.rstrip("/"): table for path, table in (line.split("\t") for line in paths.splitlines())}
    ports = {server.addresses[name].rpartition(":")[2] for name in ("otlp-http", "otlp-grpc")}
    outcome, tables = judge(events(trace, ports), names)
    if len(tables) != len(expected):
        outcome.faults.append(f"{len(tables)} replies in the trace for {len(expected)} requests")
    for number, (want, got) in enumerate(zip(expected, tables, strict=False)):
        if not want <= got:
            outcome.faults.append(f"reply {number} follows parts of {sorted(got)}, not of {sorted(want)}")
    return outcome


def main() -> None:
    """Exit code 1 when a reply came before a sync; 77 when strace is not to be had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    if why := unavailable_because():
        print(f"synced before acknowledged: skipped: {why}")
        sys.exit(77)
    outcome = run(arguments.rounds)
    report(outcome)
    sys.exit(1 if outcome.faults else 0)


def report(outcome: Outcome) -> None:
    """Print the figures."""
    print(
        f"synced before acknowledged: {outcome.replies} replies, {outcome.parts} parts, {outcome.file_syncs} file syncs"
    )
    print(f"  replies before a sync {len(outcome.faults):10}", *outcome.faults[:10], sep="\n    ", flush=True)


if __name__ == "__main__":
    main()
