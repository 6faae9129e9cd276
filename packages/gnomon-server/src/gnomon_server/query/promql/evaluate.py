"""The evaluator: from a tree and the samples that were read to a value, all series and steps at once.

One function a kind of node, no step by step: https://github.com/prometheus/prometheus/blob/main/promql/engine.go says
what each means at one step.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gnomon_server.errors import Internal
from gnomon_server.query.promql import aggregate, binary
from gnomon_server.query.promql.ast import (
    Aggregate,
    Binary,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
    VectorSelector,
)
from gnomon_server.query.promql.context import Context
from gnomon_server.query.promql.extended import smoothed_vector
from gnomon_server.query.promql.functions.arguments import bare
from gnomon_server.query.promql.functions.over_ranges import COUNTER_FUNCTIONS, NAME_KEEPING, doubt_counters
from gnomon_server.query.promql.functions.table import FUNCTIONS, WITHOUT_ARGUMENTS
from gnomon_server.query.promql.histograms.arithmetic import negated
from gnomon_server.query.promql.histograms.block import GAUGE, UNKNOWN, Histograms, begins_of
from gnomon_server.query.promql.ranges import picked
from gnomon_server.query.promql.times import looked_at, span_ms, subquery_grid
from gnomon_server.query.promql.values import NO_ROW, Samples, Scalar, String, Value, Vector, Windows, joined


def evaluate(node: Expr, ctx: Context) -> Value:  # noqa: C901, PLR0911 - a line a kind of node
    """The value of an expression at every step of `ctx.grid`.

    Raises:
        InvalidInput: where the data do not allow it (many-to-many matches and the like), in Prometheus' words.
        DeadlineExceeded, TooLarge: past the limits.
    """
    ctx.check()
    match node:
        case NumberLiteral():
            return Scalar(np.full(ctx.grid.steps, node.value))
        case StringLiteral():
            return String(node.value)
        case Paren():
            return evaluate(node.expr, ctx)
        case VectorSelector():
            return _with_evaluated(node, _by_blocks(node, lambda some: _selected(node, some, ctx)[0], ctx), ctx)
        case MatrixSelector():
            return _windows(node, ctx.samples[node.selector.start, node.selector.end].whole(), ctx)
        case Subquery():
            return _subquery(node, ctx)
        case Unary():
            return _signed(node, evaluate(node.expr, ctx))
        case Binary():
            return binary.evaluated(node, evaluate(node.lhs, ctx), evaluate(node.rhs, ctx), ctx)
        case Aggregate():
            param = None if node.param is None else evaluate(node.param, ctx)
            return aggregate.evaluated(node, evaluate(node.expr, ctx), param, ctx)
        case Call():
            return _called(node, ctx)


def _called(call: Call, ctx: Context) -> Value:
    if call.function in ("timestamp", "start_timestamp") and isinstance(bare(call.args[0]), VectorSelector):
        return _timestamps(call, ctx)
    if call.function == "start_timestamp":
        return Vector.empty(ctx.grid.steps)  # of what is computed nothing is known
    if call.function in WITHOUT_ARGUMENTS:  # they evaluate what they want themselves
        return WITHOUT_ARGUMENTS[call.function](call, evaluate, ctx)
    ranges = [argument for argument in call.args if isinstance(argument, MatrixSelector)]
    if ranges:
        return _over_range(call, ranges[0], ctx)
    return FUNCTIONS[call.function](call, [evaluate(argument, ctx) for argument in call.args], ctx)


def _over_range(call: Call, over: MatrixSelector, ctx: Context) -> Vector:
    """A function of the ranges of a selector, by blocks of series: none looks at two of them."""
    others = [None if argument is over else evaluate(argument, ctx) for argument in call.args]

    def part(some: Samples) -> Vector:
        windows = _windows(over, some, ctx)
        found = FUNCTIONS[call.function](call, [windows if other is None else other for other in others], ctx)
        if not isinstance(found, Vector):
            raise Internal("promql_types", f"{call.function} gave a {type(found).__name__}")
        return found

    return _with_evaluated(over.selector, _by_blocks(over.selector, part, ctx), ctx, call)


def _by_blocks(selector: VectorSelector, work: Callable[[Samples], Vector], ctx: Context) -> Vector:
    """What becomes of all series of a selector, from work on some of them."""
    stored = ctx.samples[selector.start, selector.end]
    return joined(ctx.cores.map(lambda block: work(stored.some(block)), stored.blocks()))


def _with_evaluated(selector: VectorSelector, vector: Vector, ctx: Context, call: Call | None = None) -> Vector:
    """With the series that the engine has evaluated, all in the order of their labels."""
    pushed = ctx.evaluated.get((selector.start, selector.end))
    if pushed is None:
        return vector
    if call is not None:
        if call.function in COUNTER_FUNCTIONS:
            doubt_counters(pushed, call, ctx)
        pushed = pushed if call.function in NAME_KEEPING else pushed.without_names()
    if not len(vector.labels):
        return pushed
    both: Vector = joined([pushed, vector])
    return both.take(np.array(sorted(range(len(both.labels)), key=both.labels.__getitem__), np.int64))


def _signed(node: Unary, value: Value) -> Value:
    if node.op == "+":
        return value
    if isinstance(value, Scalar):
        return Scalar(-value.values)
    if not isinstance(value, Vector):
        raise Internal("promql_types", f"a sign before a {type(value).__name__} was let through")
    negative = None if value.histograms is None else negated(value.histograms)
    return Vector(value.labels, -value.values, value.present, value.rows, negative).without_names()


def _selected(node: VectorSelector, samples: Samples, ctx: Context) -> tuple[Vector, np.ndarray]:
    """The newest sample of each series within the lookback, and its position: int64[n_series, n_steps]."""
    times = looked_at(node, ctx.grid, ctx.query)
    ctx.check(len(samples.labels) * len(times))
    after = samples.up_to(times)
    position = np.maximum(after - 1, 0)
    if node.smoothed:
        return smoothed_vector(node, samples.only(~samples.stale), times, ctx), position
    there = after > samples.begins[:-1, None]
    if not len(samples.ts):
        return Vector.of_floats(samples.labels, np.zeros(there.shape), there), position
    ts = samples.ts[position]
    present = there & (ts > times - ctx.options.lookback_ms) & ~samples.stale[position]
    rows = None if samples.rows is None else np.where(present, samples.rows[position], NO_ROW)
    return Vector(samples.labels, samples.v[position], present, rows, samples.histograms), position


def _timestamps(call: Call, ctx: Context) -> Vector:
    """`timestamp` and `start_timestamp` of a selector: those of the samples themselves."""
    selector = bare(call.args[0])
    assert isinstance(selector, VectorSelector)  # noqa: S101 - the caller has looked; for the type checker
    samples = ctx.samples[selector.start, selector.end].whole()
    vector, position = _selected(selector, samples, ctx)
    if call.function == "start_timestamp":
        column = np.zeros(len(samples.ts), np.int64) if samples.start is None else samples.start
    else:
        column = samples.ts
    found = picked(column, position)
    if selector.smoothed:
        found = np.broadcast_to(looked_at(selector, ctx.grid, ctx.query), found.shape)
    return Vector.of_floats(vector.labels, found / 1000, vector.present).without_names()


def _windows(node: MatrixSelector, every: Samples, ctx: Context) -> Windows:
    samples = every.only(~every.stale) if every.stale.any() else every
    ends = looked_at(node.selector, ctx.grid, ctx.query)
    ctx.check(len(samples.labels) * len(ends))
    length = span_ms(node.range, ctx.query)
    starts = ends - length
    low, high = samples.up_to(starts), samples.up_to(ends)
    extended = "anchored" if node.selector.anchored else "smoothed" if node.selector.smoothed else ""
    if extended:
        # The neighbours outside of the window, as far as the lookback goes.
        oldest = samples.up_to(starts - ctx.options.lookback_ms)
        low = np.maximum(low - 1, oldest)
    if extended == "smoothed":
        newest = samples.up_to(ends + ctx.options.lookback_ms)
        exact = samples.up_to(ends - 1) < high
        high = np.where(exact, high, np.minimum(high + 1, newest))
    return Windows(samples, low, high, starts, ends, length, extended)


def _subquery(node: Subquery, ctx: Context) -> Windows:
    inner = ctx.on(subquery_grid(node, ctx.grid, ctx.query))
    ends = looked_at(node, ctx.grid, ctx.query)
    length = span_ms(node.range, ctx.query)
    samples = _flattened(evaluate(node.expr, inner), inner) if inner.grid.steps > 0 else Samples.none()
    ctx.check(len(samples.labels) * len(ends))
    return Windows(samples, samples.up_to(ends - length), samples.up_to(ends), ends - length, ends, length)


def _flattened(value: Value, ctx: Context) -> Samples:
    """A vector at each step as the samples of a range vector."""
    if isinstance(value, Scalar):
        count = ctx.grid.steps
        return Samples([()], np.array([0, count]), ctx.grid.times, value.values)
    if not isinstance(value, Vector):
        raise Internal("promql_types", f"a subquery of a {type(value).__name__} was let through")
    present = value.present
    begins = begins_of(present.sum(axis=1))
    ts = np.broadcast_to(ctx.grid.times, present.shape)[present]
    rows = None if value.rows is None else value.rows[present]
    native = None if value.histograms is None else _unhinted(value.histograms)
    return Samples(value.labels, begins, ts, value.values[present], rows, native, None, value.nameless)


def _unhinted(block: Histograms) -> Histograms:
    """Without saying which follow a reset: a subquery repeats samples, and passes over others."""
    return replace(block, hint=np.where(block.hint == GAUGE, GAUGE, UNKNOWN).astype(np.uint8))


def range_vector(windows: Value) -> Samples:
    """The samples of a range vector at its only step: the answer to an instant query for one."""
    if not isinstance(windows, Windows):
        raise Internal("promql_types", f"{type(windows).__name__} is no answer")
    kept = np.zeros(len(windows.samples.ts), np.bool_)
    for low, high in zip(windows.low[:, 0].tolist(), windows.high[:, 0].tolist(), strict=True):
        kept[low:high] = True
    return windows.samples.only(kept)
