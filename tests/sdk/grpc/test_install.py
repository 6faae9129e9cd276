"""What installing changes and leaves alone: other interceptors, metadata, hosts' own objects; and undoing it."""

import asyncio
import contextlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from opentelemetry import baggage, context
from tests.sdk.grpc.services import (
    KINDS,
    MAKERS,
    SERVICE,
    Asyncio,
    Blocking,
    Seen,
    acall,
    aio_serving,
    call,
    code,
    handlers,
    serving,
)
from tests.waiting import soon, until

from gnomon.context import with_span
from gnomon.integrations import grpc as integration
from gnomon.integrations.grpc import addresses, aio_client, calls, client
from gnomon.integrations.grpc.server import Handlers, wrapped
from gnomon.integrations.telemetry import Telemetry
from gnomon.tracing.propagation import Propagator
from gnomon.tracing.provider import Remote, TracerProvider

HEALTH = "grpc.health.v1.Health"


def test_undoing_restores_everything() -> None:
    """All that was replaced is grpc's own again, and what was made in between falls silent."""
    before = _replaced()
    seen = Seen()
    undo = integration.install(seen.telemetry)
    assert all(now is not then for now, then in zip(_replaced(), before, strict=True))
    server, address = serving(Blocking())
    with grpc.insecure_channel(address) as channel:
        call(channel, "unary_unary", b"ok")
        until(lambda: len(seen.spans) == 2)
        undo()
        assert _replaced() == before
        for kind in KINDS:
            assert call(channel, kind, b"ok") == b"ok"
        with pytest.raises(grpc.RpcError):
            channel.unary_unary("/nobody/Serves")(b"")
    server.stop(0).wait()
    assert len(seen.spans) == 2


def _replaced() -> list[Any]:
    return [
        integration.grpc_server.create_server,
        integration.grpc_aio_server.Server.__init__,
        *(
            getattr(server, f"add_{what}_handlers")
            for server in (integration.grpc_server._Server, integration.grpc_aio_server.Server)
            for what in ("generic_rpc", "registered_method")
        ),
        *(getattr(integration.grpc_channel.Channel, kind) for kind in KINDS),
        *(getattr(integration.grpc_aio_channel.Channel, kind) for kind in KINDS),
    ]


def test_someone_wrapped_it_again() -> None:
    """Undoing does not tear out what was put over ours."""
    original = integration.grpc_server.create_server
    undo = integration.install(Seen().telemetry)
    ours = integration.grpc_server.create_server

    def theirs(*args: Any, **named: Any) -> Any:
        return ours(*args, **named)

    integration.grpc_server.create_server = theirs
    undo()
    try:
        assert integration.grpc_server.create_server is theirs
        server, address = serving(Blocking())
        with grpc.insecure_channel(address) as channel:
            assert call(channel, "unary_unary", b"ok") == b"ok"
        server.stop(0).wait()
    finally:
        integration.grpc_server.create_server = original


async def test_undoing_with_asyncio() -> None:
    """Likewise with grpc.aio."""
    seen = Seen()
    undo = integration.install(seen.telemetry)
    server, address = await aio_serving(Asyncio())
    async with grpc.aio.insecure_channel(address) as channel:
        await acall(channel, "unary_unary", b"ok")
        method = channel.unary_unary(f"/{SERVICE}/unary_unary")
        stub = grpc.aio.insecure_channel(address)
        undo()
        assert await method(b"ok") == b"ok"
        for kind in KINDS:
            assert await acall(channel, kind, b"ok") == b"ok"
        await stub.close()
    await server.stop(0)
    assert len(seen.spans) == 2


