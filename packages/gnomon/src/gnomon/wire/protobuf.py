"""The protobuf wire format (https://protobuf.dev/programming-guides/encoding/), as much of it as OTLP needs."""

from struct import Struct

_DOUBLE = Struct("<d")


def varint(number: int) -> bytes:
    """An unsigned integer of up to 64 bits; a negative one as its two's complement, as protobuf writes int64."""
    if 0 <= number < 1 << 14:  # one or two bytes: nearly all there are
        return bytes((number,)) if number < 1 << 7 else bytes((number & 0x7F | 0x80, number >> 7))
    if 0 < number < 1 << 28:
        low = bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80))
        return low + varint(number >> 14)
    if number < 0:
        number += 1 << 64
    out = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


# Nearly all lengths on our wire; a look-up costs a sixth of the call.
KNOWN = 2048
LENGTHS = tuple(varint(number) for number in range(KNOWN))


def length(number: int) -> bytes:
    """The varint of a length."""
    return LENGTHS[number] if number < KNOWN else varint(number)


def tag(field: int, wire_type: int) -> bytes:
    """What stands before a field's value. Wire types: 0 varint, 1 fixed64, 2 length-delimited, 5 fixed32."""
    return varint(field << 3 | wire_type)


# What stands before a message, text or bytes field, for the numbers that OTLP has.
_DELIMITED = tuple(tag(field, 2) for field in range(32))


def delimited(field: int, body: bytes) -> bytes:
    """A message, string or bytes field, of a number below 32."""
    return _DELIMITED[field] + length(len(body)) + body


def text(field: int, value: str) -> bytes:
    """A string field; surrogates that no UTF-8 can carry become question marks."""
    body = value.encode("utf-8", "replace")
    return _DELIMITED[field] + length(len(body)) + body


def double(value: float) -> bytes:
    """The eight bytes of a double, without a tag."""
    return _DOUBLE.pack(value)
