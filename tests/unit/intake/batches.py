"""Batches as decoders produce them, and a meter that can be read."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from rows import empty

from gnomon_server.model.batch import Batch, Rejections
from gnomon_server.model.tables import TABLES

_TOTALS = {"delta_samples": "samples", "delta_histograms": "native_histograms"}


def batch(tenant: str = "acme", **tables: list[Mapping[str, Any]]) -> Batch:
    """`batch(spans=[...], delta_samples=[...])`: rows of which only the telling columns are given."""
    filled = {}
    for name, rows in tables.items():
        schema = TABLES[_TOTALS.get(name, name)]
        whole = [{column.name: empty(column.type) for column in schema} | dict(row) for row in rows]
        arrays = [pa.array([row[column.name] for row in whole], column.type) for column in schema]
        filled[name] = pa.RecordBatch.from_arrays(arrays, schema=schema)
    records = sum(table.num_rows for table in filled.values())
    return Batch(tenant, filled, records, sum(table.nbytes for table in filled.values()), Rejections())


class Counts:
    """A Meter."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        self.counted[" ".join([name, *labels.values()])] += int(value)

    def observe(self, name: str, value: float, **labels: str) -> None:  # noqa: ARG002  (a Meter's parameters)
        assert value >= 0

    def dropped(self, reason: str) -> int:
        return self.counted[f"gnomon_intake_dropped_total {reason}"]
