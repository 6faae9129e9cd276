"""The span, held against OpenTelemetry's rules for it, as a receiver reads it."""

import re
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from tests.sdk.receiver import attributes
from tests.sdk.tracing.traces import Traces

from gnomon.export.outlet import Reason
from gnomon.tracing.passing import PassingSpan
from gnomon.tracing.sampling import Never
from gnomon.tracing.span import MOST, NAMES_REMEMBERED

OK, ERROR, UNSET = StatusCode.OK, StatusCode.ERROR, StatusCode.UNSET
OTHER = SpanContext(0xA1, 0xB2, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("v", "1")]))


@pytest.mark.parametrize(
    ("calls", "code", "message"),
    [
        ([(ERROR, "no")], 2, "no"),
        ([(ERROR, "a"), (ERROR, "b")], 2, "b"),
        ([(ERROR, "a"), (OK, "ignored")], 1, ""),
        ([(OK, None), (ERROR, "late")], 1, ""),
        ([(ERROR, "a"), (UNSET, None)], 2, "a"),
        ([(UNSET, "x")], 0, ""),
        ([(Status(ERROR, "s"), None)], 2, "s"),
        ([(Status(OK), None), (Status(UNSET), None)], 1, ""),
    ],
)
def test_status(traces: Traces, calls: list[Any], code: int, message: str) -> None:
    """OK is final, UNSET changes nothing, a description belongs to an error alone."""
    with traces.tracer.start_as_current_span("x") as span:
        for status, description in calls:
            span.set_status(status, description)
    found = traces.span("x").status
    assert (found.code, found.message) == (code, message)
    assert span.status.status_code.value == code


def test_limits(traces: Traces) -> None:
    """128 of each; what is beyond is counted, and a key that is there may change."""
    with traces.tracer.start_as_current_span("x") as span:
        for number in range(MOST + 5):
            span.set_attribute(f"a{number}", number)
            span.add_event(f"e{number}")
            span.add_link(OTHER, {"n": number})
        span.set_attribute("a0", "changed")
    found = traces.span("x")
    assert (len(found.attributes), len(found.events), len(found.links)) == (128, 128, 128)
    counts = (found.dropped_attributes_count, found.dropped_events_count, found.dropped_links_count)
    assert counts == (5, 5, 5)
    assert attributes(found)["a0"] == "changed"


def test_limits_hold_from_the_start(traces: Traces) -> None:
    """Attributes that a span begins with are bounded likewise."""
    traces.tracer.start_span("x", attributes={f"a{number}": number for number in range(200)}).end()
    found = traces.span("x")
    assert (len(found.attributes), found.dropped_attributes_count) == (128, 72)


def test_it_ends_once(traces: Traces) -> None:
    """What is set after the end is ignored, and the second end too."""
    span = traces.tracer.start_span("x", attributes={"a": 1})
    assert span.is_recording()
    span.end(span.start_time + 5)
    span.end()
    span.set_attribute("b", 2)
    span.set_attributes({"c": 3})
    span.add_event("e")
    span.add_link(OTHER)
    span.update_name("y")
    span.set_status(ERROR)
    span.record_exception(ValueError())
    assert not span.is_recording()
    [found] = traces.spans
    assert found.end_time_unix_nano - found.start_time_unix_nano == 5
    assert (found.name, attributes(found), list(found.events), found.status.code) == ("x", {"a": 1}, [], 0)
    assert dict(span.attributes) == {"a": 1}
    assert span.status.status_code is UNSET


def test_it_never_ends_before_it_began(traces: Traces) -> None:
    """An end in the past is the beginning."""
    traces.tracer.start_span("x", start_time=1000).end(1)
    assert traces.span("x").end_time_unix_nano == 1000


