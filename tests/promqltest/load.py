"""Samples of a script as a batch of the server, under a tenant of their own, through the ordinary writer.

What is stored is never changed: after each `load` that is asked anything, all that was loaded since the last `clear`
goes to a new tenant. So every evaluation of every file has its data beside all others' on one engine, and the
evaluations may run in any order.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from tests.promqltest.histogram import Histogram
from tests.promqltest.language import Load, Point
from tests.promqltest.series import STALE, Labels

from gnomon_server.model.batch import Batch, Rejections
from gnomon_server.model.series import STALE_BITS, Kind, series_id
from gnomon_server.model.tables import NATIVE_HISTOGRAMS, SAMPLES, SERIES

_DAY_MS = 86_400_000


def batch_of(tenant: str, loads: Sequence[Load]) -> Batch:
    """The rows of `series`, `samples` and `native_histograms` for these loads together."""
    series: dict[Labels, list[Point]] = {}
    for load in loads:
        for labels, points in load.series.items():
            series.setdefault(labels, []).extend(points)
    described: list[dict[str, object]] = []
    floats: list[tuple[int, Point]] = []
    histograms: list[tuple[int, Point]] = []
    for labels, points in series.items():
        said = dict(labels)
        name = said.pop("__name__", "")
        identity = series_id(name, said)
        mine = [(identity, point) for point in _stale_in_kind(sorted(points, key=lambda point: point.at_ms))]
        floats += [row for row in mine if not isinstance(row[1].value, Histogram)]
        histograms += [row for row in mine if isinstance(row[1].value, Histogram)]
        row = {"metric": name, "id": identity, "kind": int(Kind.UNKNOWN), "name": name, "labels": sorted(said.items())}
        described += [{"day": day, **row} for day in sorted({point.at_ms // _DAY_MS for point in points})]
    tables = {"series": _rows(SERIES, described), "samples": _samples(floats)}
    tables["native_histograms"] = _rows(NATIVE_HISTOGRAMS, [_native(*row) for row in histograms])
    tables = {name: rows for name, rows in tables.items() if rows.num_rows}
    size = sum(rows.nbytes for rows in tables.values())
    return Batch(tenant, tables, len(floats) + len(histograms), size, Rejections())


def _stale_in_kind(points: Iterable[Point]) -> list[Point]:
    """A stale marker after a histogram is one itself, as Prometheus' own head makes it (tsdb/head_append.go)."""
    changed: list[Point] = []
    for point in points:
        after = bool(changed) and isinstance(changed[-1].value, Histogram)
        marker = isinstance(point.value, float) and struct.pack("<d", point.value) == struct.pack("<Q", STALE_BITS)
        changed.append(point._replace(value=Histogram(sum=STALE)) if after and marker else point)
    return changed


def _samples(rows: list[tuple[int, Point]]) -> pa.RecordBatch:
    zero = np.zeros(len(rows), np.int64)
    columns = {
        "id": np.array([identity for identity, _ in rows], np.uint64),
        "ts": np.array([point.at_ms for _, point in rows], np.int64),
        "v": np.array([point.value for _, point in rows], np.float64),
        "start": np.array([point.start_ms for _, point in rows], np.int64),
        "sent": zero.astype(np.float64),
        "exact": zero,
    }
    return pa.RecordBatch.from_arrays(
        [pa.array(columns[column.name]).cast(column.type) for column in SAMPLES], schema=SAMPLES
    )


def _native(identity: int, point: Point) -> Mapping[str, object]:
    histogram = point.value
    assert isinstance(histogram, Histogram)
    return {
        "id": identity,
        "ts": point.at_ms,
        "start": point.start_ms,
        "hint": histogram.hint,
        "is_float": True,
        "min": np.nan,
        "max": np.nan,
        "bounds": list(histogram.bounds),
        "schema": histogram.schema,
        "count": histogram.count,
        "sum": histogram.sum,
        "zero_threshold": histogram.zero_threshold,
        "zero_count": histogram.zero_count,
        "p_idx": list(histogram.positive),
        "p_cnt": list(histogram.positive.values()),
        "n_idx": list(histogram.negative),
        "n_cnt": list(histogram.negative.values()),
    }


def _rows(schema: pa.Schema, rows: Sequence[Mapping[str, object]]) -> pa.RecordBatch:
    """Rows of which only the telling columns are given."""
    arrays = [pa.array([row.get(column.name, _empty(column.type)) for row in rows], column.type) for column in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _empty(kind: pa.DataType) -> object:
    if pa.types.is_map(kind) or pa.types.is_list(kind):
        return []
    return "" if pa.types.is_string(kind) else 0
