"""The functions of range vectors by name; `ranges` has what they compute floats with."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from gnomon_server.query.promql.ast import Call
from gnomon_server.query.promql.context import Context, refused
from gnomon_server.query.promql.functions.arguments import scalar_of, windows_of
from gnomon_server.query.promql.functions.mixed_ranges import changed, edge, instant_rate, rated, reset, totalled
from gnomon_server.query.promql.go_text import general
from gnomon_server.query.promql.labels import name_of
from gnomon_server.query.promql.loops import windows as loops
from gnomon_server.query.promql.ranges import Function, first, last, looped, of_windows
from gnomon_server.query.promql.values import Value, Vector, Windows

COUNTER_FUNCTIONS = frozenset({"rate", "increase"})
NAME_KEEPING = frozenset({"first_over_time", "last_over_time"})
_COUNTER_ENDINGS = ("_total", "_sum", "_count", "_bucket")


def _floats_alone(windows: Windows, call: Call, ctx: Context) -> Windows:
    """The floats of each window, for functions that pass over histograms; that they do is said where both are."""
    if windows.histograms is None:
        return windows
    both = (windows.floats.counts > 0) & (windows.histograms.counts > 0)
    for series in np.flatnonzero(both.any(axis=1)).tolist():
        name = name_of(windows.labels[series])
        ctx.notes.inform(
            f'ignored histograms in a range containing both floats and histograms for metric name "{name}"',
            call.args[min(_range_position(call), len(call.args) - 1)],
        )
    return windows.floats


def _range_position(call: Call) -> int:
    return 1 if call.function == "quantile_over_time" else 0


def _rate(call: Call, args: list[Value], ctx: Context, *, counter: bool, per_second: bool) -> Vector:
    vector = rated(windows_of(args), call, ctx, counter=counter, per_second=per_second)
    if counter:
        doubt_counters(vector, call, ctx)
    return vector


def doubt_counters(vector: Vector, call: Call, ctx: Context) -> None:
    """A float metric whose name does not end like a counter's is perhaps none."""
    names = {name_of(vector.labels[one]) for one in np.flatnonzero(vector.floats.any(axis=1)).tolist()}
    for name in sorted(names):
        if name and not name.endswith(_COUNTER_ENDINGS):
            ctx.notes.inform(
                f'metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "{name}"',
                call.args[0],
            )


def _extreme(sign: float, call: Call, args: list[Value], ctx: Context) -> Vector:
    windows = _floats_alone(windows_of(args), call, ctx)
    values = looped(windows, ctx, lambda low, high, _: loops.extremes(windows.samples.v, low, high, sign))
    return of_windows(windows, values, windows.counts > 0)


def _count(_: Call, args: list[Value], __: Context) -> Vector:
    windows = windows_of(args)
    return of_windows(windows, windows.counts.astype(np.float64), windows.counts > 0)


def _present(_: Call, args: list[Value], __: Context) -> Vector:
    windows = windows_of(args)
    return of_windows(windows, np.ones(windows.low.shape), windows.counts > 0)


def _spread(call: Call, args: list[Value], ctx: Context) -> Vector:
    """`stdvar_over_time` and `stddev_over_time`."""
    windows = _floats_alone(windows_of(args), call, ctx)
    values = looped(windows, ctx, lambda low, high, _: loops.variances(windows.samples.v, low, high))
    return of_windows(windows, np.sqrt(values) if call.function == "stddev_over_time" else values, windows.counts > 0)


def _quantile(call: Call, args: list[Value], ctx: Context) -> Vector:
    q, windows = scalar_of(args, 0), _floats_alone(windows_of(args, 1), call, ctx)
    for wrong in {general(one) for one in q.tolist() if not 0 <= one <= 1}:
        if windows.counts.any():
            ctx.notes.warn(f"quantile value should be between 0 and 1, got {wrong}", call.args[0])
    values = looped(windows, ctx, lambda low, high, at: loops.quantiles(windows.samples.v, low, high, q[at]))
    return of_windows(windows, values, windows.counts > 0)


