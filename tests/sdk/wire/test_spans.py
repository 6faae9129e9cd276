"""Spans: our bytes, read by the generated classes."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span, Status

from gnomon.wire import spans
from gnomon.wire.attributes import KeyValues
from gnomon.wire.protobuf import KNOWN, double, length, tag, varint

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
times = st.integers(0, 2**63 - 1)
words = st.integers(0, 2**32 - 1)
pairs = st.dictionaries(texts, texts | st.integers(-(2**63), 2**63 - 1) | st.booleans(), max_size=4)
events = st.lists(st.tuples(times, texts, pairs), max_size=3)
trace_ids, span_ids = st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8)
links = st.lists(st.tuples(trace_ids, span_ids, texts, words, pairs), max_size=3)
drops = st.tuples(words, words, words)


def only(encoded: bytes) -> Span:
    """The one span of a ScopeSpans of nothing else."""
    (span,) = ScopeSpans.FromString(encoded).spans
    return span


def as_read(repeated: Any) -> dict[str, Any]:
    """Attributes of texts, numbers and truths."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in repeated}


@given(
    trace_ids, span_ids, st.none() | span_ids, times, times, words, texts, st.integers(1, 5), pairs, events, links,
    st.none() | st.tuples(st.integers(1, 2), texts), texts, drops,
)  # fmt: skip
def test_all_fields(
    trace: bytes, identity: bytes, parent: bytes | None, start_ns: int, end_ns: int, flags: int, name: str, kind: int,
    attributes: dict[str, Any], happened: list[Any], linked: list[Any], status: Any, state: str, lost: Any,
) -> None:  # fmt: skip
    """Every field of a span arrives as it was meant, in whatever company."""
    rest = spans.named(name, kind) + KeyValues(9).encode(attributes)
    rest += b"".join(spans.event(when, what, KeyValues(3).encode(more)) for when, what, more in happened)
    for other, of, header, bits, more in linked:
        rest += spans.link(other, of, header, bits, KeyValues(4).encode(more))
    if status:
        rest += spans.status(*status)
    rest += spans.state(state) + spans.dropped(*lost)
    span = only(spans.span(trace, identity, parent, start_ns, end_ns, flags, rest))
    assert (span.trace_id, span.span_id, span.parent_span_id) == (trace, identity, parent or b"")
    assert (span.start_time_unix_nano, span.end_time_unix_nano, span.flags) == (start_ns, end_ns, flags)
    assert (span.name, span.kind, span.trace_state) == (name, kind, state)
    assert as_read(span.attributes) == attributes
    assert [(one.time_unix_nano, one.name, as_read(one.attributes)) for one in span.events] == happened
    assert linked == [
        (one.trace_id, one.span_id, one.trace_state, one.flags, as_read(one.attributes)) for one in span.links
    ]
    assert (span.status.code, span.status.message) == (status or (0, ""))
    assert (span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count) == lost


def test_where_the_parent_is() -> None:
    """The two bits beside the W3C flags say that the place of the parent is known, and whether it is elsewhere."""
    local = only(spans.span(b"t" * 16, b"s" * 8, b"p" * 8, 1, 2, spans.LOCAL_PARENT | spans.SAMPLED, b""))
    remote = only(spans.span(b"t" * 16, b"s" * 8, b"p" * 8, 1, 2, spans.REMOTE_PARENT, b""))
    known, is_remote = 0x100, 0x200  # SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK, ..._IS_REMOTE_MASK
    assert (local.flags & known, local.flags & is_remote, local.flags & 1) == (known, 0, 1)
    assert (remote.flags & known, remote.flags & is_remote, remote.flags & 1) == (known, is_remote, 0)


def test_status_codes_are_the_standards() -> None:
    """1 is ok and 2 an error, with and without words."""
    for code, name in ((1, "STATUS_CODE_OK"), (2, "STATUS_CODE_ERROR")):
        span = only(spans.span(b"t" * 16, b"s" * 8, None, 1, 2, 0, spans.status(code, "")))
        assert Status.StatusCode.Name(span.status.code) == name


def test_spans_of_every_size_of_length() -> None:
    """Where the length of a span needs another byte it is still right."""
    for size in [*range(20, 60), *range(1900, 2100), 16_300, 16_400, 2_100_000]:
        assert only(spans.span(b"t" * 16, b"s" * 8, None, 1, 2, 0, spans.state("x" * size))).trace_state == "x" * size


@given(st.integers(0, 2**64 - 1), st.integers(1, 2**29 - 1))
def test_varints(number: int, field: int) -> None:
    """A varint holds its number, seven bits a byte; a negative one stands as its two's complement."""

    def number_of(encoded: bytes) -> int:
        assert all(byte & 0x80 for byte in encoded[:-1])
        assert not encoded[-1] & 0x80
        return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(encoded))

    assert number_of(varint(number)) == number
    assert number_of(varint(number - 2**64)) == number
    assert number_of(length(number % (2 * KNOWN))) == number % (2 * KNOWN)
    assert number_of(tag(field, 2)) == field * 8 + 2
    assert len(double(float(number))) == 8
