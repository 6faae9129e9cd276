"""Aggregation over time windows, tumbling or sliding: sum, average, minimum, maximum, percentiles.

Time is cut into panes as long as the window's step; a window is a row of panes. A pane keeps its samples while they are
few and a sketch of them when they are many, so memory is bounded by the number of panes, whatever comes in.
"""

import threading
from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil, exp, floor, inf, log, nan

from gnomon.errors import MetricsError

# Of a pane, exactly; 8 kB each.
EXACT_SAMPLES = 1000
# Of a sketched percentile, relative to the sample that it stands for.
RELATIVE_ERROR = 0.01
# Covers sizes of 1 : 10^17 at this error; sizes below are counted with the smallest.
MOST_BINS = 2000


class Sketch:
    """Counts by logarithmic bins (DDSketch, https://arxiv.org/abs/1908.10693): a percentile within `RELATIVE_ERROR`."""

    __slots__ = ("negative", "positive", "zeros")
    _log_gamma = log((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR))

    def __init__(self) -> None:
        self.positive: dict[int, int] = {}
        self.negative: dict[int, int] = {}
        self.zeros = 0

    def add(self, value: float, count: int = 1) -> None:
        """Count a sample."""
        if value == 0:
            self.zeros += count
            return
        bins = self.positive if value > 0 else self.negative
        number = ceil(log(abs(value)) / self._log_gamma)
        if number not in bins and len(bins) >= MOST_BINS:
            lowest, second = sorted(bins)[:2]
            bins[second] += bins.pop(lowest)
            number = max(number, second)
        bins[number] = bins.get(number, 0) + count

    def include(self, other: "Sketch") -> None:
        """Count what the other one counted."""
        self.zeros += other.zeros
        for theirs, sign in ((other.positive, 1), (other.negative, -1)):
            for number, count in theirs.items():
                self.add(sign * self._middle(number), count)

    def at(self, rank: float) -> float:
        """The sample of this rank, counted from 0; linear between two, as for exact samples."""
        low, high = self._sample(floor(rank)), self._sample(ceil(rank))
        return low + (high - low) * (rank - floor(rank))

    def _sample(self, rank: int) -> float:
        for value, count in self._ascending():
            rank -= count
            if rank < 0:
                return value
        return nan

    def _ascending(self) -> Iterator[tuple[float, int]]:
        for number in sorted(self.negative, reverse=True):
            yield -self._middle(number), self.negative[number]
        if self.zeros:
            yield 0.0, self.zeros
        for number in sorted(self.positive):
            yield self._middle(number), self.positive[number]

    def _middle(self, number: int) -> float:
        """The value that is equally far, relatively, from both ends of a bin."""
        return 2 * exp(number * self._log_gamma) / (1 + exp(self._log_gamma))


class Pane:
    """The samples of one stretch of time."""

    __slots__ = ("count", "max", "min", "samples", "sketch", "sum")

    def __init__(self) -> None:
        self.count = 0
        self.sum = 0.0
        self.min, self.max = inf, -inf
        self.samples: list[float] = []
        self.sketch: Sketch | None = None

    def add(self, value: float) -> None:
        """Take a sample."""
        self.count += 1
        self.sum += value
        self.min, self.max = min(self.min, value), max(self.max, value)
        if self.sketch is not None:
            self.sketch.add(value)
        elif len(self.samples) < EXACT_SAMPLES:
            insort(self.samples, value)
        else:
            self.sketch = self.sketched()
            self.sketch.add(value)
            self.samples = []

    def sketched(self) -> Sketch:
        """The samples as a sketch; the pane's own, if it has one."""
        if self.sketch is not None:
            return self.sketch
        made = Sketch()
        for value in self.samples:
            made.add(value)
        return made


@dataclass(frozen=True, slots=True)
class Window:
    """What came from `start_s` (inclusive) to `end_s` (exclusive). NaN stands for what an empty window has not."""

    start_s: float
    end_s: float
    count: int
    sum: float
    avg: float
    min: float
    max: float
    percentiles: tuple[tuple[float, float], ...]
    """(percent, value): exact while all panes are, else within `RELATIVE_ERROR` of a sample."""
    exact: bool


