"""Receivers over real sockets, that answer as they are told: also in ways that no receiver should."""

import contextlib
import gzip
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gnomon.export.http import Address
from gnomon.export.outlet import Batch, Outlet, Signal
from gnomon.export.pump import Pump
from gnomon.wire.envelope import Scope, request, resource
from gnomon.wire.spans import named, span

SCOPE = Scope("tests")
GONE_S = 10


@dataclass
class Request:
    """One that came in."""

    line: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> bytes:
        """Unpacked, if it was packed."""
        return gzip.decompress(self.raw) if self.headers.get("content-encoding") == "gzip" else self.raw

    @property
    def names(self) -> list[str]:
        """Of the spans in it."""
        read = ExportTraceServiceRequest.FromString(self.body)
        return [one.name for each in read.resource_spans for scope in each.scope_spans for one in scope.spans]


Answering = Callable[[socket.socket, Request], Any]
"""Writes an answer; False: the connection is closed then."""


def reply(status: int, body: bytes = b"", *headers: str) -> bytes:
    """A whole and orderly answer."""
    lines = [f"HTTP/1.1 {status} Some Words", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def saying(*answers: bytes, then: bool = True) -> Answering:
    """Answer with these in turn, and with the last of them ever after."""
    left = list(answers)

    def answer(sock: socket.socket, _: Request) -> bool:
        sock.sendall(left.pop(0) if len(left) > 1 else left[0])
        return then

    return answer


@dataclass
class Receiver:
    """Listens, keeps what comes in, answers as it is told."""

    answer: Answering = field(default_factory=lambda: saying(reply(200)))
    context: ssl.SSLContext | None = None
    port: int = 0
    host: str = "127.0.0.1"
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    ending: threading.Event = field(default_factory=threading.Event)
    _open: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server((self.host, self.port), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{'https' if self.context else 'http'}://localhost:{self.port}/v1/traces"

    @property
    def addresses(self) -> dict[Signal, Address]:
        """The same, for a sender."""
        scheme = "https" if self.context else "http"
        return {signal: Address.of(f"{scheme}://localhost:{self.port}/v1/{signal}") for signal in Signal}

    @property
    def names(self) -> list[str]:
        """Of all spans that came."""
        return [name for one in self.requests for name in one.names]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                self._open.append(sock)
                thread = threading.Thread(target=self._serve, args=(sock,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self.context:
                sock.settimeout(GONE_S)
                sock = self.context.wrap_socket(sock, server_side=True)
                self._open.append(sock)
            while True:
                seen = self._read(sock)
                if seen is None:
                    break
                self.requests.append(seen)
                if self.answer(sock, seen) is False:
                    break
        sock.close()

    def _read(self, sock: socket.socket) -> Request | None:
        got = b""
        while b"\r\n\r\n" not in got:
            more = sock.recv(65536)
            if not more:
                return None
            got += more
        head, _, body = got.partition(b"\r\n\r\n")
        line, *rest = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in rest)}
        while len(body) < int(headers.get("content-length", 0)):
            more = sock.recv(65536)
            if not more:
                return None
            body += more
        return Request(line, headers, body)

    def hang_up(self) -> None:
        """Close all connections; listening goes on."""
        for sock in self._open:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        self._open.clear()

    def stop(self) -> None:
        """End, whatever is under way."""
        self.ending.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(GONE_S)


def record(name: str) -> bytes:
    """A span."""
    return span(b"t" * 16, b"s" * 8, None, 1, 2, 1, named(name, 1))


def encode(_: Outlet, batch: Batch) -> bytes:
    """The envelope."""
    return request(resource({"service.name": "tests"}), batch.groups)


def put(outlet: Outlet, *names: str, important: bool = False) -> None:
    """Queue spans of these names."""
    lane = outlet.lane(SCOPE)
    for name in names:
        lane.put(record(name), important)


def accounted(pump: Pump, recorded: int) -> None:
    """Whatever became of the records, the counts say it of each of them."""
    known = 0
    for way in pump._ways:
        held = (len(way.trying) if way.trying else 0) + sum(map(len, way.rest))
        counts = way.outlet.counts
        known += counts.sent + sum(counts.dropped.values()) + way.outlet.waiting + held
    assert known == recorded
