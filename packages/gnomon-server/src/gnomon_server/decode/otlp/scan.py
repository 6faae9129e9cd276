"""Protobuf as columns: the fields of many messages of one type at once, without a Python object for any of them.

What ordinary encoders do not write (groups, a submessage sent in two pieces, unpacked numbers, a field cut short) is
unusual: upb then rewrites the messages in their canonical form, or refuses them.
"""

from dataclasses import dataclass, field

import numpy as np

from gnomon_server.decode.otlp import wire
from gnomon_server.decode.otlp.fields import I32, I64, LEN, VARINT, Messages, UnusualError, fields, varints


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
        result: np.ndarray = self.starts + self.lengths
        return result

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
        chosen: np.ndarray = (self.tag == (self.layout[name].number << 3 | wire_type)).nonzero()[0]
        return chosen

    def has(self, name: str) -> bool:
        """Whether any message has a field of bytes."""
        return bool((self.tag == (self.layout[name].number << 3 | LEN)).any())

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
        """Bytes (text, submessage, packed numbers), one piece a message, empty where absent; the last one counts."""
        starts, lengths = self.messages.starts.copy(), np.zeros(len(self), np.int64)
        chosen = self._chosen(name, LEN)
        owner = self.owner[chosen]
        starts[owner], lengths[owner] = self.at[chosen], self.length[chosen]
        return Pieces(self.messages.body, self.messages.data, starts, lengths)

    def repeated(self, name: str) -> tuple[np.ndarray, Pieces]:
        """A repeated field: how many each message has, int64[n], and all of them message by message."""
        chosen = self._chosen(name, LEN)
        counts = np.bincount(self.owner[chosen], minlength=len(self))
        return counts, Pieces(self.messages.body, self.messages.data, self.at[chosen], self.length[chosen])

    def check(self) -> None:
        """Raise UnusualError where the columns would not say what upb says."""
        seen = set(np.bincount(self.tag).nonzero()[0].tolist())  # tags are below 2**14; np.unique is 50 times slower
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
    scanned = Scanned(messages, wire.MESSAGES[message], *fields(messages))
    scanned.check()
    return scanned
