"""The samples of one metric in one hour, as far as somebody asks for them: sorted runs, and what has come since."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gnomon_server.query.promql.histograms.block import begins_of
from gnomon_server.query.promql.loops import runs as loops
from gnomon_server.query.promql.values import Block, Labels, Samples, blocks_of

HOUR_MS = 3_600_000
# A run is merged with the one before it when it has grown to this part of it: each sample moves a few times at most.
_PART = 4
_MOST_TAILS = 256


def sorted_once(series: np.ndarray, ts: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The positions of samples by series and time, int64[k]; of two of one time the larger's, NaN being the largest.

    As the engine's kernels choose (`pushdown`); which came first nothing in the store says.
    """
    order = np.lexsort((v, ts, series))
    series, ts = series[order], ts[order]
    last = np.append((series[1:] != series[:-1]) | (ts[1:] != ts[:-1]), True)
    found: np.ndarray = order[last]
    return found


def rising(
    begins: np.ndarray, ts: np.ndarray, v: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Columns of Samples whose times may fall, or stand twice, as ones whose times rise. `start` may be empty."""
    if loops.rising(begins, ts):
        return begins, ts, v, start
    owner = np.repeat(np.arange(len(begins) - 1), np.diff(begins))
    order = sorted_once(owner, ts, v)
    begins = begins_of(np.bincount(owner[order], minlength=len(begins) - 1))
    return begins, ts[order], v[order], start[order] if len(start) else start


@dataclass(frozen=True, slots=True)
class Rows:
    """Samples as they come, one a place.

    Attributes:
        ids: uint64[n].
        ts: int64[n], milliseconds.
        v: float64[n].
        start: int64[n], when the counter began; 0: unknown.
    """

    ids: np.ndarray
    ts: np.ndarray
    v: np.ndarray
    start: np.ndarray

    @property
    def size_bytes(self) -> int:
        """What they weigh."""
        return self.ids.nbytes + self.ts.nbytes + self.v.nbytes + self.start.nbytes

    def only(self, which: np.ndarray) -> "Rows":
        """Some of them, by bool[n], int64[k] or a slice."""
        return Rows(self.ids[which], self.ts[which], self.v[which], self.start[which])

    @classmethod
    def of(cls, parts: Sequence["Rows"]) -> "Rows":
        """All of several; there is at least one."""
        columns = (np.concatenate([getattr(one, name) for one in parts]) for name in ("ids", "ts", "v", "start"))
        return cls(*columns)


@dataclass(frozen=True, slots=True)
class Run:
    """Sorted samples, as `loops.runs` has them."""

    ids: np.ndarray
    begins: np.ndarray
    ts: np.ndarray
    v: np.ndarray
    start: np.ndarray

    @property
    def size_bytes(self) -> int:
        """What it weighs."""
        return sum(column.nbytes for column in (self.ids, self.begins, self.ts, self.v, self.start))

    @classmethod
    def of(cls, rows: Rows, base_ms: int) -> "Run":
        """Of rows of one hour in any order; of two of one series and time the larger stays."""
        order = sorted_once(rows.ids, rows.ts, rows.v)
        ids, ts = rows.ids[order], rows.ts[order]
        first = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
        start = rows.start[order]
        begins = np.append(first, len(ids))
        return cls(
            ids[first], begins, (ts - base_ms).astype(np.uint32), rows.v[order], start if start.any() else start[:0]
        )

    def with_other(self, other: "Run") -> "Run":
        """Both as one."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("ids", "begins", "ts", "v", "start"))
        return Run(*(column.copy() for column in loops.merged(*pairs)))


@dataclass(slots=True)
class Chunk:
    """Changed under its cache's lock alone; runs never change once they are made.

    Attributes:
        base_ms: when the hour began.
        covered: uint64[k], rising: the series that are whole.
        tracked: uint64[k], rising: those whose new samples are kept, since they are being read.
        used_s: when it was last asked for, monotonic.
        native: native histograms are among them: nothing is kept, and nothing is to be asked again.
        size_bytes: what it weighs.
    """

    base_ms: int
    covered: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    tracked: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    used_s: float = 0.0
    native: bool = False
    size_bytes: int = 0
    _runs: list[Run] = field(default_factory=list)
    _tail: list[Rows] = field(default_factory=list)

    def add(self, rows: Rows) -> None:
        """Samples that have been stored; those of other series are passed over."""
        place = np.minimum(np.searchsorted(self.tracked, rows.ids), max(len(self.tracked) - 1, 0))
        ours = self.tracked[place] == rows.ids if len(self.tracked) else np.zeros(len(rows.ids), np.bool_)
        if ours.any():
            self._tail.append(rows if ours.all() else rows.only(ours))
            self.size_bytes += self._tail[-1].size_bytes
            if len(self._tail) > _MOST_TAILS:
                self.runs()

    def runs(self) -> list[Run]:
        """All samples, in a few runs."""
        if self._tail:
            rows, self._tail = Rows.of(self._tail), []
            self._append(rows)
        return list(self._runs)

    def cover(self, ids: np.ndarray, rows: Rows) -> None:
        """These series are whole now, with what was read of them; those that were so before have all of it."""
        rows = rows.only(~np.isin(rows.ids, self.covered))
        # What has come while they were read may be among them.
        parts, self._tail = [rows, *self._tail], []
        self.covered = np.union1d(self.covered, ids)
        self._append(Rows.of(parts))

    def _append(self, rows: Rows) -> None:
        if len(rows.ids):
            self._runs.append(Run.of(rows, self.base_ms))
        while len(self._runs) > 1 and len(self._runs[-1].ts) * _PART >= len(self._runs[-2].ts):
            last = self._runs.pop()
            self._runs[-1] = self._runs[-1].with_other(last)
        self._weigh()

    def _weigh(self) -> None:
        tail = sum(rows.size_bytes for rows in self._tail)
        self.size_bytes = sum(run.size_bytes for run in self._runs) + tail + self.covered.nbytes + self.tracked.nbytes


class Gathered:
    """The samples of some series, in the runs of several hours: `values.Stored`.

    Args:
        runs: with the beginning of the hour of each, in the order of the hours.
        labels: of the series.
        wanted: uint64[k], their ids, rising.
        order: int64[k], the place of each among the labels.
        between: from when to when, both inclusive.
        with_start: whether it is wanted when counters began.
    """

    def __init__(
        self,
        runs: Sequence[tuple[int, Run]],
        labels: Sequence[Labels],
        wanted: np.ndarray,
        order: np.ndarray,
        between: tuple[int, int],
        *,
        with_start: bool,
    ) -> None:
        self.labels, self._runs, self._with_start = labels, runs, with_start
        self._stretches = []
        counts = np.zeros(len(wanted), np.int64)
        for base, run in runs:
            low, high = (min(max(ms - base, 0), HOUR_MS) for ms in (between[0], between[1] + 1))
            stretches = np.empty((2, len(wanted)), np.int64)
            stretches[:, order] = loops.located(run.ids, run.begins, run.ts, wanted, low, high)
            self._stretches.append(stretches)
            counts += stretches[1] - stretches[0]
        self._begins = begins_of(counts)

    @property
    def count(self) -> int:
        """How many."""
        return int(self._begins[-1])

    def whole(self) -> Samples:
        """All at once."""
        return self.some((0, len(self.labels)))

    def blocks(self) -> list[Block]:
        """As of `Stored`."""
        return blocks_of(self._begins)

    def some(self, block: Block) -> Samples:
        """As of `Stored`."""
        first, end = block
        begins = self._begins[first : end + 1] - self._begins[first]
        total = int(begins[-1])
        told = self._with_start and any(len(run.start) for _, run in self._runs)
        ts, v, start = np.empty(total, np.int64), np.empty(total), np.empty(total if told else 0, np.int64)
        reached = begins[:-1].copy()
        for (base, run), stretches in zip(self._runs, self._stretches, strict=True):
            loops.copied((run.ts, run.v, run.start), stretches[:, first:end], base, reached, (ts, v, start))
        begins, ts, v, start = rising(begins, ts, v, start)
        return Samples(self.labels[first:end], begins, ts, v, None, None, start if start.any() else None)
