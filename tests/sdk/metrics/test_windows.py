"""Windows, held against NumPy."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.errors import MetricsError
from gnomon.metrics import Windows
from gnomon.metrics.windows import EXACT_SAMPLES, MOST_BINS, RELATIVE_ERROR, Sketch

PERCENTILES = (0, 50, 90, 99, 100)


def check(window: Any, values: list[float], *, exact: bool) -> None:
    """A window against NumPy's view of its samples."""
    assert window.count == len(values)
    assert window.sum == pytest.approx(np.sum(values))
    assert window.avg == pytest.approx(np.mean(values))
    assert (window.min, window.max) == (np.min(values), np.max(values))
    assert window.exact is exact
    for percent, value in window.percentiles:
        if exact:
            assert value == pytest.approx(np.percentile(values, percent))
        else:
            low, high = (np.percentile(values, percent, method=how) for how in ("lower", "higher"))
            assert low - abs(low) * RELATIVE_ERROR * 1.01 <= value <= high + abs(high) * RELATIVE_ERROR * 1.01


@pytest.mark.parametrize(
    ("size_s", "step_s", "each_s"),
    [(60, None, 0.5), (300, None, 1), (3600, None, 5), (300, 60, 1), (60, 10, 0.02), (60, 10, 0.006), (60, None, 0.02)],
)
def test_windows_agree_with_numpy(size_s: float, step_s: float | None, each_s: float) -> None:
    """MET-06: a recorded series with samples that come out of order, tumbling and sliding."""
    rng = np.random.default_rng(7)
    times = np.arange(0, size_s * 3, each_s) + 1e6 * 3600
    values = rng.lognormal(0, 2, len(times)) * rng.choice([1, 1, 1, -1], len(times))
    order = np.argsort(times + rng.uniform(0, 20, len(times)), kind="stable")  # up to 20 s late
    windows = Windows(size_s, step_s, lateness_s=20, percentiles=PERCENTILES, kept=4)
    for index in order:
        assert windows.add(float(values[index]), float(times[index]))
    complete = windows.complete()
    assert len(complete) >= 2
    assert windows.late == 0
    for window in [*complete, windows.current()]:
        inside = values[(times >= window.start_s) & (times < window.end_s)]
        assert window.end_s - window.start_s == size_s
        per_pane = (step_s or size_s) / each_s
        check(window, inside, exact=per_pane <= EXACT_SAMPLES)


def test_what_comes_too_late_is_counted_apart() -> None:
    """It changes no window that was read already."""
    windows = Windows(60, lateness_s=5)
    windows.add(1, 10)
    windows.add(2, 64)
    assert windows.complete() == []  # a late one may still come
    assert windows.add(3, 59)
    windows.add(4, 66)
    (window,) = windows.complete()
    assert (window.sum, window.count) == (4, 2)
    assert not windows.add(5, 59)
    assert windows.late == 1
    assert windows.complete()[0] == window


def test_an_empty_window_has_no_average() -> None:
    """NaN, not a made-up zero."""
    windows = Windows(10, 5)
    assert math.isnan(windows.current().avg)
    assert windows.complete() == []


def test_memory_is_bounded() -> None:
    """However many samples, and however long."""
    windows = Windows(60, 10, kept=2)
    for number in range(30_000):
        windows.add(number % 977, number)
    assert len(windows._panes) <= 6 * 2 + 2 + 1
    sketch = Sketch()
    for exponent in range(-300, 300):
        for part in range(1, 10):
            sketch.add(part * 10.0**exponent)
    assert len(sketch.positive) <= MOST_BINS
    assert sketch.at(600 * 9 - 1) == pytest.approx(9e299, rel=RELATIVE_ERROR * 1.01)


@given(st.lists(st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6), min_size=1, max_size=50))
def test_a_sketch_is_within_its_error(values: Any) -> None:
    """Each rank, negative numbers and zero included."""
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    for rank, value in enumerate(sorted(values)):
        assert sketch.at(rank) == pytest.approx(value, rel=RELATIVE_ERROR * 1.01)


@pytest.mark.parametrize(
    "settings",
    [
        {"size_s": 60, "step_s": 7},
        {"size_s": 60, "step_s": 0},
        {"size_s": 10, "step_s": 20},
        {"size_s": 1, "lateness_s": -1},
        {"size_s": 1, "kept": 0},
        {"size_s": 1, "percentiles": (101,)},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: Any) -> None:
    """With what would."""
    with pytest.raises(MetricsError):
        Windows(**settings)
