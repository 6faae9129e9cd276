"""The door for PromQL: text in, columns out, within limits.

Parse, check, plan, read, evaluate: reading waits on the event loop, the rest runs in a thread, and both end when nobody
waits for the answer any more.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from gnomon_server.errors import DeadlineExceeded, InvalidInput
from gnomon_server.query.promql.annotations import Annotations
from gnomon_server.query.promql.ast import Expr
from gnomon_server.query.promql.caches.loading import Loader
from gnomon_server.query.promql.caches.lru import Lru
from gnomon_server.query.promql.caches.results import Extent, Key, in_a_row, key_of, name_of
from gnomon_server.query.promql.check import value_type
from gnomon_server.query.promql.context import MOST_STEPS, Context, Options
from gnomon_server.query.promql.cores import Cores
from gnomon_server.query.promql.evaluate import evaluate, range_vector
from gnomon_server.query.promql.labels import names_removed, range_names_removed
from gnomon_server.query.promql.memory import Memory
from gnomon_server.query.promql.parser import parse
from gnomon_server.query.promql.plan import reads
from gnomon_server.query.promql.select import Source, read_all
from gnomon_server.query.promql.signatures import DOCUMENTED, ValueType
from gnomon_server.query.promql.values import Grid, Samples, Scalar, String, Value, Vector
from gnomon_server.query.shares import PLACES, Shares
from gnomon_server.query.sql.door import NO_TENANT, Tenants
from gnomon_server.store.interface import QueryLimits, Store

T = TypeVar("T")
_KNOWN = 200_000  # characters of expressions whose trees are kept: some 20 MB


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gave.

    Attributes:
        value: Scalar, String or Vector; of an instant query for a range vector its Samples.
        grid: the steps of it.
        warnings, infos: as the API shows them.
        samples_read: how many.
        cached_steps: how many steps were known before.
    """

    value: Scalar | String | Vector | Samples
    grid: Grid
    warnings: list[str] = field(default_factory=list)
    infos: list[str] = field(default_factory=list)
    samples_read: int = 0
    cached_steps: int = 0


@dataclass(frozen=True, slots=True)
class _Said:
    """An expression: its tree, what it gives, its name among the answers that are kept."""

    tree: Expr
    kind: ValueType
    name: str | None


