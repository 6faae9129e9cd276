"""Slow loris and throughput, one server after the other, over real sockets: `run.py [NAME ...]`.

For each server, in a process of its own: a normal client alone; then the same client while 1,000 connections drip
header bytes, 1,000 drip bodies, 1,000 have closed their sending side in the middle of a body and 1,000 say nothing;
how many of each the server still holds at the end; its memory; then POSTs of 64 KB, 1 MB and 7 MB on two connections.
The window (16 s) is longer than the 10 s that a request's headers and a body's first bytes should be given.
"""

import asyncio
import contextlib
import pathlib
import socket
import subprocess
import sys
import time

import uvloop

N = 1_000
WINDOW_S = 16
HERE = pathlib.Path(__file__).parent
HEAD = b"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\n"
KINDS = {
    "drip headers": (HEAD + b"x-drip: ", b"a"),
    "drip bodies": (HEAD + b"content-length: 1000000\r\n\r\n", b"a"),
    "half-closed": (HEAD + b"content-length: 1000000\r\n\r\nabc", None),
    "idle": (b"", None),
}


class Hostile(asyncio.Protocol):
    """One connection that is up to no good; `closed` once the server has ended it."""

    def __init__(self, kind: str) -> None:
        self.kind, self.closed = kind, False

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Say the first bytes."""
        self.transport = transport
        transport.write(KINDS[self.kind][0])
        if self.kind == "half-closed":
            transport.write_eof()

    def eof_received(self) -> None:
        """The server has closed its side."""
        self.closed = True

    def connection_lost(self, _error: Exception | None) -> None:
        """The connection is gone."""
        self.closed = True

    def drip(self) -> None:
        """Send the next byte, if this kind does."""
        drop = KINDS[self.kind][1]
        if drop and not self.closed:
            self.transport.write(drop)


async def normal_client(port: int, seconds: float, latencies_ms: list[float]) -> None:
    """One request of 1 KB every 20 ms, each on a connection of its own, as a new pod would; failures are infinite."""
    request = HEAD + b"connection: close\r\ncontent-length: 1000\r\n\r\n" + bytes(1000)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.perf_counter()
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request)
                ok = b" 200 " in await reader.readline()
                await reader.read()
                writer.close()
        except (OSError, TimeoutError):
            ok = False
        latencies_ms.append((time.perf_counter() - start) * 1e3 if ok else float("inf"))
        await asyncio.sleep(0.02)


async def post(port: int, size: int, seconds: float) -> tuple[int, int]:
    """How many requests were answered 200 with the length that was sent, and on how many connections."""
    head, body, sent, connections = HEAD + b"content-length: %d\r\n\r\n" % size, bytes(size), 0, 0
    end, writer = time.perf_counter() + seconds, None
    while time.perf_counter() < end:
        if writer is None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            connections += 1
        writer.write(head)
        writer.write(body)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer.partition(b"content-length:")[2].split()[0])
        echoed = await reader.readexactly(length)
        assert b" 200" in answer.partition(b"\r\n")[0], answer
        assert int(echoed) == size, (echoed, size)
        sent += 1
        if b"connection: close" in answer:  # hypercorn, after 1,000 requests
            writer.close()
            writer = None
    if writer:
        writer.close()
    return sent, connections


def loopback_bytes() -> int:
    """What the kernel says went over loopback: a second opinion on the client's own count."""
    return int(pathlib.Path("/sys/class/net/lo/statistics/rx_bytes").read_text())


def cpu_s(pid: int) -> float:
    """User and system time of a process and its children."""
    ticks = 0
    for line in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = line.read_text().rpartition(")")[2].split()
            if line.parent.name == str(pid) or fields[1] == str(pid):
                ticks += int(fields[11]) + int(fields[12])
    return ticks / 100


async def throughput(pid: int, port: int, when: str) -> None:
    """POSTs on two connections; figures that the kernel's count contradicts are not figures."""
    for size in (64_000, 1_000_000, 7_000_000):
        carried, cpu, start = loopback_bytes(), cpu_s(pid), time.perf_counter()
        results = await asyncio.gather(post(port, size, 2), post(port, size, 2))
        seconds = time.perf_counter() - start
        sent, carried, cpu = sum(count for count, _ in results), loopback_bytes() - carried, cpu_s(pid) - cpu
        print(
            f"  POST {size:,} bytes, {when}: {sent / seconds:,.0f}/s = {sent * size / seconds / 1e6:,.0f} MB/s"
            f" (kernel {carried / seconds / 1e6:,.0f} MB/s, server {cpu / seconds:.2f} CPU,"
            f" {sum(count for _, count in results)} connections)"
        )
        assert sent * size <= carried, "more was counted than the kernel carried"


def rss_mb(pid: int) -> float:
    """Resident memory of a process and its children."""
    pages = 0
    for line in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = line.read_text().rpartition(")")[2].split()
            if line.parent.name == str(pid) or fields[1] == str(pid):
                pages += int(fields[21])
    return pages * 4096 / 1e6


def show(label: str, latencies_ms: list[float]) -> None:
    ranked = sorted(latencies_ms)
    lost = sum(1 for latency in ranked if latency == float("inf"))
    p50, p99 = ranked[len(ranked) // 2], ranked[len(ranked) * 99 // 100]
    print(f"  {label}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, {lost} of {len(ranked)} failed")


async def measure(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
        [sys.executable, "serve.py", name, str(port)], cwd=HERE
    )
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            await asyncio.sleep(0.1)
        print(name)
        latencies_ms = []
        await normal_client(port, 2, latencies_ms)
        show("alone", latencies_ms)
        assert server.poll() is None
        at_rest = rss_mb(server.pid)
        await throughput(server.pid, port, "fresh")
        before = rss_mb(server.pid)
        loop = asyncio.get_running_loop()
        hostile = []
        unconnected = 0
        for kind in KINDS:
            for _ in range(N):
                try:
                    async with asyncio.timeout(1):
                        made = await loop.create_connection(lambda kind=kind: Hostile(kind), "127.0.0.1", port)
                    hostile.append(made[1])
                except (OSError, TimeoutError):
                    unconnected += 1
                    if unconnected > 5:
                        break
        start = time.monotonic()
        latencies_ms = []
        client = asyncio.create_task(normal_client(port, WINDOW_S, latencies_ms))
        peak = 0.0
        while time.monotonic() - start < WINDOW_S:
            await asyncio.sleep(1)
            for connection in hostile:
                connection.drip()
            peak = max(peak, rss_mb(server.pid))
        await client
        assert server.poll() is None, "the server died"
        assert peak > 0, "memory was never sampled"
        show("under attack", latencies_ms)
        print(f"  hostile connections made: {len(hostile)}, attempts that failed: {unconnected}")
        held = {kind: sum(1 for one in hostile if one.kind == kind and not one.closed) for kind in KINDS}
        print(f"  still held after {WINDOW_S} s: {held}")
        print(f"  memory: {at_rest:.0f} MB at rest, {before:.0f} MB before the attack, {peak:.0f} MB at most under it")
        for connection in hostile:
            connection.transport.abort()
        await asyncio.sleep(0.5)
        await throughput(server.pid, port, "after the attack")
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    for each in sys.argv[1:] or ["uvicorn", "hypercorn", "granian", "gnomon"]:
        uvloop.run(measure(each))
