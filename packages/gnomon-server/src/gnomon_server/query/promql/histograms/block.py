"""Native histograms by the thousand: one ragged block of columns.

The semantics are those of Prometheus (model/histogram/float_histogram.go). A histogram has either exponential buckets,
whose resolution is its schema (-4..8: 2^schema buckets from each power of two to the next), and a bucket around zero;
or custom buckets (schema -53), whose bounds it names. Empty buckets are not kept: what is not there counted nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

CUSTOM = -53
"""The schema of histograms that name their bounds."""
UNKNOWN, RESET, NO_RESET, GAUGE = range(4)
"""What `hint` says: nothing; the counter began anew with this sample; it did not; this is no counter."""
FINEST = 8
"""The largest schema that Prometheus has; OpenTelemetry's histograms may be finer."""
MIDDLE = 1 << 32
"""Is added to a bucket's index, so that a place's sign is the bucket's side: any int32 plus this is positive."""
_PLACE_BITS = 34
_LOWEST = 2 * MIDDLE  # no place is as far below 0


@dataclass(frozen=True, slots=True, eq=False)
class Histograms:
    """n native histograms; nothing in here is ever modified.

    Attributes:
        schema: int8[n].
        hint: uint8[n], one of UNKNOWN, RESET, NO_RESET, GAUGE.
        count, sum, zero_threshold, zero_count: float64[n].
        layout: int32[n] into `bounds_of`; 0, which names no bounds, for exponential buckets.
        begins: int64[n + 1]: where the cells of each begin.
        place: int64[cells]: `MIDDLE + index` of a positive bucket, `-(MIDDLE + index)` of a negative one, rising within
            a histogram: from the lowest values to the highest. The index of an exponential bucket names its bound that
            is farther from zero, base^index; that of a custom bucket is the place of its upper bound among the bounds.
        counts: float64[cells], none of them 0.
        bounds_of: distinct lists of custom bounds, each rising; the first is empty.
    """

    schema: np.ndarray
    hint: np.ndarray
    count: np.ndarray
    sum: np.ndarray
    zero_threshold: np.ndarray
    zero_count: np.ndarray
    layout: np.ndarray
    begins: np.ndarray
    place: np.ndarray
    counts: np.ndarray
    bounds_of: tuple[tuple[float, ...], ...] = ((),)

    def __len__(self) -> int:
        return len(self.schema)

    @property
    def custom(self) -> np.ndarray:
        """Which name their bounds: bool[n]."""
        custom: np.ndarray = self.schema == CUSTOM
        return custom

    @property
    def widths(self) -> np.ndarray:
        """How many buckets each has: int64[n]."""
        return np.diff(self.begins)

    @property
    def owner(self) -> np.ndarray:
        """Whose each cell is: int64[cells]."""
        return np.repeat(np.arange(len(self)), self.widths)

    @property
    def index(self) -> np.ndarray:
        """Of each cell's bucket on its side: int64[cells]."""
        index: np.ndarray = np.abs(self.place) - MIDDLE
        return index

    def take(self, rows: np.ndarray) -> "Histograms":
        """These, in this order; `rows` is int64[k] or bool[n]."""
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        widths = self.widths[rows]
        cells = stretches(self.begins[rows], widths)
        return Histograms(
            self.schema[rows],
            self.hint[rows],
            self.count[rows],
            self.sum[rows],
            self.zero_threshold[rows],
            self.zero_count[rows],
            self.layout[rows],
            begins_of(widths),
            self.place[cells],
            self.counts[cells],
            self.bounds_of,
        )

    def compact(self) -> "Histograms":
        """Without the buckets that have become empty."""
        if self.counts.all():
            return self
        keep = self.counts != 0
        begins = np.concatenate([[0], np.cumsum(keep)])[self.begins]
        return replace(self, begins=begins, place=self.place[keep], counts=self.counts[keep])

    def as_gauges(self) -> "Histograms":
        """With the hint that these are no counters."""
        return replace(self, hint=np.full(len(self), GAUGE, np.uint8))


def begins_of(widths: np.ndarray) -> np.ndarray:
    """Where stretches that are so wide begin, and where the last ends: int64[n + 1]."""
    return np.concatenate([[0], np.cumsum(widths, dtype=np.int64)])


