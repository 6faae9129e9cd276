"""How long rows are kept, and the job that drops them: past their retention, or past the disk budget.

Expiry is by partition. A partition goes when its newest possible row is past the retention, and when nothing has been
written to it for a day: rows may arrive older than their retention (a back-fill, a device whose clock says 1970), and
who sent them finds them for that day. The disk budget knows no such grace.

Every row carries the retention it came with (`ret`). When a tenant's setting has been shortened since, its rows in
partitions of the longer retention are freed by the job: the whole partition where no other tenant's rows would go with
it, else by rewriting it without them. Where it was lengthened, rows keep what they came with.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict

from gnomon_server.selfmon.clock import Clock
from gnomon_server.store.ddl import Deployment
from gnomon_server.store.disk import DiskSettings, DiskUsage, oldest_beyond, read_usage
from gnomon_server.store.interface import Store
from gnomon_server.store.partitions import SIGNAL_OF, Partition, Partitions, size

_GRACE_S = 86_400
_LONGEST_DAYS = 65_535  # `ret` is a UInt16
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "": 1}
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[smhdw]?)")

# Text indexes are half of a partition's bytes and serve searches of what is new (docs/decisions/0004-tables.md).
TEXT_INDEXES = {"spans": ("ix_items",), "logs": ("ix_items", "ix_body")}
INDEXED_DAYS = 3
# The other indexes weigh 1.2 bytes a row at most. Above this there are text indexes left, and worth a rewrite.
_OTHER_INDEX_BYTES_A_ROW = 2
_WORTH_CLEARING_BYTES = 1 << 20


class Days(int):
    """Whole days; 0 is for ever and reads `off`."""

    def __str__(self) -> str:
        return f"{int(self)}d" if self else "off"

    __repr__ = __str__


def parse_days(value: Any) -> Days:
    """`7d`, `36h` (rounded up to whole days), a number of seconds, or `off` to keep for ever."""
    if isinstance(value, Days):
        return value
    if value is False or str(value).strip().lower() == "off":  # YAML reads a bare `off` as false
        return Days(0)
    match = _DURATION.fullmatch(str(value).strip())
    if match is None or value is True:
        raise ValueError(f"{value!r} is not a duration (as 7d or 36h) or off")
    days = math.ceil(float(match["number"]) * _SECONDS[match["unit"]] / 86_400)
    if not 0 < days <= _LONGEST_DAYS:
        raise ValueError(f"{value!r} is not between a day and {_LONGEST_DAYS} days (off keeps for ever)")
    return Days(days)


Retained = Annotated[Days, BeforeValidator(parse_days)]


class RetentionSettings(BaseModel):
    """How long each signal's rows are kept, and which tenants differ: `tenants: {acme: {traces: 30d}}`."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    metrics: Retained = Days(7)
    traces: Retained = Days(7)
    logs: Retained = Days(7)
    tenants: Mapping[str, Mapping[Literal["metrics", "traces", "logs"], Retained]] = {}

    def days(self, tenant: str, signal: str) -> int:
        """Days that rows of a signal are kept, 0 for ever; `longest` is the longest of the three (`resources`)."""
        own: Mapping[Any, Days] = self.tenants.get(tenant, {})
        each = {"metrics": self.metrics, "traces": self.traces, "logs": self.logs, **own}
        if signal != "longest":
            return int(each[signal])
        return 0 if 0 in each.values() else int(max(each.values()))


class TenantNames(Protocol):
    """Who knows the tenants (store.tenants.TenantNumbers)."""

    def names(self) -> dict[int, str]:
        """Numbers to names."""


