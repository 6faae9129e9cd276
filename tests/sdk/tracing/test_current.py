"""What is current, when, and for whom: blocks, decorators, generators of both kinds, tasks and threads."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from tests.sdk.tracing.traces import Traces

from gnomon.context import SPAN_KEY, attach, current, current_ids, detach, with_span
from gnomon.tracing.current import traced


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Whatever a test does, nothing is current after it."""
    before = current()
    yield
    assert current() is before


def name() -> str | None:
    """Of the current span."""
    span: Any = current().get(SPAN_KEY)
    return None if span is None else span.name


@pytest.fixture
def decorate(traces: Traces) -> Callable[[Any], Any]:
    """As a decorator: a span named after the function."""
    return lambda function: traces.tracer.start_as_current_span(function.__name__)(function)


def test_blocks_nest(traces: Traces) -> None:
    """The inner's parent is the outer; the API sees the same."""
    with traces.tracer.start_as_current_span("outer") as outer:
        with traces.tracer.start_as_current_span("inner") as inner:
            assert trace.get_current_span() is inner
            assert current_ids() == (inner.trace, inner.id, True)
        assert trace.get_current_span() is outer
    assert current_ids() is None
    assert traces.span("inner").parent_span_id == traces.span("outer").span_id


async def test_async_with(traces: Traces) -> None:
    """The same as `with`."""
    async with traces.tracer.start_as_current_span("x"):
        assert name() == "x"


def test_a_decorated_function(traces: Traces, decorate: Any) -> None:
    """Each call is a span; name, documentation and result stay; recursion nests."""

    @decorate
    def factorial(number: int) -> int:
        """Documented."""
        return 1 if number < 2 else number * factorial(number - 1)

    assert factorial(3) == 6
    assert (factorial.__name__, factorial.__doc__) == ("factorial", "Documented.")
    assert traces.names == ["factorial"] * 3
    assert len({span.trace_id for span in traces.spans}) == 1


async def test_a_decorated_coroutine(traces: Traces, decorate: Any) -> None:
    """Concurrent calls have spans of their own."""

    @decorate
    async def work(delay_s: float) -> Any:
        mine = current().get(SPAN_KEY)
        await asyncio.sleep(delay_s)
        assert current().get(SPAN_KEY) is mine
        return mine

    made = await asyncio.gather(*(work(0.001 * (number % 3)) for number in range(30)))
    assert len(set(made)) == len(traces.spans) == 30
    assert asyncio.iscoroutinefunction(work)


@pytest.mark.parametrize("error", [ValueError("v"), KeyError("k")])
async def test_exceptions_are_recorded_and_raised_again(traces: Traces, decorate: Any, error: Exception) -> None:
    """In all four kinds: the same exception, one event, an error."""

    @decorate
    def plain() -> None:
        raise error

    @decorate
    async def coroutine() -> None:
        raise error

    @decorate
    def generator() -> Generator[int, None, None]:
        yield 1
        raise error

    @decorate
    async def asynchronous() -> AsyncGenerator[int, None]:
        yield 1
        raise error

    with pytest.raises(type(error)) as raised:
        plain()
    assert raised.value is error
    with pytest.raises(type(error)):
        await coroutine()
    with pytest.raises(type(error)):
        list(generator())
    with pytest.raises(type(error)):
        _ = [one async for one in asynchronous()]
    assert sorted(traces.names) == ["asynchronous", "coroutine", "generator", "plain"]
    assert all(span.status.code == 2 and len(span.events) == 1 for span in traces.spans)


async def test_cancellation_is_no_error(traces: Traces, decorate: Any) -> None:
    """A cancelled task's span ends, without an error."""
    started = asyncio.Event()

    @decorate
    async def waits() -> None:
        started.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(waits())
    await started.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    span = traces.span("waits")
    assert (span.status.code, len(span.events)) == (0, 0)