def test_functions_imported_before(tmp_path: Any) -> None:
    """`from grpc import server, insecure_channel` before the installation is followed as well."""
    script = """
        from concurrent import futures
        from grpc import insecure_channel, server
        from grpc.aio import insecure_channel as aio_channel
        from tests.sdk.grpc.services import Blocking, Seen, handlers, call
        from tests.waiting import until
        from gnomon.integrations import grpc as integration
        seen = Seen()
        integration.install(seen.telemetry)
        made = server(futures.ThreadPoolExecutor(2))
        made.add_generic_rpc_handlers([handlers(Blocking())])
        port = made.add_insecure_port("127.0.0.1:0")
        made.start()
        with insecure_channel(f"127.0.0.1:{port}") as channel:
            call(channel, "unary_unary", b"ok")
        until(lambda: len(seen.spans) == 2)
        made.stop(0).wait()
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([".", *sys.path])}
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60, env=environment)


@pytest.mark.parametrize("given", [None, (), (("a", "1"), ("b-bin", b"\x00")), [("a", "1")], iter([("a", "1")])])
def test_metadata_is_kept(seen: Seen, given: Any) -> None:
    """Whatever form the caller's metadata has, all of it arrives, and the trace beside it."""
    service, got = Blocking(), []
    service.unary_unary = lambda request, context: got.append(dict(context.invocation_metadata())) or request
    server, address = serving(service)
    expected = dict(given) if isinstance(given, tuple | list) else {"a": "1"} if given else {}
    with grpc.insecure_channel(address) as channel:
        method = channel.unary_unary(f"/{SERVICE}/unary_unary")
        assert method(b"", 5.0, given) == b""
        assert expected.items() <= got[0].items()
        assert got[0]["traceparent"].split("-")[2] == seen.clients[0].id.hex()
    server.stop(0).wait()


async def test_metadata_objects_are_kept(seen: Seen) -> None:
    """grpc.aio's Metadata, with a key that stands twice, arrives whole."""
    service, got = Asyncio(), []

    async def keep(request: bytes, context: Any) -> bytes:
        got.extend(tuple(pair) for pair in context.invocation_metadata())
        return request

    service.unary_unary = keep
    server, address = await aio_serving(service)
    async with grpc.aio.insecure_channel(address) as channel:
        method = channel.unary_unary(f"/{SERVICE}/unary_unary")
        await method(b"", metadata=grpc.aio.Metadata(("a", "1"), ("a", "2")))
        await method(b"", metadata=(("a", "3"),))
    await server.stop(0)
    assert [value for key, value in got if key == "a"] == ["1", "2", "3"]
    assert sum(key == "traceparent" for key, _ in got) == 2


def test_a_traceparent_of_the_callers_own(seen: Seen, blocking: Any) -> None:
    """A header that a proxying handler copied from its caller gives way to the one of this call."""
    _, channel = blocking
    method = channel.unary_unary(f"/{SERVICE}/unary_unary")
    method(b"ok", metadata=(("traceparent", f"00-{'ab' * 16}-{'cd' * 8}-01"),))
    seen.pair()


def test_baggage_travels(seen: Seen, blocking: Any) -> None:
    """Baggage of the caller is there in the handler."""
    service, channel = blocking
    got = []
    service._do = lambda what, _context: got.append(baggage.get_baggage("tenant")) or what
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    try:
        call(channel, "unary_unary", b"ok")
        call(channel, "unary_stream", b"ok")
    finally:
        context.detach(token)
    assert got == ["acme", "acme"]


def test_spans_are_children_of_what_is_current(seen: Seen, blocking: Any) -> None:
    """A client span is a child of the span around it, and nothing of it stays current."""
    _, channel = blocking
    with seen.tracers.get_tracer("test").start_as_current_span("outer") as outer:
        call(channel, "unary_stream", b"ok")
        assert context.get_current() == context.get_current()
        until(lambda: seen.clients)
        assert seen.clients[0].parent == outer.id


def test_health_is_counted_and_not_traced(seen: Seen) -> None:
    """Probes make no spans, on either side, but they are measured."""
    server, address = serving(Blocking(), name=HEALTH)
    with grpc.insecure_channel(address) as channel:
        assert channel.unary_unary(f"/{HEALTH}/unary_unary")(b"ok") == b"ok"
    server.stop(0).wait()
    assert not seen.spans
    expected = {(HEALTH, "unary_unary", "0"): 1}
    assert seen.counted("rpc.server.duration") == seen.counted("rpc.client.duration") == expected


