"""Acknowledged, synced ingest: records a second and a CPU-second, bytes on disk, memory; decode and insert alone.

A server of its own on an empty directory for each line; the client runs beside it on the same machine. Records count
when the server has answered 2xx without a partial success, which is after its commit was synced.

    python benchmarks/ingest/run.py [--seconds 20] [--only spans] [--soak MINUTES] [--no-disk]
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from payloads import KINDS, PATHS, Payloads

from gnomon_server.decode.otlp.context import DecodeContext
from gnomon_server.decode.otlp.logs import decode_logs
from gnomon_server.decode.otlp.metrics import decode_metrics
from gnomon_server.decode.otlp.traces import decode_traces
from gnomon_server.intake.group import Group
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.supervisor import EngineSettings

HERE = Path(__file__).parent

_TICKS = os.sysconf("SC_CLK_TCK")
_FREE_PORTS = ("--listen", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0")
_LISTENING = re.compile(r"listening (\S+) (\S+)")


class Server:
    """A server on an empty directory, and what it and its engine cost."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        log = folder / "log"
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gnomon_server.cli", "up", "--data", str(folder / "data"), *_FREE_PORTS],
                stderr=out,
            )
        while " ready " not in log.read_text():
            if self.process.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.1)
        self.addresses = dict(_LISTENING.findall(log.read_text()))
        self.engine = int(re.search(r"engine_started pid (\d+)", log.read_text())[1])  # type: ignore[index]

    def target(self, protocol: str) -> str:
        """Where the sender sends to."""
        return self.addresses["otlp-grpc"] if protocol == "grpc" else f"http://{self.addresses['otlp-http']}"

    def cpu_s(self) -> tuple[float, float]:
        """User and system time of the server and of its engine."""
        return _cpu_s(self.process.pid), _cpu_s(self.engine)

    def memory_mb(self) -> tuple[float, float]:
        """Resident memory of both."""
        return _memory_mb(self.process.pid), _memory_mb(self.engine)

    def disk_bytes(self) -> int:
        """Bytes of the tables once merges have settled; merged parts stay on disk for some minutes more."""
        while self.ask("SELECT count() FROM system.merges") != "0":
            time.sleep(1)
        return int(self.ask("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'gnomon'"))

    def ask(self, sql: str) -> str:
        """An answer of the engine itself."""
        connection = http.client.HTTPConnection("engine")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.folder / "data" / "engine.sock"))
        with contextlib.closing(connection):
            connection.request("POST", "/", sql)
            return connection.getresponse().read().decode().strip()

    def stop(self) -> None:
        """In order."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def send(server: Server, kind: str, count: int, protocol: str, seconds: float, connections: int) -> dict[str, float]:
    """Run the sender and return what it counted."""
    command = [sys.executable, str(HERE / "sender.py"), kind, str(count), protocol, server.target(protocol)]
    done = subprocess.run([*command, str(seconds), str(connections)], capture_output=True, check=True, text=True)
    return json.loads(done.stdout)


def measure(kind: str, count: int, protocol: str, seconds: float) -> None:
    """One line of the table."""
    with tempfile.TemporaryDirectory(prefix="gnomon-bench-") as folder:
        server = Server(Path(folder))
        connections = 4 if count > 1000 else 32
        send(server, kind, count, protocol, 3, connections)
        before = server.cpu_s()
        sent = send(server, kind, count, protocol, seconds, connections)
        server_s, engine_s = (after - earlier for after, earlier in zip(server.cpu_s(), before, strict=True))
        records = sent["records"]
        memory = server.memory_mb()
        total = records + 0.0
        print(
            f"{kind:11} {count:5} {protocol:5} {records / sent['seconds']:11,.0f} /s "
            f"{records / (server_s + engine_s):11,.0f} /CPU-s   server {server_s / total * 1e6:5.1f} us, engine "
            f"{engine_s / total * 1e6:5.1f} us a record   refused {sent['refused']:.0f}   memory {memory[0]:.0f} + "
            f"{memory[1]:.0f} MB   client {sent['client_cpu_s']:.1f} CPU-s",
            flush=True,
        )
        server.stop()


def disk(kind: str) -> None:
    """Bytes on disk of a million records."""
    with tempfile.TemporaryDirectory(prefix="gnomon-bench-") as folder:
        server = Server(Path(folder))
        empty, sent = server.disk_bytes(), 0.0
        while sent < 1_000_000:
            sent += send(server, kind, 8192, "http", 5, 4)["records"]
        print(f"{kind:11} {(server.disk_bytes() - empty) / sent * 1e6 / 1e6:8.1f} MB on disk a million ({sent:,.0f})")
        server.stop()


class AllSeen:
    """The store knows every series and resource already, as in steady running."""

    def unseen(self, _tenant: str, _kind: str, ids: np.ndarray, _days: np.ndarray) -> np.ndarray:
        """None of them."""
        return np.zeros(len(ids), np.bool_)


def decode_alone(kind: str, count: int) -> None:
    """Decoding in this process, nothing else."""
    payloads, context = Payloads(kind, count, 1), DecodeContext(seen=AllSeen())
    bodies = [payloads.next() for _ in range(max(8, 65_536 // count))]

    def run(body: bytes) -> int:
        if PATHS[kind] == "traces":
            return decode_traces(body, "t", context).records
        if PATHS[kind] == "logs":
            return decode_logs(body, "t", context, 1).records
        return decode_metrics(body, "t", context).records

    run(bodies[0])
    began = time.process_time()
    records = sum(map(run, bodies))
    seconds = time.process_time() - began
    print(
        f"decode {kind:11} {count:5}   {records / seconds:11,.0f} /CPU-s   {seconds / records * 1e6:5.2f} us",
        flush=True,
    )


async def insert_alone(kind: str, rows: int) -> None:
    """Decoded groups of so many records to the engine, no server between: its CPU, with that of the merges after."""
    payloads, context = Payloads(kind, 8192, 1), DecodeContext(seen=AllSeen())
    decode = {"traces": decode_traces, "logs": partial(decode_logs, now_ns=1), "metrics": decode_metrics}[PATHS[kind]]
    with tempfile.TemporaryDirectory(prefix="gnomon-bench-") as folder:
        store = DurableStore(EngineSettings(Path(folder)))
        await store.start()
        groups = []
        for _ in range(16):
            batches = [decode(payloads.next(), "t", context) for _ in range(rows // 8192)]
            groups.append(Group.of([(batch, 1) for batch in batches], lambda _tenant, _signal: 7))
        await store.insert(groups.pop().inserts())
        pid, before, began = store.supervisor.pid, _cpu_s(store.supervisor.pid), time.monotonic()
        for group in groups:
            await store.insert(group.inserts())
        records, seconds, inserted = rows * len(groups), time.monotonic() - began, _cpu_s(pid)
        merging = "SELECT count() AS n FROM system.merges"
        while (await store.query(merging))[0]["n"][0].as_py():
            await asyncio.sleep(1)
        insert_us, merge_us = (inserted - before) / records * 1e6, (_cpu_s(pid) - inserted) / records * 1e6
        print(
            f"insert {kind:11} {rows:6}   {records / seconds:11,.0f} /s   engine {insert_us:5.2f} us a record, "
            f"merges after {merge_us:5.2f} us",
            flush=True,
        )
        await store.stop()


def soak(minutes: float) -> None:
    """Memory over time at a steady load of all kinds in turn."""
    with tempfile.TemporaryDirectory(prefix="gnomon-bench-") as folder:
        server, began = Server(Path(folder)), time.monotonic()
        while time.monotonic() - began < minutes * 60:
            for kind in KINDS:
                send(server, kind, 512, "http", 10, 4)
            memory = server.memory_mb()
            print(
                f"{(time.monotonic() - began) / 60:5.1f} min   server {memory[0]:.0f} MB, engine {memory[1]:.0f} MB",
                flush=True,
            )
        server.stop()


def main() -> None:
    """All lines, or those asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--only", choices=[*KINDS])
    parser.add_argument(
        "--no-disk", action="store_true", help="leave out the bytes on disk, which take a minute a kind"
    )
    parser.add_argument("--soak", type=float, metavar="MINUTES", default=0)
    arguments = parser.parse_args()
    if arguments.soak:
        soak(arguments.soak)
        return
    kinds = [arguments.only] if arguments.only else [*KINDS]
    for kind in kinds:
        for count in (512, 8192):
            decode_alone(kind, count)
    for kind in kinds:
        asyncio.run(insert_alone(kind, 32_768))
    for kind in kinds:
        for protocol in ("http", "grpc"):
            for count in (512, 8192):
                measure(kind, count, protocol, arguments.seconds)
    for kind in [] if arguments.no_disk else kinds:
        disk(kind)


if __name__ == "__main__":
    main()