class PromqlDoor:
    """Answers PromQL for one tenant at a time.

    Args:
        store: where the samples are.
        tenants: their names.
        limits: of what is asked of the store.
        memory: what was read and answered before; None: nothing is kept.
        shares: what each tenant may hold of threads and statements; None: it has them to itself.
    """

    def __init__(
        self,
        store: Store,
        tenants: Tenants,
        limits: QueryLimits | None = None,
        memory: Memory | None = None,
        shares: Shares | None = None,
    ) -> None:
        self._store, self._tenants, self._limits = store, tenants, limits or QueryLimits()
        self._memory = memory or Memory()
        self._cache = self._memory.results
        self._known: Lru[tuple[str, bool], _Said] = Lru(_KNOWN)
        samples = self._memory.samples
        self.loader = Loader(store, samples, self._limits, self._memory.on_unread) if samples else None
        # Of their own: intake prepares its groups in the loop's threads, and must not wait for a heavy query.
        self._threads = ThreadPoolExecutor(PLACES, thread_name_prefix="promql")
        self._cores = Cores()
        self._shares = shares or Shares()

    async def close(self) -> None:
        """End the threads."""
        if self.loader is not None:
            await self.loader.close()
        self._memory.samples.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._cores.close()

    async def _aside(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def instant(self, text: str, *, at_ms: int, tenant: str, options: Options) -> Answer:
        """The value at one time. Cancelling the task ends the query.

        Raises:
            InvalidInput: the query cannot be read, or not be answered; `where` has the place.
            DeadlineExceeded, TooLarge, Unavailable: past the limits, or the store is away.
        """
        grid = Grid(at_ms, at_ms, 0)
        said = await self._said(text, options)
        return await self._evaluate(text, said.tree, grid, self._number(tenant), options)

    async def range(
        self, text: str, *, start_ms: int, end_ms: int, step_ms: int, tenant: str, options: Options
    ) -> Answer:
        """The values from `start_ms` to `end_ms`, every `step_ms`; otherwise as `instant`."""
        grid = Grid(start_ms, end_ms, step_ms)
        if grid.steps > MOST_STEPS + 1:  # Prometheus counts the distances between them
            raise InvalidInput(
                "promql_steps",
                "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution "
                "(?step=XX)",
                where="step",
            )
        said, number = await self._said(text, options), self._number(tenant)
        if said.kind not in (ValueType.SCALAR, ValueType.VECTOR):
            raise InvalidInput(
                "promql_type",
                f'invalid expression type "{DOCUMENTED[said.kind]}" for range query, must be Scalar or instant Vector',
            )
        if said.name is None or not self._cache or not options.cached:
            return await self._evaluate(text, said.tree, grid, number, options)
        key = key_of(said.name, grid, number, options.lookback_ms)
        return await self._with_cache(text, said.tree, grid, options, key)

    async def _with_cache(self, text: str, tree: Expr, grid: Grid, options: Options, key: Key) -> Answer:
        moment = self._cache.tide(key[0]).now  # before anything is read
        known = self._cache.find(key, grid)
        if known is not None and known.grid.end_ms + grid.step_ms > grid.end_ms:
            return Answer(known.vector, grid, list(known.warnings), list(known.infos), cached_steps=grid.steps)
        edge = grid if known is None else replace(grid, start_ms=known.grid.end_ms + grid.step_ms)
        edge = replace(edge, end_ms=edge.start_ms + (edge.steps - 1) * edge.step_ms)
        answer = await self._evaluate(text, tree, edge, key[0], options)
        if not isinstance(answer.value, Vector):
            return answer if known is None else await self._evaluate(text, tree, grid, key[0], options)
        whole = Extent(edge, answer.value, tuple(answer.warnings), tuple(answer.infos), moment)
        if known is not None:
            whole = await self._aside(in_a_row, known, whole)
        self._cache.keep(key, whole)
        steps = 0 if known is None else known.grid.steps
        return Answer(
            whole.vector, grid, list(whole.warnings), list(whole.infos), answer.samples_read, cached_steps=steps
        )

    async def _said(self, text: str, options: Options) -> _Said:
        """What an expression says; dashboards ask the same ones again and again."""
        key = text, options.experimental
        if (known := self._known.find(key)) is not None:
            return known
        found = await self._aside(_read, *key)
        self._known.keep(key, found, len(text))
        return found

    def _number(self, tenant: str) -> int:
        return self._tenants.known(tenant) or NO_TENANT

    async def _evaluate(self, text: str, tree: Expr, grid: Grid, tenant: int, options: Options) -> Answer:
        started_s = time.monotonic()
        share = self._shares.of(tenant)

        async def aside(work: Callable[..., T], *arguments: Any) -> T:
            async with share.threads:
                return await self._aside(work, *arguments)

        source = Source(self._store, tenant, self._limits, self._memory, self.loader, aside, share.statements)
        planned = list(reads(tree, grid, grid, options))
        gone = threading.Event()
        try:
            async with asyncio.timeout(options.deadline_s):
                leaves = await read_all(source, planned, options.most_samples)
                placed = [(one.place, leaf) for one, leaf in zip(planned, leaves, strict=True)]
                samples = {place: leaf.samples for place, leaf in placed}
                evaluated = {place: leaf.vector for place, leaf in placed if leaf.vector is not None}
                notes = Annotations(text)
                ctx = Context(grid, grid, options, notes, samples, evaluated, started_s, gone.is_set, self._cores)
                value = await aside(_evaluated, tree, ctx)
        except TimeoutError:
            raise DeadlineExceeded("query_timeout", "query timed out in query execution") from None
        finally:
            gone.set()
        return Answer(value, grid, notes.warnings, notes.infos, sum(leaf.samples.count for leaf in leaves))


def _read(text: str, experimental: bool) -> _Said:
    tree = parse(text, experimental=experimental)
    return _Said(tree, value_type(tree), name_of(tree))


def _evaluated(tree: Expr, ctx: Context) -> Scalar | String | Vector | Samples:
    with np.errstate(all="ignore"):  # NaN and infinities are answers here, not mistakes
        value: Value = evaluate(tree, ctx)
    if isinstance(value, Vector):
        return names_removed(value)
    if isinstance(value, Scalar | String):
        return value
    return range_names_removed(range_vector(value))