def test_links_and_events(traces: Traces) -> None:
    """With attributes, trace state, flags and times; an invalid link is none."""
    span = traces.tracer.start_span("x", links=[Link(OTHER, {"why": "batch"})], kind=SpanKind.CONSUMER)
    span.add_link(trace.INVALID_SPAN_CONTEXT)
    span.add_event("cached", {"hit": True}, 42)
    span.update_name("y")
    span.end()
    found = traces.span("y")
    assert found.kind == 5
    [link], [event] = found.links, found.events
    assert (link.trace_id, link.span_id) == ((0xA1).to_bytes(16, "big"), (0xB2).to_bytes(8, "big"))
    assert (link.trace_state, link.flags, attributes(link)) == ("v=1", 0x301, {"why": "batch"})
    assert (event.name, event.time_unix_nano, attributes(event)) == ("cached", 42, {"hit": True})


def test_an_exception_is_described(traces: Traces) -> None:
    """Type, message, stack; what the caller adds stays; a `__str__` that fails is no failure of ours."""

    class Rude(Exception):  # noqa: N818 - no error of ours
        def __str__(self) -> str:
            raise RuntimeError

    span = traces.tracer.start_span("x")
    span.record_exception(ValueError("bad"), {"extra": 1}, 7)
    span.record_exception(Rude(), escaped=True)
    span.end()
    first, second = traces.span("x").events
    told = attributes(first)
    assert (first.name, first.time_unix_nano) == ("exception", 7)
    assert (told["exception.type"], told["exception.message"], told["extra"]) == ("ValueError", "bad", 1)
    assert "ValueError: bad" in told["exception.stacktrace"]
    assert attributes(second)["exception.message"] == "<str() failed>"
    assert attributes(second)["exception.escaped"] == "True"


def test_a_failure_does_not_overrule_a_word(traces: Traces) -> None:
    """A status that was set by hand stays when an exception passes through."""
    around = traces.tracer.start_as_current_span("x")
    around.__enter__().set_status(ERROR, "Order not found")
    around.__exit__(ValueError, ValueError("x"), None)
    assert traces.span("x").status.message == "Order not found"


def test_the_span_is_a_context_manager_itself(traces: Traces) -> None:
    """`with tracer.start_span()` ends it, as the API's does."""
    with pytest.raises(ValueError, match="x"), traces.tracer.start_span("x"):
        raise ValueError("x")
    assert traces.span("x").status.message == "ValueError: x"


@pytest.mark.parametrize(("records", "status"), [(True, True), (True, False), (False, True), (False, False)])
def test_what_is_made_of_an_exception_can_be_chosen(traces: Traces, records: bool, status: bool) -> None:
    """Each of the two switches does its own part, and the exception goes on."""
    around = traces.tracer.start_as_current_span("x", record_exception=records, set_status_on_exception=status)
    with pytest.raises(KeyError), around:
        raise KeyError("k")
    found = traces.span("x")
    assert len(found.events) == records
    assert found.status.code == (2 if status else 0)


