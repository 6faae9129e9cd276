"""The implementations of the Store, and how the suite reads what they have stored."""

import asyncio
import os
import signal
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from reference import Disk, ReferenceStore

from gnomon_server.model.tables import TABLES
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.interface import Store
from gnomon_server.store.supervisor import EngineSettings

Row = dict[str, Any]


class Subject(Protocol):
    """An implementation under test."""

    store: Store

    async def rows(self, table: str, tenant: int = 1) -> list[Row]:
        """A tenant's rows, in no order: times as integers, maps as dicts, floats as their bits."""

    async def traces(self, tenant: int = 1) -> list[Row]:
        """What is derived from a tenant's spans: a row a trace."""

    async def crash(self) -> None:
        """End it without warning, and have it back."""


class ReferenceSubject:
    """The reference store."""

    def __init__(self) -> None:
        self._disk = Disk()
        self.store = ReferenceStore(self._disk)

    async def rows(self, table: str, tenant: int = 1) -> list[Row]:
        return [plain(row) for row in self.store.rows(table, tenant)]

    async def traces(self, tenant: int = 1) -> list[Row]:
        return self.store.traces(tenant)

    async def crash(self) -> None:
        self.store = ReferenceStore(self._disk)


class EngineSubject:
    """The durable store on its own engine."""

    def __init__(self, folder: Path) -> None:
        self.store = DurableStore(EngineSettings(folder))

    async def rows(self, table: str, tenant: int = 1) -> list[Row]:
        names = ", ".join(["tenant", *(["ret"] if table != "metric_meta" else []), *TABLES[table].names])
        return await self._read(f"SELECT {names} FROM {table} WHERE tenant = {tenant}")

    async def traces(self, tenant: int = 1) -> list[Row]:
        return await self._read(
            "SELECT trace_id, min(start) AS start, max(end) AS end, sum(spans) AS spans, sum(errors) AS errors, "
            "arraySort(groupUniqArrayArray(services)) AS services, max(root_service) AS root_service, "
            "max(root_name) AS root_name, max(root_dur) AS root_dur "
            f"FROM trace_index WHERE tenant = {tenant} GROUP BY trace_id"
        )

    async def _read(self, sql: str) -> list[Row]:
        found, _ = await self.store.query(sql)
        return [plain(row) for row in integral(found).to_pylist()]

    async def crash(self) -> None:
        supervisor = self.store.supervisor
        assert supervisor is not None
        restarts = supervisor.restarts
        os.kill(supervisor.pid, signal.SIGKILL)
        while supervisor.restarts == restarts:  # noqa: ASYNC110  (another process: there is no event to wait for)
            await asyncio.sleep(0.02)


def integral(table: pa.Table) -> pa.Table:
    """Times as integers, within lists too, and dictionaries as what they stand for."""
    return table.cast(pa.schema([(field.name, _integral(field.type)) for field in table.schema]))


def _integral(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.int64()
    if pa.types.is_date(kind):
        return pa.int32()
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_map(kind):
        return pa.map_(_integral(kind.key_type), _integral(kind.item_type))
    return pa.list_(_integral(kind.value_type)) if pa.types.is_list(kind) else kind


def plain(row: Mapping[str, Any]) -> Row:
    """A row that compares: floats by their bits, maps as dicts."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, list):
        if value and isinstance(value[0], tuple):
            return {key: _plain(item) for key, item in value}
        return [_plain(item) for item in value] or {}  # an empty list reads as an empty map
    return value
