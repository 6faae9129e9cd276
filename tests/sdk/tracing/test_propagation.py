"""The trace across processes, held against the W3C's test suite, B3's examples, and noise."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.propagators.textmap import DefaultGetter
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from tests.sdk.tracing.traces import Traces

from gnomon.context import SPAN_KEY, Context, attach, detach, with_span
from gnomon.errors import TracingError
from gnomon.tracing.propagation import LONGEST_STATE, Propagator, parsed_traceparent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"
# https://github.com/w3c/trace-context/blob/main/test/test.py, by its own names.
MALFORMED = {
    "trace_id_all_zero": f"00-{'0' * 32}-{SPAN}-01",
    "trace_id_illegal_characters": f"00-.{TRACE[1:]}-{SPAN}-01",
    "trace_id_too_long": f"00-{TRACE}0-{SPAN}-01",
    "trace_id_too_short": f"00-{TRACE[1:]}-{SPAN}-01",
    "trace_id_capitals": f"00-{TRACE.upper()}-{SPAN}-01",
    "parent_id_all_zero": f"00-{TRACE}-{'0' * 16}-01",
    "parent_id_illegal_characters": f"00-{TRACE}-.{SPAN[1:]}-01",
    "parent_id_too_long": f"00-{TRACE}-{SPAN}0-01",
    "parent_id_too_short": f"00-{TRACE}-{SPAN[1:]}-01",
    "trace_flags_illegal_characters": f"00-{TRACE}-{SPAN}-.0",
    "trace_flags_too_long": f"00-{TRACE}-{SPAN}-001",
    "trace_flags_too_short": f"00-{TRACE}-{SPAN}-1",
    "version_0xff": f"ff-{TRACE}-{SPAN}-01",
    "version_illegal_characters": f".0-{TRACE}-{SPAN}-01",
    "version_too_long": f"000-{TRACE}-{SPAN}-01",
    "version_too_short": f"0-{TRACE}-{SPAN}-01",
    "version_00_with_more": f"{GOOD}-what",
    "version_cc_without_dash": f"cc-{TRACE}-{SPAN}-01.what",
    "spaces_inside": f"00-{TRACE[:-2]} 1-{SPAN}-01",
    "empty": "",
    "noise": "-" * 55,
}
GOOD_ONES = {
    "version_00": GOOD,
    "version_cc": f"cc-{TRACE}-{SPAN}-01",
    "version_cc_with_more": f"cc-{TRACE}-{SPAN}-01-what",
    "version_cc_with_dash": f"cc-{TRACE}-{SPAN}-01-",
    "ows": f" \t{GOOD}\t ",
}


def getting(headers: dict[str, str]) -> Callable[[str], str | None]:
    """As our integrations read headers."""
    return headers.get


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_header_begins_a_new_trace(traces: Traces, name: str) -> None:
    """By our own door and by the API's: no parent, no error."""
    carrier = {"traceparent": MALFORMED[name], "tracestate": "a=1"}
    propagator = Propagator()
    assert propagator.remote(getting(carrier)) is None
    context = propagator.extract(carrier)
    span = traces.tracer.start_span("x", context)
    assert span.parent is None
    assert span.trace.hex() != TRACE


@pytest.mark.parametrize("name", GOOD_ONES)
def test_a_good_header_is_continued(traces: Traces, name: str) -> None:
    """Later versions too; the children's header says version 00."""
    propagator = Propagator()
    carrier = {"traceparent": GOOD_ONES[name], "tracestate": "a=1,b=2"}
    span = traces.tracer.start_span("x", propagator.extract(carrier))
    assert (span.trace.hex(), span.parent.hex(), span.sampled, span.remote) == (TRACE, SPAN, True, True)
    sent = propagator.headers(with_span(span))
    assert sent == {"traceparent": f"00-{TRACE}-{span.id.hex()}-01", "tracestate": "a=1,b=2"}
    span.end()
    assert traces.span("x").flags == 0x301
    assert traces.span("x").trace_state == "a=1,b=2"


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("ff", True)])
def test_flags(flags: str, sampled: bool) -> None:
    """The first bit alone is ours; unknown ones are not carried on."""
    found = parsed_traceparent(f"00-{TRACE}-{SPAN}-{flags}")
    assert found is not None
    assert found.sampled is sampled
    assert Propagator().headers(with_span(found))["traceparent"][-2:] == f"{sampled:02x}"


