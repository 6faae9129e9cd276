"""Attributes decoded once: a bounded table from the raw bytes of a KeyValue to its typed key and value.

Telemetry repeats itself: in a batch of spans most key-value pairs were seen before, byte for byte. The table maps such
bytes to a dense number; kinds, keys and values stand in arrays under that number, so that the rest of the decoder is
`take` on integers. New pairs of the common shape (short key, short text) are decoded together with NumPy; the others
one by one. When the table is full it is emptied between batches: a bound without bookkeeping.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from google.protobuf.message import DecodeError

from gnomon_server.decode.otlp import values, wire
from gnomon_server.model.batch import Rejections
from gnomon_server.model.tables import ATTRIBUTES

TEXT, INT, FLOAT, BOOL, JSON, BROKEN = range(6)

_SHORT = 128  # below this a protobuf length is one byte


@dataclass(frozen=True, slots=True)
class AttributeLimits:
    """What one record may carry; past it, attributes are cut and counted by name."""

    per_record: int = 1000
    key_bytes: int = 1024
    value_bytes: int = 65536


class AttributeTable:
    """Interned key-value pairs. Not thread-safe: one table a decoding thread."""

    def __init__(self, limits: AttributeLimits, max_entries: int = 250_000, max_bytes: int = 64 << 20) -> None:
        self.limits = limits
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._clear()

    def _clear(self) -> None:
        self._number_of: dict[bytes, int] = {}
        self._keys: dict[str, int] = {}
        self._kinds = np.empty(1024, np.uint8)
        self._key_ids = np.empty(1024, np.int32)
        self._ints = np.zeros(1024, np.int64)
        self._floats = np.zeros(1024, np.float64)
        self._cut = np.zeros(1024, np.bool_)
        self._texts: list[pa.Array] = []
        self._count = 0
        self._bytes = 0

    def begin(self) -> None:
        """Call before each batch: empties a table that has reached its bound."""
        if self._count > self._max_entries or self._bytes > self._max_bytes:
            self._clear()

    def intern(self, raws: list[bytes]) -> np.ndarray:
        """Numbers of the given pairs: int64[n]. All of it runs in C but for pairs never seen before."""
        base = self._count
        numbers = np.fromiter(
            map(self._number_of.setdefault, raws, itertools.count(base)), dtype=np.int64, count=len(raws)
        )
        # A pair is new where it got its own running number; new pairs are then renumbered densely.
        is_new = numbers == np.arange(base, base + len(raws))
        if not is_new.any():
            return numbers
        new = list(itertools.compress(raws, is_new.tolist()))
        self._append(new)
        self._number_of.update(zip(new, range(base, base + len(new)), strict=True))
        dense = np.cumsum(is_new) - 1 + base
        return np.where(numbers >= base, dense[np.maximum(numbers - base, 0)], numbers)

    def _append(self, new: list[bytes]) -> None:
        first, count = self._count, self._count + len(new)
        self._grow(count)
        fast, texts = self._decode_short_texts(new, first)
        slow_texts: dict[int, str] = {}
        for position in np.flatnonzero(~fast).tolist():
            slow_texts[position] = self._decode_one(new[position], first + position)
        if slow_texts:
            column: list[Any] = texts.to_pylist()
            for position, value in slow_texts.items():
                column[position] = value
            texts = pa.array(column, pa.string())
        self._texts.append(texts)
        self._count = count
        self._bytes += sum(map(len, new))

    def _grow(self, count: int) -> None:
        if count <= len(self._kinds):
            return
        size = max(count, 2 * len(self._kinds))
        for name in ("_kinds", "_key_ids", "_ints", "_floats", "_cut"):
            old = getattr(self, name)
            new = np.zeros(size, old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)

    def _key_id(self, key: str) -> int:
        return self._keys.setdefault(key, len(self._keys))

    def _decode_short_texts(self, new: list[bytes], first: int) -> tuple[np.ndarray, pa.Array]:
        """The common shape, for all new pairs at once: which have it (bool[n]), and their texts (null elsewhere).

        The shape is 0A klen key 12 vlen 0A slen text, every length below 128: a text under a short key.
        """
        lengths = np.fromiter(map(len, new), np.int64, len(new))
        data = np.frombuffer(b"".join(new) + bytes(8), np.uint8)
        starts = np.cumsum(lengths) - lengths

        def at(index: np.ndarray) -> np.ndarray:
            return data[np.minimum(index, len(data) - 1)].astype(np.int64)

        key_length = at(starts + 1)
        value = starts + 2 + key_length  # where the tag of the value stands
        text_length = at(value + 3)
        fast = (
            (at(starts) == 0x0A)
            & (key_length < _SHORT)
            & (at(value) == 0x12)
            & (at(value + 1) == text_length + 2)
            & (at(value + 2) == 0x0A)
            & (text_length < _SHORT - 2)
            & (lengths == 6 + key_length + text_length)
        )
        keys = _slices(data, starts + 2, np.where(fast, key_length, 0), pa.binary())
        texts = _slices(data, value + 4, np.where(fast, text_length, 0), pa.string())
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid:  # some text is not UTF-8: all of this batch's new pairs take the slow, mending way
            return np.zeros(len(new), np.bool_), pa.nulls(len(new), pa.string())
        encoded = keys.dictionary_encode()
        ids = np.array([self._key_id(values.text(key)) for key in encoded.dictionary.to_pylist()], np.int32)
        span = slice(first, first + len(new))
        self._kinds[span] = TEXT
        self._key_ids[span] = ids[encoded.indices.to_numpy()]
        self._cut[span] = False
        return fast, texts

    def _decode_one(self, raw: bytes, number: int) -> str:
        """Any pair, by its message; returns the text to store (JSON for kind JSON, empty for numbers)."""
        self._cut[number] = False
        try:
            pair = wire.KeyValue.FromString(raw)
            key, value = values.text(pair.key), pair.value
            which = value.WhichOneof("which")
            kind, stored = self._typed(which, value, number)
        except (DecodeError, RecursionError):
            self._kinds[number], self._key_ids[number] = BROKEN, 0
            return ""
        if len(pair.key) > self.limits.key_bytes:
            key, self._cut[number] = values.text(pair.key[: self.limits.key_bytes]), True
        self._kinds[number], self._key_ids[number] = kind, self._key_id(key)
        return stored

    def _typed(self, which: str | None, value: Any, number: int) -> tuple[int, str]:
        limit = self.limits.value_bytes
        match which:
            case "string":
                if len(value.string) > limit:
                    self._cut[number] = True
                return TEXT, values.text(value.string[:limit])
            case "int":
                self._ints[number] = value.int
                return INT, ""
            case "double":
                self._floats[number] = value.double
                return FLOAT, ""
            case "bool":
                self._ints[number] = value.bool
                return BOOL, ""
            case _:
                stored = values.to_json(values.plain(value))
                if len(stored) > limit:
                    self._cut[number] = True
                    stored = values.to_json({"$cut": stored[:limit]})
                return JSON, stored

    def columns(self, numbers: np.ndarray, counts: np.ndarray, rejections: Rejections) -> list[pa.Array]:
        """The five typed maps (model.tables.ATTRIBUTES) of records whose attributes stand one after the other.

        `numbers`: int64[sum(counts)], the pairs as interned; `counts`: int64[n_records].
        """
        numbers, counts = self._limited(numbers, counts, rejections)
        kinds = self._kinds[numbers]
        cut = int(self._cut[numbers].sum())
        if cut:
            rejections.alter(
                "attribute_cut",
                f"keys over {self.limits.key_bytes} or values over {self.limits.value_bytes} bytes are cut",
                cut,
            )
        if (kinds == BROKEN).any():
            raise DecodeError("an attribute is not a KeyValue message, or is nested too deeply")
        keys = pa.array(list(self._keys), pa.string())
        texts = self._all_texts()
        record_of = np.repeat(np.arange(len(counts)), counts)
        result = []
        for kind, (_, map_type) in enumerate(ATTRIBUTES):
            chosen = kinds == kind
            if chosen.all():
                picked, picked_counts = numbers, counts
            else:
                picked = numbers[chosen]
                picked_counts = np.bincount(record_of[chosen], minlength=len(counts))
            offsets = np.zeros(len(counts) + 1, np.int32)
            np.cumsum(picked_counts, out=offsets[1:])
            result.append(
                pa.MapArray.from_arrays(
                    pa.array(offsets), keys.take(pa.array(self._key_ids[picked])), self._values(kind, picked, texts)
                ).cast(map_type)
            )
        return result

    def _values(self, kind: int, picked: np.ndarray, texts: pa.Array) -> pa.Array:
        if kind in (TEXT, JSON):
            return texts.take(pa.array(picked))
        if kind == FLOAT:
            return pa.array(self._floats[picked])
        ints = self._ints[picked]
        return pa.array(ints.astype(np.bool_) if kind == BOOL else ints)

    def _all_texts(self) -> pa.Array:
        if len(self._texts) > 1:
            self._texts = [pa.concat_arrays(self._texts)]
        return self._texts[0] if self._texts else pa.array([], pa.string())

    def _limited(
        self, numbers: np.ndarray, counts: np.ndarray, rejections: Rejections
    ) -> tuple[np.ndarray, np.ndarray]:
        limit = self.limits.per_record
        if not len(counts) or counts.max() <= limit:
            return numbers, counts
        over = counts - limit
        rejections.alter(
            "attributes_over_limit",
            f"a record keeps its first {limit} attributes",
            int(over[over > 0].sum()),
        )
        place = np.arange(len(numbers)) - np.repeat(np.cumsum(counts) - counts, counts)
        return numbers[place < limit], np.minimum(counts, limit)


def _slices(data: np.ndarray, starts: np.ndarray, lengths: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Arrow text of the given slices of a byte array, without a Python object for each."""
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    index = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
    return pa.Array.from_buffers(kind, len(lengths), [None, pa.py_buffer(offsets), pa.py_buffer(data[index])])


def map_of_texts(rows: list[dict[str, str]]) -> pa.Array:
    """Small maps of text (labels, metadata) as an Arrow map column."""
    return pa.array([list(row.items()) for row in rows], pa.map_(pa.string(), pa.string()))

