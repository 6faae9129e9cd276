"""One disk budget for all signals: when the tables outgrow it, the oldest days go first, whatever they hold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from pydantic import BaseModel, ConfigDict, Field

from gnomon_server.store.ddl import Deployment
from gnomon_server.store.interface import Store
from gnomon_server.store.partitions import Partition

_DEFAULT_SHARE = 0.8


class DiskSettings(BaseModel):
    """How much of the disk the tables may take."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget_bytes: int = Field(default=0, ge=0)
    """Past it the oldest days are dropped. 0: 80 % of what the tables hold and what is free beside them, so that
    merges, spooled requests and neighbours have the rest."""
    reserve_bytes: int = Field(default=1 << 30, ge=0)
    """Free space kept on the disk whatever the budget says; the engine refuses inserts below 64 MiB."""


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """`leaving_bytes` is what merged and dropped parts still hold for the eight minutes before they are deleted."""

    held_bytes: int
    leaving_bytes: int
    free_bytes: int

    def budget_bytes(self, settings: DiskSettings) -> int:
        """What the tables may hold now: the budget, or less when others have filled the disk."""
        reach = self.held_bytes + self.leaving_bytes + self.free_bytes
        budget = settings.budget_bytes or int(reach * _DEFAULT_SHARE)
        return max(0, min(budget, reach - settings.reserve_bytes))


async def read_usage(store: Store, deployment: Deployment) -> DiskUsage:
    """Measure all tables, and the disks they are on."""
    parts, disks = deployment.system("parts"), deployment.system("disks")
    found, _ = await store.query(
        f"SELECT sumIf(bytes_on_disk, active) AS held, sumIf(bytes_on_disk, NOT active) AS leaving, "
        f"(SELECT sum(free_space) FROM {disks} WHERE name IN "
        f"(SELECT disk_name FROM {parts} WHERE database = 'gnomon')) AS free FROM {parts} WHERE database = 'gnomon'"
    )
    row = found.to_pylist()[0]
    return DiskUsage(row["held"], row["leaving"], row["free"] or 0)


def oldest_beyond(partitions: Iterable[Partition], excess_bytes: int, today: date) -> Sequence[Partition]:
    """The partitions to drop so that `excess_bytes` are freed: whole days, oldest first, all signals of a day together.

    Days that are not over are never dropped: what was just acknowledged does not vanish, and a disk that one day fills
    refuses new rows with a reason instead. What is counted as freed is freed when the engine deletes the old parts.
    """
    chosen: list[Partition] = []
    for end, day in groupby(sorted(partitions, key=lambda partition: partition.end), lambda partition: partition.end):
        if excess_bytes <= 0 or end > today:
            break
        together = list(day)
        chosen += together
        excess_bytes -= sum(partition.weight_bytes for partition in together)
    return chosen
