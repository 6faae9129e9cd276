"""Which series are the buckets of one classic histogram, and all histograms of one layout at once.

As engine.go: resetHistograms. Buckets belong together whose labels, the name among them, differ in `le` alone.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from gnomon_server.query.promql.labels import all_but, grouped
from gnomon_server.query.promql.values import Labels, Vector

BUCKET = "le"
_CELLS_AT_ONCE = 4_000_000  # of a matrix of counts: 32 MB
_NUMBER = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf(?:inity)?))", re.ASCII)


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Histograms at steps: which of both, int64[n] each."""

    group: np.ndarray
    step: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Classic:
    """The classic histograms in a vector.

    Attributes:
        labels: of each histogram, without `le`.
        bounds: float64[n_series]; NaN of a series that is no bucket.
        group: int64[n_series]: the histogram of each series.
        counts: float64[n_series, n_steps].
        there: bool[n_series, n_steps]: where a bucket has a sample.
    """

    labels: list[Labels]
    bounds: np.ndarray
    group: np.ndarray
    counts: np.ndarray
    there: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """Where some bucket has a sample: bool[n_histograms, n_steps]."""
        found = np.zeros((len(self.labels), self.there.shape[1]), np.bool_)
        np.logical_or.at(found, self.group, self.there)
        return found

    def evaluated(
        self, wanted: np.ndarray, compute: Callable[[Columns, np.ndarray, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """A number for each histogram and step.

        Args:
            wanted: bool[n_histograms, n_steps]: where some bucket has a sample.
            compute: for n columns, bounds float64[k] and counts float64[k, n], the numbers float64[n].

        Returns:
            float64[n_histograms, n_steps].
        """
        result = np.zeros(wanted.shape)
        for groups, series in self._layouts():
            at_once = max(1, _CELLS_AT_ONCE // (series.shape[1] * wanted.shape[1]))
            for begin in range(0, len(groups), at_once):
                part = slice(begin, begin + at_once)
                for columns, bounds, counts in self._columns(wanted, groups[part], series[part]):
                    result[columns.group, columns.step] = compute(columns, bounds, counts)
        return result

    def _columns(
        self, wanted: np.ndarray, groups: np.ndarray, series: np.ndarray
    ) -> Iterator[tuple[Columns, np.ndarray, np.ndarray]]:
        """Where histograms are wanted, with bounds and counts of the buckets that are there."""
        which, step = np.nonzero(wanted[groups])
        members = series[which]
        for some, held in _patterns(self.there[members, step[:, None]]):
            counts = self.counts[members[some][:, held], step[some][:, None]].T
            yield Columns(groups[which[some]], step[some]), self.bounds[series[0]][held], counts

    def _layouts(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Histograms with the same bounds: int64[n], and their series in the order of the bounds: int64[n, k]."""
        buckets = np.flatnonzero(~np.isnan(self.bounds))
        order = buckets[np.lexsort((self.bounds[buckets], self.group[buckets]))]
        begins = np.flatnonzero(np.diff(self.group[order], prepend=-1))
        layouts: dict[bytes, list[np.ndarray]] = {}
        for series in np.split(order, begins[1:]):
            if len(series):
                layouts.setdefault(self.bounds[series].tobytes(), []).append(series)
        for alike in layouts.values():
            series = np.stack(alike)
            yield self.group[series[:, 0]], series


def _patterns(there: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows in which the same buckets are there: their positions, and the buckets' positions.

    Args:
        there: bool[n, k].
    """
    if there.all():
        if len(there):
            yield np.arange(len(there)), np.arange(there.shape[1])
        return
    distinct, which = np.unique(np.packbits(there, axis=1), axis=0, return_inverse=True)
    for number, packed in enumerate(distinct):
        held = np.unpackbits(packed, count=there.shape[1])
        yield np.flatnonzero(which.reshape(-1) == number), np.flatnonzero(held)


def classic_of(vector: Vector) -> tuple[Classic, np.ndarray]:
    """The classic histograms in a vector, and which series have floats but no bound to read: bool[n_series]."""
    bounds = np.array([_bound(dict(labels).get(BUCKET, "")) for labels in vector.labels])
    floats = vector.floats
    group, labels = grouped(vector.labels, all_but([BUCKET]))
    readable = ~np.isnan(bounds)
    there = floats & readable[:, None]
    return Classic(labels, bounds, group, vector.values, there), floats.any(axis=1) & ~readable


def _bound(text: str) -> float:
    """An upper bound; NaN where it is none, or larger than a float can be. Nobody writes one in hexadecimal."""
    if _NUMBER.fullmatch(text) is None:
        return np.nan
    bound = float(text)
    return bound if np.isfinite(bound) or "inf" in text.lower() else np.nan
