"""What an expression wants to read: each selector once, with the times that it may look at."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gnomon_server.query.promql.ast import Binary, Call, Expr, MatrixSelector, Subquery, VectorSelector, children
from gnomon_server.query.promql.context import Options
from gnomon_server.query.promql.functions.info_selection import name_matchers, reference_times
from gnomon_server.query.promql.pushdown import Pushed, pushed_call, pushed_selector
from gnomon_server.query.promql.times import reach_ms, subquery_grid
from gnomon_server.query.promql.values import Grid
from gnomon_server.query.syntax.matchers import Matcher

# Only these look at when a counter began; for all others that column is not read.
_OF_COUNTERS = frozenset({"rate", "increase", "irate", "resets", "start_timestamp"})
_OF_TIMES = frozenset({"timestamp", "start_timestamp"})
# Under the first of these that is met on the way up, Prometheus decodes histograms in a way that finds resets itself.
_OF_STATISTICS = frozenset({"histogram_count", "histogram_sum", "histogram_avg"})
_OF_BUCKETS = frozenset({"histogram_quantile", "histogram_quantiles", "histogram_fraction"})


@dataclass(frozen=True, slots=True)
class Read:
    """What is read for one selector.

    Attributes:
        place: of the selector in the text: its name in the plan.
        matchers: which series.
        low_ms, high_ms: from when to when, both inclusive.
        with_start: whether start times are wanted.
        tell_resets: whether native histograms are to say where their counter began anew.
        pushed: what the engine may evaluate itself.
    """

    place: tuple[int, int]
    matchers: tuple[Matcher, ...]
    low_ms: int
    high_ms: int
    with_start: bool = False
    tell_resets: bool = False
    pushed: Pushed | None = None


def reads(node: Expr, grid: Grid, query: Grid, options: Options, path: tuple[Call, ...] = ()) -> Iterator[Read]:
    """All reads of an expression that is evaluated at the steps of `grid`.

    Args:
        node: the expression.
        grid: the steps.
        query: the steps of the whole query.
        options: of the query.
        path: the calls that it is an argument of, innermost last; they end at operators.
    """
    match node:
        case VectorSelector() | MatrixSelector():
            selector = node.selector if isinstance(node, MatrixSelector) else node
            low, high = reach_ms(node, grid, query, options.lookback_ms)
            read = Read((selector.start, selector.end), selector.matchers, low, high, tell_resets=_tells_resets(path))
            within = path[-1].function if path else ""
            pushed = _pushed(node, path, grid, query, options) if options.pushdown else None
            yield replace(read, with_start=within in _OF_COUNTERS, pushed=pushed)
        case Subquery():
            inner = subquery_grid(node, grid, query)
            if inner.steps > 0:  # none of its times may fall into the range
                yield from reads(node.expr, inner, query, options, path)
        case Call(function="info"):
            yield from reads(node.args[0], grid, query, options, path)
            times = reference_times(node, grid, query)
            low, high = int(times.min()) - options.lookback_ms + 1, int(times.max())
            yield Read((node.start, node.end), name_matchers(node), low, high)
        case _:
            below = (*path, node) if isinstance(node, Call) else () if isinstance(node, Binary) else path
            for child in children(node):
                yield from reads(child, grid, query, options, below)


def _pushed(
    node: VectorSelector | MatrixSelector,
    path: tuple[Call, ...],
    grid: Grid,
    query: Grid,
    options: Options,
) -> Pushed | None:
    if isinstance(node, MatrixSelector):
        return pushed_call(path[-1], grid, query) if path and node in path[-1].args else None
    # These want the samples' own times.
    return None if path and path[-1].function in _OF_TIMES else pushed_selector(node, grid, query, options.lookback_ms)


def _tells_resets(path: tuple[Call, ...]) -> bool:
    """engine.go: detectHistogramStatsDecoding."""
    named = [call.function for call in path if call.function in _OF_STATISTICS | _OF_BUCKETS]
    return bool(named) and named[-1] in _OF_STATISTICS
