"""`TracingSystem`, `DistributedTracing`, `gnomon.span` and `gnomon.trace_function`, and life beside another SDK."""

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import AsyncGenerator, Generator, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from opentelemetry.trace import SpanKind
from tests.sdk.receiver import attributes, receiving

import gnomon
from gnomon.testing import Capture, capture
from gnomon.tracing import DistributedTracing, TracingSystem
from gnomon.tracing.system import otlp_endpoint


@pytest.fixture
def captured() -> Iterator[Capture]:
    """The SDK, sending nothing."""
    with capture(service_name="orders") as found:
        yield found


@pytest.mark.parametrize(
    ("jaeger", "otlp"),
    [
        ("http://jaeger:14268/api/traces", "http://jaeger:4318"),
        ("http://jaeger:14250", "http://jaeger:4318"),
        ("jaeger:6831", "http://jaeger:4318"),
        ("https://jaeger.example:14268/api/traces?x=1", "https://jaeger.example:4318"),
        ("http://[::1]:14268/api/traces", "http://[::1]:4318"),
        ("http://collector:4318", "http://collector:4318"),
        ("http://collector/otlp", "http://collector/otlp"),
    ],
)
def test_jaegers_addresses(jaeger: str, otlp: str) -> None:
    """Its old ports become OTLP's; anything else is left as it is."""
    assert otlp_endpoint(jaeger) == otlp


def test_a_jaeger_endpoint_starts_the_sdk() -> None:
    """The first `DistributedTracing` is a beginning, with Jaeger's host as the receiver."""
    tracing = DistributedTracing("orders", "http://127.0.0.1:14268/api/traces", **{"export.protocol": "none"})
    try:
        config = tracing._manager.config
        assert (config.service.name, config.export.endpoint) == ("orders", "http://127.0.0.1:4318")
        assert tracing._manager is TracingSystem("other")._manager
    finally:
        gnomon.shutdown(1)


async def test_start_span(captured: Capture) -> None:
    """Name, kind and attributes; `with` and `async with`; the current span; headers of calls."""
    tracing = TracingSystem("orders")
    assert tracing.current_span() is None
    assert tracing.get_trace_headers() == {}
    with tracing.start_span("a", kind=SpanKind.CLIENT, attributes={"n": 1}) as span:
        assert tracing.current_span() is span
        assert tracing.get_trace_headers() == {"traceparent": f"00-{span.trace.hex()}-{span.id.hex()}-01"}
        async with tracing.start_span("b"):
            pass
    assert captured.span("a").kind is SpanKind.CLIENT
    assert captured.span("a").attributes == {"n": 1}
    assert captured.children(captured.span("a")) == [captured.span("b")]


FORMS = ["bare", "called", "named", "global", "global named"]


def decorator(form: str) -> tuple[Any, str | None]:
    """Each way to decorate, and the span's name if it is not the function's."""
    tracing = TracingSystem("orders")
    return {
        "bare": (tracing.trace_function, None),
        "called": (tracing.trace_function(), None),
        "named": (tracing.trace_function(name="other", kind=SpanKind.CLIENT, attributes={"a": 1}), "other"),
        "global": (gnomon.trace_function, None),
        "global named": (gnomon.trace_function(name="other", attributes={"a": 1}), "other"),
    }[form]


@pytest.mark.parametrize("form", FORMS)
async def test_trace_function(captured: Capture, form: str) -> None:
    """Bare and with arguments, on functions of all four kinds."""
    decorate, name = decorator(form)

    @decorate
    def plain(number: int) -> int:
        return number

    @decorate
    async def coroutine(number: int) -> int:
        await asyncio.sleep(0)
        return number

    @decorate
    def generator(number: int) -> Generator[int, None, None]:
        yield number

    @decorate
    async def asynchronous(number: int) -> AsyncGenerator[int, None]:
        yield number

    assert (plain(1), await coroutine(2), list(generator(3))) == (1, 2, [3])
    assert [one async for one in asynchronous(4)] == [4]
    names = [name or one.__qualname__ for one in (plain, coroutine, generator, asynchronous)]
    assert [span.name for span in captured.spans] == names


def test_instrument_fastapi_gives_the_application_back(captured: Capture) -> None:
    """As the seeds use it, and twice does not double anything."""
    app = FastAPI()
    tracing = DistributedTracing("orders")
    assert tracing.instrument_fastapi(app) is app
    assert tracing.instrument_fastapi(app) is app


def test_unknown_names() -> None:
    """The package says what it does not have."""
    with pytest.raises(AttributeError, match="nothing"):
        gnomon.tracing.nothing  # noqa: B018 - asking is the test


def ran(code: str, *arguments: str) -> str:
    """What a process of its own prints: OpenTelemetry takes one provider for the life of a process."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *arguments],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


DECORATED = """
    @gnomon.trace_function
    def plain(): return 1
    @gnomon.trace_function
    def generator(): yield 1
    @gnomon.trace_function
    async def coroutine(): return 1
    @gnomon.trace_function
    async def asynchronous(): yield 1
    async def main():
        async with gnomon.span("block"):
            return [plain(), *generator(), await coroutine(), *[one async for one in asynchronous()]]
    assert asyncio.run(main()) == [1, 1, 1, 1]
    try:
        with gnomon.span("failing"):
            raise KeyError("k")
    except KeyError:
        pass
