"""When things are looked at: the times of selectors and subqueries, with `offset`, `@` and ranges applied."""

import numpy as np

from gnomon_server.errors import TooLarge
from gnomon_server.query.promql.ast import (
    AtEdge,
    Duration,
    MatrixSelector,
    Subquery,
    VectorSelector,
)
from gnomon_server.query.promql.duration import resolve
from gnomon_server.query.promql.values import Grid

SUBQUERY_STEP_MS = 60_000
"""Where a subquery names no step; Prometheus' `global.evaluation_interval`."""
MOST_SUBQUERY_STEPS = 5_000_000
"""58 days by the second, 9 years by the minute. A step takes some 75 bytes while it is evaluated."""


def span_ms(duration: Duration | None, query: Grid) -> int:
    """A duration's length; 0 for none."""
    if duration is None:
        return 0
    return resolve(duration, query.step_ms, query.end_ms - query.start_ms)


def looked_at(node: VectorSelector | Subquery, grid: Grid, query: Grid) -> np.ndarray:
    """The time that each step looks at: int64[n_steps]."""
    times = grid.times if node.at is None else np.full(grid.steps, _at_ms(node.at, query), np.int64)
    return times - span_ms(node.offset, query)


def _looked_between(node: VectorSelector | Subquery, grid: Grid, query: Grid) -> tuple[int, int]:
    """The first and the last of these times, without making all of them."""
    low, high = grid.start_ms, grid.start_ms + (grid.steps - 1) * grid.step_ms
    if node.at is not None:
        low = high = _at_ms(node.at, query)
    offset = span_ms(node.offset, query)
    return low - offset, high - offset


def _at_ms(at: int | AtEdge, query: Grid) -> int:
    if isinstance(at, AtEdge):
        return query.start_ms if at is AtEdge.START else query.end_ms
    return at


def subquery_grid(node: Subquery, grid: Grid, query: Grid) -> Grid:
    """The steps of what stands in a subquery: multiples of its step, so that it is independent of ours.

    Raises:
        TooLarge: more of them than may be held.
    """
    low, high = _looked_between(node, grid, query)
    step = span_ms(node.step, query) or SUBQUERY_STEP_MS
    before = low - span_ms(node.range, query)
    # The window is left-open: the first multiple after its start.
    inner = Grid((before // step + 1) * step, high, step)
    if inner.steps > MOST_SUBQUERY_STEPS:
        raise TooLarge(
            "query_too_many_samples",
            "query processing would load too many samples into memory in query execution: a subquery has "
            f"{inner.steps:,} steps, {MOST_SUBQUERY_STEPS:,} are allowed",
            where=f"the subquery at characters {node.start + 1} to {node.end}",
            hint="ask for a shorter range or a larger step",
        )
    return inner


def reach_ms(node: VectorSelector | MatrixSelector, grid: Grid, query: Grid, lookback_ms: int) -> tuple[int, int]:
    """The first and the last time whose samples a selector may want, both inclusive."""
    selector = node.selector if isinstance(node, MatrixSelector) else node
    low, high = _looked_between(selector, grid, query)
    window = span_ms(node.range, query) if isinstance(node, MatrixSelector) else lookback_ms
    extended = selector.anchored or selector.smoothed
    before = lookback_ms if extended and isinstance(node, MatrixSelector) else 0
    after = lookback_ms if selector.smoothed else 0
    return low - window - before + 1, high + after
