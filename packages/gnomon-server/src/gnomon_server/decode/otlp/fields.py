"""Protobuf's fields of many messages at once: https://protobuf.dev/programming-guides/encoding/."""

from dataclasses import dataclass

import numpy as np

from gnomon_server.compiled import compiled
from gnomon_server.decode.otlp.bounds import MAX_FIELDS, check_count

VARINT, I64, LEN, I32 = 0, 1, 2, 5
_PADDING = bytes(32)  # so that eight bytes at any place never leave the buffer
_CONTINUES = 0x80
_LAST_SHIFT = 28  # of a length: no message of ours has 2 GB
_WIDEST = 10  # bytes of a number of 64 bits, of which the last has one
_UNUSUAL, _TOO_MANY = -1, -2


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
    """Columns owner, tag, at, length of every field, int64[m], message after message."""
    place = messages.data, messages.starts, messages.ends
    count = _walk(*place, np.empty((4, 0), np.int64))
    if count == _UNUSUAL:
        raise UnusualError
    if count == _TOO_MANY:
        check_count(MAX_FIELDS + 1, MAX_FIELDS, "fields")
    found = np.empty((4, count), np.int64)
    _walk(*place, found)
    return found[0], found[1], found[2], found[3]


@compiled
def _walk(data: np.ndarray, starts: np.ndarray, ends: np.ndarray, found: np.ndarray) -> int:  # noqa: C901, PLR0911, PLR0912
    """How many fields there are, or what is wrong; where `found` has room, int64[4, m], they are written there."""
    count, fill = 0, found.shape[1] > 0
    for one in range(len(starts)):
        position, end = starts[one], ends[one]
        while position < end:
            tag = np.int64(data[position])
            position += 1
            if tag >= _CONTINUES:
                # Field numbers above 2047: none of ours.
                if position >= end or data[position] >= _CONTINUES:
                    return _UNUSUAL
                tag = (tag & 0x7F) | np.int64(data[position]) << 7
                position += 1
            wire_type, size, shift = tag & 7, np.int64(0), 0
            if tag >> 3 == 0:
                return _UNUSUAL
            if wire_type == LEN:
                while True:
                    if position >= end or shift > _LAST_SHIFT:
                        return _UNUSUAL
                    byte = np.int64(data[position])
                    position += 1
                    size |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < _CONTINUES:
                        break
            elif wire_type == VARINT:
                while position + size < end and data[position + size] >= _CONTINUES:
                    size += 1
                size += 1
                if size > _WIDEST or (size == _WIDEST and data[position + size - 1] > 1):
                    return _UNUSUAL
            elif wire_type in (I64, I32):
                size = np.int64(8 if wire_type == I64 else 4)
            else:
                return _UNUSUAL
            if size > end - position:
                return _UNUSUAL
            if fill:
                found[0, count], found[1, count], found[2, count], found[3, count] = one, tag, position, size
            count += 1
            if count > MAX_FIELDS:
                return _TOO_MANY
            position += size
    return count


def varints(data: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of variable length: their values, uint64[n], and widths in bytes, int64[n]."""
    values, widths = np.empty(len(at), np.uint64), np.empty(len(at), np.int64)
    if not _read(data, at, values, widths):
        raise UnusualError
    return values, widths


@compiled
def _read(data: np.ndarray, at: np.ndarray, values: np.ndarray, widths: np.ndarray) -> bool:
    """Whether all of them are numbers of 64 bits."""
    for one in range(len(at)):
        value, width = np.uint64(0), 0
        while True:
            byte = data[at[one] + width]
            if width == _WIDEST - 1 and byte > 1:
                return False
            value |= np.uint64(byte & 0x7F) << np.uint64(7 * width)
            width += 1
            if byte < _CONTINUES:
                break
        values[one], widths[one] = value, width
    return True