def test_excluded_services_are_an_option() -> None:
    """The option takes the place of the defaults."""
    seen = Seen(excluded_services=(SERVICE,))
    undo = integration.install(seen.telemetry)
    service = Blocking()
    server, address = serving(service)
    with (
        grpc.insecure_channel(address) as channel,
        seen.tracers.get_tracer("test").start_as_current_span("outer") as outer,
    ):
        call(channel, "stream_stream", b"ok")
    server.stop(0).wait()
    undo()
    assert [span.name for span in seen.spans] == ["outer"]
    assert service.inside == [None, None]
    assert outer.trace


class Counting(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
    grpc.ServerInterceptor,
):
    """Another library's: it adds metadata, and tries a call twice."""

    def __init__(self) -> None:
        self.calls = 0

    def _twice(self, continuation: Any, details: Any, request: Any) -> Any:
        self.calls += 1
        rpc = continuation(details, request)
        return continuation(details, request) if rpc.code() is grpc.StatusCode.NOT_FOUND else rpc

    intercept_unary_unary = intercept_stream_unary = _twice

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        self.calls += 1
        return continuation(details, request)

    intercept_stream_stream = intercept_unary_stream

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        self.calls += 1
        return continuation(details)


@pytest.mark.parametrize("kind", KINDS)
def test_other_interceptors(seen: Seen, kind: str) -> None:
    """Interceptors of others go on working on both sides; each attempt of a call has a span of its own."""
    other, theirs = Counting(), Counting()
    server, address = serving(Blocking(), theirs)
    with grpc.insecure_channel(address) as plain:
        channel = grpc.intercept_channel(plain, other)
        assert call(channel, kind, b"ok") == b"ok"
        seen.pair()
        assert (other.calls, theirs.calls) == (1, 1)
        if kind == "unary_unary":
            with pytest.raises(grpc.RpcError):
                call(channel, kind, b"abort")
            until(lambda: len(seen.spans) == 6)
            assert [code(span) for span in seen.clients] == [0, 5, 5]
    server.stop(0).wait()


class AioCounting(grpc.aio.UnaryUnaryClientInterceptor):
    """One that answers by itself, waits, or fails, as it is told."""

    def __init__(self, what: str) -> None:
        self.what = what

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        if self.what == "answers":
            return b"by myself"
        if self.what == "fails":
            raise LookupError("an interceptor's own")
        rpc = await continuation(details, request)
        if self.what == "awaits":
            return await rpc
        return rpc


@pytest.mark.parametrize(
    ("what", "answer", "number"),
    [("passes", b"ok", 0), ("awaits", b"ok", 0), ("answers", b"by myself", 0), ("fails", None, 2)],
)
@pytest.mark.parametrize("explicit", ["", "before", "after"])
async def test_other_asyncio_interceptors(what: str, answer: bytes | None, number: int, explicit: str) -> None:
    """A channel with interceptors: the span ends with the status that its caller sees, whatever they do."""
    seen = Seen()
    undo = integration.install(seen.telemetry) if not explicit else lambda: None
    ours = integration.aio_client_interceptors(seen.telemetry)[:1] if explicit else ()
    theirs = (AioCounting(what),)
    server, address = await aio_serving(Asyncio())
    interceptors = [*theirs, *ours] if explicit == "before" else [*ours, *theirs]
    async with grpc.aio.insecure_channel(address, interceptors=interceptors) as channel:
        method = channel.unary_unary(f"/{SERVICE}/unary_unary")
        if answer is None:
            with pytest.raises(LookupError):
                await method(b"ok")
        else:
            assert await method(b"ok") == answer
        if explicit == "before" and what in {"answers", "fails"}:
            assert not seen.clients  # ours was never asked
        else:
            await soon(lambda: seen.clients)
            assert [code(span) for span in seen.clients] == [number]
    await server.stop(0)
    undo()


