"""Functions of range vectors: `rate`, `*_over_time` and their like, over the windows of all series and steps at once.

Meanings and the order of additions are those of Prometheus' promql/functions.go. What looks at each sample of a window
is a loop (`loops.windows`); what looks at its edges, or counts along a series, is columns.
"""

from collections.abc import Callable

import numpy as np

from gnomon_server.query.promql.ast import Call
from gnomon_server.query.promql.context import Context, Loop, by_steps
from gnomon_server.query.promql.labels import named
from gnomon_server.query.promql.loops import windows as loops
from gnomon_server.query.promql.values import Value, Vector, Windows

_NO_FLAGS = np.empty(0, np.bool_)
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


def adjacent(windows: Windows, flags: np.ndarray) -> np.ndarray:
    """How many marked pairs of neighbours fall into each window.

    Args:
        windows: the windows.
        flags: bool[n_samples], of each sample and the one before it; that of a series' first is not read.
    """
    total = np.concatenate([[0.0], np.cumsum(flags)])
    return np.where(windows.counts > 0, picked(total, windows.high) - picked(total, windows.low + 1), 0.0)


def looped(windows: Windows, ctx: Context, loop: Loop) -> np.ndarray:
    """What a compiled loop makes of all windows' `low` and `high`."""
    return by_steps(ctx, (windows.low, windows.high), int(windows.counts.sum()), loop)


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
    flags: np.ndarray = loops.fallen(samples.v)
    return flags if samples.start is None else flags | start_resets(samples.ts, samples.start)


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


def extrapolation(windows: Windows, differences: np.ndarray, start_values: np.ndarray, *, counter: bool) -> np.ndarray:
    """By what to multiply differences between first and last samples so that they cover the whole windows.

    Args:
        windows: each of two samples at least, where it counts.
        differences: float64[n_series, n_steps] (of histograms: of their counts).
        start_values: float64[n_samples].
        counter: whether they cannot have been below zero.
    """
    bounds, edges = (windows.low, windows.high), (windows.starts_ms, windows.ends_ms)
    factors: np.ndarray = loops.extrapolations(
        windows.samples.ts, windows.starts, bounds, edges, differences, start_values, counter
    )
    return factors


def mixed(windows: Windows, call: Call, ctx: Context) -> np.ndarray:
    """Where floats and histograms stand in one window, which is warned of: bool[n_series, n_steps]."""
    if windows.histograms is None:
        return np.zeros(windows.low.shape, np.bool_)
    both = (windows.floats.counts > 0) & (windows.histograms.counts > 0)
    for series in np.flatnonzero(both.any(axis=1)).tolist():
        ctx.notes.warn(f"encountered a mix of histograms and floats{named(windows.labels[series])}", call.args[0])
    return both


def float_rate(windows: Windows, ctx: Context, *, counter: bool, per_second: bool) -> tuple[np.ndarray, np.ndarray]:
    """`rate`, `increase` or `delta` of floats: values and where there is one."""
    samples = windows.samples
    anew = float_resets(windows) if counter else _NO_FLAGS
    seconds = windows.range_ms / 1000 if per_second else 1.0

    def loop(low: np.ndarray, high: np.ndarray, steps: slice) -> np.ndarray:
        edges = windows.starts_ms[steps], windows.ends_ms[steps]
        found: np.ndarray = loops.rates(
            samples.begins, samples.ts, samples.v, windows.starts, anew, (low, high), edges, counter, seconds
        )
        return found

    values, present = looped(windows, ctx, loop)
    return values, present > 0


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
