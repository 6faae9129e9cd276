"""The descriptive rows of metrics: `series`, `metric_meta`, and the series `target_info`."""

from typing import Any

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp.columns import map_of_texts, no_rows
from gnomon_server.decode.otlp.context import NS_PER_DAY, DecodeContext
from gnomon_server.decode.otlp.metric import Metric, SeriesRow, target_info
from gnomon_server.decode.otlp.points import Group
from gnomon_server.decode.otlp.records import Origins
from gnomon_server.decode.otlp.resources import Resource
from gnomon_server.model.batch import Rejections
from gnomon_server.model.series import meta_key
from gnomon_server.model.tables import METRIC_META, SERIES


def target_info_groups(origins: Origins, at: np.ndarray) -> list[Group]:
    """A sample of `target_info` for each resource, at the newest of its points. `at`: uint64[n], ns."""
    newest: dict[int, tuple[Resource, int]] = {}
    end = 0
    for resource, count in zip(origins.resources, origins.counts, strict=True):
        start, end = end, end + count
        if count:
            known = newest.get(resource.rid, (resource, 0))[1]
            newest[resource.rid] = resource, max(known, int(at[start:end].max()))
    found = [(row, ns) for resource, ns in newest.values() if (row := target_info(resource)) is not None]
    if not found:
        return []
    count = len(found)
    return [
        Group(
            lambda position: found[position][0],
            np.array([row.id for row, _ in found], np.uint64),
            np.array([ns for _, ns in found], np.uint64),
            np.zeros(count, np.uint64),
            np.ones(count),
            np.zeros(count, np.bool_),
        )
    ]


def series_rows(groups: list[Group], tenant: str, context: DecodeContext, rejections: Rejections) -> pa.RecordBatch:
    """Rows of `series` that the store does not have yet: one for each series and day with a sample."""
    asked = [group.distinct if group.distinct is not None else np.arange(len(group.ids)) for group in groups]
    ids = np.concatenate([group.ids[positions] for group, positions in zip(groups, asked, strict=True)])
    at = np.concatenate([group.at[positions] for group, positions in zip(groups, asked, strict=True)])
    days = (at // np.uint64(NS_PER_DAY)).astype(np.int32)
    first = _first_of_each(ids, days)
    first = first[context.seen.unseen(tenant, "series", ids[first], days[first])]
    if not len(first):
        return no_rows(SERIES)
    ends = np.cumsum([len(positions) for positions in asked])
    rows = []
    for place in first.tolist():
        number = int(np.searchsorted(ends, place, "right"))
        position = asked[number][place - int(ends[number]) + len(asked[number])]
        rows.append(groups[number].define(int(position)))
    return _series(rows, days[first], context, rejections)


def _first_of_each(ids: np.ndarray, days: np.ndarray) -> np.ndarray:
    """The position of the first of each (id, day)."""
    if not np.ptp(days):
        return np.unique(ids, return_index=True)[1]
    order = np.lexsort((days, ids))
    new = np.ones(len(order), np.bool_)
    new[1:] = (np.diff(ids[order]) != 0) | (np.diff(days[order]) != 0)
    return order[new]


def _series(rows: list[SeriesRow], days: np.ndarray, context: DecodeContext, rejections: Rejections) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [
            pa.array(days, pa.int32()).cast(pa.date32()),
            pa.array([row.metric for row in rows], pa.string()),
            pa.array([row.id for row in rows], pa.uint64()),
            pa.array([row.kind for row in rows], pa.uint8()),
            pa.array([row.resource.rid for row in rows], pa.uint64()),
            pa.array([row.resource.service for row in rows], pa.string()),
            pa.array([row.scope for row in rows], pa.string()),
            pa.array([row.name for row in rows], pa.string()),
            map_of_texts([dict(sorted(row.labels.items())) for row in rows]),
            *context.attributes.of_raws([row.raws for row in rows], rejections),
        ],
        schema=SERIES,
    )


def meta_rows(metrics: list[Metric], tenant: str, context: DecodeContext) -> pa.RecordBatch:
    """Rows of `metric_meta` that the store does not have yet; a description holds for every day."""
    rows = {meta_key(row): row for row in map(_meta_row, metrics)}
    keys = np.fromiter(rows, np.uint64, len(rows))
    unseen = context.seen.unseen(tenant, "meta", keys, np.zeros(len(keys), np.int32))
    new = [rows[key] for key in keys[unseen].tolist()]
    if not new:
        return no_rows(METRIC_META)
    return pa.RecordBatch.from_pylist(new, schema=METRIC_META)


def _meta_row(metric: Metric) -> dict[str, Any]:
    return {
        "metric": metric.base,
        "type": metric.type,
        "unit": metric.unit,
        "help": metric.help,
        "temporality": metric.temporality,
        "monotonic": metric.monotonic,
        "s": sorted(metric.metadata.items()),
    }
