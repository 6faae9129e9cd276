"""Partial success: the one thing in an OTLP answer that a sender must read.

https://opentelemetry.io/docs/specs/otlp/#partial-success
"""

from collections.abc import Iterator
from typing import Any

# An int64 from here on is a negative one.
_NEGATIVE = 1 << 63


def partial_success(body: bytes) -> tuple[int, str]:
    """Rejected records and the receiver's words, of an ExportXServiceResponse; (0, "") of anything unreadable.

    The three responses have the same shape: field 1 a message, in it field 1 a number and field 2 a text.
    """
    try:
        partial = dict(fields(body)).get(1, b"")
        told = dict(fields(partial)) if isinstance(partial, bytes) else {}
    except (IndexError, ValueError):
        return 0, ""
    rejected, why = told.get(1, 0), told.get(2, b"")
    return (
        rejected if isinstance(rejected, int) and rejected < _NEGATIVE else 0,
        why.decode("utf-8", "replace") if isinstance(why, bytes) else "",
    )


def fields(body: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each varint or delimited field; ValueError or IndexError for what is no such message."""
    position = 0
    while position < len(body):
        tag, position = _varint(body, position)
        number, position = _varint(body, position)
        if tag & 7 == 0:
            yield tag >> 3, number
        elif tag & 7 == 2:  # noqa: PLR2004 - protobuf's wire type for what has a length
            if position + number > len(body):
                raise ValueError("cut short")
            yield tag >> 3, body[position : position + number]
            position += number
        else:
            raise ValueError("not a field of this message")


def _varint(body: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = body[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last of its bytes
            return number, position
        shift += 7
        if shift > 63:  # noqa: PLR2004 - ten bytes are the most
            raise ValueError("too long for a varint")
