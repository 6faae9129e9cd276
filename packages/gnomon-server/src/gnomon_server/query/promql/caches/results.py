"""Answers of range queries, kept by their steps, so that a refresh evaluates only the new edge.

A step looks at nothing later than itself, so what is kept stays right until samples arrive that are not later than it.
`Tide` knows how far back arrivals have reached since an answer was made; the steps before that are still right, late
data or not. What looks ahead or hangs on the query itself (`offset -1m`, `@`, `smoothed`, computed durations) is not
kept.
"""

import bisect
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gnomon_server.query.promql.ast import Call, Duration, Expr, MatrixSelector, Subquery, VectorSelector, walk
from gnomon_server.query.promql.caches.lru import Lru
from gnomon_server.query.promql.format import show
from gnomon_server.query.promql.histograms.block import Histograms, concatenate
from gnomon_server.query.promql.values import NO_ROW, Grid, Vector

_FOREVER = 1 << 62
_MOST_ARRIVALS = 10_000
# What a series costs beside its arrays: labels are tuples of texts.
_SERIES_BYTES = 500
_OF_THE_QUERY = frozenset({"start", "end", "range"})


class Tide:
    """How far back the samples reach that a tenant's commits have brought since some moment."""

    def __init__(self) -> None:
        self.now = 0
        # Commits and the oldest time of each and all later ones; both rising, so that few are kept.
        self._commits: list[int] = []
        self._oldest_ms: list[int] = []
        self._forgotten = 0

    def arrived(self, oldest_ms: int) -> None:
        """A commit is visible whose samples reach back to that time."""
        self.now += 1
        keep = bisect.bisect_left(self._oldest_ms, oldest_ms)
        del self._commits[keep:], self._oldest_ms[keep:]
        self._commits.append(self.now)
        self._oldest_ms.append(oldest_ms)
        if len(self._commits) > _MOST_ARRIVALS:
            self._forgotten = self._commits.pop(0)
            self._oldest_ms.pop(0)

    def since(self, moment: int) -> int:
        """The oldest time that has arrived after that moment (`now` of then), milliseconds."""
        if moment < self._forgotten:
            return 0
        place = bisect.bisect_right(self._commits, moment)
        return self._oldest_ms[place] if place < len(self._oldest_ms) else _FOREVER


