"""Scenes for the proof that ClickHouse's kernels give what NumPy gives: a grid of steps, and series about its edges.

Hypothesis draws the grid and a recipe for each series. Times lie on the edges of windows, a millisecond beside them, or
evenly over all; values come from short lists, so that there are ties, resets, repetitions, and stale markers anywhere.
"""

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from tests.promqltest.histogram import Histogram
from tests.promqltest.language import Load, Point
from tests.promqltest.series import STALE, Labels

from gnomon_server.query.promql.values import Grid

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
_TODAY = 20_412 * DAY_MS
# The table is cut by hours and days; 1970 is where its times begin.
ORIGINS = (_TODAY, _TODAY + 7 * HOUR_MS, _TODAY + 12_345_678, 47_482 * DAY_MS, 0, 1_500)
_OFFSETS = (0, 0, 0, 1, 999, 60_000, -1, -15_000, -61_001)
# Steps and windows: shorter, longer, equal; so many windows over each sample that the kernels change their ways.
_LENGTHS = (
    (1, 1),
    (1, 300),
    (3, 2),
    (999, 1_001),
    (1_001, 999),
    (1_000, 20_000),
    (15_000, 15_000),
    (15_000, 300_000),
    (15_000, 300_001),
    (59_999, 61_001),
    (60_000, 60_000),
    (300_000, 47_000),
    (HOUR_MS, 2 * HOUR_MS),
    (6 * HOUR_MS, DAY_MS),
)

Recipe = tuple[str, str, bool, float, int]
"""Times, values, whether they rise, how many are stale, and a seed."""

_MANY_NANS = (math.nan, *struct.unpack("<2d", struct.pack("<2Q", 0x7FF8000000000001, 0xFFF8000000000000)))
VALUES = {
    # Sums of these are the same in whatever order.
    "counts": (0.0, 1.0, 2.0, 3.0, 7.0, 64.0, 1_000.0),
    "eighths": (0.0, 0.125, 0.5, -0.5, 1.0, -3.25, 1_024.0, -4_096.5),
    "large": (2.0**40, 2.0**40 + 1, 2.0**44, 0.0, 3.0),
    "sevens": (7.0,),
    "zeros": (0.0,),
    "numbers or not": (math.nan, math.nan, 1.0, 2.0, 0.0),
    "infinite": (math.inf, -math.inf, 1.0, 2.0, -1.0, math.nan),
    # Sums of these are not.
    "tenths": (0.1, 0.2, 0.7, 1.3, 12.1, 1e6 / 7),
    "huge": (1e300, -1e300, 1e308, 2.0**53, 1.0, 0.3),
    "tiny": (5e-324, -5e-324, 2.5e-308, 1e-300, 1.0),
    "signed zeros": (0.0, -0.0, 1.0, -1.0),
    "many NaNs": (*_MANY_NANS, 1.0),
}
EXACT = ("counts", "eighths", "large", "sevens", "zeros", "numbers or not")


@dataclass(frozen=True, slots=True)
class Scene:
    """What is asked when, of what.

    Attributes:
        grid: the steps; without a step of an instant query.
        window_ms: how far back each looks.
        offset_ms: how much earlier, or later where negative.
        series: the samples of each, by time.
    """

    grid: Grid
    window_ms: int
    offset_ms: int
    series: tuple[tuple[Point, ...], ...]

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """Without the samples: Hypothesis warns of long texts, and the differences name those that matter."""
        printer.text(f"<{len(self.series)} series, {self.window_ms} ms, {self.offset_ms} ms before {self.grid}>")

    def loads(self) -> list[Load]:
        """The samples in two halves, every other one in each, so that they reach the kernels in no order."""
        return [Load({labels_of(n): list(points[k::2]) for n, points in enumerate(self.series)}) for k in (0, 1)]