class Windows:
    """Aggregates a series of samples by windows.

    Args:
        size_s: how long a window is.
        step_s: how far each window begins after the one before. `size_s`, the default, gives tumbling windows, less
            gives sliding ones; the size must be a whole number of steps.
        lateness_s: how much older than the newest sample one may be and still count. What comes later is counted in
            `late` and nowhere else.
        percentiles: which ones to work out, in percent.
        kept: how many complete windows are remembered.
    """

    def __init__(
        self,
        size_s: float,
        step_s: float | None = None,
        *,
        lateness_s: float = 0.0,
        percentiles: Iterable[float] = (50, 95, 99),
        kept: int = 1,
    ) -> None:
        step_s = size_s if step_s is None else step_s
        if not 0 < step_s <= size_s or abs(size_s / step_s - round(size_s / step_s)) > 1e-9:  # noqa: PLR2004 - rounding
            hint = "Make the size a whole number of steps: 300 and 60"
            raise MetricsError(f"windows of {size_s} s cannot step by {step_s} s", hint=hint)
        if lateness_s < 0 or kept < 1:
            raise MetricsError(f"lateness_s={lateness_s}, kept={kept}", hint="Give 0 or more, and 1 or more")
        self.percentiles = tuple(percentiles)
        if not all(0 <= percent <= 100 for percent in self.percentiles):  # noqa: PLR2004 - percent
            raise MetricsError(f"percentiles={self.percentiles} are not percents", hint="Give numbers from 0 to 100")
        self.size_s, self.step_s, self.lateness_s = size_s, step_s, lateness_s
        self.late = 0
        self._row = round(size_s / step_s)
        self._most = self._row * (1 if step_s == size_s else 2) + kept + ceil(lateness_s / step_s)
        self._panes: dict[int, Pane] = {}
        self._newest_s = -inf
        self._lock = threading.Lock()  # a pane is more than one number

    def add(self, value: float, at_s: float) -> bool:
        """Take a sample of this time; False if it came too late to count."""
        with self._lock:
            if at_s > self._newest_s:
                self._newest_s = at_s
            elif at_s < self._newest_s - self.lateness_s and self._closed(at_s):
                self.late += 1
                return False
            number = floor(at_s / self.step_s)
            pane = self._panes.get(number)
            if pane is None:
                pane = self._panes[number] = Pane()
                self._forget()
            pane.add(value)
            return True

    def complete(self) -> list[Window]:
        """The remembered windows to which nothing can come any more, oldest first."""
        with self._lock:
            if not self._panes:
                return []
            last = floor((self._newest_s - self.lateness_s) / self.step_s)
            oldest = min(self._panes)
            tumbling = self._row == 1
            first = oldest if tumbling else oldest - self._row + 1
            return [self._window(number) for number in range(max(first, last - self._most), last - self._row + 1)]

    def current(self) -> Window:
        """The window that ends with the pane of the newest sample; still growing."""
        with self._lock:
            newest = floor(self._newest_s / self.step_s) if self._panes else 0
            return self._window(newest - self._row + 1)

    def _closed(self, at_s: float) -> bool:
        """Whether every window that this time belongs to is complete: a pane that still grows takes it all the same."""
        return (floor(at_s / self.step_s) + 1) * self.step_s <= self._newest_s - self.lateness_s

    def _forget(self) -> None:
        oldest = floor(self._newest_s / self.step_s) - self._most
        for number in [number for number in self._panes if number < oldest]:
            del self._panes[number]

    def _window(self, first: int) -> Window:
        panes = [self._panes[number] for number in range(first, first + self._row) if number in self._panes]
        start_s, end_s = first * self.step_s, (first + self._row) * self.step_s
        count, total = sum(pane.count for pane in panes), sum(pane.sum for pane in panes)
        if not count:
            return Window(
                start_s, end_s, 0, 0.0, nan, nan, nan, tuple((percent, nan) for percent in self.percentiles), exact=True
            )
        low, high = min(pane.min for pane in panes), max(pane.max for pane in panes)
        exact = all(pane.sketch is None for pane in panes)
        ranks = [percent / 100 * (count - 1) for percent in self.percentiles]
        found = _exact(panes, ranks) if exact else _sketched(panes, ranks)
        clipped = [min(max(value, low), high) for value in found]
        percentiles = tuple(zip(self.percentiles, clipped, strict=True))
        return Window(start_s, end_s, count, total, total / count, low, high, percentiles, exact)


def _exact(panes: Iterable[Pane], ranks: Iterable[float]) -> list[float]:
    samples = sorted(value for pane in panes for value in pane.samples)
    return [
        samples[floor(rank)] + (samples[ceil(rank)] - samples[floor(rank)]) * (rank - floor(rank)) for rank in ranks
    ]


def _sketched(panes: Iterable[Pane], ranks: Iterable[float]) -> list[float]:
    together = Sketch()
    for pane in panes:
        together.include(pane.sketched())
    return [together.at(rank) for rank in ranks]
