"""OTLP/JSON to OTLP protobuf bytes, so that there is one decoder.

Source: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: protobuf's JSON mapping, but trace and span
ids are hex, enums are integers, unknown fields are ignored. Accepted beyond it, as senders in the field write them:
names of enums, keys in snake_case, 64-bit integers as numbers, doubles as text.
"""

import base64
import binascii
import re
import struct
from collections.abc import Callable
from typing import Any

import orjson

from gnomon_server.decode.otlp import wire
from gnomon_server.errors import InvalidInput

_ROOTS = {"traces": "TracesRequest", "logs": "LogsRequest", "metrics": "MetricsRequest"}
_MAX_DEPTH = 96  # messages within messages; the protobuf decoder itself refuses more than 100
_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_ENUMS = {
    "SpanKind": ("SPAN_KIND_", ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]),
    "StatusCode": ("STATUS_CODE_", ["UNSET", "OK", "ERROR"]),
    "AggregationTemporality": ("AGGREGATION_TEMPORALITY_", ["UNSPECIFIED", "DELTA", "CUMULATIVE"]),
    "SeverityNumber": (
        "SEVERITY_NUMBER_",
        ["UNSPECIFIED", *(f"{level}{step}" for level in _LEVELS for step in ("", "2", "3", "4"))],
    ),
}
_NUMBERS = {kind: {prefix + name: n for n, name in enumerate(names)} for kind, (prefix, names) in _ENUMS.items()}

_VARINT, _I64, _LEN, _I32 = 0, 1, 2, 5


