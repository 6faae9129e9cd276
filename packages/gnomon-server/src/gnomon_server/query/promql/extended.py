"""`anchored` and `smoothed` selectors: windows that reach to the neighbours of their edges.

https://github.com/prometheus/prometheus/blob/main/promql/functions.go: extendedRate; engine.go: smoothSeries.
"""

from dataclasses import replace

import numpy as np

from gnomon_server.query.promql.ast import VectorSelector
from gnomon_server.query.promql.context import Context
from gnomon_server.query.promql.histograms.block import concatenate
from gnomon_server.query.promql.histograms.extended import interpolated as interpolated_histograms
from gnomon_server.query.promql.labels import name_of
from gnomon_server.query.promql.ranges import first, last, lost_within, picked
from gnomon_server.query.promql.values import NO_ROW, Samples, Vector, Windows


def interpolated(
    ts: np.ndarray, v: np.ndarray, before: np.ndarray, at: np.ndarray, *, counter: bool = False
) -> np.ndarray:
    """The value at a time between a sample and the next one, on the line through both.

    Args:
        ts: int64[n_samples].
        v: float64[n_samples].
        before: int64: the position of the sample before.
        at: int64, of the shape of `before` or broadcast to it: the time.
        counter: a counter that began anew between them began at 0.
    """
    left_t, right_t = picked(ts, before), picked(ts, before + 1)
    left, right = picked(v, before), picked(v, before + 1)
    if counter:
        left = np.where(right < left, 0.0, left)
    with np.errstate(all="ignore"):
        found: np.ndarray = left + (right - left) * (at - left_t) / (right_t - left_t)
        return found


def extended_rate(windows: Windows, *, counter: bool, per_second: bool) -> tuple[np.ndarray, np.ndarray]:
    """`rate`, `increase` or `delta` of floats, between the edges of the window: nothing is extrapolated.

    Returns:
        Values and where there is one, both [n_series, n_steps].
    """
    ts, v = windows.samples.ts, windows.samples.v
    starts, ends = windows.starts_ms, windows.ends_ms
    first_t, last_t = first(windows, ts), last(windows, ts)
    present = (windows.counts > 0) & (last_t > starts)
    if windows.extended == "smoothed":
        present &= first_t <= ends
    left, right = first(windows, v), last(windows, v)
    if windows.extended == "smoothed":
        left = np.where(first_t < starts, interpolated(ts, v, windows.low, starts, counter=counter), left)
        beyond = (last_t > ends) & (windows.counts > 1)
        right = np.where(beyond, interpolated(ts, v, windows.high - 2, ends, counter=counter), right)
    result = right - left
    if counter:
        result = result + _corrections(windows, left, right, first_t <= starts, last_t >= ends)
    if per_second:
        result = result / (windows.range_ms / 1000)
    return result, present


def _corrections(
    windows: Windows, left: np.ndarray, right: np.ndarray, before: np.ndarray, beyond: np.ndarray
) -> np.ndarray:
    """functions.go: correctForCounterResets: what was lost between left edge, the samples inside and right edge."""
    v = windows.samples.v
    inside = Windows(
        windows.samples, windows.low + before, windows.high - beyond, windows.starts_ms, windows.ends_ms,
        windows.range_ms,
    )  # fmt: skip
    some = inside.counts > 0
    lost = lost_within(inside, v < np.roll(v, 1))
    entry, leave = first(inside, v), last(inside, v)
    entered = np.where(some & (entry < left), left, 0.0)
    end = np.where(some, leave, left)
    found: np.ndarray = entered + lost + np.where(right < end, end, 0.0)
    return found


def smoothed_vector(node: VectorSelector, samples: Samples, times: np.ndarray, ctx: Context) -> Vector:
    """An instant vector on the lines between samples; after the last one of a series its value, while it is fresh."""
    lookback = ctx.options.lookback_ms
    after = samples.up_to(times)
    position = np.maximum(after - 1, 0)
    there = after > samples.begins[:-1, None]
    if not len(samples.ts):
        return Vector.of_floats(samples.labels, np.zeros(there.shape), there)
    ts = samples.ts[position]
    present = there & (ts > times - lookback)
    follows = after < samples.begins[1:, None]
    between = present & follows & (ts < times) & (picked(samples.ts, after) <= times + lookback)
    values = np.where(between, interpolated(samples.ts, samples.v, position, times), samples.v[position])
    if samples.rows is None or samples.histograms is None:
        return Vector.of_floats(samples.labels, values, present)
    rows = np.where(present, samples.rows[position], NO_ROW)
    return _smoothed_histograms(
        node, samples, Vector(samples.labels, values, present, rows), between, after, times, ctx
    )


def _smoothed_histograms(
    node: VectorSelector,
    samples: Samples,
    vector: Vector,
    between: np.ndarray,
    after: np.ndarray,
    times: np.ndarray,
    ctx: Context,
) -> Vector:
    """The vector with histograms on the lines between two of them; between a float and a histogram is nothing."""
    assert samples.rows is not None and samples.histograms is not None and vector.rows is not None  # noqa: PT018, S101
    native = vector.rows != NO_ROW
    next_native = picked(samples.rows, after) != NO_ROW
    present, rows = vector.present & ~(between & (native != next_native)), vector.rows.copy()
    series, step = np.nonzero(between & native & next_native)
    where = after[series, step]
    couples = np.column_stack([samples.rows[where - 1], samples.rows[where]]).ravel()
    ts = np.column_stack([samples.ts[where - 1], samples.ts[where]]).ravel()
    made, wrong, _ = interpolated_histograms(
        samples.histograms.take(couples), ts, np.arange(len(where)) * 2, times[step], counter=False
    )
    rows[series, step] = len(samples.histograms) + np.arange(len(where))
    present[series[wrong], step[wrong]] = False
    for one in np.unique(series[wrong]).tolist():
        name = name_of(samples.labels[one])
        ctx.notes.warn(
            f'vector contains a mix of histograms with exponential and custom buckets schemas for metric name "{name}"',
            node,
        )
    return replace(vector, present=present, rows=rows, histograms=concatenate([samples.histograms, made]))
