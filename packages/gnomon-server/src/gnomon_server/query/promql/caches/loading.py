"""Reading into the cache what is asked for again, beside the queries that ask for it."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from gnomon_server.errors import GnomonError, TooLarge
from gnomon_server.query.promql.caches.chunks import HOUR_MS, Rows
from gnomon_server.query.promql.caches.samples import Missing, SampleCache
from gnomon_server.query.promql.statements import MOST_IDS, column, rows_of
from gnomon_server.store.interface import QueryLimits, Store

_ROWS_AT_ONCE = 1_000_000  # 32 MB as columns
_MOST_TIMES = 8  # as many as were expected
_MOST_WAITING = 64


class Loader:
    """Reads one thing after the other, so that it never takes more than one of the store's places.

    Args:
        store: where the samples are.
        cache: where they shall be.
        limits: of what is asked of the store.
        on_failure: told why nothing can be read; once, until something can.
    """

    def __init__(
        self,
        store: Store,
        cache: SampleCache,
        limits: QueryLimits,
        on_failure: Callable[[GnomonError], object] = lambda _: None,
    ) -> None:
        self._store, self._cache, self._limits, self._on_failure = store, cache, limits, on_failure
        self._failing = False
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def load_soon(self, tenant: int, missing: Sequence[Missing], *, natives: bool) -> None:
        """Begin to read; `natives`: some series may hold native histograms."""
        for one in missing:
            if len(self._tasks) < _MOST_WAITING:
                task = asyncio.create_task(self._load(tenant, one, natives=natives), name="promql-load")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Return when nothing is being read any more."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """End reading."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _load(self, tenant: int, missing: Missing, *, natives: bool) -> None:
        async with self._turn:
            lacking = await asyncio.to_thread(self._cache.lacking, tenant, missing)
            for part in _parts(lacking, self._cache.rows_expected(tenant, missing.metric)):
                try:
                    await self._read(tenant, part, natives=natives)
                except TooLarge:  # next time less at once
                    self._cache.expect_more(tenant, missing.metric, _MOST_TIMES)
                    return
                except GnomonError as error:  # queries go on without, and ask again
                    if not self._failing:
                        self._on_failure(error)
                    self._failing = True
                    return
                self._failing = False

    async def _read(self, tenant: int, missing: Missing, *, natives: bool) -> None:
        await asyncio.to_thread(self._cache.track, tenant, missing)
        where = rows_of(missing.ids)
        times = {"low": missing.hours[0] * HOUR_MS, "high": (missing.hours[-1] + 1) * HOUR_MS - 1}
        params = {"tenant": tenant, **times}
        if natives:
            found, _ = await self._store.query(
                f"SELECT 1 FROM native_histograms WHERE {where} LIMIT 1", params, limits=self._limits
            )
            if found.num_rows:
                await asyncio.to_thread(self._cache.refuse, tenant, missing)
                return
        limits = replace(self._limits, result_rows=_ROWS_AT_ONCE * _MOST_TIMES)
        table, _ = await self._store.query(
            "SELECT id, toUnixTimestamp64Milli(ts) AS at, v, toUnixTimestamp64Milli(start) AS began FROM samples "
            f"WHERE {where}",
            params,
            limits=limits,
        )
        await asyncio.to_thread(self._keep, tenant, missing, table)

    def _keep(self, tenant: int, missing: Missing, table: pa.Table) -> None:
        kinds = (("id", np.uint64), ("at", np.int64), ("v", np.float64), ("began", np.int64))
        self._cache.cover(tenant, missing, Rows(*(column(table, name, kind) for name, kind in kinds)))


def _parts(missing: Missing, rows: float) -> Iterator[Missing]:
    """As much as is read at once, if a series has so many rows an hour."""
    most = max(1, int(_ROWS_AT_ONCE / rows))
    series = min(most, MOST_IDS)
    for first in range(0, len(missing.ids), series):
        ids = missing.ids[first : first + series]
        hours = max(1, most // len(ids))
        for begin in range(0, len(missing.hours), hours):
            yield Missing(missing.metric, ids, missing.hours[begin : begin + hours])
