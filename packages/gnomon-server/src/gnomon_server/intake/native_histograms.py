"""Native histograms by the thousand, added to each other: how exponential histograms of changes become totals.

As Prometheus adds them (model/histogram/float_histogram.go: Add), which is how the OpenTelemetry data model merges
exponential histograms: the coarser resolution and the wider zero bucket hold for both. The counts stay exact; what may
be lost is where within a bucket an observation was.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ROW = np.dtype([("schema", "i8"), ("threshold", "f8"), ("count", "f8"), ("sum", "f8"), ("width", "i8")])
CELL = np.dtype([("place", "i8"), ("count", "f8")])
# A place is 0 for the zero bucket, else 2^32 + index, and 2^33 more for a negative bucket: one number to sort by.
_ZERO, _MIDDLE, _NEGATIVE, _PLACE_BITS = 0, 1 << 32, 1 << 33, 34
_FINEST = 20
_MAX_CELLS = 160  # what the SDKs keep a total to; Prometheus' native_histogram_bucket_limit counts likewise
NOTHING = np.array((_FINEST, np.nan, 0.0, 0.0, 0), ROW)
"""What changes no histogram that it is added to."""


@dataclass(frozen=True, slots=True)
class Histograms:
    """`rows`: ROW[n]; `cells`: CELL[sum of widths], the buckets that are not empty, row by row in rising order."""

    rows: np.ndarray
    cells: np.ndarray

    @classmethod
    def of(cls, table: pa.Table) -> "Histograms":
        """From the columns of `native_histograms`."""
        zero_count = table["zero_count"].to_numpy()
        zero = np.flatnonzero(zero_count)
        positive = pc.list_value_length(table["p_idx"]).to_numpy()
        negative = pc.list_value_length(table["n_idx"]).to_numpy()
        every = np.arange(table.num_rows)
        owner = np.concatenate([zero, np.repeat(every, positive), np.repeat(every, negative)])
        cells = np.empty(len(owner), CELL)
        indices = [pc.list_flatten(table[name]).to_numpy().astype(np.int64) for name in ("p_idx", "n_idx")]
        above, below = indices[0] + _MIDDLE, indices[1] + (_MIDDLE + _NEGATIVE)
        cells["place"] = np.concatenate([np.full(len(zero), _ZERO), above, below])
        counts = [pc.list_flatten(table[name]).to_numpy() for name in ("p_cnt", "n_cnt")]
        cells["count"] = np.concatenate([zero_count[zero], *counts])
        rows = np.empty(table.num_rows, ROW)
        for name, column in (("schema", "schema"), ("threshold", "zero_threshold"), ("count", "count"), ("sum", "sum")):
            rows[name] = table[column].to_numpy()
        rows["width"] = np.bincount(owner, minlength=len(rows))
        return cls(rows, cells[np.argsort(owner, kind="stable")])

    def take(self, positions: np.ndarray) -> "Histograms":
        """These rows, in this order."""
        begins = np.cumsum(self.rows["width"]) - self.rows["width"]
        rows = self.rows[positions]
        return Histograms(rows, self.cells[stretches(begins[positions], rows["width"])])

    def without(self, away: np.ndarray) -> "Histograms":
        """With NOTHING in the place of those that are `away`, bool[n]."""
        cells = self.cells[~np.repeat(away, self.rows["width"])]
        return Histograms(np.where(away, NOTHING, self.rows), cells)

    def columns(self) -> dict[str, pa.Array]:
        """As columns of `native_histograms`."""
        owner, place, count = self._owners(), self.cells["place"], self.cells["count"]
        zero_count = np.zeros(len(self.rows))
        zero_count[owner[place == _ZERO]] = count[place == _ZERO]
        columns = {
            "schema": pa.array(self.rows["schema"].astype(np.int8)),
            "count": pa.array(self.rows["count"]),
            "sum": pa.array(self.rows["sum"]),
            "zero_threshold": pa.array(self.rows["threshold"]),
            "zero_count": pa.array(zero_count),
        }
        for side, start in (("p", 0), ("n", _NEGATIVE)):
            mine = (place > start) & (place < start + _NEGATIVE)
            begins = np.concatenate([[0], np.cumsum(np.bincount(owner[mine], minlength=len(self.rows)))])
            index = (place[mine] - (start + _MIDDLE)).astype(np.int32)
            for name, values in (("idx", index), ("cnt", count[mine])):
                lists = pa.ListArray.from_arrays(pa.array(begins.astype(np.int32)), pa.array(values))
                columns[f"{side}_{name}"] = lists
        return columns

    def _owners(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.rows)), self.rows["width"])


def concatenated(parts: list[Histograms]) -> Histograms:
    """The rows of all, one after the other."""
    return Histograms(np.concatenate([part.rows for part in parts]), np.concatenate([part.cells for part in parts]))


def stretches(begins: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """The positions in stretches that begin there and are so wide, int64[sum of widths]."""
    before = np.cumsum(widths) - widths
    return np.repeat(begins - before, widths) + np.arange(int(widths.sum()))


def added(one: Histograms, other: Histograms) -> Histograms:
    """The sum of each row of one and the same row of the other."""
    both = concatenated([one, other])
    every = np.arange(len(one.rows))
    source = np.repeat(np.arange(len(both.rows)), both.rows["width"])
    owner = np.concatenate([every, every])[source]
    place = both.cells["place"]
    rows = one.rows.copy()
    rows["threshold"] = np.fmax(one.rows["threshold"], other.rows["threshold"])
    if (one.rows["threshold"] != other.rows["threshold"]).any():
        rows["threshold"], place = _widened(rows["threshold"], both, source, owner)
    rows["schema"] = np.minimum(one.rows["schema"], other.rows["schema"])
    rows["count"] += other.rows["count"]
    with np.errstate(invalid="ignore"):  # infinities of both signs
        rows["sum"] += other.rows["sum"]
    place = _coarser(place, both.rows["schema"][source] - rows["schema"][owner])
    owner, cells = _met(owner, place, both.cells["count"])
    # No total is cut below what one of its senders' reports had.
    allowed = np.maximum(np.maximum(one.rows["width"], other.rows["width"]), _MAX_CELLS)
    rows["width"] = np.bincount(owner, minlength=len(rows))
    while (over := rows["width"] > allowed).any():
        rows["schema"] -= over
        owner, cells = _met(owner, _coarser(cells["place"], over[owner].astype(np.int64)), cells["count"])
        rows["width"] = np.bincount(owner, minlength=len(rows))
    return Histograms(rows, cells)


def _widened(
    threshold: np.ndarray, both: Histograms, source: np.ndarray, owner: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The zero bucket of each sum, and the places of the cells with those that fall into it moved there.

    A bucket that the wider threshold cuts in two widens it further, to the bucket's end, which may cut one more.
    """
    index = (both.cells["place"] & (_NEGATIVE - 1)) - _MIDDLE
    step = np.exp2(-both.rows["schema"][source].astype(np.float64))
    with np.errstate(over="ignore", under="ignore"):
        lower, upper = np.exp2((index - 1) * step), np.minimum(np.exp2(index * step), np.finfo(np.float64).max)
    own = both.rows["threshold"][source]
    while True:
        reach = threshold[owner]
        inside = (own < reach) & (lower < reach)
        wider = threshold.copy()
        np.maximum.at(wider, owner[inside], upper[inside])
        if not (wider > threshold).any():
            return threshold, np.where(inside, _ZERO, both.cells["place"])
        threshold = wider


def _coarser(place: np.ndarray, halvings: np.ndarray) -> np.ndarray:
    """Places after so many halvings of the resolution: an index names its bucket's upper bound, base^index."""
    if not halvings.any():
        return place
    index = (place & (_NEGATIVE - 1)) - _MIDDLE
    moved = (place & _NEGATIVE) + _MIDDLE + ((index - 1) >> halvings) + 1
    return np.where(place == _ZERO, _ZERO, moved)


def _met(owner: np.ndarray, place: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cells of the same row and place as one: their owners, and themselves in rising order."""
    key = owner << _PLACE_BITS | place
    order = np.argsort(key, kind="stable")  # what is sorted by stretches is merged
    key = key[order]
    first = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if len(key) else order
    cells = np.empty(len(first), CELL)
    cells["place"] = key[first] & ((1 << _PLACE_BITS) - 1)
    cells["count"] = np.add.reduceat(count[order], first) if len(first) else 0
    return key[first] >> _PLACE_BITS, cells
