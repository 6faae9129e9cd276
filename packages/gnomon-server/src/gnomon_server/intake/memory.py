"""What intake remembers of what is stored already: descriptive rows, the last point of each series, recent span ids.

All of it is a shortcut in front of the store, never a truth of its own: what is forgotten costs a look-up or a row that
the store merges away. So every memory may be emptied when it reaches its bound.
"""

import numpy as np

from gnomon_server.compiled import compiled
from gnomon_server.intake.native_histograms import CELL, NOTHING, ROW, Histograms, stretches
from gnomon_server.model.index import Index, mixed

_NEVER = np.iinfo(np.int64).min
_LANES = 8
# The odd constants of Parquet's filter.
_SALTS = np.array(
    [0x47B6137B, 0x44974D91, 0x8824AD5B, 0xA2B7289D, 0x705495C7, 0x2DF1424B, 0x9EFC4947, 0x5C6BFB31], np.uint32
)


class SeenRows:
    """Which series, resources and metric descriptions the store has, by day (decode.otlp.context.Seen)."""

    def __init__(self, max_rows: int = 8_000_000) -> None:
        self._max_rows = max_rows
        self._by_kind: dict[tuple[str, str], Index] = {}

    def unseen(self, tenant: str, kind: str, ids: np.ndarray, days: np.ndarray) -> np.ndarray:
        """bool[n]: True where the row must be sent."""
        index = self._by_kind.get((tenant, kind))
        if index is None:
            return np.ones(len(ids), np.bool_)
        return index.find(mixed(ids, days)) < 0

    def add(self, tenant: str, kind: str, ids: np.ndarray, days: np.ndarray) -> None:
        """The store has these rows now."""
        if sum(map(len, self._by_kind.values())) > self._max_rows:
            self._by_kind.clear()
        index = self._by_kind.setdefault((tenant, kind), Index())
        keys = np.unique(mixed(ids, days))
        index.add(keys[index.find(keys) < 0])