def test_a_generators_span(traces: Traces, decorate: Any) -> None:
    """From its first step to its last; current inside, not at its caller's."""

    @decorate
    def counts() -> Generator[str | None, int, str]:
        got = yield name()
        assert got == 7
        yield name()
        return "done"

    steps = counts()
    assert traces.names == []
    assert next(steps) == "counts"
    assert name() is None
    with traces.tracer.start_as_current_span("callers"):
        assert steps.send(7) == "counts"
        assert name() == "callers"
        with pytest.raises(StopIteration) as stop:
            next(steps)
    assert stop.value.value == "done"
    assert traces.names == ["counts", "callers"]


def test_a_generators_own_blocks(traces: Traces, decorate: Any) -> None:
    """A span that is open inside of a generator is still current there after a `yield`."""

    @decorate
    def pages() -> Generator[int, None, None]:
        with traces.tracer.start_as_current_span("page"):
            yield 1
            traces.tracer.start_span("query").end()
        yield 2
        traces.tracer.start_span("after").end()

    assert list(pages()) == [1, 2]
    assert traces.span("query").parent_span_id == traces.span("page").span_id
    assert traces.span("after").parent_span_id == traces.span("pages").span_id


async def test_an_async_generators_own_blocks(traces: Traces, decorate: Any) -> None:
    """Likewise."""

    @decorate
    async def pages() -> AsyncGenerator[int, None]:
        with traces.tracer.start_as_current_span("page"):
            yield 1
            traces.tracer.start_span("query").end()
        yield 2
        traces.tracer.start_span("after").end()

    assert [one async for one in pages()] == [1, 2]
    assert traces.span("query").parent_span_id == traces.span("page").span_id
    assert traces.span("after").parent_span_id == traces.span("pages").span_id


def test_a_generator_is_thrown_at(traces: Traces, decorate: Any) -> None:
    """What it catches is its own affair; what it lets out is an error."""

    @decorate
    def tries() -> Generator[str, None, None]:
        try:
            yield "first"
        except ValueError:
            yield "caught"

    steps = tries()
    assert next(steps) == "first"
    assert steps.throw(ValueError("v")) == "caught"
    with pytest.raises(KeyError):
        steps.throw(KeyError("k"))
    assert traces.span("tries").status.code == 2


@pytest.mark.parametrize("way", ["close", "abandon"])
def test_a_generator_is_left_early(traces: Traces, decorate: Any, way: str) -> None:
    """Its own `finally` runs inside of its span, which ends, without an error."""
    seen = []

    @decorate
    def counts() -> Generator[int, None, None]:
        try:
            yield 1
            yield 2
        finally:
            seen.append(name())

    steps = counts()
    next(steps)
    if way == "close":
        steps.close()
    del steps
    gc.collect()
    assert seen == ["counts"]
    assert traces.span("counts").status.code == 0


def test_a_generator_that_is_never_begun(traces: Traces, decorate: Any) -> None:
    """No span."""

    @decorate
    def counts() -> Generator[int, None, None]:
        yield 1

    counts().close()
    assert traces.names == []


async def test_an_async_generator(traces: Traces, decorate: Any) -> None:
    """`asend` and `athrow` go through; current inside, not at the caller's."""

    @decorate
    async def echoes() -> AsyncGenerator[Any, Any]:
        got = yield name()
        while True:
            try:
                await asyncio.sleep(0)
                got = yield (got, name())
            except ValueError:
                got = "caught"

    steps = echoes()
    assert await anext(steps) == "echoes"
    assert name() is None
    assert await steps.asend(1) == (1, "echoes")
    assert await steps.athrow(ValueError()) == ("caught", "echoes")
    with pytest.raises(KeyError):
        await steps.athrow(KeyError())
    assert traces.span("echoes").status.code == 2


