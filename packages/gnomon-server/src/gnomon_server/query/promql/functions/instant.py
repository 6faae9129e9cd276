"""Functions of the numbers of an instant vector, scalars, and what is there or is not.

Meanings are those of Prometheus' promql/functions.go.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from gnomon_server.query.promql.ast import Call, MatrixSelector, VectorSelector
from gnomon_server.query.promql.context import Context, each_step
from gnomon_server.query.promql.functions.arguments import bare, scalar_of, vector_of, windows_of
from gnomon_server.query.promql.labels import METADATA
from gnomon_server.query.promql.ranges import Function
from gnomon_server.query.promql.values import Labels, Scalar, Value, Vector
from gnomon_server.query.syntax.matchers import MatchOp

# Of each float ------------------------------------------------------------------------------------------


def _mapped(vector: Vector, values: np.ndarray) -> Vector:
    """Other numbers in place of the floats; histograms are dropped."""
    return Vector.of_floats(vector.labels, values, vector.floats, np.ones(len(vector.labels), np.bool_))


def _each(number: Callable[[np.ndarray], np.ndarray], _: Call, args: list[Value], __: Context) -> Vector:
    vector = vector_of(args)
    return _mapped(vector, number(vector.values))


def _sign(values: np.ndarray) -> np.ndarray:
    return np.where(values < 0, -1.0, np.where(values > 0, 1.0, values))


def _radians(values: np.ndarray) -> np.ndarray:
    return values * np.pi / 180


def _degrees(values: np.ndarray) -> np.ndarray:
    return values * 180 / np.pi


def _smaller(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Go's math.Min: an infinity that cannot be undercut wins over NaN."""
    lowest = np.isneginf(one) | np.isneginf(other)
    return np.where(lowest, -np.inf, np.minimum(one, other))


