"""Log records against the generated classes."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs

from gnomon.wire import logs
from gnomon.wire.attributes import KeyValues

texts = st.text(st.characters(codec="utf-8"), max_size=3000)
ids = st.tuples(st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8), st.booleans())


@given(
    time_ns=st.integers(0, 2**64 - 1),
    current=st.none() | ids,
    number=st.integers(1, 24),
    words=texts,
    message=texts,
    attributes=st.dictionaries(texts, texts | st.integers(-(2**63), 2**63 - 1), max_size=4),
)
def test_a_record_is_what_the_generated_classes_read(
    time_ns: int, current: Any, number: int, words: str, message: str, attributes: dict[str, Any]
) -> None:
    """Every field comes back as it was given."""
    rest = logs.severity(number, words) + logs.Bodies().of(message)[0] + KeyValues(logs.ATTRIBUTES).encode(attributes)
    (record,) = ScopeLogs.FromString(logs.record(time_ns, current, rest)).log_records
    trace, span, sampled = current or (b"", b"", False)
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (time_ns, time_ns)
    assert (record.trace_id, record.span_id, record.flags) == (trace, span, int(sampled))
    assert (record.severity_number, record.severity_text) == (number, words)
    assert record.body.string_value == message
    read = {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in record.attributes}
    assert read == attributes


def test_what_is_said_later_counts() -> None:
    """A time of observation, a severity's words, an event's name and a count of what was dropped, put at the end."""
    rest = (
        logs.severity(9, "INFO")
        + logs.severity_text("notice")
        + logs.observed(7)
        + logs.event_name("e")
        + logs.dropped(3)
    )
    (record,) = ScopeLogs.FromString(logs.record(5, None, rest)).log_records
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (5, 7)
    assert (record.severity_text, record.event_name, record.dropped_attributes_count) == ("notice", "e", 3)


def test_messages_are_masked_before_they_are_remembered() -> None:
    """A mask sees each message once, and its answer is what leaves, encoded and shown."""
    asked: list[tuple[str, str]] = []

    def mask(key: str, text: str) -> str:
        asked.append((key, text))
        return text.replace("secret", "<secret>")

    bodies = logs.Bodies(mask)
    assert bodies.of("a secret") == bodies.of("a secret") == (b"\x2a\x0c\x0a\x0aa <secret>", "a <secret>")
    assert asked == [("body", "a secret")]


def test_the_memory_of_messages_is_bounded() -> None:
    """Messages with values in them pass through it; long ones are not kept at all."""
    bodies = logs.Bodies()
    for number in range(3 * logs.REMEMBERED):
        bodies.of(f"message {number}")
        assert len(bodies._known) <= logs.REMEMBERED
    known = len(bodies._known)
    bodies.of("x" * (logs.LONGEST_REMEMBERED + 1))
    assert len(bodies._known) == known


def test_a_structured_message_stays_so() -> None:
    """What is no text is encoded as what it is, and shown as text."""
    encoded, shown = logs.Bodies().of({"a": 1})
    (record,) = ScopeLogs.FromString(logs.record(1, None, encoded)).log_records
    assert record.body.kvlist_value.values[0].value.int_value == 1
    assert shown == "{'a': 1}"
