"""What an expression is evaluated in: the steps, the samples that were read, the limits, what is noticed."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from gnomon_server.errors import DeadlineExceeded, InvalidInput, TooLarge
from gnomon_server.query.promql.annotations import Annotations
from gnomon_server.query.promql.ast import Node
from gnomon_server.query.promql.cores import Cores
from gnomon_server.query.promql.values import Grid, Stored, Vector

LOOKBACK_MS = 300_000
MOST_SAMPLES = 50_000_000
MOST_STEPS = 11_000  # as Prometheus' API; what a screen can show


@dataclass(frozen=True, slots=True)
class Options:
    """How a query is to be evaluated.

    Attributes:
        lookback_ms: how old an instant vector's samples may be.
        deadline_s: how long it may take in all.
        most_samples: how many samples it may hold in memory at a time.
        experimental: whether experimental functions are there.
        pushdown: whether leaves may be evaluated by ClickHouse.
        cached: whether steps that were answered before may be taken from the cache.
    """

    lookback_ms: int = LOOKBACK_MS
    deadline_s: float = 120.0
    most_samples: int = MOST_SAMPLES
    experimental: bool = True
    pushdown: bool = True
    cached: bool = True


@dataclass(frozen=True, slots=True)
class Context:
    """Where an expression is evaluated; a subquery's has steps of its own.

    Attributes:
        grid: the steps.
        query: the steps of the whole query, which `@ start()` and `step()` mean in a subquery too.
        options: of the query.
        notes: warnings and infos.
        samples: what was read for each selector, by the place where it stands in the text.
        evaluated: what the engine has made of selectors, or of functions over them; then `samples` has other series.
        started_s: when the query began, monotonic.
        cancelled: whether nobody waits for the answer any more.
        cores: who does parts of it.
    """

    grid: Grid
    query: Grid
    options: Options
    notes: Annotations
    samples: Mapping[tuple[int, int], Stored]
    evaluated: Mapping[tuple[int, int], Vector]
    started_s: float
    cancelled: Callable[[], bool]
    cores: Cores

    def on(self, grid: Grid) -> "Context":
        """The same with other steps."""
        return replace(self, grid=grid)

    def check(self, samples: int = 0) -> None:
        """Stop in time, before so many samples are allocated.

        Raises:
            DeadlineExceeded, TooLarge: in Prometheus' words.
        """
        if self.cancelled():
            raise DeadlineExceeded("query_canceled", "query was canceled in expression evaluation")
        if time.monotonic() - self.started_s > self.options.deadline_s:
            raise DeadlineExceeded("query_timeout", "query timed out in expression evaluation")
        check_size(samples, self.options.most_samples)


_WORK = 20_000_000
Loop = Callable[[np.ndarray, np.ndarray, slice], np.ndarray]
"""From two matrices [n, k], of some steps, and which steps these are, to [..., m, k]."""


def by_steps(ctx: Context, matrices: tuple[np.ndarray, np.ndarray], work: int, loop: Loop) -> np.ndarray:
    """What a compiled loop makes of all steps, some at a time: by itself it cannot be stopped.

    Args:
        ctx: where it is evaluated.
        matrices: [n, n_steps] each.
        work: how many samples it looks at, all in all.
        loop: of `matrices` at some steps.
    """
    steps, parts = matrices[0].shape[1], []
    most = max(1, steps * _WORK // max(work, 1))
    for first in range(0, steps, most):
        ctx.check()
        some = slice(first, min(first + most, steps))
        one, other = (np.ascontiguousarray(matrix[:, some]) for matrix in matrices)
        parts.append(loop(one, other, some))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


def check_size(samples: int, most: int) -> None:
    """Refuse to hold so many samples, in Prometheus' words: `TooLarge`."""
    if samples > most:
        raise TooLarge(
            "query_too_many_samples",
            "query processing would load too many samples into memory in query execution",
            hint=f"{samples:,} where {most:,} are allowed: ask for a shorter range, a larger step or fewer series",
        )


def refused(what: str, node: Node, text: str, code: str = "promql_execution") -> InvalidInput:
    """A query that can be read but not be answered, such as a many-to-many match; the place is said."""
    return InvalidInput(code, what, where=text[node.start : node.end][:200])


def each_step(values: np.ndarray, grid: Grid) -> np.ndarray:
    """A scalar's float64[n_steps] as one row: float64[1, n_steps]."""
    return values.reshape(1, grid.steps)
