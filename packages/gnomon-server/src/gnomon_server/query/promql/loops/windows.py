"""Over the samples of series and the windows that steps look at.

Samples are flat arrays, series after series: `begins` int64[n_series + 1], `ts` int64[n] milliseconds, rising within a
series, `v` float64[n]. A window is a stretch of them: `low` and `high`, int64[n_series, n_steps], not including `high`.
What a function gives is [n_series, n_steps]; of an empty window it is zero.
"""

import numpy as np

from gnomon_server.compiled import compiled
from gnomon_server.query.promql.loops.numbers import added, averaged, mean, quantile, summed, varied


@compiled
def reached(begins: np.ndarray, ts: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The position after the last sample of each series that is not later than each time: int64[n_series, n_steps].

    `times` int64[n_steps] should not fall: for one that does, a series is begun anew.
    """
    series, steps = len(begins) - 1, len(times)
    found = np.empty((series, steps), np.int64)
    for one in range(series):
        at, end = begins[one], begins[one + 1]
        for step in range(steps):
            if step and times[step] < times[step - 1]:
                at = begins[one]
            while at < end and ts[at] <= times[step]:
                at += 1
            found[one, step] = at
    return found


@compiled
def fallen(v: np.ndarray) -> np.ndarray:
    """Which samples are less than the one before: bool[n]. The first of a series is compared with another's."""
    found = np.zeros(len(v), np.bool_)
    for at in range(1, len(v)):
        found[at] = v[at] < v[at - 1]
    return found


@compiled
def _began(start: int, first_ms: int, start_ms: int) -> int:
    """When the counter of a window's first sample began, if that was within the window, where it was 0; else 0."""
    return start if start_ms < start < first_ms else 0


@compiled
def _factor(
    result: float,
    start_value: float,
    edges: tuple[int, int],
    window: tuple[int, int],
    distances: int,
    began: int,
    counter: bool,
) -> float:
    """By what to multiply a difference so that it covers the whole window: functions.go: extrapolatedRate.

    Args:
        result: the difference (of histograms: of their counts).
        start_value: the first sample's.
        edges: the times of the first and the last sample.
        window: where the window begins and ends.
        distances: between the samples, how many.
        began: when the counter began, if within the window: then the difference is from there; else 0.
        counter: whether it cannot have been below zero.
    """
    # Differences of whole milliseconds: today in seconds has no digits left for them.
    sampled = (edges[1] - edges[0]) / 1000
    average = sampled / max(distances, 1)
    to_start, to_end = (edges[0] - window[0]) / 1000, (window[1] - edges[1]) / 1000
    if to_start >= average * 1.1:
        to_start = average / 2
    if to_end >= average * 1.1:
        to_end = average / 2
    if counter and result > 0 and start_value >= 0:
        to_zero = sampled * (start_value / result)
        if to_zero < to_start:  # noqa: PLR1730 - min() may answer NaN, of infinity divided by infinity
            to_start = to_zero
    if began:
        to_start, sampled = 0.0, (edges[1] - began) / 1000
    return 1.0 if sampled == 0 else (sampled + to_start + to_end) / sampled


@compiled
def extrapolations(
    ts: np.ndarray,
    start: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    edges: tuple[np.ndarray, np.ndarray],
    differences: np.ndarray,
    start_values: np.ndarray,
    counter: bool,
) -> np.ndarray:
    """By what to multiply each difference so that it covers the whole window.

    Args:
        ts: the times of the samples.
        start: int64[n], when the counter of a sample began, 0 for unknown; empty: of none is it known.
        bounds: `low` and `high` of the windows.
        edges: int64[n_steps] each, where they begin and end.
        differences: float64[n_series, n_steps].
        start_values: float64[n], of all samples.
        counter: whether they are counters.
    """
    low, high = bounds
    found, told = np.ones(low.shape), counter and len(start) > 0
    for one in range(low.shape[0]):
        for step in range(low.shape[1]):
            first, last = low[one, step], high[one, step] - 1
            if first <= last:
                window = edges[0][step], edges[1][step]
                began = _began(start[first], ts[first], window[0]) if told else 0
                found[one, step] = _factor(
                    differences[one, step], start_values[first], (ts[first], ts[last]), window, last - first, began,
                    counter,
                )  # fmt: skip
    return found


@compiled
def _regained(v: np.ndarray, resets: np.ndarray, place: int, first: int, last: int) -> tuple[float, int]:
    """What a counter had before it began anew, all times in a window, and the place of the first reset after `first`.

    Args:
        v: the values.
        resets: int64[k], the positions of the series' first samples after a reset, rising.
        place: where to begin to look among them: windows move on by little.
        first: the position of the first sample.
        last: of the last.
    """
    while place and resets[place - 1] > first:
        place -= 1
    while place < len(resets) and resets[place] <= first:
        place += 1
    found, at = 0.0, place
    while at < len(resets) and resets[at] <= last:
        found += v[resets[at] - 1]
        at += 1
    return found, place


@compiled
def rates(
    begins: np.ndarray,
    ts: np.ndarray,
    v: np.ndarray,
    start: np.ndarray,
    anew: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    edges: tuple[np.ndarray, np.ndarray],
    counter: bool,
    seconds: float,
) -> np.ndarray:
    """`rate`, `increase` and `delta`: values, and 1 where there is one: float64[2, n_series, n_steps].

    Args:
        begins: where the samples of each series begin.
        ts: their times.
        v: their values.
        start: int64[n], when the counter of a sample began, 0 for unknown; empty: of none is it known.
        anew: bool[n], whether a counter began anew with a sample; empty for what is no counter.
        bounds: `low` and `high` of the windows.
        edges: int64[n_steps] each, where they begin and end.
        counter: whether they are counters.
        seconds: what the results are divided by.
    """
    low, high = bounds
    found, told = np.zeros((2, *low.shape)), counter and len(start) > 0
    for one in range(low.shape[0]):
        resets = np.flatnonzero(anew[begins[one] : begins[one + 1]]) + begins[one] if counter else begins[:0]
        place = 0
        for step in range(low.shape[1]):
            first, last = low[one, step], high[one, step] - 1
            if last < first:
                continue
            began = _began(start[first], ts[first], edges[0][step]) if told else 0
            if last == first and not began:
                continue
            found[1, one, step] = 1
            result = v[last] - v[first]
            if len(resets):
                regained, place = _regained(v, resets, place, first, last)
                result += regained
            if began:
                result += v[first]
            window = edges[0][step], edges[1][step]
            factor = _factor(result, v[first], (ts[first], ts[last]), window, last - first, began, counter)
            found[0, one, step] = result * (factor / seconds)
    return found


@compiled
def tied(ts: np.ndarray, bounds: tuple[np.ndarray, np.ndarray], edges: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Which series have a window whose edge is just as far away as extrapolation goes: bool[n_series].

    1.1 times the mean distance of its samples. There `_factor` hangs on how that is rounded, which in seconds, as it
    has to be, is not as in milliseconds, which the engine's kernels count in. `bounds` and `edges` as of
    `extrapolations`.
    """
    low, high = bounds
    found = np.zeros(low.shape[0], np.bool_)
    for one in range(low.shape[0]):
        for step in range(low.shape[1]):
            first, last = low[one, step], high[one, step] - 1
            if first < last:
                most, distances = 11 * (ts[last] - ts[first]), 10 * (last - first)
                to_start, to_end = ts[first] - edges[0][step], edges[1][step] - ts[last]
                if to_start * distances == most or to_end * distances == most:
                    found[one] = True
                    break
    return found


@compiled
def totals(v: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """`sum_over_time`: functions.go: funcSumOverTime."""
    found = np.zeros(low.shape)
    for one in range(low.shape[0]):
        for step in range(low.shape[1]):
            total, rest = 0.0, 0.0
            for at in range(low[one, step], high[one, step]):
                total, rest = added(v[at], total, rest)
            found[one, step] = summed(total, rest)
    return found


@compiled
def means(v: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """`avg_over_time`: functions.go: funcAvgOverTime."""
    found = np.zeros(low.shape)
    for one in range(low.shape[0]):
        for step in range(low.shape[1]):
            first, end = low[one, step], high[one, step]
            if first >= end:
                continue
            total, rest, incremental = v[first], 0.0, False
            for at in range(first + 1, end):
                total, rest, incremental = averaged(v[at], at - first + 1.0, total, rest, incremental)
            found[one, step] = mean(float(end - first), total, rest, incremental)
    return found


@compiled
def extremes(v: np.ndarray, low: np.ndarray, high: np.ndarray, sign: float) -> np.ndarray:
    """`max_over_time`; with -1 for `sign` `min_over_time`. NaN is passed over where there is a number."""
    found = np.zeros(low.shape)
    for one in range(low.shape[0]):
        for step in range(low.shape[1]):
            first, end = low[one, step], high[one, step]
            if first >= end:
                continue
            best = v[first]
            for at in range(first + 1, end):
                if sign * v[at] > sign * best or np.isnan(best):
                    best = v[at]
            found[one, step] = best
    return found


@compiled
def extreme_times(ts: np.ndarray, v: np.ndarray, low: np.ndarray, high: np.ndarray, sign: float) -> np.ndarray:
    """When the largest was, in seconds; with -1 for `sign` the smallest. Of equals the last; of NaN alone, too."""
    found = np.zeros(low.shape)
    for one in range(low.shape[0]):
        for step in range(low.shape[1]):
            first, end = low[one, step], high[one, step]
            if first >= end:
                continue
            best, place = np.nan, end - 1
            for at in range(first, end):
                if sign * v[at] >= sign * best or (np.isnan(best) and not np.isnan(v[at])):
                    best, place = v[at], at
            found[one, step] = ts[place] / 1000
    return found


@compiled
def variances(v: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """`stdvar_over_time`: functions.go: varianceOverTime."""
    found = np.zeros(low.shape)
    for one in range(low.shape[0]):
        for step in range(low.shape[1]):
            first, end = low[one, step], high[one, step]
            average, average_rest, squares, squares_rest = 0.0, 0.0, 0.0, 0.0
            for at in range(first, end):
                average, average_rest, squares, squares_rest = varied(
                    v[at], at - first + 1.0, average, average_rest, squares, squares_rest
                )
            if first < end:
                found[one, step] = (squares + squares_rest) / (end - first)
    return found


@compiled
def _numbers(v: np.ndarray, into: np.ndarray) -> int:
    """Put all but NaN into another array, at its beginning; how many."""
    count = 0
    for value in v:
        if not np.isnan(value):
            into[count] = value
            count += 1
    return count


@compiled
def quantiles(v: np.ndarray, low: np.ndarray, high: np.ndarray, q: np.ndarray) -> np.ndarray:
    """`quantile_over_time`, with float64[n_steps] for `q`."""
    found, scratch = np.zeros(low.shape), np.empty(max(0, (high - low).max()) if low.size else 0)
    for one in range(low.shape[0]):
        for step in range(low.shape[1]):
            first, end = low[one, step], high[one, step]
            if first < end:
                count = _numbers(v[first:end], scratch)
                found[one, step] = quantile(scratch[:count], end - first - count, q[step])
    return found


@compiled
def median_deviations(v: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """`mad_over_time`: the median of the distances from the median; NaN where one is among them."""
    found, scratch = np.zeros(low.shape), np.empty(max(0, (high - low).max()) if low.size else 0)
    for one in range(low.shape[0]):
        for step in range(low.shape[1]):
            first, end = low[one, step], high[one, step]
            if first >= end:
                continue
            count = _numbers(v[first:end], scratch)
            if count < end - first:
                found[one, step] = np.nan
                continue
            median = quantile(scratch[:count], 0, 0.5)
            scratch[:count] = np.abs(v[first:end] - median)
            found[one, step] = quantile(scratch[:count], 0, 0.5)
    return found


@compiled
def lines(ts: np.ndarray, v: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The line through each window of two samples or more (least squares): slope a second, value at the first sample.

    float64[2, n_series, n_steps]. As functions.go: linearRegression, about the means: nothing cancels then that would
    need compensation.
    """
    found = np.zeros((2, *low.shape))
    for one in range(low.shape[0]):
        for step in range(low.shape[1]):
            first, end = low[one, step], high[one, step]
            count = end - first
            if count <= 1:
                continue
            flat, sum_x, sum_y = True, 0.0, 0.0
            for at in range(first, end):
                flat = flat and v[at] == v[first]
                sum_x += (ts[at] - ts[first]) / 1000
                sum_y += v[at]
            if flat:
                level = v[first]
                found[0, one, step], found[1, one, step] = (np.nan, np.nan) if np.isinf(level) else (0.0, level)
                continue
            mean_x, mean_y, both, squares = sum_x / count, sum_y / count, 0.0, 0.0
            for at in range(first, end):
                apart = (ts[at] - ts[first]) / 1000 - mean_x
                both += apart * (v[at] - mean_y)
                squares += apart * apart
            slope = both / squares if squares else np.nan
            found[0, one, step], found[1, one, step] = slope, mean_y - slope * mean_x
    return found


@compiled
def smoothed(v: np.ndarray, low: np.ndarray, high: np.ndarray, smoothing: np.ndarray, trend: np.ndarray) -> np.ndarray:
    """functions.go: funcDoubleExponentialSmoothing, of two samples or more; the factors are float64[n_steps]."""
    found = np.zeros(low.shape)
    for one in range(low.shape[0]):
        for step in range(low.shape[1]):
            first, end = low[one, step], high[one, step]
            if end - first <= 1:
                continue
            level, before = v[first], 0.0
            slope = v[first + 1] - v[first]
            for at in range(first + 1, end):
                if at > first + 1:
                    slope = trend[step] * (level - before) + (1 - trend[step]) * slope
                before, level = level, smoothing[step] * v[at] + (1 - smoothing[step]) * (level + slope)
            found[one, step] = level
    return found