async def test_a_call_with_interceptors_is_cancelled(seen: Seen) -> None:
    """Cancelled while an interceptor holds it, and after: the span ends once, as CANCELLED."""
    service = Asyncio()
    server, address = await aio_serving(service)
    async with grpc.aio.insecure_channel(address, interceptors=[AioCounting("passes")]) as channel:
        method = channel.unary_unary(f"/{SERVICE}/unary_unary")
        early = method(b"wait")
        assert early.cancel()
        late = method(b"wait")
        await service.waiting.wait()
        assert late.cancel()
        await soon(lambda: len(seen.clients) == 2)
        assert [code(span) for span in seen.clients] == [1, 1]
    await server.stop(0)


@pytest.fixture
def explicit() -> Iterator[Seen]:
    """Telemetry that is not installed."""
    return Seen()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("what", "number"), [(b"ok", 0), (b"abort", 5), (b"raise", 2)])
def test_explicit_interceptors(explicit: Seen, kind: str, what: bytes, number: int) -> None:
    """Without installation the interceptors make the same trace."""
    server, address = serving(Blocking(), integration.server_interceptor(explicit.telemetry))
    with grpc.insecure_channel(address) as plain:
        channel = grpc.intercept_channel(plain, *integration.client_interceptors(explicit.telemetry))
        try:
            assert call(channel, kind, what, metadata=[("a", "1")]) == b"ok"
        except grpc.RpcError:
            assert what != b"ok"
        ours, client = explicit.pair()
        assert code(ours) == code(client) == number
        if kind == "unary_unary":
            channel.unary_unary(f"/{SERVICE}/unary_unary").future(b"ok").result()
            until(lambda: len(explicit.clients) == 2)
    server.stop(0).wait()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("what", "number"), [(b"ok", 0), (b"abort", 5), (b"raise", 2)])
async def test_explicit_asyncio_interceptors(explicit: Seen, kind: str, what: bytes, number: int) -> None:
    """Likewise with grpc.aio."""
    server, address = await aio_serving(Asyncio(), integration.aio_server_interceptor(explicit.telemetry))
    interceptors = integration.aio_client_interceptors(explicit.telemetry)
    async with grpc.aio.insecure_channel(address, interceptors=interceptors) as channel:
        try:
            assert await acall(channel, kind, what, metadata=[("a", "1")]) == b"ok"
        except grpc.RpcError:
            assert what != b"ok"
        await soon(lambda: explicit.servers and explicit.clients)
        ours, client = explicit.pair()
        assert code(ours) == code(client) == number
    await server.stop(0)


def test_explicit_and_installed(seen: Seen) -> None:
    """A server that has our interceptor gets no second one, however it is told."""
    server, address = serving(Blocking(), integration.server_interceptor(seen.telemetry))
    with grpc.insecure_channel(address) as channel:
        call(channel, "unary_unary", b"ok")
        seen.pair()
    server.stop(0).wait()


async def test_interceptors_by_position(seen: Seen) -> None:
    """A class of servers that is made directly, with arguments by position, is followed too."""
    server = grpc.aio._server.Server(None, [handlers(Asyncio())], (), (), None, None)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await acall(channel, "unary_unary", b"ok")
        await soon(lambda: len(seen.spans) == 2)
    named = grpc.aio._server.Server(
        thread_pool=None, generic_handlers=(), interceptors=None, options=(),
        maximum_concurrent_rpcs=None, compression=None,
    )  # fmt: skip
    await named.stop(0)
    await server.stop(0)


class Broken(TracerProvider):
    """A provider whose spans cannot be begun, or not ended."""

    breaks = "begin"

    def get_tracer(self, *args: Any, **named: Any) -> Any:
        tracer = super().get_tracer(*args, **named)
        broken = self

        class BrokenTracer:
            def begin(self, *args: Any) -> Any:
                if broken.breaks == "begin":
                    raise RuntimeError("a mistake of ours")
                return tracer.begin(*args)

        return BrokenTracer()


