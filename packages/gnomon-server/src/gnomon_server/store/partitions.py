"""The partitions of the tables: which there are, what they weigh, and dropping one.

A partition is `(retention in days, first day)` and holds one day, or one month of what is older than the product and of
`resources` (sql/0001_tables.sql). Its bounds say how old its rows can be; the engine's own `max_time` ends in 2106.
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta

from gnomon_server.store.ddl import BY_DAY_SINCE, Deployment
from gnomon_server.store.interface import Store

# Which retention setting a table's rows obey; what is not here is kept for ever.
SIGNAL_OF = {
    "resources": "longest",
    "series": "metrics",
    "samples": "metrics",
    "native_histograms": "metrics",
    "exemplars": "metrics",
    "spans": "traces",
    "trace_index": "traces",
    "logs": "logs",
}
_BY_MONTH = {"resources"}
_DATED = re.compile(r"[0-9]+-[0-9]{8}")


@dataclass(frozen=True, slots=True)
class Partition:
    """Rows that come and go together. `weight_bytes` is their compressed size on disk, indexes included."""

    table: str
    id: str
    weight_bytes: int
    rows: int = 0
    index_bytes: int = 0
    written_s: int = 0
    """When a part of it was last written, by an insert, a merge or a mutation: Unix time."""
    raw_bytes: int = 0
    """Its columns without compression."""

    @property
    def retention_days(self) -> int:
        """What its rows' retention was when they came; 0 for ever."""
        return int(self.id.partition("-")[0])

    @property
    def first(self) -> date:
        """The first day it may hold."""
        return date.fromisoformat(self.id.partition("-")[2])

    @property
    def end(self) -> date:
        """The first day that is past all it may hold."""
        if self.table in _BY_MONTH or self.first < BY_DAY_SINCE:
            return (self.first.replace(day=1) + timedelta(days=32)).replace(day=1)
        return self.first + timedelta(days=1)

    def is_past(self, days: int, today: date) -> bool:
        """Whether even its newest row is older than `days`; never for 0 days."""
        return days > 0 and (today - self.end).days >= days

    def __str__(self) -> str:
        return f"{self.table} {self.first}: {size(self.weight_bytes)}"


class Partitions:
    """The partitions of a deployment's tables."""

    def __init__(self, store: Store, deployment: Deployment) -> None:
        self._store = store
        self._deployment = deployment

    async def read(self) -> list[Partition]:
        """All that hold rows of days, oldest first."""
        dated = [partition for partition in await self.read_all() if _DATED.fullmatch(partition.id)]
        return sorted(dated, key=lambda partition: (partition.end, partition.table, partition.id))

    async def read_all(self) -> list[Partition]:
        """All that hold rows; a table that is not partitioned has one, `all`, which has no days."""
        found, _ = await self._store.query(
            "SELECT table, partition_id, sum(bytes_on_disk) AS bytes, sum(rows) AS rows, "
            "sum(secondary_indices_compressed_bytes) AS indexes, toUnixTimestamp(max(modification_time)) AS written, "
            "sum(data_uncompressed_bytes) AS raw "
            f"FROM {self._deployment.system('parts')} WHERE database = 'gnomon' AND active "
            "GROUP BY table, partition_id HAVING rows > 0"
        )
        return [
            Partition(
                str(row["table"]).removesuffix("_local"),
                row["partition_id"],
                row["bytes"],
                row["rows"],
                row["indexes"],
                row["written"],
                row["raw"],
            )
            for row in found.to_pylist()
        ]

    async def tenants(self, partition: Partition) -> frozenset[int]:
        """Whose rows are in it."""
        found, _ = await self._store.query(
            f"SELECT DISTINCT tenant FROM {partition.table} WHERE _partition_id = {{id:String}}", {"id": partition.id}
        )
        return frozenset(found["tenant"].to_pylist()) if found.num_rows else frozenset()

    async def drop(self, partition: Partition) -> None:
        """Drop it whole: milliseconds, whatever it holds. Its space is free some minutes later (old_parts_lifetime)."""
        await self._alter(partition, f"DROP PARTITION ID '{partition.id}'")

    async def delete_tenants(self, partition: Partition, tenants: list[int]) -> None:
        """Rewrite it without the rows of these tenants; returns when it is done."""
        numbers = ", ".join(map(str, tenants))
        await self._alter(partition, f"DELETE IN PARTITION ID '{partition.id}' WHERE tenant IN ({numbers})")

    async def clear_indexes(self, partition: Partition, indexes: tuple[str, ...]) -> None:
        """Remove secondary indexes of its rows; searches read the columns instead."""
        changes = [f"CLEAR INDEX {index} IN PARTITION ID '{partition.id}'" for index in indexes]
        await self._alter(partition, ", ".join(changes))

    async def _alter(self, partition: Partition, change: str) -> None:
        table, where = self._deployment.local(partition.table), self._deployment.on_cluster
        # Else the engine refuses to drop more than 50 GB at once (code 359): a guard for people, not for retention.
        settings = {"mutations_sync": 1, "max_partition_size_to_drop": 0}
        await self._store.command(f"ALTER TABLE {table} {where} {change}", settings=settings)


def size(count_bytes: float) -> str:
    """Bytes for people: `1.2 GB`."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count_bytes >= factor:
            return f"{count_bytes / factor:.1f} {unit}"
    return f"{count_bytes:.0f} B"
