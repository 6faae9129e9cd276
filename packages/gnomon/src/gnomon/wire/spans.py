"""A span as OTLP bytes (opentelemetry/proto/trace/v1/trace.proto)."""

from collections.abc import Iterable
from struct import Struct

from gnomon.wire.protobuf import LENGTHS, delimited, length, text, varint

SAMPLED = 1
# In `Span.flags`, beside the W3C flags: whether the parent is known to be, or not to be, in another process.
LOCAL_PARENT = 0x100
REMOTE_PARENT = 0x300

# trace_id 1, span_id 2, [parent_span_id 4,] start 7, end 8, flags 16: tags and values in one stroke.
_root = Struct("<2s16s2s8scQcQ2sI").pack
_child = Struct("<2s16s2s8s2s8scQcQ2sI").pack


def span(
    trace: bytes, identity: bytes, parent: bytes | None, start_ns: int, end_ns: int, flags: int, rest: bytes
) -> bytes:
    """A Span, with the tag and length under which it stands in ScopeSpans.

    Args:
        trace: 16 bytes.
        identity: 8 bytes.
        parent: 8 bytes, or None for a root.
        start_ns: Unix nanoseconds.
        end_ns: likewise.
        flags: W3C trace flags with `LOCAL_PARENT` or `REMOTE_PARENT`.
        rest: all further fields, encoded: `named`, attributes (field 9), events, links, `status`.
    """
    if parent is None:
        head = _root(b"\x0a\x10", trace, b"\x12\x08", identity, b"\x39", start_ns, b"\x41", end_ns, b"\x85\x01", flags)
    else:
        head = _child(
            b"\x0a\x10", trace, b"\x12\x08", identity, b"\x22\x08", parent,
            b"\x39", start_ns, b"\x41", end_ns, b"\x85\x01", flags,
        )  # fmt: skip
    size = len(head) + len(rest)
    return b"\x12" + (LENGTHS[size] if size < 2048 else length(size)) + head + rest  # noqa: PLR2004 - LENGTHS' size


def named(name: str, kind: int) -> bytes:
    """Name and kind. `kind` counts as OTLP does: 1 internal, 2 server, 3 client, 4 producer, 5 consumer."""
    return text(5, name) + b"\x30" + varint(kind)


def event(time_ns: int, name: str, attributes: bytes) -> bytes:
    """An event; its attributes are encoded as field 3."""
    return delimited(11, b"\x09" + time_ns.to_bytes(8, "little") + text(2, name) + attributes)


def link(trace: bytes, identity: bytes, state: str, flags: int, attributes: bytes) -> bytes:
    """A link; its attributes are encoded as field 4."""
    body = delimited(1, trace) + delimited(2, identity) + (text(3, state) if state else b"")
    return delimited(13, body + attributes + b"\x35" + flags.to_bytes(4, "little"))


def status(code: int, message: str) -> bytes:
    """A status: 1 ok, 2 error."""
    return delimited(15, (text(2, message) if message else b"") + b"\x18" + varint(code))


def state(header: str) -> bytes:
    """The W3C trace state."""
    return text(3, header)


def dropped(attributes: int, events: int, links: int) -> bytes:
    """How many of each did not fit."""
    counts: Iterable[tuple[bytes, int]] = ((b"\x50", attributes), (b"\x60", events), (b"\x70", links))
    return b"".join(tag + varint(number) for tag, number in counts if number)
