"""What an expression evaluates to: columns over all steps of a query at once.

Every array of a value has one row a series and one column a step: `[n_series, n_steps]`. An instant query is a range
query of one step. Arrays are never modified once they stand in a value; whoever changes one makes a new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np

from gnomon_server.model.series import STALE_BITS
from gnomon_server.query.promql.histograms.block import Histograms, begins_of, concatenate
from gnomon_server.query.promql.loops.windows import reached

Labels = tuple[tuple[str, str], ...]
"""Of one series: (name, value), sorted by name, `__name__` among them; no value is empty."""

NAME = "__name__"
NO_ROW = -1


@dataclass(frozen=True, slots=True)
class Grid:
    """The times at which an expression is evaluated: `start`, `start + step`, ... up to `end`; milliseconds."""

    start_ms: int
    end_ms: int
    step_ms: int

    @property
    def steps(self) -> int:
        """How many."""
        return (self.end_ms - self.start_ms) // self.step_ms + 1 if self.step_ms else 1

    @property
    def times(self) -> np.ndarray:
        """All of them: int64[n_steps]."""
        return self.start_ms + np.arange(self.steps, dtype=np.int64) * self.step_ms


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number at each step: `values` float64[n_steps]."""

    values: np.ndarray


@dataclass(frozen=True, slots=True)
class String:
    """A text, the same at every step."""

    text: str


@dataclass(frozen=True, slots=True)
class Vector:
    """An instant vector at each step.

    Attributes:
        labels: of each series.
        values: float64[n_series, n_steps]; meaningless where `present` is false or a histogram stands.
        present: bool[n_series, n_steps]: whether there is a sample, float or histogram. NaN is a sample too.
        rows: int64[n_series, n_steps] into `histograms`, NO_ROW where the sample is a float; None: all are floats.
        histograms: the native histograms.
        nameless: bool[n_series]: `__name__` is to be removed at the end (Prometheus' delayed name removal).
        ordered: whether the order of the series is part of the answer (`sort`, `topk`).
    """

    labels: Sequence[Labels]
    values: np.ndarray
    present: np.ndarray
    rows: np.ndarray | None = None
    histograms: Histograms | None = None
    nameless: np.ndarray = field(default_factory=lambda: np.zeros(0, np.bool_))
    ordered: bool = False

    def __post_init__(self) -> None:
        if len(self.nameless) != len(self.labels):
            object.__setattr__(self, "nameless", np.zeros(len(self.labels), np.bool_))

    @property
    def floats(self) -> np.ndarray:
        """Where a float stands: bool[n_series, n_steps]."""
        return self.present if self.rows is None else self.present & (self.rows == NO_ROW)

    @property
    def histogram_there(self) -> np.ndarray:
        """Where a histogram stands: bool[n_series, n_steps]."""
        return np.zeros_like(self.present) if self.rows is None else self.present & (self.rows != NO_ROW)

    def take(self, series: np.ndarray) -> "Vector":
        """These series, in this order; `series` is int64[k] or bool[n_series]."""
        picked = np.flatnonzero(series) if series.dtype == np.bool_ else series
        rows = None if self.rows is None else self.rows[picked]
        labels = [self.labels[one] for one in picked.tolist()]
        return replace(
            self,
            labels=labels,
            values=self.values[picked],
            present=self.present[picked],
            rows=rows,
            nameless=self.nameless[picked],
        )

    def where(self, keep: np.ndarray) -> "Vector":
        """Only the samples that are to be kept, bool[n_series, n_steps]; a series without any stays, empty."""
        return replace(self, present=self.present & keep)

    def kept(self) -> "Vector":
        """Without the series that are there at no step."""
        return self.take(np.flatnonzero(self.present.any(axis=1)))

    def without_names(self) -> "Vector":
        """With `__name__` marked for removal."""
        return replace(self, nameless=np.ones(len(self.labels), np.bool_))

    @classmethod
    def of_floats(
        cls, labels: Sequence[Labels], values: np.ndarray, present: np.ndarray, nameless: np.ndarray | None = None
    ) -> "Vector":
        """Without histograms."""
        return cls(labels, values, present, nameless=np.zeros(len(labels), np.bool_) if nameless is None else nameless)

    @classmethod
    def empty(cls, steps: int) -> "Vector":
        """No series at all."""
        return cls((), np.empty((0, steps)), np.empty((0, steps), np.bool_))


def joined(vectors: Sequence[Vector]) -> Vector:
    """The series of all, one after the other. They have as many steps; there is at least one."""
    if len(vectors) == 1:
        return vectors[0]
    labels = [labels for vector in vectors for labels in vector.labels]
    values = np.concatenate([vector.values for vector in vectors])
    present = np.concatenate([vector.present for vector in vectors])
    nameless = np.concatenate([vector.nameless for vector in vectors])
    blocks = [vector.histograms for vector in vectors if vector.histograms is not None and vector.rows is not None]
    if not blocks:
        return Vector(labels, values, present, nameless=nameless)
    rows, before = [], 0
    for vector in vectors:
        if vector.rows is None or vector.histograms is None:
            rows.append(np.full(vector.values.shape, NO_ROW, np.int64))
            continue
        rows.append(np.where(vector.rows == NO_ROW, NO_ROW, vector.rows + before))
        before += len(vector.histograms)
    return Vector(labels, values, present, np.concatenate(rows), concatenate(blocks), nameless)


BLOCK = 250_000
"""Samples that are looked at together: 2 MB a column, which caches hold, and allocators keep for the next ones."""
Block = tuple[int, int]
"""Some series: the first, and up to which."""