@pytest.mark.parametrize(
    "state",
    ["x" * (LONGEST_STATE + 1), "a=1,b", "A=1", "a=1,é=2", ",".join(f"k{n}=1" for n in range(33)), "a=1,a=\x01", "=1"],
)
def test_a_malformed_state_is_not_carried_on(state: str) -> None:
    """Only the state is dropped: too long, too many, or no list of keys and values."""
    found = parsed_traceparent(GOOD, state)
    assert found is not None
    assert found.state == ""


@pytest.mark.parametrize("state", ["a=1", "t@v=x y", "a=1, b=2,\tc=3", "a=1,,b=2", "0a/b*c-d_e=!~", ",".join(f"k{n}=1" for n in range(32))])  # fmt: skip  # noqa: E501 - the standard's oddities in one line
def test_a_state_is_carried_on_as_it_is(state: str) -> None:
    """Spaces after commas and empty members are the standard's."""
    found = parsed_traceparent(GOOD, state)
    assert found is not None
    assert found.state == state


@given(st.text(max_size=80), st.text(max_size=40))
def test_noise(header: str, state: str) -> None:
    """Whatever comes in, by whatever header: nothing is raised, and nothing malformed is read as a parent."""
    names = ("traceparent", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled")
    carrier = {**dict.fromkeys(names, header), "tracestate": state, "baggage": header}
    propagator = Propagator(("tracecontext", "baggage", "b3", "b3multi"))
    found = propagator.remote(getting(carrier))
    assert found is None or len(found.trace) == 16
    propagator.received(getting(carrier))
    assert isinstance(propagator.extract(carrier), Context)


parts = st.sampled_from(["00", "01", "cc", "ff", TRACE, SPAN, TRACE.upper(), "0" * 32, "0" * 16, "", " ", "é"])


@given(st.lists(parts, max_size=6).map("-".join))
def test_near_misses(header: str) -> None:
    """Pieces of headers in wrong places: read as OpenTelemetry's own propagator reads them."""
    found = parsed_traceparent(header)
    context = TraceContextTextMapPropagator().extract({"traceparent": header}, Context())
    theirs = trace.get_current_span(context).get_span_context()
    assert (found is not None) == theirs.is_valid
    if found is not None:
        assert found.trace.hex() == f"{theirs.trace_id:032x}"


@pytest.mark.parametrize(
    ("carrier", "sampled"),
    [
        ({"b3": f"{TRACE}-{SPAN}-1"}, True),
        ({"b3": f"{TRACE}-{SPAN}-0"}, False),
        ({"b3": f"{TRACE}-{SPAN}-d-{SPAN}"}, True),
        ({"b3": f"{TRACE}-{SPAN}"}, True),
        ({"b3": f"{TRACE.upper()}-{SPAN.upper()}-1"}, True),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "1"}, True),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "0"}, False),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "false"}, False),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-flags": "1"}, True),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN}, True),
    ],
)
def test_b3(carrier: dict[str, str], sampled: bool) -> None:
    """In one header or several, with every way of saying yes and no."""
    found = Propagator(("b3", "b3multi")).remote(getting(carrier))
    assert found is not None
    assert (found.trace.hex(), found.id.hex(), found.sampled) == (TRACE, SPAN, sampled)


@pytest.mark.parametrize("carrier", [
    {"b3": "0"}, {"b3": "1"}, {"b3": f"{TRACE}-{'0' * 16}"}, {"b3": f"{'0' * 32}-{SPAN}"}, {"b3": f"{TRACE}x-{SPAN}"},
    {"x-b3-traceid": TRACE}, {"x-b3-spanid": SPAN}, {"x-b3-sampled": "1"}, {"x-b3-traceid": "zz", "x-b3-spanid": SPAN},
])  # fmt: skip
def test_b3_without_a_trace(carrier: dict[str, str]) -> None:
    """A decision alone, or ids that are none."""
    assert Propagator(("b3", "b3multi")).remote(getting(carrier)) is None


