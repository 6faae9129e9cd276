"""Which info series `info(v, {...})` wants, and as of when: what is read for it.

As promql/info.go: effectiveInfoNameMatchers, infoSelectTimestampAndOffset.
"""

import numpy as np

from gnomon_server.query.promql.ast import Call, Expr, Subquery, VectorSelector, children
from gnomon_server.query.promql.check import value_type
from gnomon_server.query.promql.signatures import ValueType
from gnomon_server.query.promql.times import looked_at, span_ms
from gnomon_server.query.promql.values import Grid
from gnomon_server.query.syntax.matchers import METRIC_NAME, Matcher, MatchOp

_TARGET_INFO = Matcher(METRIC_NAME, MatchOp.EQUAL, "target_info")
_ANY_INFO = Matcher(METRIC_NAME, MatchOp.REGEX, ".+_info")
_POSITIVE = (MatchOp.EQUAL, MatchOp.REGEX)


def given_matchers(call: Call) -> tuple[Matcher, ...]:
    """Of the second argument; none where there is none."""
    given = call.args[1] if len(call.args) > 1 else None
    return given.matchers if isinstance(given, VectorSelector) else ()


def name_matchers(call: Call) -> tuple[Matcher, ...]:
    """Of the names of info series: `target_info` if none is asked for, `.+_info` if some are only excluded."""
    named = tuple(one for one in given_matchers(call) if one.name == METRIC_NAME)
    if any(one.op in _POSITIVE for one in named):
        return named
    return (_ANY_INFO, *named) if named else (_TARGET_INFO,)


def reference_times(call: Call, grid: Grid, query: Grid) -> np.ndarray:
    """As of when the info series are looked at, at each step: int64[n_steps].

    As all samples of the first argument are, by `offset` and `@`; where these differ, the step's own time.
    """
    references = _references(call.args[0], (), grid, query)
    if len(references) != 1 or None in references:
        return grid.times
    ((at, offset),) = (one for one in references if one is not None)
    return np.full(grid.steps, at, np.int64) if at is not None else grid.times - offset


def _references(
    node: Expr, subqueries: tuple[Subquery, ...], grid: Grid, query: Grid
) -> set[tuple[int | None, int] | None]:
    """What the vectors in an expression hang on: (a fixed time, 0), (None, an offset), or None for no selector."""
    if value_type(node) not in {ValueType.VECTOR, ValueType.MATRIX}:
        return set()
    if isinstance(node, VectorSelector):
        return {_reference((*subqueries, node), grid, query)}
    if isinstance(node, Subquery):
        subqueries = (*subqueries, node)
    # The second argument of an inner `info` is written as a selector but is none.
    below = node.args[:1] if isinstance(node, Call) and node.function == "info" else children(node)
    found = [_references(child, subqueries, grid, query) for child in below]
    return set().union(*found) or {None}


def _reference(path: tuple[Subquery | VectorSelector, ...], grid: Grid, query: Grid) -> tuple[int | None, int]:
    """From the inside out, offsets add up until an `@` makes all that stands outside of it irrelevant."""
    offset = 0
    for node in reversed(path):
        if node.at is not None:
            return int(looked_at(node, grid, query)[0]) - offset, 0
        offset += span_ms(node.offset, query)
    return None, offset