def to_protobuf(body: bytes, signal: str) -> bytes:
    """The request as protobuf bytes. `signal`: traces, logs or metrics. `InvalidInput` names the place of a mistake.

    The output is at most about four times as long as the input, for numbers of one digit in arrays of doubles.
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput("undecodable_json", f"the body is not JSON: {error}", where=f"{len(body)} bytes") from error
    try:
        return _message(content, _LAYOUTS[_ROOTS[signal]], 0)
    except _MismatchError as error:
        raise InvalidInput(
            "undecodable_json",
            f"{error.path()}: got {error.got}, expected {error.expected}",
            where=error.path(),
            hint="OTLP/JSON writes ids in hex, 64-bit integers as text and enums as integers",
        ) from None


class _MismatchError(Exception):
    """A value of the wrong type; the path grows from the inside while the error rises."""

    def __init__(self, value: Any, expected: str) -> None:
        self.got = _shown(value)
        self.expected = expected
        self.steps: list[str] = []

    def path(self) -> str:
        """`resourceSpans[0].scopeSpans[2].spans[17].traceId`."""
        return "".join(reversed(self.steps)).removeprefix(".") or "the body"


def _shown(value: Any) -> str:
    """A JSON value in a few words."""
    if isinstance(value, dict | list):
        return f"an object of {len(value)} keys" if isinstance(value, dict) else f"an array of {len(value)} items"
    return f"{orjson.dumps(value).decode():.60}"


# An encoder makes the payload of one value, with its length where the wire type wants one.
_Encoder = Callable[[Any, int], bytes]
# By JSON key: the tag, the encoder, whether repeated, whether packed.
_Layout = dict[str, tuple[bytes, _Encoder, bool, bool]]


_INT_OF_ANY_VALUE = ("intValue", "int_value")


def _message(value: Any, layout: _Layout, depth: int) -> bytes:
    if type(value) is not dict:
        raise _MismatchError(value, "an object")
    if depth > _MAX_DEPTH:
        raise _MismatchError(None, f"at most {_MAX_DEPTH} levels")
    parts: list[bytes] = []
    for key, item in value.items():
        known = layout.get(key)
        if known is None or item is None:
            continue
        if type(item) is float and key in _INT_OF_ANY_VALUE:
            # The Node SDK writes {"intValue": 1e+300}: in JavaScript that is a whole number. It is kept as a double.
            known = layout["doubleValue"]
        tag, encode, repeated, packed = known
        try:
            if not repeated:
                parts += (tag, encode(item, depth))
            elif packed:
                payload = _joined(item, encode, depth)
                parts += (tag, _varint(len(payload)), payload)
            else:
                _add_each(parts, tag, item, encode, depth)
        except _MismatchError as error:
            error.steps.append(f".{key}")
            raise
    return b"".join(parts)


def _add_each(parts: list[bytes], tag: bytes, items: Any, encode: _Encoder, depth: int) -> None:
    if type(items) is not list:
        raise _MismatchError(items, "an array")
    for place, item in enumerate(items):
        try:
            parts += (tag, encode(item, depth))
        except _MismatchError as error:
            error.steps.append(f"[{place}]")
            raise


def _joined(items: Any, encode: _Encoder, depth: int) -> bytes:
    parts: list[bytes] = []
    _add_each(parts, b"", items, encode, depth)
    return b"".join(parts)


def _varint(number: int) -> bytes:
    """A number from 0 to 2**64 - 1 in its variable length."""
    if number < 0x80:  # noqa: PLR2004 - seven bits a byte
        return _ONE_BYTE[number]
    encoded = bytearray()
    while number >= 0x80:  # noqa: PLR2004 - likewise
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_ONE_BYTE = [bytes([number]) for number in range(0x80)]


def _prefixed(raw: bytes) -> bytes:
    return _varint(len(raw)) + raw


def _text(value: Any, _: int) -> bytes:
    if type(value) is not str:
        raise _MismatchError(value, "a string")
    return _prefixed(value.encode())


def _hex(value: Any, _: int) -> bytes:
    if type(value) is str:
        try:
            return _prefixed(bytes.fromhex(value))
        except ValueError:
            pass
    raise _MismatchError(value, "hexadecimal digits, two a byte")


def _base64(value: Any, _: int) -> bytes:
    if type(value) is str:
        standard = value.replace("-", "+").replace("_", "/").rstrip("=")
        try:
            return _prefixed(base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True))
        except (binascii.Error, ValueError):
            pass
    raise _MismatchError(value, "base64")


def _boolean(value: Any, _: int) -> bytes:
    if type(value) is not bool:
        raise _MismatchError(value, "true or false")
    return b"\1" if value else b"\0"


def _whole(value: Any, lowest: int, highest: int) -> int:
    """An integer as a number, as a number without a fraction, or as a text of digits."""
    if type(value) is int:
        number = value
    elif (type(value) is str and _DIGITS.fullmatch(value)) or (type(value) is float and value.is_integer()):
        number = int(value)
    else:
        number = highest + 1
    if lowest <= number <= highest:
        return number
    raise _MismatchError(value, f"an integer from {lowest} to {highest}")


_DIGITS = re.compile(r"-?[0-9]{1,20}")


def _integers(bits: int, *, signed: bool, zigzag: bool = False) -> _Encoder:
    lowest, highest = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)

    def encode(value: Any, _: int) -> bytes:
        number = _whole(value, lowest, highest)
        return _varint((number << 1) ^ (number >> bits) if zigzag else number % (1 << 64))

    return encode


def _fixed(form: str, lowest: int, highest: int) -> _Encoder:
    packing = struct.Struct(form)

    def encode(value: Any, _: int) -> bytes:
        return packing.pack(_whole(value, lowest, highest))

    return encode


def _double(value: Any, _: int) -> bytes:
    if type(value) is float or type(value) is int:
        return _DOUBLE.pack(value)  # JSON's integers here have 64 bits: all of them fit
    if type(value) is str and (_DECIMAL.fullmatch(value) or value in ("NaN", "Infinity", "-Infinity")):
        return _DOUBLE.pack(float(value))
    raise _MismatchError(value, 'a number, "NaN", "Infinity" or "-Infinity"')


_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_DOUBLE = struct.Struct("<d")


def _enum(kind: str) -> _Encoder:
    names = _NUMBERS[kind]

    def encode(value: Any, _: int) -> bytes:
        number = names.get(value) if type(value) is str else None
        try:
            return _varint(number if number is not None else _whole(value, -(1 << 31), (1 << 31) - 1) % (1 << 64))
        except _MismatchError as error:
            error.expected = f"an integer or a name such as {next(reversed(names))}"
            raise

    return encode


_SCALARS: dict[str, tuple[int, _Encoder]] = {
    "string": (_LEN, _text),
    "id": (_LEN, _hex),
    "bytes": (_LEN, _base64),
    "bool": (_VARINT, _boolean),
    "int64": (_VARINT, _integers(64, signed=True)),
    "uint64": (_VARINT, _integers(64, signed=False)),
    "uint32": (_VARINT, _integers(32, signed=False)),
    "sint32": (_VARINT, _integers(32, signed=True, zigzag=True)),
    "fixed64": (_I64, _fixed("<Q", 0, (1 << 64) - 1)),
    "sfixed64": (_I64, _fixed("<q", -(1 << 63), (1 << 63) - 1)),
    "fixed32": (_I32, _fixed("<I", 0, (1 << 32) - 1)),
    "double": (_I64, _double),
    **{kind: (_VARINT, _enum(kind)) for kind in _ENUMS},
}


def _submessage(layout: _Layout) -> _Encoder:
    def encode(value: Any, depth: int) -> bytes:
        return _prefixed(_message(value, layout, depth + 1))

    return encode


def _layouts() -> dict[str, _Layout]:
    """Every message by its JSON keys, camelCase and snake_case."""
    layouts: dict[str, _Layout] = {name: {} for name in wire.MESSAGES}
    for name, fields in wire.MESSAGES.items():
        for field in fields.values():
            wire_type, encode = (_LEN, _submessage(layouts[field.kind])) if field.is_message else _SCALARS[field.kind]
            packed = field.repeated and wire_type != _LEN
            tag = _varint(field.number << 3 | (_LEN if packed else wire_type))
            entry = (tag, encode, field.repeated, packed)
            layouts[name][field.name] = layouts[name][_camel(field.name)] = entry
    return layouts


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


_LAYOUTS = _layouts()