@pytest.mark.parametrize("way", ["aclose", "abandon"])
async def test_an_async_generator_is_left_early(traces: Traces, decorate: Any, way: str) -> None:
    """Its `finally` may still wait; the span ends after it, without an error."""
    seen = []

    @decorate
    async def counts() -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            seen.append(name())

    steps = counts()
    assert await anext(steps) == 1
    if way == "aclose":
        await steps.aclose()
    del steps
    gc.collect()
    while not seen:  # noqa: ASYNC110 - a finalizer tells nobody
        await asyncio.sleep(0.001)
    await asyncio.sleep(0)
    assert seen == ["counts"]
    assert traces.span("counts").status.code == 0


async def test_an_async_generator_is_cancelled(traces: Traces, decorate: Any) -> None:
    """While it waits: its span ends without an error."""
    waiting = asyncio.Event()

    @decorate
    async def waits() -> AsyncIterator[int]:
        yield 1
        waiting.set()
        await asyncio.sleep(60)
        yield 2

    async def reads() -> None:
        async for _ in waits():
            pass

    task = asyncio.create_task(reads())
    await waiting.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert traces.span("waits").status.code == 0


async def test_tasks_and_threads(traces: Traces) -> None:
    """Tasks and `to_thread` inherit what is current where they are made."""

    def child(called: str) -> None:
        traces.tracer.start_span(called).end()

    async def task() -> None:
        child("task")

    with traces.tracer.start_as_current_span("root"):
        made = asyncio.create_task(task())
        await asyncio.to_thread(child, "thread")
    await made
    root = traces.span("root").span_id
    assert traces.span("task").parent_span_id == traces.span("thread").parent_span_id == root


def test_a_context_that_is_given(traces: Traces) -> None:
    """Not the current span, but the one of the given context is the parent; an empty one makes a root."""
    other = traces.tracer.start_span("other")
    with traces.tracer.start_as_current_span("around"):
        traces.tracer.start_span("child", with_span(other)).end()
        traces.tracer.start_span("root", context.Context()).end()
    assert traces.span("child").trace_id == other.trace
    assert traces.span("root").parent_span_id == b""


def test_detaching_elsewhere_is_no_error(traces: Traces) -> None:
    """A token of another context has nothing to restore here."""
    import contextvars  # noqa: PLC0415 - here alone

    token = contextvars.copy_context().run(attach, with_span(traces.tracer.start_span("x")))
    detach(token)
    assert name() is None


def test_ids_of_other_providers() -> None:
    """A span that is not ours has ids too; an invalid one has none."""
    theirs = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=False, trace_flags=trace.TraceFlags(1)))
    token = attach(with_span(theirs))
    assert current_ids() == ((1).to_bytes(16, "big"), (2).to_bytes(8, "big"), True)
    detach(token)
    token = attach(with_span(trace.INVALID_SPAN))
    assert current_ids() is None
    detach(token)


def test_baggage_on_spans(traces: Traces) -> None:
    """Entries that were asked for by name, from the context that a span begins in; all of them for `*`."""
    from gnomon.tracing.baggage import carried  # noqa: PLC0415 - here alone

    traces.provider.baggage_as_attributes = carried(["tenant"])
    token = attach(baggage.set_baggage("tenant", "t1", baggage.set_baggage("secret", "s")))
    first = traces.tracer.start_span("some")
    traces.provider.baggage_as_attributes = carried(["*"])
    second = traces.tracer.start_span("all")
    third = traces.tracer.start_span("none", context.Context())
    detach(token)
    assert dict(first.attributes) == {"tenant": "t1"}
    assert dict(second.attributes) == {"tenant": "t1", "secret": "s"}
    assert dict(third.attributes) == {}


def test_traced_is_what_decorators_share(traces: Traces) -> None:
    """A class's method keeps its `self`."""

    class Service:
        def _method(self) -> Any:
            return self, name()

        method = traced(_method, lambda: traces.tracer.start_as_current_span("m"))

    service = Service()
    assert service.method() == (service, "m")