class LastPoints:
    """Time and value of each series' newest stored sample.

    A sample later than that is certainly new; for delta temporality the value is the running total.
    """

    def __init__(self, max_series: int = 4_000_000) -> None:
        self._max_series = max_series
        self._clear()

    def _clear(self) -> None:
        self._index = Index()
        self._at = np.empty(0, np.int64)
        self._value = np.empty(0, np.float64)

    def get(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """bool[n] known, int64[n] time (ms), float64[n] value."""
        slots = self._index.find(keys)
        at, value = np.full(len(keys), _NEVER), np.zeros(len(keys))
        here = slots >= 0
        at[here], value[here] = self._at[slots[here]], self._value[slots[here]]
        return at != _NEVER, at, value

    def put(self, keys: np.ndarray, at: np.ndarray, value: np.ndarray) -> np.ndarray:
        """Remember the newest of these points.

        Returns:
            bool[n]: which are certainly new: of a series that was known, and later than all its points before, of which
            those stand here in front as well.
        """
        slots = self._index.find(keys)
        if (slots < 0).any():
            self._index.add(np.unique(keys[slots < 0]))
            grown = len(self._index) - len(self._at)
            self._at = np.concatenate([self._at, np.full(grown, _NEVER)])
            self._value = np.concatenate([self._value, np.zeros(grown)])
            slots = self._index.find(keys)
        new: np.ndarray = self._at[slots] != _NEVER
        new &= _advance(slots, at, value, self._at, self._value)
        return new

    def keep_bound(self) -> None:
        """Empty it when it is full. Between groups only: within one, what was known must stay known."""
        if len(self._index) > self._max_series:
            self._clear()

    def forget(self, keys: np.ndarray) -> None:
        """After a failed commit: these series are looked up in the store again."""
        slots = self._index.find(keys)
        self._at[slots[slots >= 0]] = _NEVER


@compiled
def _advance(
    slots: np.ndarray, at: np.ndarray, value: np.ndarray, last_at: np.ndarray, last_value: np.ndarray
) -> np.ndarray:
    """Which points, in their order, are later than the last ones, of which they then take the place: bool[n]."""
    later = np.zeros(len(slots), np.bool_)
    for one in range(len(slots)):
        slot = slots[one]
        if at[one] > last_at[slot]:
            later[one] = True
            last_at[slot], last_value[slot] = at[one], value[one]
    return later


class LastHistograms:
    """Time and running total of each series of native histograms whose sender reports changes.

    A total of 40 buckets takes some 1.4 KB at most, half of it room for what follows.
    """

    def __init__(self, max_bytes: int = 256 << 20) -> None:
        self._max_bytes = max_bytes
        self._clear()

    def _clear(self) -> None:
        self._index = Index()
        self._at = np.empty(0, np.int64)
        self._rows = np.empty(0, ROW)
        self._begins = np.empty(0, np.int64)
        self._cells = np.empty(0, CELL)
        self._used = 0

    def times(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """bool[n] known, int64[n] time (ms) of the newest point."""
        slots = self._index.find(keys)
        at = np.full(len(keys), _NEVER)
        at[slots >= 0] = self._at[slots[slots >= 0]]
        return at != _NEVER, at

    def get(self, keys: np.ndarray) -> Histograms:
        """The totals; of those not known, nothing."""
        known, _ = self.times(keys)
        slots = self._index.find(keys[known])
        rows, begins = np.full(len(keys), NOTHING), np.zeros(len(keys), np.int64)
        rows[known], begins[known] = self._rows[slots], self._begins[slots]
        return Histograms(rows, self._cells[stretches(begins, rows["width"])])

    def put(self, keys: np.ndarray, at: np.ndarray, totals: Histograms) -> None:
        """Remember these instead of what was known; keys are distinct."""
        self._index.add(keys[self._index.find(keys) < 0])
        grown = len(self._index) - len(self._at)
        if grown:
            self._at = np.concatenate([self._at, np.full(grown, _NEVER)])
            self._rows = np.concatenate([self._rows, np.full(grown, NOTHING)])
            self._begins = np.concatenate([self._begins, np.zeros(grown, np.int64)])
        slots = self._index.find(keys)
        self._at[slots] = _NEVER
        self._make_room(len(totals.cells))
        end = self._used + len(totals.cells)
        self._cells[self._used : end] = totals.cells
        widths = totals.rows["width"]
        self._at[slots], self._rows[slots] = at, totals.rows
        self._begins[slots] = self._used + np.cumsum(widths) - widths
        self._used = end

    def _make_room(self, cells: int) -> None:
        """Totals are written behind the others; when the end is reached, what is still in use moves together."""
        if self._used + cells <= len(self._cells):
            return
        widths = np.where(self._at == _NEVER, 0, self._rows["width"])
        kept = self._cells[stretches(self._begins, widths)]
        self._begins = np.cumsum(widths) - widths
        self._used = len(kept)
        self._cells = np.empty(2 * (len(kept) + cells), CELL)
        self._cells[: len(kept)] = kept

    def keep_bound(self) -> None:
        """Empty it when it is full. Between groups only: within one, what was known must stay known."""
        if self._cells.nbytes + len(self._index) * (ROW.itemsize + 32) > self._max_bytes:
            self._clear()

    def forget(self, keys: np.ndarray) -> None:
        """After a failed commit: these series are looked up in the store again."""
        slots = self._index.find(keys)
        self._at[slots[slots >= 0]] = _NEVER


class RecentSpans:
    """Ids of recent spans in two generations of a Bloom filter: "no" is certain, "yes" is asked of the store.

    A split block filter, as in Parquet (https://parquet.apache.org/docs/file-format/bloomfilter/): a key sets one bit
    in each of a block's eight 32-bit words, which share a cache line. At 17 bits a key some 0.1 % of new spans are
    looked up for nothing.
    """

    def __init__(self, max_bytes: int = 64 << 20) -> None:
        self._blocks = max(1, max_bytes // (2 * 4 * _LANES))
        self._capacity = self._blocks * 32 * _LANES // 17
        self._generations = [self._empty(), self._empty()]
        self._count = 0

    def _empty(self) -> np.ndarray:
        return np.zeros((self._blocks, _LANES), np.uint32)

    def maybe(self, keys: np.ndarray) -> np.ndarray:
        """bool[n]: False where the span is certainly not stored (within what two generations hold)."""
        block, bits = self._spots(keys)
        found = np.zeros(len(keys), np.bool_)
        for words in self._generations:
            found |= ((words[block] & bits) == bits).all(axis=1)
        return found

    def add(self, keys: np.ndarray) -> None:
        """These spans are stored, or about to be."""
        if self._count + len(keys) > self._capacity:
            self._generations = [self._empty(), self._generations[0]]
            self._count = 0
        block, bits = self._spots(keys)
        np.bitwise_or.at(self._generations[0], block, bits)
        self._count += len(keys)

    def _spots(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The block of each key, int64[n], and its bit in each lane, uint32[n, lanes]."""
        with np.errstate(over="ignore"):
            hashed = keys * np.uint64(0xD6E8FEB86659FD93)
            hashed ^= hashed >> np.uint64(32)
            hashed = hashed * np.uint64(0xD6E8FEB86659FD93)
            lanes = hashed.astype(np.uint32)[:, None] * _SALTS >> np.uint32(27)
        block = (hashed >> np.uint64(32)) % np.uint64(self._blocks)
        return block.astype(np.int64), np.uint32(1) << lanes


def span_keys(trace_ids: np.ndarray, span_ids: np.ndarray, tenants: np.ndarray) -> np.ndarray:
    """One 64-bit key a span from uint8[n, 16], uint8[n, 8] and uint32[n].

    Mixed in turn: where tracers give the root span the trace's id, a plain XOR would be zero for every root.
    """
    traces = np.ascontiguousarray(trace_ids).view(np.uint64)
    spans = np.ascontiguousarray(span_ids).view(np.uint64)[:, 0]
    return mixed(mixed(mixed(spans, traces[:, 0]), traces[:, 1]), tenants)