def _median_deviation(call: Call, args: list[Value], ctx: Context) -> Vector:
    windows = _floats_alone(windows_of(args), call, ctx)
    values = looped(windows, ctx, lambda low, high, _: loops.median_deviations(windows.samples.v, low, high))
    return of_windows(windows, values, windows.counts > 0)


def _edge_time(edge: Callable[[Windows, np.ndarray], np.ndarray], _: Call, args: list[Value], __: Context) -> Vector:
    windows = windows_of(args)
    return of_windows(windows, edge(windows, windows.samples.ts) / 1000, windows.counts > 0)


def _extreme_time(sign: float, call: Call, args: list[Value], ctx: Context) -> Vector:
    """When the largest or the smallest was: of equals the last."""
    windows = _floats_alone(windows_of(args), call, ctx)
    ts, v = windows.samples.ts, windows.samples.v
    values = looped(windows, ctx, lambda low, high, _: loops.extreme_times(ts, v, low, high, sign))
    return of_windows(windows, values, windows.counts > 0)


def _lines(windows: Windows, ctx: Context) -> np.ndarray:
    """Slopes and the values at the first samples: float64[2, n_series, n_steps]."""
    ts, v = windows.samples.ts, windows.samples.v
    return looped(windows, ctx, lambda low, high, _: loops.lines(ts, v, low, high))


def _deriv(call: Call, args: list[Value], ctx: Context) -> Vector:
    windows = _floats_alone(windows_of(args), call, ctx)
    return of_windows(windows, _lines(windows, ctx)[0], windows.counts > 1)


def _predicted(call: Call, args: list[Value], ctx: Context) -> Vector:
    windows = _floats_alone(windows_of(args), call, ctx)
    slope, intercept = _lines(windows, ctx)
    ahead = (ctx.grid.times - first(windows, windows.samples.ts)) / 1000 + scalar_of(args, 1)
    return of_windows(windows, intercept + slope * ahead, windows.counts > 1)


def _smoothing(call: Call, args: list[Value], ctx: Context) -> Vector:
    windows = _floats_alone(windows_of(args), call, ctx)
    factors = scalar_of(args, 1), scalar_of(args, 2)
    for name, short, factor in zip(("smoothing", "trend"), ("sf", "tf"), factors, strict=True):
        wrong = factor[(factor <= 0) | (factor >= 1)]
        if len(wrong) and windows.counts.any():
            raise refused(f"invalid {name} factor. Expected: 0 < {short} < 1, got: {wrong[0]:f}", call, ctx.notes.text)

    v, (smoothing, trend) = windows.samples.v, factors
    values = looped(windows, ctx, lambda low, high, at: loops.smoothed(v, low, high, smoothing[at], trend[at]))
    return of_windows(windows, values, windows.counts > 1)


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "rate": partial(_rate, counter=True, per_second=True),
        "increase": partial(_rate, counter=True, per_second=False),
        "delta": partial(_rate, counter=False, per_second=False),
        "irate": partial(instant_rate, counter=True),
        "idelta": partial(instant_rate, counter=False),
        "resets": reset,
        "changes": changed,
        "sum_over_time": partial(totalled, mean=False),
        "avg_over_time": partial(totalled, mean=True),
        "first_over_time": partial(edge, newest=False),
        "last_over_time": partial(edge, newest=True),
        "min_over_time": partial(_extreme, -1.0),
        "max_over_time": partial(_extreme, 1.0),
        "count_over_time": _count,
        "present_over_time": _present,
        "stdvar_over_time": _spread,
        "stddev_over_time": _spread,
        "quantile_over_time": _quantile,
        "mad_over_time": _median_deviation,
        "ts_of_first_over_time": partial(_edge_time, first),
        "ts_of_last_over_time": partial(_edge_time, last),
        "ts_of_max_over_time": partial(_extreme_time, 1.0),
        "ts_of_min_over_time": partial(_extreme_time, -1.0),
        "deriv": _deriv,
        "predict_linear": _predicted,
        "double_exponential_smoothing": _smoothing,
    }
)
