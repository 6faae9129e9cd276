"""The Store on ClickHouse: our own supervised engine by default, or any ClickHouse by its URL."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from gnomon_server.errors import Unavailable
from gnomon_server.store.clickhouse import Address, ClickHouse
from gnomon_server.store.ddl import Deployment
from gnomon_server.store.interface import Insert, Params, QueryLimits, QueryStats, Settings
from gnomon_server.store.migrations import migrate, pending
from gnomon_server.store.supervisor import EngineSettings, Supervisor
from gnomon_server.store.sync import sync
from gnomon_server.store.upgrade import recover, upgrade

_WAIT_S = 10.0  # how long a statement waits for an engine that is being restarted
_DEEPEST_DEFINITION = 3  # store/xyz/<uuid of the table>
_LAST_INSERTS_S = 20.0  # how long a stop or a pause waits for inserts that run


def sync_definitions(database: Path) -> None:
    """Sync the definitions of tables and the directories they stand in.

    Inserts sync their parts and the table's directory; that the table itself is there after a power cut is for whoever
    created it to see to. Parts lie one level deeper than this looks.
    """
    for folder, inner, files in os.walk(database):
        if len(Path(folder).relative_to(database).parts) >= _DEEPEST_DEFINITION:
            inner.clear()
        for path in (Path(folder), *(Path(folder) / name for name in files)):
            with contextlib.suppress(OSError):  # a temporary file that has gone
                sync(path)
    for parent in (database.parent, database.parent.parent, database.parent.parent.parent):
        with contextlib.suppress(OSError):  # a directory that is not ours to open
            sync(parent)


class DurableStore:
    """See store.interface.Store. Give it engine settings for its own engine, or the address of a ClickHouse."""

    outlasts_absence = False

    def __init__(
        self,
        engine: EngineSettings | None = None,
        address: Address | None = None,
        deployment: Deployment | None = None,
        on_event: Callable[[str, str], Any] = lambda _name, _detail: None,
    ) -> None:
        self._on_event = on_event
        self.supervisor = Supervisor(engine, on_event) if engine else None
        self._deployment = deployment or Deployment(embedded=engine is not None)
        if self.supervisor:
            address = Address(socket=self.supervisor.socket)
        self.client = ClickHouse(address or Address())
        self.schema_number = 0
        self._inserting = 0
        self._idle = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()

    async def start(self) -> None:
        """Start the engine, if it is ours, and migrate; with data in it, so that a failure is undone."""
        await self.open()
        current, lacking = await pending(self.client, self._deployment)
        if self.supervisor and current and lacking:
            await upgrade(self.supervisor, self.client, self._deployment, current, lacking, self._on_event)
        self.schema_number = await migrate(self.client, self._deployment, self._on_event)
        if self.supervisor:
            await asyncio.to_thread(sync_definitions, self.supervisor.database)

    async def open(self) -> None:
        """Start the engine, if it is ours, and nothing more. An upgrade that was interrupted is undone before."""
        if self.supervisor:
            await asyncio.to_thread(recover, self.supervisor.database, self._on_event)
            await self.supervisor.start()

    async def stop(self) -> None:
        """Let inserts end, close the connections, which cancels queries, then stop the engine."""
        with contextlib.suppress(TimeoutError):
            await self._last_inserts()
        await self.client.close()
        if self.supervisor:
            await self.supervisor.stop()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Between two calls of `insert`: those that run have ended, those that come wait. For a query, not for work."""
        self._open.clear()
        try:
            await self._last_inserts()
            yield
        except TimeoutError:
            raise Unavailable("store_busy", f"inserts run for more than {_LAST_INSERTS_S:.0f} s") from None
        finally:
            self._open.set()

    async def _last_inserts(self) -> None:
        if self._inserting:
            self._idle.clear()
            async with asyncio.timeout(_LAST_INSERTS_S):
                await self._idle.wait()

    async def insert(self, inserts: Sequence[Insert]) -> None:
        """Write all, in order; see the interface for the errors."""
        await self._open.wait()
        self._inserting += 1
        try:
            await self._wait()
            for insert in inserts:
                await self._insert(insert)
        finally:
            self._inserting -= 1
            if not self._inserting:
                self._idle.set()

    async def _insert(self, insert: Insert) -> None:
        if not self._deployment.cluster:
            await self.client.insert(insert)
            return
        local = replace(insert, table=self._deployment.local(insert.table))
        await self.client.insert(local, settings={"insert_quorum": "auto"})

    async def query(
        self,
        sql: str,
        params: Params | None = None,
        *,
        database: str = "gnomon",
        settings: Settings | None = None,
        limits: QueryLimits | None = None,
    ) -> tuple[pa.Table, QueryStats]:
        """Run one read-only statement."""
        await self._wait()
        return await self.client.query(sql, params, database, settings, limits or QueryLimits())

    async def command(self, sql: str, params: Params | None = None, *, settings: Settings | None = None) -> None:
        """Run one statement that returns nothing."""
        await self._wait()
        await self.client.command(sql, params, settings)

    async def _wait(self) -> None:
        if self.supervisor:
            await self.supervisor.wait_available(_WAIT_S)
