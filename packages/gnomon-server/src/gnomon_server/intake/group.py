"""A group: the rows of several batches on their way into one commit, by table, with tenant and retention on each."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from gnomon_server.model.batch import Batch
from gnomon_server.model.tables import TABLES
from gnomon_server.store.interface import Insert
from gnomon_server.store.partitions import SIGNAL_OF

# Deltas become totals on the way (intake/deltas.py).
_SIGNAL_OF = {**SIGNAL_OF, "delta_samples": SIGNAL_OF["samples"], "delta_histograms": SIGNAL_OF["native_histograms"]}


@dataclass(slots=True)
class Group:
    """Rows to commit together. `inserts` has the same tokens each time it is asked."""

    tables: dict[str, pa.Table]
    dropped: dict[str, int] = field(default_factory=dict)
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def of(cls, batches: list[tuple[Batch, int]], retention_days: Callable[[str, str], int]) -> "Group":
        """The group of these batches, each with its tenant's number. `retention_days(tenant, signal)`."""
        parts: dict[str, list[pa.RecordBatch]] = {}
        columns: dict[str, list[tuple[int, int, int]]] = {}
        for batch, tenant in batches:
            for name, rows in batch.tables.items():
                days = retention_days(batch.tenant, _SIGNAL_OF[name]) if name in _SIGNAL_OF else -1
                parts.setdefault(name, []).append(rows)
                columns.setdefault(name, []).append((rows.num_rows, tenant, days))
        return cls({name: _with_owner(pa.Table.from_batches(parts[name]), columns[name]) for name in parts})

    def oldest_samples(self) -> dict[int, int]:
        """How far back the metrics of each tenant reach: its number, and milliseconds since 1970."""
        oldest: dict[int, int] = {}
        for name in ("samples", "native_histograms"):
            rows = self.tables.get(name)
            if rows is not None and rows.num_rows:
                tenants, times = rows["tenant"].to_numpy(), rows["ts"].cast(pa.int64()).to_numpy()
                for tenant in np.unique(tenants).tolist():
                    at = int(times[tenants == tenant].min())
                    oldest[tenant] = min(at, oldest.get(tenant, at))
        return oldest

    def drop(self, reason: str, count: int) -> None:
        """Count rows that a stage took out."""
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count

    def inserts(self) -> list[Insert]:
        """In the order of model.tables: what is referred to before what refers to it."""
        return [
            Insert(name, self.tables[name], f"{self.token}-{name}")
            for name in TABLES
            if name in self.tables and self.tables[name].num_rows
        ]


def _with_owner(rows: pa.Table, runs: list[tuple[int, int, int]]) -> pa.Table:
    counts = [count for count, _, _ in runs]
    tenants = np.repeat(np.array([tenant for _, tenant, _ in runs], np.uint32), counts)
    rows = rows.append_column("tenant", pa.array(tenants))
    if runs[0][2] >= 0:
        rows = rows.append_column("ret", pa.array(np.repeat(np.array([r for _, _, r in runs], np.uint16), counts)))
    return rows