def _larger(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Go's math.Max, likewise."""
    return -_smaller(-one, -other)


def _clamp(_: Call, args: list[Value], ctx: Context) -> Vector:
    return _clamped(vector_of(args), scalar_of(args, 1), scalar_of(args, 2), ctx)


def _clamp_min(_: Call, args: list[Value], ctx: Context) -> Vector:
    return _clamped(vector_of(args), scalar_of(args, 1), np.full(ctx.grid.steps, np.inf), ctx)


def _clamp_max(_: Call, args: list[Value], ctx: Context) -> Vector:
    return _clamped(vector_of(args), np.full(ctx.grid.steps, -np.inf), scalar_of(args, 1), ctx)


def _clamped(vector: Vector, least: np.ndarray, most: np.ndarray, ctx: Context) -> Vector:
    least, most = each_step(least, ctx.grid), each_step(most, ctx.grid)
    clamped = _mapped(vector, _larger(least, _smaller(most, vector.values)))
    return clamped.where(~(most < least))


def _round(_: Call, args: list[Value], ctx: Context) -> Vector:
    """To the nearest multiple, halves up. By the inverse, as Prometheus does: `0.1` has no exact one."""
    vector = vector_of(args)
    nearest = each_step(scalar_of(args, 1), ctx.grid) if len(args) > 1 else np.ones((1, 1))
    inverse = 1.0 / nearest
    return _mapped(vector, np.floor(vector.values * inverse + 0.5) / inverse)


def _timestamp(_: Call, args: list[Value], ctx: Context) -> Vector:
    """Of a vector that was computed: the time of the step."""
    vector = vector_of(args)
    values = np.broadcast_to(ctx.grid.times / 1000, vector.present.shape)
    return Vector.of_floats(vector.labels, values, vector.present).without_names()


# Scalars ------------------------------------------------------------------------------------------


def _constant(number: Callable[[Context], float], _: Call, __: list[Value], ctx: Context) -> Scalar:
    return Scalar(np.full(ctx.grid.steps, number(ctx)))


def _step_s(ctx: Context) -> float:
    return 0.0 if ctx.query.start_ms == ctx.query.end_ms else ctx.query.step_ms / 1000


def _time(_: Call, __: list[Value], ctx: Context) -> Scalar:
    return Scalar(ctx.grid.times / 1000)


def _of_two(number: Callable[[np.ndarray, np.ndarray], np.ndarray], _: Call, args: list[Value], __: Context) -> Scalar:
    return Scalar(number(scalar_of(args, 0), scalar_of(args, 1)))


def _vector(_: Call, args: list[Value], ctx: Context) -> Vector:
    values = each_step(scalar_of(args, 0), ctx.grid)
    return Vector.of_floats([()], values, np.ones(values.shape, np.bool_))


def _scalar(_: Call, args: list[Value], __: Context) -> Scalar:
    """The one float that is there, or NaN."""
    vector = vector_of(args)
    floats = vector.floats
    values = np.where(floats, vector.values, 0.0).sum(axis=0)
    return Scalar(np.where(floats.sum(axis=0) == 1, values, np.nan))


# What is not there ------------------------------------------------------------------------------------------


def _absent(call: Call, args: list[Value], _: Context) -> Vector:
    return _gaps(call, vector_of(args).present)


def _absent_over_time(call: Call, args: list[Value], _: Context) -> Vector:
    return _gaps(call, windows_of(args).counts > 0)


def _gaps(call: Call, present: np.ndarray) -> Vector:
    nowhere = ~np.logical_or.reduce(present, axis=0, keepdims=True)
    return Vector.of_floats([_sought(call)], np.ones(nowhere.shape), nowhere)


def _sought(call: Call) -> Labels:
    """The labels that the selector names with `=`; one that it names twice is left out."""
    selector = bare(call.args[0])
    if isinstance(selector, MatrixSelector):
        selector = selector.selector
    if not isinstance(selector, VectorSelector):
        return ()
    labels: dict[str, str] = {}
    named = set()
    for matcher in selector.matchers:
        if matcher.name in METADATA:
            continue
        if matcher.op is MatchOp.EQUAL and matcher.name not in named:
            labels[matcher.name] = matcher.value
            named.add(matcher.name)
        else:
            labels.pop(matcher.name, None)
    return tuple(sorted((name, value) for name, value in labels.items() if value))


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "abs": partial(_each, np.abs),
        "absent": _absent,
        "absent_over_time": _absent_over_time,
        "acos": partial(_each, np.arccos),
        "acosh": partial(_each, np.arccosh),
        "asin": partial(_each, np.arcsin),
        "asinh": partial(_each, np.arcsinh),
        "atan": partial(_each, np.arctan),
        "atanh": partial(_each, np.arctanh),
        "ceil": partial(_each, np.ceil),
        "clamp": _clamp,
        "clamp_max": _clamp_max,
        "clamp_min": _clamp_min,
        "cos": partial(_each, np.cos),
        "cosh": partial(_each, np.cosh),
        "deg": partial(_each, _degrees),
        "end": partial(_constant, lambda ctx: ctx.query.end_ms / 1000),
        "exp": partial(_each, np.exp),
        "floor": partial(_each, np.floor),
        "ln": partial(_each, np.log),
        "log10": partial(_each, np.log10),
        "log2": partial(_each, np.log2),
        "max_of": partial(_of_two, _larger),
        "min_of": partial(_of_two, _smaller),
        "pi": partial(_constant, lambda _: np.pi),
        "rad": partial(_each, _radians),
        "range": partial(_constant, lambda ctx: (ctx.query.end_ms - ctx.query.start_ms) / 1000),
        "round": _round,
        "scalar": _scalar,
        "sgn": partial(_each, _sign),
        "sin": partial(_each, np.sin),
        "sinh": partial(_each, np.sinh),
        "sqrt": partial(_each, np.sqrt),
        "start": partial(_constant, lambda ctx: ctx.query.start_ms / 1000),
        "step": partial(_constant, _step_s),
        "tan": partial(_each, np.tan),
        "tanh": partial(_each, np.tanh),
        "time": _time,
        "timestamp": _timestamp,
        "vector": _vector,
    }
)
