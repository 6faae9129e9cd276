"""Protobuf read by NumPy: the fields of many messages of one type at once.

All messages advance in step: in the first round the first field of each is read, in the second the second, and so on. A
round costs some twenty array operations whatever the number of messages, so a field costs about 20 ns instead of the
60 ns of one attribute read from a parsed message, and no Python object is made for it.

What ordinary encoders do not write (groups, a submessage sent in two pieces, unpacked numbers, a field cut short) is
unusual: upb then rewrites the messages in their canonical form, or refuses them.
"""

import itertools
from dataclasses import dataclass, field

import numpy as np

from gnomon_server.decode.otlp import wire

VARINT, I64, LEN, I32 = 0, 1, 2, 5
_SIZES = np.array([0, 8, 0, -1, -1, 4, -1, -1], np.int64)  # by wire type; -1: not for us
_FEW = 6  # below this many messages a plain loop is faster than rounds of array operations
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


@dataclass(slots=True)
class Pieces:
    """Stretches of bytes in one buffer, in ascending order: int64[n] starts and lengths."""

    body: bytes
    data: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    @property
    def ends(self) -> np.ndarray:
        """Where each ends."""
        return self.starts + self.lengths

    def raws(self) -> list[bytes]:
        """The bytes of each."""
        return [self.body[start:end] for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True)]


@dataclass(slots=True)
class Scanned:
    """The fields of n messages, in the order of reading; ask for them by name."""

    messages: Messages
    layout: dict[str, wire.Field]
    owner: np.ndarray  # int64[n_fields], the message of each
    tag: np.ndarray  # int64[n_fields]
    at: np.ndarray  # int64[n_fields], where its payload begins
    length: np.ndarray  # int64[n_fields], of its payload
    _words: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        data = self.messages.data
        self._words = np.ndarray((len(data) - 7,), "<u8", data, 0, (1,))

    def __len__(self) -> int:
        return len(self.messages.starts)

    def _chosen(self, name: str, wire_type: int) -> np.ndarray:
        return np.flatnonzero(self.tag == (self.layout[name].number << 3 | wire_type))

    def present(self, name: str, wire_type: int) -> np.ndarray:
        """bool[n]: which messages have the field."""
        result = np.zeros(len(self), np.bool_)
        result[self.owner[self._chosen(name, wire_type)]] = True
        return result

    def words(self, name: str) -> np.ndarray:
        """A field of eight bytes: uint64[n], 0 where absent; of several the last one counts."""
        chosen = self._chosen(name, I64)
        result = np.zeros(len(self), np.uint64)
        result[self.owner[chosen]] = self._words[self.at[chosen]]
        return result

    def doubles(self, name: str) -> np.ndarray:
        """A double: float64[n], 0 where absent."""
        return self.words(name).view(np.float64)

    def halves(self, name: str) -> np.ndarray:
        """A field of four bytes: uint32[n]."""
        chosen = self._chosen(name, I32)
        result = np.zeros(len(self), np.uint32)
        result[self.owner[chosen]] = self._words[self.at[chosen]].astype(np.uint32)
        return result

    def varints(self, name: str) -> np.ndarray:
        """A number of variable length: uint64[n], 0 where absent."""
        chosen = self._chosen(name, VARINT)
        result = np.zeros(len(self), np.uint64)
        if len(chosen):
            result[self.owner[chosen]] = varints(self.messages.data, self.at[chosen])[0]
        return result

    def pieces(self, name: str) -> Pieces:
        """Bytes (a text, a submessage, packed numbers), one piece a message, empty where absent; the last one counts."""
        starts, lengths = self.messages.starts.copy(), np.zeros(len(self), np.int64)
        chosen = self._chosen(name, LEN)
        owner = self.owner[chosen]
        starts[owner], lengths[owner] = self.at[chosen], self.length[chosen]
        return Pieces(self.messages.body, self.messages.data, starts, lengths)

    def repeated(self, name: str) -> tuple[np.ndarray, Pieces]:
        """A repeated field: how many each message has, int64[n], and all of them message by message."""
        chosen = self._chosen(name, LEN)
        chosen = chosen[np.argsort(self.at[chosen], kind="stable")]
        counts = np.bincount(self.owner[chosen], minlength=len(self))
        return counts, Pieces(self.messages.body, self.messages.data, self.at[chosen], self.length[chosen])

    def check(self) -> None:
        """Raise UnusualError where the columns would not say what upb says."""
        seen = set(np.unique(self.tag).tolist())
        of_oneof = [tag for f in self.layout.values() if f.in_oneof for tag in seen if tag >> 3 == f.number]
        if len(of_oneof) > 1:
            self._check_once(np.isin(self.tag, of_oneof))
        for f in self.layout.values():
            if f.number << 3 | LEN not in seen:
                unpacked = f.repeated and any(f.number << 3 | other in seen for other in (VARINT, I64))
            elif f.repeated and not f.is_message:
                self._check_once(self.tag >> 3 == f.number)
                unpacked = bool((self.length[self._chosen(f.name, LEN)] % 8).any())
            else:
                unpacked = False
                if f.is_message and not f.repeated:
                    self._check_once(self.tag == (f.number << 3 | LEN))
            if unpacked:
                raise UnusualError

    def _check_once(self, chosen: np.ndarray) -> None:
        if np.bincount(self.owner[chosen]).max(initial=0) > 1:
            raise UnusualError


def scan(message: str, raws: list[bytes]) -> Scanned:
    """The fields of messages of one type, given the bytes of each. Raises DecodeError when they are no such message."""
    try:
        return _scan(message, raws)
    except UnusualError:
        return _scan(message, [wire.canonical(message, raw) for raw in raws])


def _scan(message: str, raws: list[bytes]) -> Scanned:
    messages = Messages.joined(raws)
    scanned = Scanned(messages, wire.MESSAGES[message], *_fields(messages))
    scanned.check()
    return scanned


def _fields(messages: Messages) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Columns owner, tag, at, length of every field."""
    data = messages.data
    owner = np.flatnonzero(messages.ends > messages.starts)
    position, end = messages.starts[owner], messages.ends[owner]
    rounds: list[tuple[np.ndarray, ...]] = []
    while len(owner) >= _FEW:
        tag, at, length = _next(data, position)
        position = at + length
        if (position > end).any():
            raise UnusualError
        rounds.append((owner, tag, at, length))
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


def _fields_of_one(body: bytes, position: int, end: int) -> list[tuple[int, int, int]]:
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