def test_b3_of_64_bits(traces: Traces) -> None:
    """Filled up from the left, and carried on as 128 bits in every format."""
    propagator = Propagator(("tracecontext", "b3", "b3multi"))
    remote = propagator.remote(getting({"b3": f"{TRACE[16:]}-{SPAN}-1"}))
    span = traces.tracer.begin("x", SpanKind.SERVER, remote)
    assert span.trace.hex() == "0" * 16 + TRACE[16:]
    assert propagator.headers(with_span(span)) == {
        "traceparent": f"00-{span.trace.hex()}-{span.id.hex()}-01",
        "b3": f"{span.trace.hex()}-{span.id.hex()}-1",
        "x-b3-traceid": span.trace.hex(),
        "x-b3-spanid": span.id.hex(),
        "x-b3-sampled": "1",
    }
    assert propagator.fields >= propagator.headers(with_span(span)).keys()
    assert not propagator.w3c


def test_the_first_format_found_is_read() -> None:
    """In the order of the settings."""
    carrier = {"traceparent": GOOD, "b3": f"{'1' * 32}-{SPAN}-1"}
    assert Propagator(("b3", "tracecontext")).remote(getting(carrier)).trace.hex() == "1" * 32  # type: ignore[union-attr]
    assert Propagator(("tracecontext", "b3")).remote(getting(carrier)).trace.hex() == TRACE  # type: ignore[union-attr]
    with pytest.raises(TracingError, match="jaeger"):
        Propagator(("jaeger",))


def test_baggage_crosses() -> None:
    """With and without a span around it; a trace format alone leaves it."""
    context = baggage.set_baggage("tenant", "ä b", Context())
    sent = Propagator().headers(context)
    assert sent == {"baggage": "tenant=%C3%A4+b"}
    remote, received = Propagator().received(getting({**sent, "traceparent": GOOD}))
    assert remote is not None
    assert baggage.get_all(received) == {"tenant": "ä b"}
    assert baggage.get_all(Propagator().extract(sent, Context())) == {"tenant": "ä b"}
    alone = Propagator(("tracecontext",))
    assert alone.headers(context) == {}
    assert baggage.get_all(alone.extract(sent, Context())) == {}


def test_other_providers_spans_are_carried() -> None:
    """Whoever made the current span, its ids go along; an invalid one has none."""
    theirs = NonRecordingSpan(SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1)))
    carrier: dict[str, str] = {}
    Propagator().inject(carrier, with_span(theirs, Context()))
    assert carrier == {"traceparent": f"00-{1:032x}-{2:016x}-01"}
    assert Propagator().headers(with_span(trace.INVALID_SPAN, Context())) == {}
    assert Propagator().headers(Context()) == {}


def test_the_current_context_is_the_default(traces: Traces) -> None:
    """As the API says."""
    token = attach(with_span(traces.tracer.start_span("x")))
    carrier: dict[str, str] = {}
    Propagator().inject(carrier)
    context = Propagator().extract({})
    detach(token)
    assert carrier["traceparent"].startswith("00-")
    assert SPAN_KEY in context


def test_a_getter_of_several_values() -> None:
    """A carrier with lists: several state headers are one list; two parents are none."""

    class Lists(DefaultGetter):  # type: ignore[type-arg]  # the API's
        def get(self, carrier: Any, key: str) -> Any:
            return carrier.get(key)

    found = Propagator().extract({"traceparent": [GOOD], "tracestate": ["a=1", "b=2"]}, Context(), Lists())
    assert dict(trace.get_current_span(found).get_span_context().trace_state) == {"a": "1", "b": "2"}
    assert SPAN_KEY not in Propagator().extract({"traceparent": [GOOD, GOOD]}, Context(), Lists())
