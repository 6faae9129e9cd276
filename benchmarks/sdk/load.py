"""The client: `load.py PORT PATH SECONDS RATE`; a rate of 0 is a closed loop, as fast as answers come. Prints JSON.

Eight connections that stay open. At a rate, a request's time runs from when it was due, whether a connection was free
then or not.
"""

import asyncio
import json
import sys
import time
from collections import deque

import uvloop

CONNECTIONS = 8
REQUEST = (
    "GET {path}/{number} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: bench/1.0\r\n"
    "Accept: application/json\r\n\r\n"
)


class Connection(asyncio.Protocol):
    """One connection; `done` is called with itself for every answer."""

    def __init__(self, load: "Load") -> None:
        self.load, self.buffer, self.due_s = load, b"", 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Ready."""
        self.transport = transport

    def ask(self, due_s: float) -> None:
        """Send a request."""
        self.due_s = due_s
        self.transport.write(self.load.next_request())

    def data_received(self, data: bytes) -> None:
        """A piece of an answer, or all of it."""
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self.buffer.find(b"content-length: ") + 16
        if len(self.buffer) < head + 4 + int(self.buffer[at : self.buffer.find(b"\r", at)]):
            return
        if not self.buffer.startswith(b"HTTP/1.1 200"):
            self.load.failed += 1
        self.buffer = b""
        self.load.answered(self)


class Load:
    """A run."""

    def __init__(self, port: int, path: str, seconds: float, rate: float) -> None:
        self.port, self.path, self.rate = port, path, rate
        self.seconds, self.sent, self.failed = seconds, 0, 0
        self.latencies_s: list[float] = []
        self.free: deque[Connection] = deque()
        self.due: deque[float] = deque()
        self.ending = False
        self.all_answered = asyncio.Event()

    def next_request(self) -> bytes:
        """The next one's bytes."""
        self.sent += 1
        return REQUEST.format(path=self.path, number=self.sent, port=self.port).encode()

    def answered(self, connection: Connection) -> None:
        """Go on with that connection."""
        now_s = time.perf_counter()
        self.latencies_s.append(now_s - connection.due_s)
        if self.due:
            connection.ask(self.due.popleft())
        elif not self.rate and not self.ending:
            connection.ask(now_s)
        else:
            self.free.append(connection)
            if self.ending and len(self.free) == CONNECTIONS:
                self.all_answered.set()

    async def run(self) -> None:
        """All of it."""
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            _, connection = await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.port)
            self.free.append(connection)
        began_s = time.perf_counter()
        if self.rate:
            await self._pace(began_s)
        else:
            connections, self.free = list(self.free), deque()
            for connection in connections:
                connection.ask(time.perf_counter())
            await asyncio.sleep(self.seconds)
        self.ending = True
        if len(self.free) < CONNECTIONS:
            await asyncio.wait_for(self.all_answered.wait(), 60)
        self.report(time.perf_counter() - began_s)

    async def _pace(self, began_s: float) -> None:
        asked, wanted = 0, int(self.seconds * self.rate)
        while asked < wanted:
            now_s = time.perf_counter()
            while asked < wanted and began_s + asked / self.rate <= now_s:
                if self.free:
                    self.free.popleft().ask(now_s)
                else:
                    self.due.append(now_s)
                asked += 1
            await asyncio.sleep(max(began_s + asked / self.rate - time.perf_counter(), 0))

    def report(self, elapsed_s: float) -> None:
        """As JSON."""
        ordered = sorted(self.latencies_s)
        print(json.dumps({
            "requests": self.sent, "failed": self.failed, "elapsed_s": elapsed_s,
            "p50_ms": ordered[len(ordered) // 2] * 1e3, "p99_ms": ordered[int(len(ordered) * 0.99)] * 1e3,
        }))  # fmt: skip


if __name__ == "__main__":
    port, path, seconds, rate = sys.argv[1:]

    async def main() -> None:
        """One run."""
        await Load(int(port), path, float(seconds), float(rate)).run()

    uvloop.run(main())
