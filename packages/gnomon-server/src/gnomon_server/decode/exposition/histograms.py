"""Native histograms as rows, and the column of times that all tables of points share."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from gnomon_server.decode.exposition.exposition import NativeHistogram
from gnomon_server.model.series import STALE_BITS
from gnomon_server.model.tables import HISTOGRAM_VALUES, MS, NATIVE_HISTOGRAMS

STALE = float(np.array(STALE_BITS, np.uint64).view(np.float64))
_GAUGE_HINT = 3  # Prometheus' CounterResetHint: GaugeType


def histogram_rows(rows: list[NativeHistogram], ids: np.ndarray, times: np.ndarray) -> pa.RecordBatch:
    """Rows of `native_histograms`. `ids`: uint64[n], the series; `times`: int64[n], ms."""
    count = len(rows)
    said: dict[str, Iterable[object]] = {
        "start": [row.start_ms for row in rows],
        "hint": [_GAUGE_HINT if row.is_gauge else 0 for row in rows],
        "is_float": [row.is_float for row in rows],
        "min": [float("nan")] * count,
        "max": [float("nan")] * count,
        "bounds": [[]] * count,
        "schema": [row.schema for row in rows],
        "count": [row.count for row in rows],
        "zero_threshold": [row.zero_threshold for row in rows],
        "zero_count": [row.zero_count for row in rows],
        "p_idx": [row.positive[0] for row in rows],
        "p_cnt": [row.positive[1] for row in rows],
        "n_idx": [row.negative[0] for row in rows],
        "n_cnt": [row.negative[1] for row in rows],
        **{f"sent_{name}": [[] if pa.types.is_list(kind) else 0] * count for name, kind in HISTOGRAM_VALUES},
    }
    columns = {name: pa.array(values, NATIVE_HISTOGRAMS.field(name).type) for name, values in said.items()}
    # Through NumPy, for a marker of staleness is one NaN among many.
    columns["sum"] = pa.array(np.array([row.sum for row in rows], np.float64))
    columns["id"], columns["ts"] = pa.array(ids), times_column(times)
    return pa.RecordBatch.from_arrays([columns[name] for name in NATIVE_HISTOGRAMS.names], schema=NATIVE_HISTOGRAMS)


def stale_histograms(ids: np.ndarray, at_ms: int) -> pa.RecordBatch:
    """Markers that these series, uint64[n], have ended: they stand in the sum, as in Prometheus."""
    blank = NativeHistogram(
        slot=0, time_ms=at_ms, start_ms=0, schema=0, count=0.0, sum=STALE, zero_threshold=0.0, zero_count=0.0,
        positive=([], []), negative=([], []), is_float=False, is_gauge=False,
    )  # fmt: skip
    return histogram_rows([blank] * len(ids), ids, np.full(len(ids), at_ms))


def times_column(ms: np.ndarray) -> pa.Array:
    """Milliseconds since the epoch, int64[n], as timestamp[ms, UTC]."""
    return pa.array(ms.astype(np.int64)).view(MS)
