"""Samples of a few series, as intake gets them."""

import numpy as np
import pyarrow as pa

from gnomon_server.model.batch import Batch, Rejections
from gnomon_server.model.series import Kind, series_id
from gnomon_server.model.tables import SAMPLES, SERIES

T0 = 1_760_000_400_000


class Nobody:
    """Counts nothing."""

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        """Not counted."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Not observed."""


def batch(points: list[tuple[int, int, float]], start_ms: int = 0) -> Batch:
    """Samples of (series, time, value), of counters that began at that time; 0: nobody knows."""
    ids = {number: series_id("requests_total", {"job": f"j{number}"}) for number, _, _ in points}
    rows = [
        {"day": T0 // 86_400_000, "metric": "requests_total", "id": ids[number], "kind": int(Kind.COUNTER), "rid": 0}
        | {"service": "", "scope": "", "name": "requests_total", "labels": [("job", f"j{number}")]}
        | {name: [] for name in "sifbj"}
        for number in ids
    ]
    zero = np.zeros(len(points), np.int64)
    columns = {
        "id": np.array([ids[number] for number, _, _ in points], np.uint64),
        "ts": np.array([at for _, at, _ in points], np.int64),
        "v": np.array([value for _, _, value in points]),
        "start": zero + start_ms,
        "sent": zero.astype(np.float64),
        "exact": zero,
    }
    arrays = [pa.array(columns[field.name]).cast(field.type) for field in SAMPLES]
    tables = {
        "series": pa.RecordBatch.from_pylist(rows, SERIES),
        "samples": pa.RecordBatch.from_arrays(arrays, schema=SAMPLES),
    }
    return Batch("default", tables, len(points), 1000, Rejections())