class Stored(Protocol):
    """The samples of a selector, wherever they are."""

    @property
    def labels(self) -> Sequence[Labels]:
        """Of each series."""

    @property
    def count(self) -> int:
        """How many samples."""

    def blocks(self) -> list[Block]:
        """All series, `BLOCK` samples or one series at a time; at least one block, maybe empty."""

    def some(self, block: Block) -> "Samples":
        """Of these series; in any thread."""

    def whole(self) -> "Samples":
        """All at once."""


def blocks_of(begins: np.ndarray) -> list[Block]:
    """Blocks, by where the samples of each series begin: int64[n_series + 1]."""
    cuts = np.searchsorted(begins, np.arange(BLOCK, int(begins[-1]), BLOCK), "left")
    edges = np.unique(np.concatenate([[0], cuts, [len(begins) - 1]])).tolist()
    return list(pairwise(edges)) or [(0, 0)]


@dataclass(frozen=True)
class Samples:
    """The samples of some series as they are stored, or as a subquery gives them.

    Attributes:
        labels: of each series.
        begins: int64[n_series + 1]: where the samples of each begin.
        ts: int64[n_samples], milliseconds, rising within a series.
        v: float64[n_samples]; stale markers are among them.
        rows: int64[n_samples] into `histograms`, NO_ROW for a float; None: all are floats.
        start: int64[n_samples]: when the counter began, milliseconds, 0 for unknown; None: of none is it known.
        nameless: as of a Vector.
    """

    labels: Sequence[Labels]
    begins: np.ndarray
    ts: np.ndarray
    v: np.ndarray
    rows: np.ndarray | None = None
    histograms: Histograms | None = None
    start: np.ndarray | None = None
    nameless: np.ndarray | None = None

    @classmethod
    def none(cls) -> "Samples":
        """Of no series."""
        return cls((), np.zeros(1, np.int64), np.empty(0, np.int64), np.empty(0))

    @property
    def count(self) -> int:
        """How many."""
        return len(self.ts)

    def whole(self) -> "Samples":
        """All at once."""
        return self

    def blocks(self) -> list[Block]:
        """As of `Stored`; with native histograms all at once."""
        return [(0, len(self.labels))] if self.rows is not None else blocks_of(self.begins)

    def some(self, block: Block) -> "Samples":
        """As of `Stored`."""
        first, end = block
        if (first, end) == (0, len(self.labels)):
            return self
        begin, stretch = self.begins[first], slice(self.begins[first], self.begins[end])
        return replace(
            self,
            labels=self.labels[first:end],
            begins=self.begins[first : end + 1] - begin,
            ts=self.ts[stretch],
            v=self.v[stretch],
            start=None if self.start is None else self.start[stretch],
            nameless=None if self.nameless is None else self.nameless[first:end],
        )

    @cached_property
    def owner(self) -> np.ndarray:
        """The series of each sample: int64[n_samples]."""
        return np.repeat(np.arange(len(self.labels)), np.diff(self.begins))

    @cached_property
    def stale(self) -> np.ndarray:
        """Which are Prometheus' marker for `no longer there`: bool[n_samples]."""
        marked: np.ndarray = self.v.view(np.uint64) == STALE_BITS
        return marked

    def only(self, keep: np.ndarray) -> "Samples":
        """The samples that are to be kept, bool[n_samples]; all series stay."""
        counts = np.bincount(self.owner[keep], minlength=len(self.labels))
        begins = begins_of(counts)
        rows = None if self.rows is None else self.rows[keep]
        start = None if self.start is None else self.start[keep]
        return Samples(self.labels, begins, self.ts[keep], self.v[keep], rows, self.histograms, start, self.nameless)

    def up_to(self, times: np.ndarray) -> np.ndarray:
        """How far the samples reach that are not later than each time.

        Args:
            times: int64[n_steps], in any order.

        Returns:
            int64[n_series, n_steps]: the position after the last such sample of the series; `begins` of the series
            where there is none.
        """
        found: np.ndarray = reached(self.begins, self.ts, times)
        return found


@dataclass(frozen=True)
class Windows:
    """A range vector at each step: for each series and step a stretch of its samples, without stale markers.

    Attributes:
        samples: of all series.
        low, high: int64[n_series, n_steps]: the samples of a window are `low` up to, not including, `high`.
        starts_ms, ends_ms: int64[n_steps]: a window is left-open, `(start, end]`.
        range_ms: its length.
        extended: "", "anchored" or "smoothed": then `low` and `high` reach to the neighbours outside as well.
    """

    samples: Samples
    low: np.ndarray
    high: np.ndarray
    starts_ms: np.ndarray
    ends_ms: np.ndarray
    range_ms: int
    extended: str = ""

    @property
    def labels(self) -> Sequence[Labels]:
        """Of each series."""
        return self.samples.labels

    @property
    def counts(self) -> np.ndarray:
        """How many samples stand in each: int64[n_series, n_steps]."""
        counts: np.ndarray = self.high - self.low
        return counts

    def of(self, keep: np.ndarray) -> "Windows":
        """The same windows over the samples that are to be kept: bool[n_samples]."""
        before = begins_of(keep)
        return replace(self, samples=self.samples.only(keep), low=before[self.low], high=before[self.high])

    @property
    def starts(self) -> np.ndarray:
        """When the counter of each sample began: int64[n_samples]; empty where of none it is known."""
        return np.empty(0, np.int64) if self.samples.start is None else self.samples.start

    @cached_property
    def floats(self) -> "Windows":
        """Over the floats alone."""
        return self if self.samples.rows is None else self.of(self.samples.rows == NO_ROW)

    @cached_property
    def histograms(self) -> "Windows | None":
        """Over the native histograms alone; None where there are none."""
        rows = self.samples.rows
        return None if rows is None or not (rows != NO_ROW).any() else self.of(rows != NO_ROW)


Value = Scalar | String | Vector | Windows