@pytest.mark.parametrize("records", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_leaving_is_no_error(traces: Traces, error: type[BaseException], records: bool) -> None:
    """What is no `Exception` was decided elsewhere: no event, no error, whatever the switches say."""
    around = traces.tracer.start_as_current_span("x", set_status_on_exception=records)
    with pytest.raises(error), around:
        raise error
    found = traces.span("x")
    assert (found.status.code, len(found.events)) == (0, 0)


def test_end_on_exit(traces: Traces) -> None:
    """Without it the span goes on after its block."""
    with traces.tracer.start_as_current_span("x", end_on_exit=False) as span:
        pass
    assert traces.names == []
    span.end()
    assert traces.names == ["x"]


def test_scopes(traces: Traces) -> None:
    """Name, version, schema and attributes of an instrumentation; odd ones break nobody."""
    for arguments in (("lib", "1.2", "http://schema", {"a": ["x"], "b": {"c": 1}}), ("", None), (None, "")):
        tracer = traces.provider.get_tracer(*arguments)  # type: ignore[arg-type]
        tracer.start_span("x").end()
    assert len(traces.spans) == 3
    named = {scope.scope.name: scope for scope in traces.scopes}
    assert named["lib"].scope.version == "1.2"
    assert named["lib"].schema_url == "http://schema"


def test_names_are_cut_and_not_all_remembered(traces: Traces) -> None:
    """A name of megabytes is none, and thousands of names are let go of again."""
    traces.tracer.start_span("n" * 5000).end()
    for number in range(NAMES_REMEMBERED + 10):
        traces.tracer.start_span(f"n{number}").end()
    spans = traces.spans
    assert len(spans[0].name) == 1024
    assert len({span.name for span in spans}) == NAMES_REMEMBERED + 11


def test_a_span_that_is_not_recorded() -> None:
    """Everything may be called, nothing comes of it, and its ids go on."""
    traces = Traces(sampler=Never())
    with traces.tracer.start_as_current_span("x", links=[Link(OTHER)]) as span:
        assert isinstance(span, PassingSpan)
        assert not span.is_recording()
        span.set_attribute("a", 1)
        span.set_attributes({"a": 1})
        span.add_event("e")
        span.add_link(OTHER)
        span.update_name("y")
        span.set_status(ERROR)
        span.record_exception(ValueError())
        described = trace.get_current_span().get_span_context()
        assert described.is_valid
        assert not described.trace_flags.sampled
    with pytest.raises(ValueError, match="v"), traces.tracer.start_as_current_span("x"):
        raise ValueError("v")
    assert traces.spans == []


odd = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.just("\udc80"), st.just(object()),
    st.lists(st.integers(), max_size=3), st.dictionaries(st.integers(), st.none(), max_size=2),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(key=odd, value=odd, name=odd, moment=odd, words=odd)
def test_nothing_that_is_passed_breaks_the_host(key: Any, value: Any, name: Any, moment: Any, words: Any) -> None:
    """Whatever mistakes a host makes with types at run time, it hears nothing of us, and the span is counted."""
    traces = Traces()
    span = traces.tracer.start_span(name, start_time=moment)
    hashable = getattr(type(key), "__hash__", None) is not None
    span.set_attribute(key if hashable else "k", value)
    span.set_attributes({"v": value})
    span.add_event(name, {"k": value}, moment)
    span.add_event(name, {key if hashable else "k": value})
    span.add_link(OTHER, {"k": value})
    span.set_status(ERROR, words)
    span.update_name(name)
    span.record_exception(ValueError(value), {"k": value}, moment)
    span.end(moment)
    assert len(traces.spans) + traces.outlet.counts.dropped.get(Reason.FAULT, 0) == 1


def test_who_is_told_may_fail(traces: Traces) -> None:
    """Someone who wants to hear of ended spans, and fails, costs no span."""

    def fails(_: Any) -> None:
        raise RuntimeError

    heard: list[Any] = []
    stop = traces.provider.add_ended(fails)
    traces.provider.add_ended(heard.append)
    traces.tracer.start_span("x").end()
    stop()
    traces.tracer.start_span("y").end()
    assert traces.names == ["x", "y"]
    assert len(heard) == 2


def test_threads(traces: Traces) -> None:
    """Eight threads make spans at once: none is lost, none takes another's parent."""

    def work(number: int) -> None:
        for _ in range(200):
            start = traces.tracer.start_as_current_span
            with start(f"root{number}"), start(f"child{number}"):
                pass

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spans = traces.spans
    assert len(spans) == 3200
    by_id = {span.span_id: span for span in spans}
    assert len(by_id) == 3200
    for span in spans:
        kind, number = re.fullmatch(r"(root|child)(\d)", span.name).groups()  # type: ignore[union-attr]
        if kind == "child":
            assert by_id[span.parent_span_id].name == f"root{number}"
        else:
            assert span.parent_span_id == b""
    assert traces.outlet.waiting == 0