class Retention:
    """The job. `run_once` every minute or so; it is cheap when there is nothing to do. `usage` is what it found last.

    `on_event("partition_dropped", "spans 2026-11-13: 1.2 GB, ...")` hears of each drop,
    `count("gnomon_partitions_dropped_total", table=..., reason="retention" | "shortened" | "disk_budget")` counts it.
    """

    def __init__(
        self,
        store: Store,
        tenants: TenantNames,
        settings: RetentionSettings,
        disk: DiskSettings,
        clock: Clock,
        on_event: Callable[[str, str], Any],
        count: Callable[..., Any],
        deployment: Deployment | None = None,
    ) -> None:
        self._store = store
        self._tenants = tenants
        self._settings = settings
        self._disk = disk
        self._clock = clock
        self._on_event = on_event
        self._count = count
        self._deployment = deployment or Deployment()
        self._partitions = Partitions(store, self._deployment)
        self._owners: dict[Partition, frozenset[int]] = {}
        self._over_budget_told = False
        self.usage = DiskUsage(0, 0, 0)

    async def run_once(self) -> None:
        """Drop what is past its time, then what is over the budget; then free what takes rewriting."""
        now = datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC)
        left = [partition for partition in await self._partitions.read() if partition.table in SIGNAL_OF]
        left = await self._expire(left, now)
        left, rewrites = await self._shorten(left, now.date())
        left = await self._keep_budget(left, now.date())
        for partition, tenants in rewrites:
            if partition in left:
                await self._delete_tenants(partition, tenants)
        for partition in left:
            if _has_old_text_indexes(partition, now.date()):
                await self._partitions.clear_indexes(partition, TEXT_INDEXES[partition.table])

    async def _expire(self, partitions: list[Partition], now: datetime) -> list[Partition]:
        left = []
        for partition in partitions:
            quiet_s = now.timestamp() - partition.written_s
            if partition.is_past(partition.retention_days, now.date()) and quiet_s >= _GRACE_S:
                await self._drop(partition, "retention", f"older than {partition.retention_days} days")
            else:
                left.append(partition)
        return left

    async def _shorten(
        self, partitions: list[Partition], today: date
    ) -> tuple[list[Partition], list[tuple[Partition, list[int]]]]:
        """Drop partitions of which no tenant keeps anything; also return those with rows to delete, and whose."""
        left, rewrites = [], []
        names = self._tenants.names()
        for partition in partitions:
            owners = await self._owners_if_shortened(partition, today)
            due = [owner for owner in owners if self._is_due(partition, names.get(owner), today)]
            if owners and len(due) == len(owners):
                await self._drop(partition, "shortened", "retention is shorter now")
                continue
            left.append(partition)
            if due:
                rewrites.append((partition, due))
        self._owners = {partition: owners for partition, owners in self._owners.items() if partition in left}
        return left, rewrites

    async def _owners_if_shortened(self, partition: Partition, today: date) -> frozenset[int]:
        """Whose rows are in it, if somebody's can be due; asked of the store once, until it is written to again."""
        if not self._may_be_due(partition, today):
            return frozenset()
        if partition not in self._owners:
            self._owners[partition] = await self._partitions.tenants(partition)
        return self._owners[partition]

    def _may_be_due(self, partition: Partition, today: date) -> bool:
        return any(self._is_due(partition, tenant, today) for tenant in ("", *self._settings.tenants))

    def _is_due(self, partition: Partition, tenant: str | None, today: date) -> bool:
        if tenant is None:  # not ours to judge
            return False
        days = self._settings.days(tenant, SIGNAL_OF[partition.table])
        is_shorter = days > 0 and (partition.retention_days == 0 or days < partition.retention_days)
        return is_shorter and partition.is_past(days, today)

    async def _keep_budget(self, partitions: list[Partition], today: date) -> list[Partition]:
        self.usage = await read_usage(self._store, self._deployment)
        budget = self.usage.budget_bytes(self._disk)
        excess = self.usage.held_bytes - budget
        chosen = oldest_beyond(partitions, excess, today)
        for partition in chosen:
            await self._drop(partition, "disk_budget", f"over the disk budget of {size(budget)}")
        is_over = excess > sum(partition.weight_bytes for partition in chosen)
        if is_over and not self._over_budget_told:
            self._on_event(
                "retention_failed",
                f"today's rows alone are over the disk budget of {size(budget)}; nothing else is left",
            )
        self._over_budget_told = is_over
        return [partition for partition in partitions if partition not in chosen]

    async def _delete_tenants(self, partition: Partition, tenants: list[int]) -> None:
        await self._partitions.delete_tenants(partition, tenants)
        names = self._tenants.names()
        of_whom = ", ".join(sorted(names[tenant] for tenant in tenants))
        self._on_event("partition_dropped", f"{partition}, only rows of {of_whom}: retention is shorter now")

    async def _drop(self, partition: Partition, reason: str, why: str) -> None:
        await self._partitions.drop(partition)
        self._on_event("partition_dropped", f"{partition}, {why}")
        self._count("gnomon_partitions_dropped_total", table=partition.table, reason=reason)


def _has_old_text_indexes(partition: Partition, today: date) -> bool:
    heavy = partition.index_bytes > partition.rows * _OTHER_INDEX_BYTES_A_ROW + _WORTH_CLEARING_BYTES
    return heavy and partition.table in TEXT_INDEXES and partition.is_past(INDEXED_DAYS, today)
