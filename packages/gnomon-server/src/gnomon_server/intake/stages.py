"""The stages between the queue and the store, as one list: each takes a group and returns it.

Samples are unique by (series, time), spans by (trace, span): what is stored already is dropped here, so that no query
has to. Memory answers for nearly all rows; the rest, few unless a sender repeats itself, are asked of the store.
"""

from collections.abc import Awaitable

import numpy as np
import pyarrow as pa

from gnomon_server.errors import Unavailable
from gnomon_server.intake.context import (
    POINT_TABLES,
    QUERY_LIMITS,
    Stage,
    StageContext,
    ask,
    chunks,
    milliseconds,
    point_keys,
    span_of,
)
from gnomon_server.intake.deltas import accumulate_deltas, accumulate_histograms
from gnomon_server.intake.group import Group
from gnomon_server.intake.memory import span_keys
from gnomon_server.model.index import mixed

_ONE_OF = {"samples": "sample", "native_histograms": "histogram", "exemplars": "exemplar"}
_FEW_TRACES = 50


async def drop_stored_points(group: Group, context: StageContext) -> Group:
    """A sample, native histogram or exemplar that is stored already (same series, same millisecond) is dropped.

    The first one counts. Exemplars (told apart by value as well) need it most: an SDK sends the same one with every
    report until another takes its place.
    """
    for table in POINT_TABLES:
        rows = group.tables.get(table)
        if rows is not None and rows.num_rows:
            keep = await _new_points(table, rows, group, context)
            if not keep.all():
                group.tables[table] = rows.filter(pa.array(keep))
    return group


async def _new_points(table: str, rows: pa.Table, group: Group, context: StageContext) -> np.ndarray:
    value = np.nan_to_num(rows["v"].to_numpy()) if table == "samples" else np.zeros(rows.num_rows)
    new = context.points.put(point_keys(table, rows), milliseconds(rows["ts"]), value)
    if new.all():
        return new
    doubtful = ~new
    if table == "samples":
        # Running totals were placed after the last stored point by the stage before.
        doubtful &= rows["sent"].to_numpy() == 0
    keep = _first_of_each(_point_ids(table, rows))
    group.drop(f"duplicate_{_ONE_OF[table]}", int((~keep).sum()))
    if doubtful.any():
        asked = _stored_points(table, rows, doubtful & keep, context)
        stored = await _unless_away(asked, len(keep), context)
        group.drop(f"duplicate_{_ONE_OF[table]}", int((stored & keep).sum()))
        keep &= ~stored
    return keep


async def drop_stored_spans(group: Group, context: StageContext) -> Group:
    """A span that is stored already (same trace and span id) is dropped; the first one counts."""
    spans = group.tables.get("spans")
    if spans is None or not spans.num_rows:
        return group
    keys = span_keys(_bytes(spans["trace_id"], 16), _bytes(spans["span_id"], 8), spans["tenant"].to_numpy())
    keep = _first_of_each(keys)
    group.drop("duplicate_span", int((~keep).sum()))
    doubtful = context.spans.maybe(keys) & keep
    if doubtful.any():
        stored = await _unless_away(_stored_spans(spans, keys, doubtful, context), len(keys), context)
        group.drop("duplicate_span", int(stored.sum()))
        keep &= ~stored
    context.spans.add(keys)
    if not keep.all():
        group.tables["spans"] = spans.filter(pa.array(keep))
    return group


STAGES: tuple[Stage, ...] = (accumulate_deltas, accumulate_histograms, drop_stored_points, drop_stored_spans)


def _first_of_each(keys: np.ndarray) -> np.ndarray:
    first = np.zeros(len(keys), np.bool_)
    first[np.unique(keys, return_index=True)[1]] = True
    return first


async def _unless_away(asked: Awaitable[np.ndarray], count: int, context: StageContext) -> np.ndarray:
    """Which rows are stored. A spool takes rows while the store cannot be asked: all are taken for new then."""
    try:
        return await asked
    except Unavailable:
        if not context.store.outlasts_absence:
            raise
        return np.zeros(count, np.bool_)


async def _stored_points(table: str, rows: pa.Table, doubtful: np.ndarray, context: StageContext) -> np.ndarray:
    if not doubtful.any():
        return np.zeros(len(doubtful), np.bool_)
    await context.committed()
    asked = rows.filter(pa.array(doubtful))
    value = ", v" if table == "exemplars" else ""
    found = await ask(asked, f"SELECT tenant, id, ts{value} FROM {table} WHERE {{where}}", context)
    return doubtful & np.isin(_point_ids(table, rows), _point_ids(table, found))


async def _stored_spans(spans: pa.Table, keys: np.ndarray, doubtful: np.ndarray, context: StageContext) -> np.ndarray:
    await context.committed()
    asked = spans.filter(pa.array(doubtful))
    there = []
    for tenant in np.unique(asked["tenant"].to_numpy()).tolist():
        mine = asked.filter(pa.array(asked["tenant"].to_numpy() == tenant))
        low, high = span_of(mine["ts"].cast(pa.int64()).to_numpy())
        traces = sorted({trace.hex() for trace in mine["trace_id"].to_pylist()})
        for chunk in chunks(traces, 2_000):
            # For a few traces the Bloom index skips most granules; for many it would skip none.
            column, form = ("trace_hex", "'{}'") if len(chunk) <= _FEW_TRACES else ("trace_id", "unhex('{}')")
            ids = ", ".join(map(form.format, chunk))
            found, _ = await context.store.query(
                "SELECT trace_id, span_id FROM spans WHERE tenant = {tenant:UInt32} AND ts >= fromUnixTimestamp64Nano("
                f"{{low:Int64}}) AND ts <= fromUnixTimestamp64Nano({{high:Int64}}) AND {column} IN ({ids})",
                {"tenant": tenant, "low": low, "high": high},
                limits=QUERY_LIMITS,
            )
            if found.num_rows:
                traces_there, spans_there = _bytes(found["trace_id"], 16), _bytes(found["span_id"], 8)
                there.append(span_keys(traces_there, spans_there, np.full(found.num_rows, tenant, np.uint32)))
    return doubtful & np.isin(keys, np.concatenate(there) if there else np.empty(0, np.uint64))


def _point_ids(table: str, rows: pa.Table) -> np.ndarray:
    """What a point is the only one of: uint64[n]."""
    ids = mixed(point_keys(table, rows), milliseconds(rows["ts"]))
    return mixed(ids, rows["v"].to_numpy().view(np.uint64)) if table == "exemplars" else ids


def _bytes(column: pa.ChunkedArray, width: int) -> np.ndarray:
    """Fixed-size binary as uint8[n, width]."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], column.type)
    data = np.frombuffer(array.buffers()[1], np.uint8)
    return data[array.offset * width : (array.offset + len(array)) * width].reshape(len(array), width)
