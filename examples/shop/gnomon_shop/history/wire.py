"""OTLP records as rows of bytes: a message is encoded once with marks in its variable places, then copied and filled.

Ids and times have a fixed width in the wire format, texts are kept at one width by whoever makes them, and a varint may
be longer than it needs to be. So every record of one shape is as long as the next, n of them are a `uint8[n, width]`,
and a column is written by NumPy at once.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

Bytes = NDArray[np.uint8]  # [n, width]

_LENGTH_DELIMITED = 2


@dataclass(frozen=True)
class Number:
    """A variable attribute: an integer below 2^28, column `name`."""

    name: str


@dataclass(frozen=True)
class Real:
    """A variable attribute: a double, column `name`."""

    name: str


# A text may hold columns as `$name`; how wide they are is told to `Marks`.
Value = str | bool | int | float | Number | Real
Attributes = Mapping[str, Value]

_COLUMN = re.compile(r"\$(\w+)")
_VARINT_BYTES = 4
_RARE = b"|^`\\"  # in none of our texts, and large for a length
_WIDEST = 2 ** (7 * _VARINT_BYTES) - 1


@dataclass
class Marks:
    """The variable places of one message."""

    widths: Mapping[str, int] = field(default_factory=dict)  # of texts, in ASCII characters
    _places: list[tuple[str, bytes, int]] = field(default_factory=list)
    _varints: set[str] = field(default_factory=set)

    def raw(self, name: str, width: int) -> bytes:
        """A mark that stands nowhere else in the message, which `template` makes sure of."""
        if width == 1:
            narrow = sum(each == 1 for _, _, each in self._places)
            mark = _RARE[narrow : narrow + 1]
        else:
            mark = bytes([1 + len(self._places)]) + b"~" * (width - 2) + b"\x7f"
        self._places.append((name, mark, width))
        return mark

    def text(self, text: str) -> str:
        """A text with the columns in it marked."""
        return _COLUMN.sub(lambda found: self.raw(found[1], self.widths[found[1]]).decode(), text)

    def fixed64(self, name: str) -> int:
        """A mark in a fixed64 field."""
        return int.from_bytes(self.raw(name, 8), "little")

    def double(self, name: str) -> float:
        """A mark in a double field."""
        return float(struct.unpack("<d", self.raw(name, 8))[0])

    def fixed64s(self, name: str, count: int) -> list[int]:
        """A mark in a packed field of `count` fixed64."""
        first = self.fixed64(name)
        self._places[-1] = name, self._places[-1][1], 8 * count
        return [first] + [0] * (count - 1)

    def varint(self, name: str) -> int:
        """A mark in an int64 field, four bytes wide."""
        groups = (len(self._places), 0x55, 0x2A, 0x5A)
        self._places.append((name, bytes([0x80 | groups[0], 0xD5, 0xAA, 0x5A]), _VARINT_BYTES))
        self._varints.add(name)
        return sum(group << 7 * place for place, group in enumerate(groups))

    def varints(self, name: str, count: int) -> list[int]:
        """A mark in a packed field of `count` uint64, each four bytes wide."""
        first = self.varint(name)
        self._places[-1] = name, self._places[-1][1], _VARINT_BYTES * count
        return [first] + [_WIDEST] * (count - 1)

    def template(self, message: Message, number: int) -> "Template":
        """The message as a record, in field `number` of what holds it."""
        body = framed(number, message.SerializeToString())
        slots = []
        for name, mark, width in self._places:
            if body.count(mark) != 1:
                raise ValueError(f"the mark of {name} stands {body.count(mark)} times in the message")
            slots.append((name, body.index(mark), width, name in self._varints))
        return Template(np.frombuffer(body, np.uint8), slots)


@dataclass(frozen=True)
class Template:
    """A record with variable places."""

    body: Bytes
    slots: list[tuple[str, int, int, bool]]  # column, start, width, whether of varints

    def rows(self, columns: Mapping[str, NDArray[np.generic]], count: int) -> Bytes:
        """The record `count` times, each with its own values: 8-byte numbers, or `uint8[count, width]` of bytes."""
        rows = np.empty((count, len(self.body)), np.uint8)
        rows[:] = self.body
        for name, start, width, varints in self.slots:
            column = columns[name]
            if column.dtype != np.uint8:
                column = _varint_bytes(column) if varints else np.ascontiguousarray(column).view(np.uint8)
            rows[:, start : start + width] = column.reshape(count, width)
        return rows


def _varint_bytes(column: NDArray[np.generic]) -> Bytes:
    """Seven bits a byte, the lowest first; all but the last say that more is coming."""
    groups = column.astype(np.uint32)[..., None] >> np.arange(0, 7 * _VARINT_BYTES, 7, dtype=np.uint32) & 0x7F
    groups[..., :-1] |= 0x80
    return groups.astype(np.uint8)


def put(attributes: object, values: Attributes, marks: Marks) -> None:
    """Add attributes to a repeated `KeyValue` field."""
    for key, value in values.items():
        pair: KeyValue = attributes.add()  # type: ignore[attr-defined]
        pair.key = key
        if isinstance(value, Number):
            pair.value.int_value = marks.varint(value.name)
        elif isinstance(value, Real):
            pair.value.double_value = marks.double(value.name)
        elif isinstance(value, bool):
            pair.value.bool_value = value
        elif isinstance(value, int):
            pair.value.int_value = value
        elif isinstance(value, float):
            pair.value.double_value = value
        else:
            pair.value.string_value = marks.text(value)


def framed(number: int, body: bytes) -> bytes:
    """A length-delimited field."""
    return bytes([number << 3 | _LENGTH_DELIMITED]) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def of_resource(attributes: Attributes, scopes: Mapping[str, bytes]) -> bytes:
    """Field 1 of an export request: a resource and, by scope, its encoded records (field 2 of their group)."""
    resource = Resource()
    put(resource.attributes, attributes, Marks())
    body = framed(1, resource.SerializeToString())
    for scope, records in scopes.items():
        name, _, version = scope.partition("@")
        body += framed(2, framed(1, InstrumentationScope(name=name, version=version).SerializeToString()) + records)
    return framed(1, body)
