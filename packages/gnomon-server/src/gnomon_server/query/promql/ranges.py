"""Functions of range vectors: `rate`, `*_over_time` and their like, over the windows of all series and steps at once.

Meanings and the order of additions are those of Prometheus' promql/functions.go. What adds up along a series is read
off prefix sums; what needs the window itself is reduced in C (`reduceat`), or taken as a padded matrix, a chunk of
windows at a time.
"""

from collections.abc import Callable

import numpy as np

from gnomon_server.query.promql.ast import Call
from gnomon_server.query.promql.context import Context
from gnomon_server.query.promql.kernels import compensated_mean, compensated_sum, inexact
from gnomon_server.query.promql.labels import named
from gnomon_server.query.promql.values import Value, Vector, Windows

_CHUNK = 4_000_000  # elements of a padded matrix: 32 MB
Function = Callable[[Call, list[Value], Context], Value]


def of_windows(windows: Windows, values: np.ndarray, present: np.ndarray, *, keep_name: bool = False) -> Vector:
    """A float for each window."""
    count = len(windows.labels)
    before = windows.samples.nameless
    nameless = np.ones(count, np.bool_) if not keep_name else np.zeros(count, np.bool_) if before is None else before
    return Vector.of_floats(windows.labels, values, present, nameless)


# What is in a window -------------------------------------------------------------------------------------------------


def first(windows: Windows, column: np.ndarray) -> np.ndarray:
    """The first sample's: [n_series, n_steps]; of an empty window anything."""
    return picked(column, windows.low)


def last(windows: Windows, column: np.ndarray) -> np.ndarray:
    """The last sample's: [n_series, n_steps]; of an empty window anything."""
    return picked(column, windows.high - 1)


