"""Changes become totals: the first stages, for senders that report what happened since their last report.

The total of a series goes on from its last stored row, which is asked for where memory does not know the series: that
is what makes accumulation survive a restart. What was sent stays beside it, in the columns `sent`.
"""

import asyncio

import numpy as np
import pyarrow as pa

from gnomon_server.intake.context import StageContext, ask, milliseconds, point_keys
from gnomon_server.intake.group import Group
from gnomon_server.intake.memory import LastHistograms
from gnomon_server.intake.native_histograms import Histograms, added, concatenated
from gnomon_server.model.series import STALE_BITS

_LOOKBACK_MS = 2 * 86_400_000  # a delta series silent for longer starts anew, as a restarted process would
_FEW_SERIES = 32
_GAUGE_HINT = 3  # a histogram that is no total
_LAST_SAMPLES = (
    "SELECT tenant, id, max(ts) AS last_ts, argMax(v, ts) AS last_v FROM samples "
    "WHERE {where} AND NOT isNaN(v) GROUP BY tenant, id"
)
# In two steps, since the buckets of two days would have to be read for the last ones.
_LAST_HISTOGRAMS = (
    "SELECT tenant, id, ts, schema, count, sum, zero_threshold, zero_count, p_idx, p_cnt, n_idx, n_cnt "
    "FROM native_histograms WHERE {where} AND (id, ts) GLOBAL IN ("
    f"SELECT id, max(ts) FROM native_histograms WHERE {{where}} AND hint != {_GAUGE_HINT} "
    f"AND reinterpretAsUInt64(sum) != {STALE_BITS} GROUP BY id) LIMIT 1 BY id"
)


async def accumulate_deltas(group: Group, context: StageContext) -> Group:
    """Samples: each series' running sum. A change that is no number is stored as that, and the sum goes on after it."""
    deltas = group.tables.pop("delta_samples", None)
    if deltas is None or not deltas.num_rows:
        return group
    keys, at = point_keys("samples", deltas), milliseconds(deltas["ts"])
    known, _, _ = context.points.get(keys)
    if not known.all():
        await context.committed()
        found = await ask(deltas.filter(pa.array(~known)), _LAST_SAMPLES, context, earlier_ms=_LOOKBACK_MS)
        last_ts = milliseconds(found["last_ts"])
        context.points.put(point_keys("samples", found), last_ts, found["last_v"].to_numpy())
    order = np.lexsort((at, keys))
    keys, at = keys[order], at[order]
    sent = deltas["sent"].to_numpy()[order]
    _, last_at, last_value = context.points.get(keys)
    in_order = _in_order(keys, at, last_at)
    group.drop("delta_out_of_order", int((~in_order).sum()))
    first = _firsts(keys)
    total = running_sums(np.where(in_order & ~np.isnan(sent), sent, 0.0), first, last_value[first])
    rows = deltas.take(pa.array(order[in_order]))
    value = np.where(np.isnan(sent), sent, total)[in_order]
    rows = rows.set_column(rows.schema.get_field_index("v"), "v", pa.array(value))
    _join(group, "samples", rows)
    last = np.concatenate([first[1:] - 1, [len(keys) - 1]])
    context.points.put(keys[last], at[last], total[last])
    return group


async def accumulate_histograms(group: Group, context: StageContext) -> Group:
    """Exponential histograms: each series' running total. The least and greatest value are the sent interval's."""
    deltas = group.tables.pop("delta_histograms", None)
    if deltas is None or not deltas.num_rows:
        return group
    # No commit runs beside this, so none can fail and have series forgotten while the thread reads them.
    await context.committed()
    keys, at = point_keys("native_histograms", deltas), milliseconds(deltas["ts"])
    known, _ = context.histograms.times(keys)
    if not known.all():
        found = await ask(deltas.filter(pa.array(~known)), _LAST_HISTOGRAMS, context, earlier_ms=_LOOKBACK_MS)
        context.histograms.put(point_keys("native_histograms", found), milliseconds(found["ts"]), Histograms.of(found))
    order = np.lexsort((at, keys))
    _, last_at = context.histograms.times(keys)
    order = order[_in_order(keys[order], at[order], last_at[order])]
    group.drop("delta_out_of_order", deltas.num_rows - len(order))
    if len(order):
        sorted_deltas = deltas.take(pa.array(order))
        rows = await asyncio.to_thread(histogram_totals, sorted_deltas, keys[order], at[order], context.histograms)
        _join(group, "native_histograms", rows)
    return group


def histogram_totals(rows: pa.Table, keys: np.ndarray, at: np.ndarray, memory: LastHistograms) -> pa.Table:
    """The rows, sorted by series and time, with totals for changes; those without a recorded value as they are."""
    stale = rows["sum"].to_numpy().view(np.uint64) == STALE_BITS
    sent = Histograms.of(rows).without(stale)
    first = _firsts(keys)
    lengths = np.diff(first, append=len(keys))
    total = memory.get(keys[first])
    # First the first point of every series, then every second one, ...: nearly always there is one.
    steps, positions = [], []
    for step in range(int(lengths.max())):
        if step:
            total = total.take(np.flatnonzero(lengths > step))
            first, lengths = first[lengths > step], lengths[lengths > step]
        total = added(total, sent.take(first + step))
        steps.append(total)
        positions.append(first + step)
    order = np.concatenate(positions)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    totals = concatenated(steps).take(place)
    last = np.flatnonzero(np.append(keys[1:] != keys[:-1], True))
    memory.put(keys[last], at[last], totals.take(last))
    live = np.flatnonzero(~stale)
    told = rows.take(pa.array(live))
    for name, column in totals.take(live).columns().items():
        told = told.set_column(told.schema.get_field_index(name), name, column)
    return pa.concat_tables([told, rows.filter(pa.array(stale))])


def running_sums(change: np.ndarray, first: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Running sums of stretches that begin at `first`, each from its own `before`: float64[n].

    Not the differences of one sum over all: beside a series of 1e18 a series of ones would stand still. Stretches are
    short and many, so first the second of each is added to, then the third, ...; what is long and rare is summed alone.
    """
    total = change.copy()
    total[first] += before
    at, ends = first + 1, np.append(first[1:], len(change))
    while (longer := at < ends).sum() > _FEW_SERIES:
        at, ends = at[longer], ends[longer]
        total[at] += total[at - 1]
        at += 1
    for start, end in zip(at[longer].tolist(), ends[longer].tolist(), strict=True):
        total[start - 1 : end] = np.cumsum(total[start - 1 : end])
    return total


def _in_order(keys: np.ndarray, at: np.ndarray, last_at: np.ndarray) -> np.ndarray:
    """bool[n]: later than what is stored and not the time before repeated, of points sorted by series and time."""
    repeated = np.concatenate([[False], (keys[1:] == keys[:-1]) & (at[1:] == at[:-1])])
    later: np.ndarray = (at > last_at) & ~repeated
    return later


def _firsts(keys: np.ndarray) -> np.ndarray:
    """Where each series begins, int64[n_series]."""
    return np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))


def _join(group: Group, table: str, more: pa.Table) -> None:
    rows = group.tables.get(table)
    group.tables[table] = more if rows is None else pa.concat_tables([rows, more.select(rows.schema.names)])
