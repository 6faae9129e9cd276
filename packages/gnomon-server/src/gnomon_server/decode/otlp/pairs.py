"""Key-value pairs of one batch read together by NumPy, and the typed maps made of them.

Nearly every KeyValue has one shape: a short key and a text, integer, float or boolean. Their texts are copied by Arrow,
and only what has another shape is decoded by itself (attributes.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp import columns
from gnomon_server.decode.otlp.fields import UnusualError, varints
from gnomon_server.decode.otlp.scan import Pieces
from gnomon_server.model.tables import ATTRIBUTES

TEXT, INT, FLOAT, BOOL, JSON, OTHER = range(6)

_BYTE = 128  # below this a protobuf length is one byte
# The tag of the AnyValue's field -> its kind; what is not here is decoded one by one.
_KINDS = np.full(256, OTHER, np.uint8)
_KINDS[[0x0A, 0x10, 0x18, 0x21]] = TEXT, BOOL, INT, FLOAT
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)  # odd numbers of xxh3
_LOW_BYTES = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)  # masks: the first n bytes of a word


@dataclass(frozen=True, slots=True)
class AttributeLimits:
    """What one record may carry; past it, attributes are cut and counted by name."""

    per_record: int = 1000
    key_bytes: int = 1024
    value_bytes: int = 65536


@dataclass(frozen=True, slots=True)
class One:
    """A pair decoded by itself; `value` is a text (kinds TEXT and JSON) or a number."""

    kind: int
    key: bytes
    value: Any
    cut: bool


class Pairs:
    """The pairs of one batch: where the key and the text of each stand, its kind, its number."""

    def __init__(
        self, counts: np.ndarray, pairs: Pieces, limits: AttributeLimits, decode_one: Callable[[bytes], One]
    ) -> None:
        self.counts = counts
        self.cut = 0  # how many keys or values were over a limit
        self.body, self.data = pairs.body, pairs.data
        self.record = np.repeat(np.arange(len(counts)), counts)
        self.numbers = np.zeros(len(pairs.starts), np.uint64)
        self._read(pairs, limits)
        others = np.flatnonzero(self.kind == OTHER)
        # What Arrow takes keys and texts from: four stretches a pair (key, tags and lengths, text, up to the next key).
        self.stretches = np.empty(4 * len(self.kind) + 1, np.int32)
        for place, column in enumerate((self.key_at, self.head_at, self.text_at, pairs.ends)):
            self.stretches[place:-1:4] = column
        self.stretches[-1] = pairs.ends[-1] if len(self.kind) else 0
        self.key_slot = np.arange(0, 4 * len(self.kind), 4)
        self.text_slot = self.key_slot + 2
        if len(others):
            self._read_others(others, pairs, decode_one)

    def _read(self, pairs: Pieces, limits: AttributeLimits) -> None:
        """Kinds of the pairs of the common shape: 0A klen key 12 vlen (0A slen text | 10 bool | 18 int | 21 double)."""
        data, ends = self.data, pairs.ends
        window = np.minimum(pairs.starts, len(data) - 2)
        key_length = data.take(window + 1).astype(np.int64)
        self.key_at = window + 2
        last = len(data) - 8
        head = np.minimum(self.key_at + key_length, last)  # where the tag of the value stands
        value_length, tag_at = self._length(head + 1)
        tag = data.take(tag_at)
        text_length, text_at = self._length(tag_at + 1)
        framed = (
            (data.take(window) == 0x0A)  # noqa: PLR2004 - tags, see above
            & (key_length < _BYTE)
            & (data.take(head) == 0x12)  # noqa: PLR2004
            & (tag_at + value_length == ends)
            & (key_length <= limits.key_bytes)
        )
        self.kind = np.where(framed, _KINDS.take(tag), OTHER)
        fits = np.empty((4, len(tag)), np.bool_)
        fits[TEXT] = (text_at + text_length == ends) & (text_length <= limits.value_bytes)
        fits[BOOL] = (tag_at + 2 == ends) & (data.take(np.minimum(tag_at + 1, last)) < 2)  # noqa: PLR2004 - 0 or 1
        fits[INT] = tag_at + 2 <= ends
        fits[FLOAT] = tag_at + 9 == ends
        self.kind[~fits[np.minimum(self.kind, 3), np.arange(len(tag))]] = OTHER
        self._read_numbers(tag_at, ends)
        plain = self.kind != OTHER
        # Stretches must ascend: what is read one by one is a single stretch.
        self.key_at = np.where(plain, self.key_at, ends)
        self.head_at = np.where(plain, head, ends)
        self.text_at = np.where(self.kind == TEXT, text_at, ends)

    def _length(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lengths of one or two bytes, and where what they measure begins; longer ones read as impossible."""
        at = np.minimum(at, len(self.data) - 8)
        length = self.data.take(at).astype(np.int64)
        if not len(at) or length.max() < _BYTE:
            return length, at + 1
        long = np.flatnonzero(length >= _BYTE)
        second = self.data.take(at[long] + 1).astype(np.int64)
        length[long] = np.where(second < _BYTE, (length[long] & 0x7F) | (second << 7), 1 << 40)
        begin = at + 1
        begin[long] += 1
        return length, begin

    def _read_numbers(self, tag_at: np.ndarray, ends: np.ndarray) -> None:
        """Fill `numbers`: integers and booleans as uint64, floats by their bits."""
        words = np.ndarray((len(self.data) - 7,), "<u8", self.data, 0, (1,))
        floats = np.flatnonzero(self.kind == FLOAT)
        self.numbers[floats] = words[tag_at[floats] + 1]
        whole = np.flatnonzero((self.kind == INT) | (self.kind == BOOL))
        try:
            value, width = varints(self.data, tag_at[whole] + 1)
        except UnusualError:  # some integer is malformed: upb finds which
            self.kind[whole] = OTHER
            return
        self.numbers[whole] = value
        self.kind[whole[tag_at[whole] + 1 + width != ends[whole]]] = OTHER

    def _read_others(self, others: np.ndarray, pairs: Pieces, decode_one: Callable[[bytes], One]) -> None:
        """The pairs of rarer shapes; their keys and texts are added behind the buffer."""
        raws = Pieces(pairs.body, pairs.data, pairs.starts[others], pairs.lengths[others]).raws()
        ones = [decode_one(raw) for raw in raws]
        self.cut = sum(one.cut for one in ones)
        added = [
            piece for one in ones for piece in (one.key, one.value.encode() if isinstance(one.value, str) else b"")
        ]
        self.kind[others] = [one.kind for one in ones]
        self.numbers[others] = [_bits(one) for one in ones]
        first = len(self.stretches)
        self.key_slot[others] = np.arange(first, first + len(added), 2)
        self.text_slot[others] = np.arange(first + 1, first + len(added), 2)
        ends = len(self.body) + np.cumsum([0, *map(len, added)])
        self.stretches = np.concatenate([self.stretches, ends.astype(np.int32)])
        self.body = b"".join([self.body, *added, bytes(8)])
        self.data = np.frombuffer(self.body, np.uint8)

    def columns(self) -> list[pa.Array]:
        """The maps, one for each kind."""
        stretches = pa.Array.from_buffers(
            pa.binary(), len(self.stretches) - 1, [None, pa.py_buffer(self.stretches), pa.py_buffer(self.body)]
        )
        if not self._some_keys_may_repeat():
            every = np.ones(len(self.kind), np.bool_)
            try:
                return [self._map(kind, every, stretches) for kind in range(len(ATTRIBUTES))]
            except pa.ArrowInvalid:  # a key is not UTF-8: mended, it may equal another
                pass
        keys = columns.as_text(stretches.take(pa.array(self.key_slot)))
        last = self._last_of_equal(keys)
        return [self._map(kind, last, stretches, keys) for kind in range(len(ATTRIBUTES))]

    def _map(self, kind: int, keep: np.ndarray, stretches: pa.Array, mended: pa.Array | None = None) -> pa.Array:
        map_type = ATTRIBUTES[kind][1]
        chosen = np.flatnonzero((self.kind == kind) & keep)
        if not len(chosen):
            return _empty_maps(map_type, len(self.counts))
        counts = self.counts
        if len(chosen) < len(self.kind):
            counts = np.bincount(self.record[chosen], minlength=len(counts))
        if mended is None:
            keys = stretches.take(pa.array(self.key_slot[chosen])).cast(pa.string())
        else:
            keys = mended.take(pa.array(chosen))
        return pa.MapArray.from_arrays(columns.offsets(counts), keys, self._items(kind, chosen, stretches), map_type)

    def _items(self, kind: int, chosen: np.ndarray, stretches: pa.Array) -> pa.Array:
        if kind in (TEXT, JSON):
            return columns.as_text(stretches.take(pa.array(self.text_slot[chosen])))
        if kind == FLOAT:
            return pa.array(self.numbers[chosen].view(np.float64))
        return pa.array(self.numbers[chosen].view(np.int64) if kind == INT else self.numbers[chosen] != 0)

    def _some_keys_may_repeat(self) -> bool:
        """Whether two keys of one record look equal by a cheap hash: record, length, first and last eight bytes."""
        starts, ends = self.stretches[self.key_slot], self.stretches[self.key_slot + 1]
        lengths = ends - starts
        words = np.ndarray((len(self.data) - 7,), "<u8", self.data, 0, (1,))
        mask = _LOW_BYTES.take(np.minimum(lengths, 8))
        first, last = words[starts] & mask, words[np.maximum(ends - 8, starts)] & mask
        place = (self.record << 11 | np.minimum(lengths, 2047)).astype(np.uint64)
        mixed = (first ^ (last * _MIX[0])) * _MIX[1] + place * _MIX[2]
        mixed.sort()
        return bool((mixed[1:] == mixed[:-1]).any())

    def _last_of_equal(self, keys: pa.Array) -> np.ndarray:
        """bool[n_pairs]: True for the last pair of each key of a record."""
        encoded = keys.dictionary_encode()
        identity = self.record * max(1, len(encoded.dictionary)) + encoded.indices.to_numpy()
        keep = np.zeros(len(identity), np.bool_)
        keep[len(identity) - 1 - np.unique(identity[::-1], return_index=True)[1]] = True
        return keep


def _bits(one: One) -> int:
    """A number as the 64 bits that `numbers` holds."""
    if one.kind == FLOAT:
        return int(np.float64(one.value).view(np.uint64))
    return int(one.value) % (1 << 64) if one.kind in (INT, BOOL) else 0


def _empty_maps(map_type: pa.MapType, count: int) -> pa.Array:
    nothing = pa.array([], map_type.item_type)
    no_keys = pa.array([], pa.string())
    return pa.MapArray.from_arrays(pa.array(np.zeros(count + 1, np.int32)), no_keys, nothing, map_type)