def picked(column: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """What stands there, of any shape; beyond an end the last or the first."""
    if not len(column):
        return np.zeros(positions.shape, column.dtype)
    found: np.ndarray = column[np.clip(positions, 0, len(column) - 1)]
    return found


def reduced(windows: Windows, column: np.ndarray, how: np.ufunc) -> np.ndarray:
    """`how` over each window: float64[n_series, n_steps]; of an empty window anything."""
    low, high = windows.low.ravel(), windows.high.ravel()
    if not len(column):
        return np.zeros(windows.low.shape)
    # reduceat takes pairs of where to begin and where to end; the latter may be the array's own end, hence one more.
    pairs = np.column_stack([low, np.maximum(high, low)]).ravel()
    padded = np.append(column, column[-1:])
    found: np.ndarray = how.reduceat(padded, np.minimum(pairs, len(column)))[::2]
    return found.reshape(windows.low.shape)


def adjacent(windows: Windows, flags: np.ndarray) -> np.ndarray:
    """How many marked pairs of neighbours fall into each window.

    Args:
        windows: the windows.
        flags: bool[n_samples], of each sample and the one before it; that of a series' first is not read.
    """
    total = np.concatenate([[0.0], np.cumsum(flags)])
    return np.where(windows.counts > 0, picked(total, windows.high) - picked(total, windows.low + 1), 0.0)


Reduce = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Positions of samples, whether they are inside, both [k, longest], and the steps int64[k], to [k] or [outputs, k]."""


def by_window(
    windows: Windows, ctx: Context, reduce: Reduce, which: np.ndarray | None = None, *, outputs: int = 1
) -> np.ndarray:
    """Numbers for each window from its own samples, as rows of a matrix, a chunk of windows at a time.

    Args:
        windows: the windows.
        ctx: where it is evaluated.
        reduce: from rows to numbers.
        which: bool[n_series, n_steps]: only these, the others are zero; None: all that are not empty.
        outputs: how many numbers a window gets.

    Returns:
        float64[n_series, n_steps]; with several outputs [outputs, n_series, n_steps].
    """
    result = np.zeros((outputs, windows.low.size))
    wanted = np.flatnonzero(((windows.counts > 0) if which is None else which & (windows.counts > 0)).ravel())
    low, counts = windows.low.ravel(), windows.counts.ravel()
    wanted = wanted[np.argsort(counts[wanted], kind="stable")]  # rows of a chunk are of one length, or nearly
    begin = 0
    while begin < len(wanted):
        ctx.check()
        size = max(1, _CHUNK // int(counts[wanted[-1]]))
        chunk = wanted[begin : begin + size]
        rank = np.arange(int(counts[chunk[-1]]))
        inside = rank[None, :] < counts[chunk, None]
        positions = np.minimum(low[chunk, None] + rank[None, :], len(windows.samples.ts) - 1)
        result[:, chunk] = reduce(positions, inside, chunk % windows.low.shape[1])
        begin += size
    shaped = result.reshape(outputs, *windows.low.shape)
    return shaped[0] if outputs == 1 else shaped


# Counters ------------------------------------------------------------------------------------------------------------


def start_resets(ts: np.ndarray, start: np.ndarray | None) -> np.ndarray | bool:
    """Whether a counter began anew between a sample and the one before it, as its start time says: bool[n_samples].

    functions.go: isStartTimestampReset.
    """
    if start is None:
        return False
    before_start, before = np.roll(start, 1), np.roll(ts, 1)
    # A start at the sample itself is OpenTelemetry's unknown start time.
    known = (start != 0) & (start < ts)
    # One that is the earlier sample's time is that of changes, if the earlier one's start was known and possible.
    change = (start == before) & (before_start != 0) & (before_start < before)
    anew: np.ndarray = known & ((start > before) | change)
    return anew


def started_within(windows: Windows) -> np.ndarray:
    """Whether the first sample's counter began within the window, where it was 0: bool[n_series, n_steps]."""
    samples = windows.samples
    if samples.start is None:
        return np.zeros(windows.low.shape, np.bool_)
    start = first(windows, samples.start)
    within: np.ndarray = (start != 0) & (start > windows.starts_ms) & (start < first(windows, samples.ts))
    return within & (windows.counts > 0)


def float_resets(windows: Windows) -> np.ndarray:
    """Whether a float is the first after a reset of its counter: bool[n_samples]."""
    samples = windows.samples
    flags: np.ndarray = (samples.v < np.roll(samples.v, 1)) | start_resets(samples.ts, samples.start)
    return flags


def lost_within(windows: Windows, flags: np.ndarray) -> np.ndarray:
    """What counters had counted before they began anew, in each window: float64[n_series, n_steps].

    Resets are few: each window's are added by themselves, so that no other series' size rounds them away.

    Args:
        windows: the windows.
        flags: bool[n_samples]: whether a sample is the first after a reset.
    """
    at = np.flatnonzero(flags)
    if not len(at):
        return np.zeros(windows.low.shape)
    before = np.concatenate([[0], np.cumsum(flags)])
    low, high = picked(before, windows.low + 1), picked(before, windows.high)
    some = (high > low) & (windows.counts > 1)
    lost = np.append(windows.samples.v[at - 1], 0.0)
    pairs = np.column_stack([low[some], high[some]]).ravel()
    found = np.zeros(windows.low.shape)
    if len(pairs):
        found[some] = np.add.reduceat(lost, pairs)[::2]
    return found


def extrapolation(
    windows: Windows, result: np.ndarray, start_value: np.ndarray, started: np.ndarray, *, counter: bool
) -> np.ndarray:
    """By what to multiply a difference between the first and the last sample so that it covers the whole window.

    functions.go: extrapolatedRate.

    Args:
        windows: each of two samples at least, where it counts.
        result: the difference (of histograms: of their counts).
        start_value: the first sample's.
        started: where the counter began within the window: then the difference is from there.
        counter: whether it cannot have been below zero.
    """
    samples = windows.samples
    # Differences of whole milliseconds: today in seconds has no digits left for them.
    first_ms, last_ms = first(windows, samples.ts), last(windows, samples.ts)
    sampled = (last_ms - first_ms) / 1000
    average = sampled / np.maximum(windows.counts - 1, 1)
    to_start, to_end = (first_ms - windows.starts_ms) / 1000, (windows.ends_ms - last_ms) / 1000
    threshold = average * 1.1
    to_start = np.where(to_start >= threshold, average / 2, to_start)
    if counter:
        to_zero = np.where((result > 0) & (start_value >= 0), sampled * (start_value / result), to_start)
        to_start = np.where(to_zero < to_start, to_zero, to_start)
    if samples.start is not None:
        to_start = np.where(started, 0.0, to_start)
        sampled = np.where(started, (last_ms - first(windows, samples.start)) / 1000, sampled)
    to_end = np.where(to_end >= threshold, average / 2, to_end)
    return np.where(sampled == 0, 1.0, (sampled + to_start + to_end) / sampled)


def mixed(windows: Windows, call: Call, ctx: Context) -> np.ndarray:
    """Where floats and histograms stand in one window, which is warned of: bool[n_series, n_steps]."""
    if windows.histograms is None:
        return np.zeros(windows.low.shape, np.bool_)
    both = (windows.floats.counts > 0) & (windows.histograms.counts > 0)
    for series in np.flatnonzero(both.any(axis=1)).tolist():
        ctx.notes.warn(f"encountered a mix of histograms and floats{named(windows.labels[series])}", call.args[0])
    return both


def float_rate(windows: Windows, *, counter: bool, per_second: bool) -> tuple[np.ndarray, np.ndarray]:
    """`rate`, `increase` or `delta` of floats: values and where there is one."""
    started = started_within(windows) if counter else np.zeros(windows.low.shape, np.bool_)
    present = (windows.counts > 1) | started
    start_value = first(windows, windows.samples.v)
    result = last(windows, windows.samples.v) - start_value
    if counter:
        result = result + lost_within(windows, float_resets(windows)) + np.where(started, start_value, 0.0)
    factor = extrapolation(windows, result, start_value, started, counter=counter)
    if per_second:
        factor = factor / (windows.range_ms / 1000)
    return result * factor, present


def float_instant(windows: Windows, *, counter: bool) -> tuple[np.ndarray, np.ndarray]:
    """`irate` or `idelta` of floats: from the last two samples of each window."""
    samples = windows.samples
    now, then = windows.high - 1, windows.high - 2
    elapsed = picked(samples.ts, now) - picked(samples.ts, then)
    present = (windows.counts > 1) & (elapsed != 0)
    result = picked(samples.v, now) - picked(samples.v, then)
    if counter:
        result = np.where(picked(float_resets(windows), now), picked(samples.v, now), result) / (elapsed / 1000)
    return result, present


# Over time -----------------------------------------------------------------------------------------------------------


def totals(windows: Windows, ctx: Context, *, mean: bool) -> np.ndarray:
    """Sums or means, exact to the last digits: those that cancel or overflow are added again as Prometheus does."""
    v = windows.samples.v
    fast, weight = reduced(windows, v, np.add), reduced(windows, np.abs(v), np.add)
    doubtful = (windows.counts > 0) & inexact(fast, weight)
    result = fast / np.maximum(windows.counts, 1) if mean else fast
    if doubtful.any():
        kernel = compensated_mean if mean else compensated_sum

        def exactly(positions: np.ndarray, inside: np.ndarray, _: np.ndarray) -> np.ndarray:
            return kernel(v, positions, inside)

        result = np.where(doubtful, by_window(windows, ctx, exactly, doubtful), result)
    return result


def regression(windows: Windows, ctx: Context) -> tuple[np.ndarray, np.ndarray]:
    """Slope a second, and the value at the first sample, of the line through each window (least squares)."""
    ts, v = windows.samples.ts, windows.samples.v

    def line(positions: np.ndarray, inside: np.ndarray, _: np.ndarray) -> np.ndarray:
        x = np.where(inside, (ts[positions] - ts[positions[:, :1]]) / 1000, 0.0)
        y = np.where(inside, v[positions], 0.0)
        n = inside.sum(axis=1)
        mean_x, mean_y = x.sum(axis=1) / n, y.sum(axis=1) / n
        dx = np.where(inside, x - mean_x[:, None], 0.0)
        slope = (dx * (y - mean_y[:, None])).sum(axis=1) / (dx * dx).sum(axis=1)
        level = y[:, 0]
        flat = ((y == level[:, None]) | ~inside).all(axis=1)
        lines = np.stack([slope, mean_y - slope * mean_x])
        levels = np.where(np.isinf(level), np.nan, np.stack([np.zeros(len(level)), level]))
        return np.where(flat, levels, lines)

    slope, start = by_window(windows, ctx, line, windows.counts > 1, outputs=2)
    return slope, start


def smoothed(
    v: np.ndarray, smoothing: np.ndarray, trend: np.ndarray, positions: np.ndarray, inside: np.ndarray
) -> np.ndarray:
    """functions.go: funcDoubleExponentialSmoothing; the factors are of each window: float64[k]."""
    level: np.ndarray = v[positions[:, 0]].copy()
    slope = v[positions[:, 1]] - level
    before = np.zeros(len(positions))
    for column in range(1, positions.shape[1]):
        here = inside[:, column]
        new_slope = slope if column == 1 else trend * (level - before) + (1 - trend) * slope
        new_level = smoothing * v[positions[:, column]] + (1 - smoothing) * (level + new_slope)
        before, slope = np.where(here, level, before), np.where(here, new_slope, slope)
        level = np.where(here, new_level, level)
    return level