@dataclass(frozen=True, slots=True)
class Extent:
    """The answer for some steps in a row.

    Attributes:
        grid: the steps.
        vector: the series, each once.
        warnings, infos: what was said of them.
        moment: the tide when they were read.
    """

    grid: Grid
    vector: Vector
    warnings: tuple[str, ...]
    infos: tuple[str, ...]
    moment: int

    @property
    def size_bytes(self) -> int:
        """What it weighs."""
        vector = self.vector
        arrays = vector.values.nbytes + vector.present.nbytes + (0 if vector.rows is None else vector.rows.nbytes)
        native = 0 if vector.histograms is None else vector.histograms.place.nbytes * 2 + 64 * len(vector.histograms)
        return arrays + native + _SERIES_BYTES * len(vector.labels)

    def between(self, start_ms: int, end_ms: int) -> "Extent | None":
        """Of these steps those from the one time to the other, both inclusive; None: there is none."""
        step = self.grid.step_ms
        first = max(0, -((self.grid.start_ms - start_ms) // step))
        last = min(self.grid.steps, (end_ms - self.grid.start_ms) // step + 1)
        if first >= last:
            return None
        if (first, last) == (0, self.grid.steps):
            return self
        vector, steps = self.vector, slice(first, last)
        rows = None if vector.rows is None else vector.rows[:, steps]
        cut = replace(vector, values=vector.values[:, steps], present=vector.present[:, steps], rows=rows)
        start = self.grid.start_ms + first * step
        return replace(self, grid=Grid(start, start + (last - first - 1) * step, step), vector=cut.kept())


Key = tuple[int, str, int, int, int]
"""Tenant's number, expression, step, where the steps lie on the clock, lookback."""


class ResultCache:
    """The newest extents of expressions, within a budget; the one that was not asked for longest goes first.

    Args:
        budget_bytes: 0: nothing is kept.
        on_look: told of each look, whether something was found.
    """

    def __init__(self, budget_bytes: int, on_look: Callable[[bool], object] = bool) -> None:
        self._budget_bytes, self._on_look = budget_bytes, on_look
        self._kept: Lru[Key, Extent] = Lru(budget_bytes)
        self._tides: dict[int, Tide] = {}

    def __bool__(self) -> bool:
        return self._budget_bytes > 0

    @property
    def bytes(self) -> int:
        """What they weigh."""
        return self._kept.weight

    def tide(self, tenant: int) -> Tide:
        """The tenant's."""
        return self._tides.setdefault(tenant, Tide())

    def dropped(self) -> None:
        """No answer of before is right any more."""
        for tide in self._tides.values():
            tide.arrived(0)

    def find(self, key: Key, grid: Grid) -> Extent | None:
        """The steps from the beginning of a query on that are kept and still right."""
        kept = self._kept.find(key)
        right = None
        if kept is not None and kept.grid.start_ms <= grid.start_ms:
            tide = self.tide(key[0])
            until_ms = min(grid.end_ms, tide.since(kept.moment) - 1)
            cut = kept.between(grid.start_ms, until_ms)
            right = cut and replace(cut, moment=tide.now)  # what is left of it is right now
        self._on_look(right is not None)
        return right

    def keep(self, key: Key, extent: Extent) -> None:
        """Keep an answer in the place of an older one."""
        self._kept.keep(key, extent, extent.size_bytes)


def name_of(tree: Expr) -> str | None:
    """What is said of an expression in the key of its answers; None: they must not be kept."""
    return None if any(_hangs(node) for node in walk(tree)) else show(tree)


def key_of(name: str, grid: Grid, tenant: int, lookback_ms: int) -> Key:
    """Where an answer is kept."""
    return tenant, name, grid.step_ms, grid.start_ms % grid.step_ms, lookback_ms


def _hangs(node: Expr) -> bool:
    """Whether a node looks ahead, or at what is the query's own."""
    match node:
        case VectorSelector(at=at, offset=offset, smoothed=smoothed):
            return at is not None or smoothed or _ahead(offset)
        case Subquery(at=at, offset=offset, range=length, step=step):
            return at is not None or any(map(_ahead, (offset, length, step)))
        case MatrixSelector(range=length):
            return _ahead(length)
        case Call(function=function):
            return function in _OF_THE_QUERY
        case _:
            return False


def _ahead(duration: Duration | None) -> bool:
    """Whether an offset is negative, or a duration computed from what the query may change."""
    return duration is not None and (duration.ms is None or duration.ms < 0)


def in_a_row(earlier: Extent, later: Extent) -> Extent:
    """Two extents of the same expression, the second beginning a step after the first ends."""
    every = sorted({*earlier.vector.labels, *later.vector.labels})
    place = {labels: number for number, labels in enumerate(every)}
    steps = earlier.grid.steps + later.grid.steps
    values, present = np.zeros((len(every), steps)), np.zeros((len(every), steps), np.bool_)
    rows = np.full((len(every), steps), NO_ROW, np.int64)
    blocks: list[Histograms] = []
    for extent, columns in (
        (earlier, slice(0, earlier.grid.steps)),
        (later, slice(earlier.grid.steps, steps)),
    ):
        vector = extent.vector
        to = np.array([place[labels] for labels in vector.labels], np.int64)
        values[to, columns], present[to, columns] = vector.values, vector.present
        if vector.rows is not None and vector.histograms is not None:
            before = sum(len(block) for block in blocks)
            rows[to, columns] = np.where(vector.rows == NO_ROW, NO_ROW, vector.rows + before)
            blocks.append(vector.histograms)
    native = concatenate(blocks) if blocks else None
    vector = Vector(every, values, present, rows if blocks else None, native)
    grid = Grid(earlier.grid.start_ms, later.grid.end_ms, earlier.grid.step_ms)
    warnings = tuple(dict.fromkeys((*earlier.warnings, *later.warnings)))
    infos = tuple(dict.fromkeys((*earlier.infos, *later.infos)))
    return Extent(grid, vector, warnings, infos, min(earlier.moment, later.moment))
