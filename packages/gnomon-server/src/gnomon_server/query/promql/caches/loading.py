"""Reading into the cache what is asked for again, beside the queries that ask for it."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from gnomon_server.errors import GnomonError
from gnomon_server.model.series import METRIC_SHIFT
from gnomon_server.query.promql.caches.chunks import HOUR_MS, Rows
from gnomon_server.query.promql.caches.samples import Missing, SampleCache
from gnomon_server.store.interface import QueryLimits, Store

_HOURS_AT_ONCE = 4
_FEW_IDS = 500
_MOST_WAITING = 64


class Loader:
    """Reads one thing after the other, so that it never takes more than one of the store's places."""

    def __init__(self, store: Store, cache: SampleCache, limits: QueryLimits) -> None:
        self._store, self._cache, self._limits = store, cache, limits
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
            hours = list(missing.hours)
            for begin in range(0, len(hours), _HOURS_AT_ONCE):
                part = Missing(missing.metric, missing.ids, hours[begin : begin + _HOURS_AT_ONCE])
                part = await asyncio.to_thread(self._cache.lacking, tenant, part)
                if part.hours:
                    try:
                        await self._read(tenant, part, natives=natives)
                    except GnomonError:  # queries go on without, and ask again
                        return

    async def _read(self, tenant: int, missing: Missing, *, natives: bool) -> None:
        await asyncio.to_thread(self._cache.track, tenant, missing)
        low, high = missing.metric << METRIC_SHIFT, (missing.metric + 1 << METRIC_SHIFT) - 1
        few = len(missing.ids) <= _FEW_IDS
        which = f"id IN ({', '.join(map(str, missing.ids.tolist()))})" if few else f"id BETWEEN {low} AND {high}"
        first_ms, last_ms = missing.hours[0] * HOUR_MS, (missing.hours[-1] + 1) * HOUR_MS - 1
        where = (
            f"tenant = {tenant} AND ts >= fromUnixTimestamp64Milli({first_ms}, 'UTC') "
            f"AND ts <= fromUnixTimestamp64Milli({last_ms}, 'UTC') AND {which}"
        )
        if natives:
            found, _ = await self._store.query(
                f"SELECT 1 FROM native_histograms WHERE {where} LIMIT 1", limits=self._limits
            )
            if found.num_rows:
                await asyncio.to_thread(self._cache.refuse, tenant, missing)
                return
        table, _ = await self._store.query(
            "SELECT id, toUnixTimestamp64Milli(ts) AS at, v, toUnixTimestamp64Milli(start) AS began FROM samples "
            f"WHERE {where}",
            limits=self._limits,
        )
        await asyncio.to_thread(self._keep, tenant, missing, table)

    def _keep(self, tenant: int, missing: Missing, table: pa.Table) -> None:
        columns = (
            (table[name].to_numpy() if table.num_rows else np.empty(0, kind))
            for name, kind in (("id", np.uint64), ("at", np.int64), ("v", np.float64), ("began", np.int64))
        )
        rows = Rows(*columns)
        wanted = np.isin(rows.ids, missing.ids)
        self._cache.cover(tenant, missing, rows if wanted.all() else rows.only(wanted))
