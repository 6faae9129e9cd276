"""Attributes of records as the five typed maps of a table, within limits.

The pairs of the common shapes are read together (pairs.py). The others (arrays, maps, bytes, nulls, what is over a
limit) are decoded here one by one and remembered by their bytes in a bounded table, for they repeat. Of equal keys in
one record the last one counts, as in a map that is filled in order.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp import values, wire
from gnomon_server.decode.otlp.fields import Messages
from gnomon_server.decode.otlp.pairs import BOOL, FLOAT, INT, JSON, TEXT, AttributeLimits, One, Pairs
from gnomon_server.decode.otlp.scan import Pieces
from gnomon_server.model.batch import Rejections


class AttributeTable:
    """Decodes attributes within the limits; keeps the pairs of rarer shapes. Not thread-safe."""

    def __init__(self, limits: AttributeLimits, max_entries: int = 50_000, max_bytes: int = 32 << 20) -> None:
        self.limits = limits
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._known: dict[bytes, One] = {}
        self._bytes = 0

    def columns(self, counts: np.ndarray, pairs: Pieces, rejections: Rejections) -> list[pa.Array]:
        """The maps (model.tables.ATTRIBUTES) of records with `counts` pairs each, int64[n_records].

        Raises DecodeError when a pair is no KeyValue message, or is nested too deeply.
        """
        counts, pairs = self._limited(counts, pairs, rejections)
        read = Pairs(counts, pairs, self.limits, self._one)
        if read.cut:
            message = f"keys over {self.limits.key_bytes} or values over {self.limits.value_bytes} bytes are cut"
            rejections.alter("attribute_cut", message, read.cut)
        return read.columns()

    def of_raws(self, each: list[tuple[bytes, ...]], rejections: Rejections) -> list[pa.Array]:
        """The same from KeyValue messages, a tuple for each record."""
        messages = Messages.joined([raw for raws in each for raw in raws])
        pairs = Pieces(messages.body, messages.data, messages.starts, messages.ends - messages.starts)
        return self.columns(np.array([len(raws) for raws in each], np.int64), pairs, rejections)

    def _limited(self, counts: np.ndarray, pairs: Pieces, rejections: Rejections) -> tuple[np.ndarray, Pieces]:
        limit = self.limits.per_record
        if counts.max(initial=0) <= limit:
            return counts, pairs
        rejections.alter(
            "attributes_over_limit",
            f"a record keeps its first {limit} attributes",
            int(np.maximum(counts - limit, 0).sum()),
        )
        place = np.arange(len(pairs.starts)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = place < limit
        return np.minimum(counts, limit), Pieces(pairs.body, pairs.data, pairs.starts[kept], pairs.lengths[kept])

    def _one(self, raw: bytes) -> One:
        """A pair of any shape."""
        found = self._known.get(raw)
        if found is None:
            if len(self._known) >= self._max_entries or self._bytes > self._max_bytes:
                self._known.clear()
                self._bytes = 0
            found = self._known[raw] = self._decode(raw)
            self._bytes += 2 * len(raw)
        return found

    def _decode(self, raw: bytes) -> One:
        message = wire.parse("KeyValue", raw)
        kind, value, cut = self._typed(message.value)
        key_cut = len(message.key) > self.limits.key_bytes
        key = values.text(message.key[: self.limits.key_bytes]).encode()
        return One(kind, key, value, cut or key_cut)

    def _typed(self, value: Any) -> tuple[int, Any, bool]:
        limit = self.limits.value_bytes
        match value.WhichOneof("which"):
            case "string_value":
                return TEXT, values.text(value.string_value[:limit]), len(value.string_value) > limit
            case "int_value":
                return INT, value.int_value, False
            case "double_value":
                return FLOAT, value.double_value, False
            case "bool_value":
                return BOOL, value.bool_value, False
            case _:
                stored, cut = values.to_json_within(values.plain(value), limit)
                return JSON, stored, cut


__all__ = ["AttributeLimits", "AttributeTable"]
