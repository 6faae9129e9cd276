"""Functions of histograms: native ones are samples, classic ones are groups of series with a label `le`.

Meanings, mixing rules and annotations are those of Prometheus' promql/functions.go and engine.go (resetHistograms).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType

import numpy as np

from gnomon_server.query.promql.ast import Call, Expr
from gnomon_server.query.promql.context import Context
from gnomon_server.query.promql.functions.arguments import scalar_of, text_of, vector_of
from gnomon_server.query.promql.functions.classic_groups import BUCKET, Classic, Columns, classic_of
from gnomon_server.query.promql.go_text import general, quoted
from gnomon_server.query.promql.histograms.block import Histograms
from gnomon_server.query.promql.histograms.classic import Forced, bucket_fraction, bucket_quantile
from gnomon_server.query.promql.histograms.statistics import averages, deviations, fractions, quantiles, variances
from gnomon_server.query.promql.labels import merged, named, replaced
from gnomon_server.query.promql.ranges import Function
from gnomon_server.query.promql.values import Labels, Value, Vector, joined

_DOCUMENTED = "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile"


# Of native ones alone ------------------------------------------------------------------------------------------


def _each(number: Callable[[Histograms], np.ndarray], _: Call, args: list[Value], __: Context) -> Vector:
    """A number for each native histogram; floats are dropped."""
    vector = vector_of(args)
    there = vector.histogram_there
    values = np.zeros(there.shape)
    if vector.histograms is not None and vector.rows is not None:
        values[there] = number(vector.histograms)[vector.rows[there]]
    return Vector.of_floats(vector.labels, values, there, np.ones(len(vector.labels), np.bool_))


# Of both kinds ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Both:
    """The histograms in a vector, without those that are there as both kinds at a step.

    Attributes:
        labels: of each series.
        series, step: int64[n]: where the native ones stand.
        native: n of them, or None.
        classic: the classic ones.
        wanted: bool[n_classic, n_steps].
    """

    labels: list[Labels]
    series: np.ndarray
    step: np.ndarray
    native: Histograms | None
    classic: Classic
    wanted: np.ndarray

    def vector(self, native: np.ndarray, classic: np.ndarray) -> Vector:
        """From a number for each native one, float64[n], and for each classic one at each step."""
        values, there = np.zeros((len(self.labels), self.wanted.shape[1])), self._native_there()
        values[self.series, self.step] = native
        of_native = Vector.of_floats(self.labels, values, there).take(np.logical_or.reduce(there, axis=1))
        of_classic = Vector.of_floats(self.classic.labels, classic, self.wanted).take(
            np.logical_or.reduce(self.wanted, axis=1)
        )
        every = joined([of_native, of_classic]).without_names()
        return merged(every, every.labels)

    def _native_there(self) -> np.ndarray:
        there = np.zeros((len(self.labels), self.wanted.shape[1]), np.bool_)
        there[self.series, self.step] = True
        return there


def _both(vector: Vector, place: Expr, ctx: Context) -> _Both:
    """Split a vector, and say what cannot be used of it."""
    classic, without_bound = classic_of(vector)
    for one in np.flatnonzero(without_bound).tolist():
        labels = vector.labels[one]
        bound = quoted(dict(labels).get(BUCKET, ""))
        ctx.notes.warn(f'bucket label "{BUCKET}" is missing or has a malformed value of {bound}{named(labels)}', place)
    native, wanted = vector.histogram_there, classic.present
    numbers = {labels: number for number, labels in enumerate(classic.labels)}
    for one in np.flatnonzero(native.any(axis=1)).tolist():
        labels = vector.labels[one]
        group = numbers.get(labels)
        if group is None or not (twice := native[one] & wanted[group]).any():
            continue
        ctx.notes.warn(f"vector contains a mix of classic and native histograms{named(labels)}", place)
        native[one] &= ~twice
        wanted[group] &= ~twice
    series, step = np.nonzero(native)
    block = None
    if len(series) and vector.histograms is not None and vector.rows is not None:
        block = vector.histograms.take(vector.rows[series, step])
    return _Both(list(vector.labels), series, step, block, classic, wanted)


def _said_of(histograms: _Both, flags: np.ndarray, said: str, place: Expr, ctx: Context) -> None:
    """An info for each series with a native histogram that is flagged: bool[n]."""
    for series in np.unique(histograms.series[flags]).tolist():
        ctx.notes.inform(f"{said}{named(histograms.labels[series])}", place)


def _histogram_fraction(call: Call, args: list[Value], ctx: Context) -> Vector:
    lower, upper, place = scalar_of(args, 0), scalar_of(args, 1), call.args[2]
    histograms = _both(vector_of(args, 2), place, ctx)
    native = np.empty(0)
    if histograms.native is not None:
        native, outside = fractions(histograms.native, lower[histograms.step], upper[histograms.step])
        said = "input to histogram_fraction has NaN observations, which are excluded from all fractions"
        _said_of(histograms, outside, said, place, ctx)

    def of_buckets(columns: Columns, bounds: np.ndarray, counts: np.ndarray) -> np.ndarray:
        ctx.check()
        return bucket_fraction(lower[columns.step], upper[columns.step], bounds, counts)

    return histograms.vector(native, histograms.classic.evaluated(histograms.wanted, of_buckets))


def _histogram_quantile(call: Call, args: list[Value], ctx: Context) -> Vector:
    q, place = scalar_of(args, 0), call.args[1]
    _judge(q, call.args[0], ctx)
    raised = _Raised()
    found = _quantile(_both(vector_of(args, 1), place, ctx), q, raised, place, ctx)
    raised.say(place, ctx)
    return found


def _histogram_quantiles(call: Call, args: list[Value], ctx: Context) -> Vector:
    """Several at once; a label says which."""
    label, place = text_of(args, 1), call.args[0]
    asked = [scalar_of(args, position) for position in range(2, len(args))]
    for q, argument in zip(asked, call.args[2:], strict=True):
        _judge(q, argument, ctx)
    histograms, raised = _both(vector_of(args), place, ctx), _Raised()
    found = []
    for q in asked:
        every = _quantile(histograms, q, raised, place, ctx)
        values = np.unique(q)  # it may be another one at each step
        ctx.check(every.values.size * len(values))
        for value in values.tolist():
            here = every.where((q == value) | (np.isnan(q) & np.isnan(value)))
            found.append(replace(here, labels=[replaced(one, label, _label_value(value)) for one in here.labels]))
    raised.say(place, ctx)
    every = joined(found)
    every = every.take(np.logical_or.reduce(every.present, axis=1))
    return merged(every, every.labels)


def _judge(q: np.ndarray, place: Expr, ctx: Context) -> None:
    for value in np.unique(q[~((q >= 0) & (q <= 1))]).tolist():
        ctx.notes.warn(f"quantile value should be between 0 and 1, got {general(value)}", place)


def _label_value(q: float) -> str:
    """As OpenMetrics writes numbers: `0.5`, `1.0`."""
    if q == 0:
        return "0.0"  # and not -0
    text = general(q)
    return text if not np.isfinite(q) or "." in text or "e" in text else f"{text}.0"


def _quantile(histograms: _Both, q: np.ndarray, raised: "_Raised", place: Expr, ctx: Context) -> Vector:
    native = np.empty(0)
    if histograms.native is not None:
        native, undefined, skewed = quantiles(histograms.native, q[histograms.step])
        said = "input to histogram_quantile has NaN observations, result is"
        _said_of(histograms, undefined, f"{said} NaN", place, ctx)
        _said_of(histograms, skewed, f"{said} skewed higher", place, ctx)

    def of_buckets(columns: Columns, bounds: np.ndarray, counts: np.ndarray) -> np.ndarray:
        ctx.check()
        values, forced = bucket_quantile(q[columns.step], bounds, counts)
        raised.add(histograms.classic.labels, columns, forced, ctx)
        return values

    return histograms.vector(native, histograms.classic.evaluated(histograms.wanted, of_buckets))


@dataclass(slots=True)
class _Raised:
    """Where the counts of classic buckets fell and were raised: one info for each metric, as Prometheus merges them."""

    found: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(self, labels: list[Labels], columns: Columns, forced: Forced, ctx: Context) -> None:
        """What was raised in some columns; `labels` are those of all histograms."""
        group = columns.group[forced.at]
        at = ctx.grid.times[columns.step[forced.at]]
        rows = np.column_stack([at, forced.lowest[forced.at], forced.highest[forced.at], forced.largest[forced.at]])
        of_name: dict[str, list[int]] = {}
        for one in np.unique(group).tolist():
            of_name.setdefault(named(labels[one]), []).append(one)
        for name, groups in of_name.items():
            self.found.setdefault(name, []).append(rows[np.isin(group, groups)])

    def say(self, place: Expr, ctx: Context) -> None:
        """As an info."""
        for name, parts in self.found.items():
            at, lowest, highest, largest = np.concatenate(parts).T
            first, last = (np.datetime_as_string(np.datetime64(int(ms / 1000), "s")) for ms in (at.min(), at.max()))
            ctx.notes.inform(
                f"input to histogram_quantile needed to be fixed for monotonicity (see {_DOCUMENTED}){name}, "
                f"from buckets {general(lowest.min())} to {general(highest.max())}, "
                f"with a max diff of {largest.max():.2g}, over {len(at)} samples from {first}Z to {last}Z",
                place,
            )


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "histogram_avg": partial(_each, averages),
        "histogram_count": partial(_each, lambda block: block.count),
        "histogram_fraction": _histogram_fraction,
        "histogram_quantile": _histogram_quantile,
        "histogram_quantiles": _histogram_quantiles,
        "histogram_stddev": partial(_each, deviations),
        "histogram_stdvar": partial(_each, variances),
        "histogram_sum": partial(_each, lambda block: block.sum),
    }
)
