"""Protobuf's fields, found by NumPy: all messages advance in step.

In the first round the first field of each message is read, in the second the second, and so on. A round costs some
twenty array operations whatever the number of messages.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from gnomon_server.decode.otlp.bounds import MAX_FIELDS, MAX_FIELDS_OF_ONE, check_count

VARINT, I64, LEN, I32 = 0, 1, 2, 5
_SIZES = np.array([0, 8, 0, -1, -1, 4, -1, -1], np.int64)  # by wire type; -1: not for us
_FEW = 48  # below this many messages a plain loop is faster than rounds of array operations: 0.4 us a field, 28 a round
_PADDING = bytes(32)  # so that reading a tag, a varint and eight bytes never leaves the buffer
_CONTINUES = 0x80


class UnusualError(Exception):
    """Legal or not, it is nothing that the scanner reads."""


@dataclass(slots=True)
class Messages:
    """Messages of one type that stand one after the other in `data`: int64[n] starts and ends."""

    body: bytes
    data: np.ndarray  # uint8, the body and its padding
    starts: np.ndarray
    ends: np.ndarray

    @classmethod
    def joined(cls, raws: list[bytes]) -> "Messages":
        """From the bytes of each."""
        body = b"".join([*raws, _PADDING])
        ends = np.cumsum(np.fromiter(map(len, raws), np.int64, len(raws)))
        starts = np.zeros(len(raws), np.int64)
        starts[1:] = ends[:-1]
        return cls(body, np.frombuffer(body, np.uint8), starts, ends)


def fields(messages: Messages) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Columns owner, tag, at, length of every field."""
    data = messages.data
    owner = np.flatnonzero(messages.ends > messages.starts)
    position, end = messages.starts[owner], messages.ends[owner]
    rounds: list[tuple[np.ndarray, ...]] = []
    count = 0
    while len(owner) >= _FEW:
        tag, at, length = _next(data, position)
        position = at + length
        if (position > end).any():
            raise UnusualError
        rounds.append((owner, tag, at, length))
        count += len(owner)
        check_count(count, MAX_FIELDS, "fields")
        unfinished = position < end
        if not unfinished.all():
            owner, position, end = owner[unfinished], position[unfinished], end[unfinished]
    rest = [
        (number, *found)
        for number, start, stop in zip(owner.tolist(), position.tolist(), end.tolist(), strict=True)
        for found in _fields_of_one(messages.body, start, stop)
    ]
    if rest:
        rounds.append(tuple(np.array(column, np.int64) for column in zip(*rest, strict=True)))
    if not rounds:
        return tuple(np.zeros(0, np.int64) for _ in range(4))  # type: ignore[return-value]
    return tuple(np.concatenate(columns) for columns in zip(*rounds, strict=True))  # type: ignore[return-value]


def _next(data: np.ndarray, position: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The field at each position: its tag, where its payload begins, how long that is."""
    tag = data.take(position).astype(np.int64)
    at = position + 1
    two = tag >= _CONTINUES
    if two.any():
        second = data.take(at[two]).astype(np.int64)
        if (second >= _CONTINUES).any():  # field numbers above 2047: none of ours
            raise UnusualError
        tag[two] = (tag[two] & 0x7F) | (second << 7)
        at += two
    wire_type = tag & 7
    length = _SIZES.take(wire_type)
    if (length < 0).any() or (tag < 8).any():  # noqa: PLR2004 - below 8 the field number is 0
        raise UnusualError
    if (prefixed := np.flatnonzero(wire_type == LEN)).size:
        value, width = varints(data, at[prefixed])
        if (value > len(data)).any():
            raise UnusualError
        at[prefixed] += width
        length[prefixed] = value.astype(np.int64)
    if (numbers := np.flatnonzero(wire_type == VARINT)).size:
        length[numbers] = varints(data, at[numbers])[1]
    return tag, at, length


def varints(data: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of variable length: their values, uint64[n], and widths in bytes, int64[n]."""
    byte = data.take(at)
    width = np.ones(len(at), np.int64)
    if not len(at) or byte.max() < _CONTINUES:
        return byte.astype(np.uint64), width
    value = (byte & 0x7F).astype(np.uint64)
    going = np.flatnonzero(byte >= _CONTINUES)
    for shift in itertools.count(7, 7):
        byte = data.take(at[going] + shift // 7)
        if shift > 63 or (shift == 63 and (byte > 1).any()):  # noqa: PLR2004 - a varint has 64 bits
            raise UnusualError
        value[going] |= (byte & 0x7F).astype(np.uint64) << np.uint64(shift)
        width[going] += 1
        going = going[byte >= _CONTINUES]
        if not len(going):
            return value, width
    raise AssertionError  # the loop above always leaves


def _fields_of_one(body: bytes, position: int, end: int) -> list[tuple[int, int, int]]:  # noqa: C901 - a wire type a branch
    """Tag, start and length of every field of one message."""
    found = []
    while position < end:
        tag = body[position]
        position += 1
        if tag >= _CONTINUES:
            tag, position = (tag & 0x7F) | body[position] << 7, position + 1
        wire_type = tag & 7
        if tag < 8 or tag >= 1 << 14:  # noqa: PLR2004 - see _next
            raise UnusualError
        if wire_type == LEN:
            length = body[position]
            position += 1
            if length >= _CONTINUES:
                length, position = _varint(body, position - 1)
        elif wire_type == VARINT:
            length = _varint(body, position)[1] - position
        elif wire_type == I64:
            length = 8
        elif wire_type == I32:
            length = 4
        else:
            raise UnusualError
        found.append((tag, position, length))
        if len(found) > MAX_FIELDS_OF_ONE:
            check_count(len(found), MAX_FIELDS_OF_ONE, "fields of one record")
        position += length
        if position > end:
            raise UnusualError
    return found


def _varint(body: bytes, position: int) -> tuple[int, int]:
    """A number of variable length and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = body[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < _CONTINUES:
            if value >> 64:
                raise UnusualError
            return value, position
    raise UnusualError