def stretches(begins: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """The positions in stretches that begin there and are so wide, int64[sum of widths]."""
    before = np.cumsum(widths) - widths
    return np.repeat(begins - before, widths) + np.arange(int(widths.sum()))


def coarser(index: np.ndarray, halvings: np.ndarray) -> np.ndarray:
    """Indices of exponential buckets after so many halvings of the resolution, int64[n] each."""
    made: np.ndarray = ((index - 1) >> halvings) + 1
    return made


def keyed(rows: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Row (below 2^29) and place as one number that sorts as both: int64[n]."""
    key: np.ndarray = rows << _PLACE_BITS | (place + _LOWEST)
    return key


def unkeyed(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and places again: int64[n] each."""
    return key >> _PLACE_BITS, (key & ((1 << _PLACE_BITS) - 1)) - _LOWEST


def empty(schema: np.ndarray, layout: np.ndarray, bounds_of: tuple[tuple[float, ...], ...] = ((),)) -> Histograms:
    """Histograms of nothing with these schemas and layouts, int[n] each."""
    n = len(schema)
    zeros = np.zeros(n)
    return Histograms(
        schema.astype(np.int8),
        np.full(n, UNKNOWN, np.uint8),
        zeros,
        zeros,
        zeros,
        zeros,
        layout.astype(np.int32),
        np.zeros(n + 1, np.int64),
        np.empty(0, np.int64),
        np.empty(0),
        bounds_of,
    )


def of_table(table: pa.Table) -> Histograms:
    """From rows of `native_histograms`, in their order.

    Indices that do not rise are sorted, equal ones added; empty buckets are left out; what is finer than FINEST is made
    as coarse, as Prometheus takes it in. A custom bucket's `p_idx` is the place of its upper bound in `bounds`, and
    their number for the last one, whose upper bound is +Inf.
    """
    rows = table.num_rows
    schema = table["schema"].to_numpy().astype(np.int8)
    halvings = np.maximum(schema - FINEST, 0)
    widths = {side: pc.list_value_length(table[f"{side}_idx"]).to_numpy().astype(np.int64) for side in "np"}
    stored = {side: pc.list_flatten(table[f"{side}_idx"]).to_numpy().astype(np.int64) for side in "np"}
    index = {side: coarser(stored[side], np.repeat(halvings, widths[side])) for side in "np"}
    counts = np.concatenate([pc.list_flatten(table[f"{side}_cnt"]).to_numpy() for side in "np"])
    place = np.concatenate([-(index["n"] + MIDDLE), index["p"] + MIDDLE])
    owner = np.concatenate([np.repeat(np.arange(rows), widths[side]) for side in "np"])
    kept = np.flatnonzero(counts)
    keys = keyed(owner[kept], place[kept])
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[kept[order]]
    first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    owner, place = unkeyed(keys[first])
    layout, bounds_of = _layouts(table["bounds"], schema == CUSTOM)
    return Histograms(
        np.minimum(schema, FINEST).astype(np.int8),
        table["hint"].to_numpy().astype(np.uint8),
        table["count"].to_numpy(),
        table["sum"].to_numpy(),
        np.where(schema == CUSTOM, 0.0, table["zero_threshold"].to_numpy()),
        np.where(schema == CUSTOM, 0.0, table["zero_count"].to_numpy()),
        layout,
        begins_of(np.bincount(owner, minlength=rows)),
        place,
        np.add.reduceat(counts, first) if len(first) else counts,
        bounds_of,
    )


def concatenate(parts: Sequence[Histograms]) -> Histograms:
    """The histograms of all, one after the other; there is at least one part."""
    if len(parts) == 1:
        return parts[0]
    numbers: dict[tuple[float, ...], int] = {(): 0}
    layouts = []
    for part in parts:
        renumbered = np.array([numbers.setdefault(bounds, len(numbers)) for bounds in part.bounds_of], np.int32)
        layouts.append(renumbered[part.layout])
    return Histograms(
        np.concatenate([part.schema for part in parts]),
        np.concatenate([part.hint for part in parts]),
        np.concatenate([part.count for part in parts]),
        np.concatenate([part.sum for part in parts]),
        np.concatenate([part.zero_threshold for part in parts]),
        np.concatenate([part.zero_count for part in parts]),
        np.concatenate(layouts),
        begins_of(np.concatenate([part.widths for part in parts])),
        np.concatenate([part.place for part in parts]),
        np.concatenate([part.counts for part in parts]),
        tuple(numbers),
    )


def _layouts(column: pa.ChunkedArray, custom: np.ndarray) -> tuple[np.ndarray, tuple[tuple[float, ...], ...]]:
    """The number of each row's bounds among the distinct ones, int32[n], and these."""
    numbers: dict[tuple[float, ...], int] = {(): 0}
    widths = pc.list_value_length(column).to_numpy().astype(np.int64)
    begins, values = begins_of(widths), pc.list_flatten(column).to_numpy()
    layout = np.zeros(len(widths), np.int32)
    # Lists of one length are the rows of a matrix. Lengths and lists are few, however many the histograms.
    for width in np.unique(widths[custom & (widths > 0)]).tolist():
        rows = np.flatnonzero(custom & (widths == width))
        distinct, which = np.unique(values[begins[rows][:, None] + np.arange(width)], axis=0, return_inverse=True)
        known = [numbers.setdefault(tuple(bounds), len(numbers)) for bounds in distinct.tolist()]
        layout[rows] = np.array(known, np.int32)[which.reshape(-1)]
    return layout, tuple(numbers)