@pytest.mark.parametrize("breaks", ["begin", "end", "headers", "wrap", "watch"])
@pytest.mark.parametrize("kind", KINDS)
async def test_mistakes_of_ours(breaks: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in our code, calls go on, on both sides of both libraries."""
    seen = Seen()
    tracers = Broken(seen.outlet)
    tracers.breaks = breaks

    def fails(*_: Any) -> Any:
        raise RuntimeError("a mistake of ours")

    if breaks == "end":
        monkeypatch.setattr(calls.Call, "_write", fails)
    if breaks == "watch":
        monkeypatch.setattr(client, "_watch", fails)
        monkeypatch.setattr(aio_client, "_watch", fails)
    if breaks == "headers":
        monkeypatch.setattr(calls.Call, "_headers", fails)
    telemetry = Telemetry(tracers, seen.registry, seen.telemetry.propagator)
    undo = integration.install(telemetry)
    if breaks == "wrap":
        monkeypatch.setattr(calls.Side, "method", fails)
    service = Blocking()
    server, address = serving(service)
    aio_server, aio_address = await aio_serving(Asyncio())
    with grpc.insecure_channel(address) as channel:
        assert call(channel, kind, b"ok", metadata=(("a", "1"),)) == b"ok"
        with pytest.raises(grpc.RpcError) as raised:
            call(channel, kind, b"abort")
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary("/nobody/Serves")(b"")
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    async with grpc.aio.insecure_channel(aio_address) as channel:
        assert await acall(channel, kind, b"ok") == b"ok"
        with pytest.raises(grpc.RpcError):
            await acall(channel, kind, b"raise")
    server.stop(0).wait()
    await aio_server.stop(0)
    undo()


def test_a_status_that_cannot_be_read(seen: Seen) -> None:
    """A context of another interceptor that knows no status costs the status, not the call."""

    class Bare:
        def __init__(self, real: Any) -> None:
            self.invocation_metadata, self.peer = real.invocation_metadata, real.peer

    class Replacing(grpc.ServerInterceptor):
        def intercept_service(self, continuation: Any, details: Any) -> Any:
            handler = continuation(details)
            return grpc.unary_unary_rpc_method_handler(
                lambda request, context: handler.unary_unary(request, Bare(context))
            )

    server = grpc.server(futures.ThreadPoolExecutor(2), [handlers(Blocking())])
    server.stop(0).wait()
    inner = integration.server_interceptor(seen.telemetry)
    server, address = serving(Blocking(), Replacing(), inner)
    with grpc.insecure_channel(address) as channel:
        assert call(channel, "unary_unary", b"ok") == b"ok"
        ours, _ = seen.pair()
        assert code(ours) == 0
    server.stop(0).wait()


def test_a_handler_that_is_made_anew(seen: Seen) -> None:
    """Where another interceptor makes a handler for each call, each is wrapped."""

    class Remaking(grpc.ServerInterceptor):
        def intercept_service(self, continuation: Any, details: Any) -> Any:
            handler = continuation(details)
            return grpc.unary_unary_rpc_method_handler(handler.unary_unary)

    server, address = serving(Blocking(), Remaking())
    with grpc.insecure_channel(address) as channel:
        for _ in range(3):
            call(channel, "unary_unary", b"ok")
    server.stop(0).wait()
    assert len(seen.servers) == 3


def test_a_handler_that_answers_later(seen: Seen) -> None:
    """A non-blocking handler (grpc's own health service) is left as it is."""

    class Later(Blocking):
        def unary_stream(self, _request: bytes, _context: Any, answer: Any = None) -> Any:
            answer(b"later")
            answer(None)

    Later.unary_stream.experimental_non_blocking = True
    server, address = serving(Later())
    with grpc.insecure_channel(address) as channel:
        assert call(channel, "unary_stream", b"ok") == b"later"
    server.stop(0).wait()
    assert not seen.servers


def test_callables_are_of_their_kind(seen: Seen) -> None:
    """Libraries that ask what a callable is (google.api_core) get the answer they got before."""
    with grpc.insecure_channel("localhost:1") as channel:
        for kind in KINDS:
            name = "".join(part.title() for part in kind.split("_"))
            made = getattr(channel, kind)("/a.B/C")
            assert isinstance(made, getattr(grpc, f"{name}MultiCallable"))
            assert made._method


def test_memories_are_bounded(seen: Seen) -> None:
    """A proxy that calls and serves whatever it is asked for does not grow without end."""
    side = calls.Side(seen.telemetry, calls.SpanKind.CLIENT)
    method = side.method(b"/a.B/C")
    for number in range(2 * calls.MOST_METHODS):
        side.method(f"/a.B/C{number}")
        method.outcome(0, (("network.peer.port", number),))
    assert len(side._methods) <= calls.MOST_METHODS
    assert len(method._outcomes) <= calls.MOST_OUTCOMES


@pytest.mark.parametrize(
    ("shown", "pairs"),
    [
        ("ipv4:10.0.0.7:9", {"client.address": "10.0.0.7", "network.peer.address": "10.0.0.7", "network.peer.port": 9}),
        ("ipv6:%5B::1%5D:80", {"client.address": "::1", "network.peer.address": "::1", "network.peer.port": 80}),
        ("ipv4:10.0.0.7", {"client.address": "10.0.0.7", "network.peer.address": "10.0.0.7"}),
        ("unix:/run/a.sock", {"network.peer.address": "/run/a.sock"}),
        ("unknown", {"network.peer.address": "unknown"}),
    ],
)  # fmt: skip
def test_who_called(shown: str, pairs: dict[str, Any]) -> None:
    """The ways in which grpc writes a peer."""
    assert dict(addresses.client_of(shown)) == pairs


@pytest.mark.parametrize(
    ("target", "pairs"),
    [
        (b"dns:///pricing:50051", {"server.address": "pricing", "server.port": 50051}),
        ("pricing:50051", {"server.address": "pricing", "server.port": 50051}),
        ("dns://8.8.8.8/pricing:443", {"server.address": "pricing", "server.port": 443}),
        ("ipv6:[::1]:50051", {"server.address": "::1", "server.port": 50051}),
        ("unix:/run/a.sock", {"server.address": "/run/a.sock"}),
        ("pricing", {"server.address": "pricing"}),
    ],
)
def test_who_is_called(target: Any, pairs: dict[str, Any]) -> None:
    """A channel's ways to write a target."""
    assert dict(addresses.server_of(target)) == pairs


@pytest.mark.parametrize("formats", [("b3",), ("tracecontext",), ("tracecontext", "baggage")])
def test_other_propagators(formats: tuple[str, ...]) -> None:
    """What the service's propagator writes, the server reads; a trace's state goes along."""
    seen = Seen()
    telemetry = Telemetry(seen.tracers, seen.registry, Propagator(formats))
    undo = integration.install(telemetry)
    server, address = serving(Blocking())
    tracer = seen.tracers.get_tracer("test")
    with grpc.insecure_channel(address) as channel:
        call(channel, "unary_unary", b"ok")
        seen.pair()
        outer = tracer.begin("outer", calls.SpanKind.SERVER, Remote(b"t" * 16, b"s" * 8, sampled=True, state="a=b"))
        with context_of(outer):
            call(channel, "unary_unary", b"ok")
        until(lambda: len(seen.servers) == 2)
    assert seen.servers[-1].trace == b"t" * 16
    assert seen.servers[-1].local.state == ("" if formats == ("b3",) else "a=b")
    server.stop(0).wait()
    undo()


@contextlib.contextmanager
def context_of(span: Any) -> Iterator[None]:
    """A span, current."""
    token = context.attach(with_span(span))
    yield
    context.detach(token)


def test_metrics_alone() -> None:
    """Without metrics there are spans; without a sampled trace, metrics, and the trace goes on unsampled."""
    seen = Seen()
    undo = integration.install(Telemetry(seen.tracers, None, Propagator()))
    service = Blocking()
    server, address = serving(service)
    with grpc.insecure_channel(address) as channel:
        call(channel, "unary_unary", b"ok")
        seen.pair()
        passing = Remote(b"t" * 16, b"s" * 8, sampled=False)
        with context_of(seen.tracers.get_tracer("test").begin("outer", calls.SpanKind.SERVER, passing)):
            call(channel, "unary_unary", b"ok")
    assert service.inside[-1][0] == b"t" * 16
    assert not service.inside[-1][2]
    server.stop(0).wait()
    undo()
    assert len(seen.spans) == 2


async def test_a_context_without_callbacks(seen: Seen) -> None:
    """A stream whose context is another interceptor's ends with its generator."""
    service = Asyncio()

    class Bare:
        def __init__(self, real: Any) -> None:
            self.real = real

        def __getattr__(self, name: str) -> Any:
            if name == "add_done_callback":
                raise AttributeError(name)
            return getattr(self.real, name)

    class Replacing(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            handler = await continuation(details)

            async def serve(request: Any, context: Any) -> Any:
                async for answer in handler.unary_stream(request, Bare(context)):
                    yield answer

            return grpc.unary_stream_rpc_method_handler(serve)

    server, address = await aio_serving(service, Replacing(), integration.aio_server_interceptor(seen.telemetry))
    async with grpc.aio.insecure_channel(address) as channel:
        assert await acall(channel, "unary_stream", b"ok") == b"ok"
        await soon(lambda: len(seen.spans) == 2)
        assert [code(span) for span in seen.spans] == [0, 0]
    await server.stop(0)


async def test_plain_handlers_in_asyncio_set_what_they_like(seen: Seen) -> None:
    """A plain handler's context has all that grpc.aio gives it."""

    class Plain(Blocking):
        def unary_unary(self, request: bytes, context: Any) -> bytes:
            context.set_trailing_metadata((("a", "1"),))
            assert context.peer()
            return request

    server, address = await aio_serving(Plain())
    async with grpc.aio.insecure_channel(address) as channel:
        rpc = channel.unary_unary(f"/{SERVICE}/unary_unary")(b"ok")
        assert await rpc == b"ok"
        assert ("a", "1") in tuple(await rpc.trailing_metadata())
    await server.stop(0)


async def test_nobody_waits_any_more() -> None:
    """A call that the collector took, and one whose loop is gone, end as CANCELLED."""
    seen = Seen()
    side = calls.Side(seen.telemetry, calls.SpanKind.CLIENT)

    class Rpc:
        def add_done_callback(self, tell: Any) -> None:
            tells.append(tell)

    tells: list[Any] = []
    rpc, kept = Rpc(), Rpc()
    for one in (rpc, kept):
        call = calls.called(side.method("/a.B/C"), ())
        assert call is not None
        aio_client.watch(call, one)
    del one, rpc
    tells[0]()
    await asyncio.to_thread(tells[1])
    assert [code(span) for span in seen.clients] == [1, 1]


def test_suppressed_calls_leave_no_trace(seen: Seen, blocking: Any) -> None:
    """Inside of OpenTelemetry's suppression nothing is followed, also on a channel that otherwise is."""
    _, channel = blocking
    methods = {kind: getattr(channel, kind)(f"/{SERVICE}/{kind}") for kind in KINDS}
    token = context.attach(context.set_value("suppress_instrumentation", "yes"))
    try:
        assert methods["unary_unary"](b"ok") == b"ok"
        assert list(methods["unary_stream"](b"ok"))[-1] == b"ok"
        plain = grpc.intercept_channel(channel, *integration.client_interceptors(seen.telemetry))
        assert call(plain, "stream_unary", b"ok") == b"ok"
    finally:
        context.detach(token)
    assert not seen.clients


def test_a_channel_of_another_kind() -> None:
    """Interceptors follow channels that are not grpc's own by what every call offers."""

    class Answer(grpc.Future):
        code, details = staticmethod(lambda: grpc.StatusCode.NOT_FOUND), staticmethod(lambda: "gone")

        def add_done_callback(self, fn: Any) -> None:
            fn(self)

        cancel = cancelled = running = done = result = exception = traceback = None

    seen = Seen()
    (ours,) = integration.client_interceptors(seen.telemetry)
    details = grpc.aio.ClientCallDetails("/a.B/C", None, None, None, None)
    assert isinstance(ours.intercept_unary_unary(lambda *_: Answer(), details, b""), Answer)
    with pytest.raises(LookupError):
        ours.intercept_unary_unary(lambda *_: {}["a"], details, b"")
    assert [code(span) for span in seen.clients] == [5, 2]


async def test_suppressed_asyncio_calls(seen: Seen, asyncio_pair: Any) -> None:
    """Likewise with grpc.aio, and with its interceptors."""
    _, channel = asyncio_pair
    method = channel.unary_unary(f"/{SERVICE}/unary_unary")
    token = context.attach(context.set_value("suppress_instrumentation", "yes"))
    try:
        assert await method(b"ok") == b"ok"
        for one in integration.aio_client_interceptors(seen.telemetry)[:1]:
            details = grpc.aio.ClientCallDetails("/a.B/C", None, None, None, None)
            assert await one.intercept_unary_unary(_answers, details, b"ok") == b"ok"
    finally:
        context.detach(token)
    assert not seen.clients


async def _answers(_details: Any, request: bytes) -> bytes:
    return request


def test_streams_that_are_no_generators(seen: Seen) -> None:
    """A plain function may give any iterator, or raise before it gives one; requests keep grpc's own methods."""

    class Listing(Blocking):
        def unary_stream(self, request: bytes, context: Any) -> Iterator[bytes]:
            self._do(request, context)
            return iter([b"one", request])

        def stream_unary(self, requests: Any, context: Any) -> bytes:
            return self._do(requests.next() + requests.next(), context)

    server, address = serving(Listing())
    with grpc.insecure_channel(address) as channel:
        assert call(channel, "unary_stream", b"ok") == b"ok"
        assert call(channel, "stream_unary", b"ok") == b"oneok"
        with pytest.raises(grpc.RpcError):
            call(channel, "unary_stream", b"raise")
        until(lambda: len(seen.spans) == 6)
    assert [code(span) for span in seen.servers] == [0, 0, 2]
    server.stop(0).wait()


def test_a_proxy_of_everything(seen: Seen) -> None:
    """A server that serves whatever it is asked for remembers no more than so many methods."""
    side = calls.Side(seen.telemetry, calls.SpanKind.SERVER)
    known = Handlers(side, wrapped)
    for number in range(2 * calls.MOST_METHODS):
        handler = grpc.unary_unary_rpc_method_handler(lambda request, _context: request)
        known.answer(handler, grpc.aio.ClientCallDetails(f"/a.B/C{number}", None, None, None, None))
    assert len(known._known) <= calls.MOST_METHODS


@pytest.mark.parametrize("kind", KINDS)
async def test_servers_made_before(kind: str) -> None:
    """Of a server that was there before us, what is registered from then on is followed, once, in both libraries."""
    before, aio_before = grpc.server(futures.ThreadPoolExecutor(2)), grpc.aio.server()
    seen = Seen()
    undo = integration.install(seen.telemetry)
    before.add_generic_rpc_handlers([handlers(Blocking()), handlers(Blocking(), "shop.Other")])
    methods = {one: make(getattr(Asyncio(), one)) for one, make in MAKERS.items()}
    aio_before.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, methods)])
    aio_before.add_registered_method_handlers(SERVICE, methods)
    port, aio_port = before.add_insecure_port("127.0.0.1:0"), aio_before.add_insecure_port("127.0.0.1:0")
    before.start()
    await aio_before.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert call(channel, kind, b"ok") == b"ok"
        with pytest.raises(grpc.RpcError):
            channel.unary_unary("/nobody/Serves")(b"")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{aio_port}") as channel:
        assert await acall(channel, kind, b"ok") == b"ok"
    await soon(lambda: len(seen.servers) == 2 and len(seen.clients) == 3)
    before.stop(0).wait()
    await aio_before.stop(0)
    undo()


def test_registered_methods(seen: Seen) -> None:
    """Methods as generated code registers them, twice, make one span a call."""
    methods = {kind: make(getattr(Blocking(), kind)) for kind, make in MAKERS.items()}
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, methods)])
    server.add_registered_method_handlers(SERVICE, methods)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = channel.unary_unary(f"/{SERVICE}/unary_unary", _registered_method=True)
        assert method(b"ok") == b"ok"
        seen.pair()
    server.stop(0).wait()