def scene(
    *series: Sequence[tuple[int, float]],
    start_ms: int = 60_000,
    end_ms: int = 0,
    step_ms: int = 0,
    window_ms: int = 60_000,
) -> Scene:
    """A scene by hand: of each series times and values, counted from today's midnight."""
    grid = Grid(_TODAY + start_ms, _TODAY + (end_ms or start_ms), step_ms)
    return Scene(grid, window_ms, 0, tuple(tuple(Point(_TODAY + at, v) for at, v in one) for one in series))


def labels_of(number: int) -> Labels:
    """Of a series by its number."""
    return (("__name__", "m_total"), ("i", f"{number:03d}"))


@st.composite
def scenes(draw: st.DrawFn, values: Sequence[str], kinds: Sequence[str] = ("floats",), series: int = 60) -> Scene:
    """A grid, and up to so many series of these values and kinds."""
    step, window = draw(st.sampled_from(_LENGTHS))
    offset = draw(st.sampled_from(_OFFSETS))
    start = draw(st.sampled_from(ORIGINS)) + max(offset, 0) + draw(st.sampled_from((0, 0, 1, 7_777, 30_000)))
    steps = draw(st.sampled_from((0, 1, 7, 60, 60, 60)))
    # The last step may lie before the end.
    ragged = draw(st.sampled_from((0, 0, step // 2)))
    grid = Grid(start, start + (steps - 1) * step + ragged, step) if steps else Grid(start, start, 0)
    times = st.sampled_from(("edges", "evenly", "densely", "once"))
    recipe = st.tuples(times, st.sampled_from(values), st.booleans(), st.sampled_from((0, 0, 0.2, 0.7)), st.integers(0))
    drawn = draw(st.lists(st.tuples(recipe, st.sampled_from(kinds)), min_size=series // 2, max_size=series))
    cooked = (_cooked(grid, window, offset, *one) for one in drawn)
    return Scene(grid, window, offset, tuple(cooked))


def _cooked(grid: Grid, window: int, offset: int, recipe: Recipe, kind: str) -> tuple[Point, ...]:
    times, values, rising, stale, number = recipe
    random = np.random.default_rng(number)
    ends = grid.times - offset
    at = _times(random, times, ends, window)
    found = random.choice(VALUES[values], len(at))
    found = np.sort(found) if rising else found
    found = np.where(random.random(len(at)) < stale, STALE, found)
    points = (Point(*one) for one in zip(at.tolist(), found.tolist(), strict=True))
    return tuple(_of_kind(random, kind, points, int(ends[0]) - window))


def _times(random: np.random.Generator, how: str, ends: np.ndarray, window: int) -> np.ndarray:
    edges = np.concatenate([ends, ends - window])
    low, high = int(edges.min()) - window // 3 - 5, int(edges.max()) + 5
    if how == "edges":
        found = random.choice(edges, 24) + random.choice([-1, 0, 0, 1], 24)
    elif how == "evenly":
        found = np.arange(low, high, max(1, (high - low) // 40)) + int(random.integers(0, 3))
    elif how == "densely":
        found = random.integers(low, high, 150)
    else:
        found = random.choice(edges, 1)
    return np.unique(np.maximum(found, 0))


def _of_kind(random: np.random.Generator, kind: str, points: Iterable[Point], begin: int) -> Iterable[Point]:
    before = 0
    start = max(1, begin - 1_000 if kind == "started long ago" else begin + int(random.integers(-1, 2)))
    for point in points:
        if kind.startswith("started") and point.at_ms > start:
            yield point._replace(start_ms=start)
        elif kind == "restarting":
            yield point._replace(start_ms=int(random.choice([0, start, before, point.at_ms, max(0, point.at_ms - 1)])))
        elif kind == "histograms" or (kind == "mixed" and random.random() < 0.5):
            count = float(random.integers(1, 9))
            yield point._replace(value=Histogram(schema=1, count=count, sum=count, positive={1: count}))
        else:
            yield point
        before = point.at_ms
