"""A service of all kinds of calls that does what its request says, blocking and asyncio; and what was seen of it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent import futures
from typing import Any

import grpc
from opentelemetry import trace
from tests.waiting import until

from gnomon.context import current_ids
from gnomon.export.outlet import Outlet, Signal
from gnomon.integrations.telemetry import Telemetry
from gnomon.metrics.registry import Registry
from gnomon.tracing.propagation import Propagator
from gnomon.tracing.provider import TracerProvider
from gnomon.tracing.span import Span

SERVICE = "shop.Cart"
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
MAKERS = {kind: getattr(grpc, f"{kind}_rpc_method_handler") for kind in KINDS}
MESSAGES = 3


class Seen:
    """Telemetry that is captured: spans as they end, metrics as they stand."""

    def __init__(self, **options: Any) -> None:
        self.outlet, self.registry = Outlet(Signal.TRACES), Registry()
        self.tracers = TracerProvider(self.outlet)
        self.spans: list[Span] = []
        self.tracers.add_ended(self.spans.append)
        self.telemetry = Telemetry(self.tracers, self.registry, Propagator(), options=options)

    def of(self, kind: trace.SpanKind) -> list[Span]:
        return [span for span in self.spans if span.kind is kind]

    @property
    def servers(self) -> list[Span]:
        return self.of(trace.SpanKind.SERVER)

    @property
    def clients(self) -> list[Span]:
        return self.of(trace.SpanKind.CLIENT)

    def pair(self) -> tuple[Span, Span]:
        """The one server span and the one client span, once both have ended; in one trace."""
        until(lambda: self.servers and self.clients)
        (server,), (client,) = self.servers, self.clients
        assert server.trace == client.trace
        assert server.parent == client.id
        assert server.remote
        return server, client

    def points(self, name: str) -> dict[tuple[tuple[str, Any], ...], Any]:
        return {
            point.labels: point for family in self.registry.collect() if family.name == name for point in family.points
        }

    def active(self) -> list[float]:
        """Calls in progress: served, and made."""
        names = ("rpc.server.active_requests", "rpc.client.active_requests")
        return [sum(point.value for point in self.points(name).values()) for name in names]

    def counted(self, name: str) -> dict[tuple[str, str, str], int]:
        """Calls by service, method and status."""
        found = {}
        for labels, point in self.points(name).items():
            named = dict(labels)
            key = named["rpc.service"], named["rpc.method"], named["rpc.grpc.status_code"]
            found[key] = sum(point.counts)
        return found


def code(span: Span) -> int:
    """The status of a span's call."""
    return span.attributes["rpc.grpc.status_code"]


class Blocking:
    """Handlers on threads. `released` lets those go on that were told to wait; `inside` notes the current spans."""

    def __init__(self) -> None:
        self.released, self.waiting = threading.Event(), threading.Event()
        self.context: Any = None
        self.inside: list[Any] = []

    def _do(self, what: bytes, context: Any) -> bytes:
        self.inside.append(current_ids())
        if what == b"abort":
            context.abort(grpc.StatusCode.NOT_FOUND, "no such cart")
        if what == b"fatal":
            context.abort(grpc.StatusCode.UNAVAILABLE, "the shelf is away")
        if what == b"code":
            context.set_code(grpc.StatusCode.RESOURCE_EXHAUSTED)
            context.set_details("full")
        if what == b"raise":
            raise LookupError("the shelf is empty")
        if what == b"wait":
            self.context = context
            self.waiting.set()
            self.released.wait(20)
        return what

    def release_when_gone(self) -> None:
        """Let the handler go on that waits, once its server knows that nobody waits for it."""
        until(lambda: not self.context.is_active())
        self.released.set()

    def unary_unary(self, request: bytes, context: Any) -> bytes:
        return self._do(request, context)

    def unary_stream(self, request: bytes, context: Any) -> Iterator[bytes]:
        for _ in range(MESSAGES):
            yield b"one"
        yield self._do(request, context)

    def stream_unary(self, requests: Iterator[bytes], context: Any) -> bytes:
        return self._do(list(requests)[-1], context)

    def stream_stream(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for request in requests:
            yield self._do(request, context)


class Asyncio:
    """Handlers on a loop."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.inside: list[Any] = []

    async def _do(self, what: bytes, context: Any) -> bytes:
        self.inside.append(current_ids())
        if what == b"abort":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such cart")
        if what == b"fatal":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the shelf is away")
        if what == b"code":
            context.set_code(grpc.StatusCode.RESOURCE_EXHAUSTED)
            context.set_details("full")
        if what == b"raise":
            raise LookupError("the shelf is empty")
        if what == b"wait":
            self.waiting.set()
            await asyncio.sleep(20)
        return what

    async def unary_unary(self, request: bytes, context: Any) -> bytes:
        return await self._do(request, context)

    async def unary_stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        for _ in range(MESSAGES):
            yield b"one"
        yield await self._do(request, context)

    async def stream_unary(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        last = b""
        async for request in requests:
            last = request
        return await self._do(last, context)

    async def stream_stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield await self._do(request, context)


class Reading(Asyncio):
    """The same with `context.read` and `context.write`."""

    async def unary_stream(self, request: bytes, context: Any) -> None:
        for _ in range(MESSAGES):
            await context.write(b"one")
        await context.write(await self._do(request, context))

    async def stream_stream(self, _requests: Any, context: Any) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:
            await context.write(await self._do(request, context))


def handlers(service: Any, name: str = SERVICE) -> Any:
    """A service as grpc takes it."""
    return grpc.method_handlers_generic_handler(
        name, {kind: make(getattr(service, kind)) for kind, make in MAKERS.items()}
    )


def serving(service: Any, *interceptors: Any, name: str = SERVICE) -> tuple[Any, str]:
    """A started blocking server, and its address."""
    server = grpc.server(futures.ThreadPoolExecutor(8), handlers=[handlers(service, name)], interceptors=interceptors)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


async def aio_serving(service: Any, *interceptors: Any, name: str = SERVICE) -> tuple[Any, str]:
    """A started asyncio server, and its address."""
    server = grpc.aio.server(futures.ThreadPoolExecutor(2), interceptors=interceptors)
    server.add_generic_rpc_handlers([handlers(service, name)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"


def call(channel: Any, kind: str, what: bytes, **options: Any) -> bytes:
    """Call once, and read all there is."""
    method = getattr(channel, kind)(f"/{SERVICE}/{kind}")
    request = iter([b"one", what]) if kind.startswith("stream") else what
    answer = method(request, **options)
    return list(answer)[-1] if kind.endswith("stream") else answer


def begun(channel: Any, kind: str, what: bytes, **options: Any) -> Any:
    """A call on a loop, under way."""
    method = getattr(channel, kind)(f"/{SERVICE}/{kind}")

    async def requests() -> AsyncIterator[bytes]:
        yield b"one"
        yield what

    return method(requests() if kind.startswith("stream") else what, **options)


async def acall(channel: Any, kind: str, what: bytes, **options: Any) -> bytes:
    """Likewise, to its end."""
    answer = begun(channel, kind, what, **options)
    return [one async for one in answer][-1] if kind.endswith("stream") else await answer
