"""A log record as OTLP bytes (opentelemetry/proto/logs/v1/logs.proto)."""

from struct import Struct
from typing import Any

from gnomon.wire.attributes import LONGEST_VALUE, Mask, any_value
from gnomon.wire.protobuf import LENGTHS, delimited, length, tag, text, varint

ATTRIBUTES = 6
"""The field of a record's attributes, for `KeyValues`."""
# Messages come from code, so they repeat, unless values are formatted into them: see `KeyValues`.
REMEMBERED = 1024
LONGEST_REMEMBERED = 256

# time 1, observed 11, [flags 8, trace_id 9, span_id 10]: tags and values in one stroke.
_alone = Struct("<cQcQ").pack
_traced = Struct("<cQcQcI2s16s2s8s").pack


def record(time_ns: int, ids: tuple[bytes, bytes, bool] | None, rest: bytes) -> bytes:
    """A LogRecord, with the tag and length under which it stands in ScopeLogs.

    Args:
        time_ns: Unix nanoseconds: when it happened, and was observed.
        ids: trace id (16 bytes), span id (8) and whether the trace is sampled.
        rest: all further fields, encoded: `severity`, a body, attributes (field 6). A field of one value that stands
            here twice counts as it is written last; so an `observed` replaces ours.
    """
    if ids is None:
        head = _alone(b"\x09", time_ns, b"\x59", time_ns)
    else:
        trace, span, sampled = ids
        head = _traced(b"\x09", time_ns, b"\x59", time_ns, b"\x45", sampled, b"\x4a\x10", trace, b"\x52\x08", span)
    size = len(head) + len(rest)
    return b"\x12" + (LENGTHS[size] if size < 2048 else length(size)) + head + rest  # noqa: PLR2004 - LENGTHS' size


def severity(number: int, words: str) -> bytes:
    """Severity 1 to 24, and how its source calls it."""
    return tag(2, 0) + varint(number) + severity_text(words)


def severity_text(words: str) -> bytes:
    """How the source calls the severity."""
    return text(3, words)


def observed(time_ns: int) -> bytes:
    """When the record was observed, if that is not when it happened."""
    return b"\x59" + time_ns.to_bytes(8, "little")


def event_name(name: str) -> bytes:
    """What makes a record an event."""
    return text(12, name)


def dropped(attributes: int) -> bytes:
    """How many attributes did not fit."""
    return tag(7, 0) + varint(attributes)


class Bodies:
    """Encodes messages as a record's body; what repeats is masked and encoded once."""

    __slots__ = ("_known", "mask")

    def __init__(self, mask: Mask | None = None) -> None:
        self._known: dict[str, tuple[bytes, str]] = {}
        self.mask = mask

    def of(self, message: Any) -> tuple[bytes, str]:
        """The body field, and the message as text: both masked."""
        if message.__class__ is not str:
            written = str(message)
            return delimited(5, any_value(message, "body", self.mask)), self._masked(written)
        known = self._known.get(message)
        if known is None:
            shown = self._masked(message)
            known = delimited(5, text(1, shown)), shown
            if len(message) <= LONGEST_REMEMBERED:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[message] = known
        return known

    def _masked(self, message: str) -> str:
        shown = message[:LONGEST_VALUE]
        return self.mask("body", shown) if self.mask else shown
