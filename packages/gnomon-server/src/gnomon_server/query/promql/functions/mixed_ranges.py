"""Functions of range vectors that take floats and native histograms alike: rates, sums, edges, changes.

A window of both has no rate and no sum, which is said; its edges and changes are those of all its samples.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gnomon_server.query.promql.ast import Call
from gnomon_server.query.promql.context import Context
from gnomon_server.query.promql.extended import extended_rate
from gnomon_server.query.promql.functions.arguments import windows_of
from gnomon_server.query.promql.histograms import extended
from gnomon_server.query.promql.histograms import windows as histogram_windows
from gnomon_server.query.promql.histograms.aggregates import tell
from gnomon_server.query.promql.histograms.arithmetic import multiply
from gnomon_server.query.promql.histograms.block import Histograms
from gnomon_server.query.promql.histograms.windows import RateNotes
from gnomon_server.query.promql.labels import name_of
from gnomon_server.query.promql.loops.windows import means, totals
from gnomon_server.query.promql.ranges import (
    adjacent,
    extrapolation,
    first,
    float_instant,
    float_rate,
    float_resets,
    last,
    looped,
    mixed,
    of_windows,
    start_resets,
    started_within,
)
from gnomon_server.query.promql.values import NO_ROW, Value, Vector, Windows


def rated(windows: Windows, call: Call, ctx: Context, *, counter: bool, per_second: bool) -> Vector:
    """`rate`, `increase`, `delta`."""
    floats = windows.floats
    if windows.extended:
        values, present = extended_rate(floats, counter=counter, per_second=per_second)
    else:
        values, present = float_rate(floats, ctx, counter=counter, per_second=per_second)
    natives = windows.histograms
    if natives is None:
        return of_windows(windows, values, present)
    both = mixed(windows, call, ctx)
    answer = of_windows(windows, values, present & ~both)
    block = _block(natives)
    low, high = _bounds(natives, ~both)
    ts, shape = natives.samples.ts, natives.low.shape
    if windows.extended:
        begins, ends = (np.broadcast_to(one, shape).ravel() for one in (windows.starts_ms, windows.ends_ms))
        found, notes = extended.increase(
            block, ts, low, high, (begins, ends), counter=counter, smoothed=windows.extended == "smoothed"
        )
        factor = np.ones(shape)
    else:
        started = started_within(natives) if counter else np.zeros(shape, np.bool_)
        found, notes = histogram_windows.increase(
            block, ts, low, high, natives.samples.start, counter=counter, from_start=started.ravel()
        )
        count = found.count.reshape(shape)
        factor = extrapolation(natives, count, block.count, counter=counter)
    _tell(notes, natives, call, ctx)
    if per_second:
        factor = factor / (windows.range_ms / 1000)
    return _with(answer, multiply(found, factor.ravel()), notes.present.reshape(shape))


def instant_rate(call: Call, args: list[Value], ctx: Context, *, counter: bool) -> Vector:
    """`irate` and `idelta`, of the last two samples, whatever comes before them."""
    windows = windows_of(args)
    newest = replace(windows, low=np.maximum(windows.low, windows.high - 2))
    values, present = float_instant(newest.floats, counter=counter)
    if newest.histograms is None:
        return of_windows(windows, values, present)
    both = mixed(newest, call, ctx)
    natives = newest.histograms
    block = _block(natives)
    low, high = _bounds(natives, ~both)
    found, notes = histogram_windows.instant(
        block, natives.samples.ts, low, high, natives.samples.start, counter=counter
    )
    _tell(notes, natives, call, ctx)
    return _with(of_windows(windows, values, present & ~both), found, notes.present.reshape(natives.low.shape))


def totalled(call: Call, args: list[Value], ctx: Context, *, mean: bool) -> Vector:
    """`sum_over_time` and `avg_over_time`."""
    windows = windows_of(args)
    floats, natives = windows.floats, windows.histograms
    both = mixed(windows, call, ctx)
    loop = means if mean else totals
    values = looped(floats, ctx, lambda low, high, _: loop(floats.samples.v, low, high))
    answer = of_windows(windows, values, (floats.counts > 0) & ~both)
    if natives is None:
        return answer
    block = _block(natives)
    low, high = _bounds(natives, ~both)
    function = histogram_windows.avg_over_time if mean else histogram_windows.sum_over_time
    found, notes = function(block, low, high)
    wrong = np.flatnonzero(notes.incompatible) // natives.low.shape[1]
    tell(notes, ctx, call.args[0], lambda: _name(natives, int(wrong[0])))
    present = (high > low) & ~notes.incompatible
    return _with(answer, found, present.reshape(natives.low.shape))


def edge(_: Call, args: list[Value], __: Context, *, newest: bool) -> Vector:
    """`first_over_time` and `last_over_time`: samples as they are, under their own names."""
    windows = windows_of(args)
    samples, column = windows.samples, last if newest else first
    values, present = column(windows, samples.v), windows.counts > 0
    answer = of_windows(windows, values, present, keep_name=True)
    if samples.rows is None:
        return answer
    rows = np.where(present, column(windows, samples.rows), NO_ROW)
    return replace(answer, rows=rows, histograms=samples.histograms)


def changed(_: Call, args: list[Value], __: Context) -> Vector:
    """`changes`: how often a sample differs from the one before; a histogram differs from any float."""
    windows = windows_of(args)
    v = windows.samples.v
    before = np.roll(v, 1)
    flags = (v != before) & ~(np.isnan(v) & np.isnan(before))
    if windows.samples.rows is not None:
        flags = _among_all(windows, flags, histogram_windows.changes_between)
    return of_windows(windows, adjacent(windows, flags), _not_before(windows))


def reset(_: Call, args: list[Value], __: Context) -> Vector:
    """`resets`: how often a counter began anew; from float to histogram and back it does."""
    windows = windows_of(args)
    samples = windows.samples
    flags = float_resets(windows)
    if samples.rows is not None:
        anew = start_resets(samples.ts, samples.start)
        flags = (
            _among_all(
                windows,
                flags,
                lambda block: histogram_windows.resets_between(block, np.zeros(len(block), np.int64), None),
            )
            | anew
        )
    return of_windows(windows, adjacent(windows, flags), _not_before(windows))


def _not_before(windows: Windows) -> np.ndarray:
    """Whether there is a sample in the window itself; an anchored one may have only the neighbour before it."""
    some = windows.counts > 0
    return some & (last(windows, windows.samples.ts) > windows.starts_ms) if windows.extended else some


def _among_all(
    windows: Windows, flags: np.ndarray, histograms_differ: Callable[[Histograms], np.ndarray]
) -> np.ndarray:
    """Whether each sample differs from the one before, be they floats or histograms: bool[n_samples]."""
    rows, block = windows.samples.rows, windows.samples.histograms
    assert rows is not None and block is not None  # noqa: PT018, S101 - the caller has looked
    native = rows != NO_ROW
    before = np.roll(native, 1)
    found: np.ndarray = flags | (native != before)
    found[native & before] = False
    pairs = np.flatnonzero(native & before)
    if len(pairs):
        couples = np.column_stack([rows[pairs - 1], rows[pairs]]).ravel()
        found[pairs] = histograms_differ(block.take(couples))[1::2]
    return found


def _block(natives: Windows) -> Histograms:
    """The histograms in the order of their samples."""
    rows, block = natives.samples.rows, natives.samples.histograms
    assert rows is not None and block is not None  # noqa: PT018, S101 - there are some
    return block.take(rows)


def _bounds(natives: Windows, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the wanted windows begin and end, the others being empty: int64[w] each."""
    low = natives.low.ravel()
    return low, np.where(wanted.ravel(), natives.high.ravel(), low)


def _with(answer: Vector, found: Histograms, there: np.ndarray) -> Vector:
    """The answer with histograms where there are any; they come in the order of the cells."""
    rows = np.where(there, np.arange(there.size).reshape(there.shape), NO_ROW)
    return replace(answer, present=answer.present | there, rows=rows, histograms=found)


def _name(windows: Windows, series: int) -> str:
    return name_of(windows.labels[series])


def _tell(notes: RateNotes, natives: Windows, call: Call, ctx: Context) -> None:
    steps = natives.low.shape[1]

    def warn(flags: np.ndarray, message: str) -> None:
        for series in np.unique(np.flatnonzero(flags) // steps).tolist():
            ctx.notes.warn(f'{message} "{_name(natives, series)}"', call.args[0])

    warn(
        notes.incompatible,
        "vector contains a mix of histograms with exponential and custom buckets schemas for metric name",
    )
    warn(notes.not_counter, "this native histogram metric is not a counter:")
    warn(notes.not_gauge, "this native histogram metric is not a gauge:")
    if notes.subtracted.any():
        ctx.notes.inform("mismatched custom buckets were reconciled during subtraction", call.args[0])
    if notes.added.any():
        ctx.notes.inform("mismatched custom buckets were reconciled during addition", call.args[0])