"""


def test_without_the_sdk_started() -> None:
    """A library that is decorated with `gnomon.trace_function` works where nobody has called `instrument`."""
    assert ran(f"    import asyncio, gnomon{DECORATED}    print('fine')") == "fine"


def test_disabled() -> None:
    """`disabled`: everything may be called, and nothing is recorded, threads and handlers included."""
    code = f"""
    import asyncio, logging, signal, sys, threading
    import gnomon
    from gnomon.tracing import DistributedTracing
    manager = gnomon.instrument(disabled=True)
    {DECORATED}
    with DistributedTracing("x").start_span("s") as span:
        assert not span.is_recording()
    gnomon.get_logger("x").info("hello")
    assert not any(outlet.waiting for outlet in manager.recorders.outlets.values())
    assert gnomon.status().parts == {{}} and gnomon.flush() and gnomon.shutdown() == {{}}
    assert "gnomon-export" not in {{thread.name for thread in threading.enumerate()}}
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    print("fine")
    """
    assert "fine" in ran(code).splitlines()


THEIRS = f"""
    import asyncio, sys
    import gnomon
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.trace import Link, SpanKind, StatusCode
    own = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(own))
    trace.set_tracer_provider(provider)
    tracer = trace.get_tracer("theirs", "1.0")
    manager = gnomon.instrument(service_name="both", endpoint=sys.argv[1], metrics={{"enabled": False}})
    with tracer.start_as_current_span("outer", kind=SpanKind.SERVER, attributes={{"a": 1}}) as outer:
        with manager.tracer("ours").start_as_current_span("ours") as ours:
            with tracer.start_as_current_span("inner", links=[Link(outer.get_span_context(), {{"l": 1}})]) as inner:
                inner.add_event("e", {{"b": 2}})
                inner.set_status(StatusCode.ERROR, "no")
    {DECORATED}
    print(",".join(span.name for span in own.get_finished_spans()))
    gnomon.shutdown()
    gnomon.instrument(service_name="both", endpoint=sys.argv[1], metrics={{"enabled": False}})
    tracer.start_span("again").end()
    gnomon.shutdown()
"""


def test_beside_a_provider_that_was_there_before() -> None:
    """Its spans are sent by us too, once, in one trace with ours; its own exporter gets them as before."""
    with receiving() as receiver:
        names = ran(THEIRS, receiver.url).split(",")
        spans = {span.name: span for span in receiver.spans}
        sent = sorted(span.name for span in receiver.spans)
    assert names[:2] == ["inner", "outer"]
    assert sent == sorted([*names, "ours", "again"])
    outer, ours, inner = spans["outer"], spans["ours"], spans["inner"]
    assert outer.trace_id == ours.trace_id == inner.trace_id
    assert (ours.parent_span_id, inner.parent_span_id) == (outer.span_id, ours.span_id)
    assert (outer.kind, attributes(outer)) == (2, {"a": 1})
    assert (inner.status.code, inner.status.message, attributes(inner.events[0])) == (2, "no", {"b": 2})
    assert inner.links[0].span_id == outer.span_id
    assert spans["failing"].status.code == 2


def test_the_apis_own_code_and_stock_instrumentations() -> None:
    """OpenTelemetry's httpx and gRPC instrumentations make spans of ours, in one trace, with our headers."""
    code = """
    import sys
    from concurrent import futures
    import grpc, httpx
    import gnomon
    from opentelemetry import trace
    from opentelemetry.instrumentation.grpc import GrpcInstrumentorClient, GrpcInstrumentorServer
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
    early = trace.get_tracer("early")  # a proxy, made before there is a provider
    gnomon.instrument(endpoint=sys.argv[1], metrics={"enabled": False}, integrations={"*": False})
    GrpcInstrumentorClient().instrument()
    GrpcInstrumentorServer().instrument()
    server = grpc.server(futures.ThreadPoolExecutor(1))
    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("S", {"Echo": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    seen = {}
    transport = httpx.MockTransport(lambda request: seen.update(request.headers) or httpx.Response(200))
    with early.start_as_current_span("root"), httpx.Client(transport=transport) as client:
        HTTPXClientInstrumentor.instrument_client(client)
        client.get("http://host/path")
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert channel.unary_unary("/S/Echo")(b"x") == b"x"
    server.stop(0)
    print(seen["traceparent"])
    gnomon.shutdown()
    """
    with receiving() as receiver:
        header = ran(code, receiver.url).splitlines()[-1]
        spans = {(span.name, span.kind): span for span in receiver.spans}
    root, get = spans["root", 1], spans["GET", 3]
    assert header == f"00-{root.trace_id.hex()}-{get.span_id.hex()}-01"
    server = next(span for (_, kind), span in spans.items() if kind == 2)
    assert server.trace_id == root.trace_id
    assert server.flags & 0x300 == 0x300
