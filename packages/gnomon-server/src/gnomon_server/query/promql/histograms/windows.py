"""Native histograms over windows of time: rates, sums, averages, resets, changes.

As histogramRate, instantValue, funcSumOverTime, funcAvgOverTime, funcResets and funcChanges of promql/functions.go.

All functions here take `block`, m histograms sorted by series and time, and windows over them: `low` and `high`,
int64[w]; the histograms of a window are `low` up to, not including, `high`, all of one series. `ts` is their times and
`start` when their counters began, int64[m], milliseconds, 0 for unknown. (`first_over_time` is `block.take(low)`,
`last_over_time` is `block.take(high - 1)`.)
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np

from gnomon_server.query.promql.histograms.arithmetic import divide
from gnomon_server.query.promql.histograms.block import GAUGE, Histograms, begins_of, concatenate, empty, stretches
from gnomon_server.query.promql.histograms.differences import Spans, differences, not_as_hinted
from gnomon_server.query.promql.histograms.resets import detect_reset, equal, start_overlap, start_reset
from gnomon_server.query.promql.histograms.totals import Notes, avg_by, combine, sum_by

_EMPTY = empty(np.zeros(1, np.int8), np.zeros(1, np.int32))
_CELLS_AT_ONCE = 1 << 21  # of buckets that are added up: some 100 MB with all that is needed for it


@dataclass(frozen=True, slots=True, eq=False)
class RateNotes:
    """What is to be told of the rates of w windows: bool[w] each.

    Attributes:
        present: there is a rate; else the histogram means nothing.
        incompatible: exponential and custom buckets met, so there is no rate.
        not_counter: a gauge where counters are expected.
        not_gauge: something else where gauges are expected.
        subtracted, added: custom bounds differed when histograms were subtracted, or added.
        overlapping: start times contradict each other.
    """

    present: np.ndarray
    incompatible: np.ndarray
    not_counter: np.ndarray
    not_gauge: np.ndarray
    subtracted: np.ndarray
    added: np.ndarray
    overlapping: np.ndarray


def resets_between(block: Histograms, ts: np.ndarray, start: np.ndarray | None) -> np.ndarray:
    """Whether the counter began anew between each histogram and the one before: bool[m], false for the first."""
    if len(block) < 2:  # noqa: PLR2004 (nothing is between fewer than two)
        return np.zeros(len(block), np.bool_)
    found = np.zeros(len(block), np.bool_)
    later = np.arange(1, len(block))
    for batch in _batches(block.widths[1:]):
        found[later[batch]] = detect_reset(block.take(later[batch] - 1), block.take(later[batch]))
    if start is not None:
        found[1:] |= start_reset(start[:-1], ts[:-1], start[1:], ts[1:])
    return found


def changes_between(block: Histograms) -> np.ndarray:
    """Whether each histogram differs from the one before: bool[m], false for the first."""
    every = np.arange(len(block))
    return np.concatenate([[False], ~equal(block.take(every[:-1]), block.take(every[1:]))])[: len(block)]


def counts_within(between: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """How many pairs of neighbours in each window are marked, bool[m], at the later one: int64[w].

    Of `resets_between` that is `resets`, of `changes_between` it is `changes`.
    """
    before = begins_of(between)
    return np.where(high > low, before[high] - before[np.minimum(low + 1, len(between))], 0)


def sum_over_time(block: Histograms, low: np.ndarray, high: np.ndarray) -> tuple[Histograms, Notes]:
    """The sum of each window; an empty one has an empty histogram."""
    return _over_time(sum_by, block, low, high)


def avg_over_time(block: Histograms, low: np.ndarray, high: np.ndarray) -> tuple[Histograms, Notes]:
    """The mean of each window; an empty one has an empty histogram."""
    return _over_time(avg_by, block, low, high)


def increase(
    block: Histograms,
    ts: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    start: np.ndarray | None,
    *,
    counter: bool,
    from_start: np.ndarray | None = None,
) -> tuple[Histograms, RateNotes]:
    """By how much each window's last histogram exceeds its first: what `increase`, `rate` and `delta` extrapolate.

    A window of fewer than two has none, but for `from_start`.

    Args:
        block: the histograms.
        ts: their times.
        low: where windows begin.
        high: where windows end.
        start: their start times.
        counter: what was lost when the counter began anew is added (`increase`, `rate`; without: `delta`).
        from_start: bool[w]: the counter began within the window, so that what its first histogram counted is part of
            the increase; then one histogram is enough.
    """
    started = np.zeros(len(low), np.bool_) if from_start is None else from_start & (high > low) & counter
    reset = resets_between(block, ts, start) if counter else np.zeros(len(block), np.bool_)
    widths = block.widths
    at_resets = begins_of(np.where(np.append(reset[1:], [False])[: len(block)], widths, 0))
    some = np.append(widths, 0)
    cost = some[low] + some[np.maximum(high - 1, 0)] + at_resets[high] - at_resets[low]
    parts = [
        _increases(block, reset, low[batch], high[batch], started[batch], counter=counter) for batch in _batches(cost)
    ]
    overlapping = np.zeros(len(block), np.bool_)
    if counter and start is not None:
        overlapping[1:] = start_overlap(start[:-1], ts[:-1], start[1:])
    return _joined(parts, overlapping, low, high)


def instant(
    block: Histograms, ts: np.ndarray, low: np.ndarray, high: np.ndarray, start: np.ndarray | None, *, counter: bool
) -> tuple[Histograms, RateNotes]:
    """By how much the last histogram of each window exceeds the one before: `irate` (per second), `idelta`.

    Args:
        block: the histograms.
        ts: their times.
        low: where windows begin.
        high: where windows end.
        start: their start times.
        counter: whether this is `irate`.
    """
    enough = high - low >= 2  # noqa: PLR2004 (a difference is of two)
    after, before = np.where(enough, high - 1, 0), np.where(enough, high - 2, 0)
    windows = np.flatnonzero(enough & (ts[after] != ts[before])) if len(ts) else np.empty(0, np.int64)
    after, before = after[windows], before[windows]
    gauges = np.stack([block.hint[after] == GAUGE, block.hint[before] == GAUGE])
    told = np.zeros((7, len(low)), np.bool_)
    told[2 if counter else 3, windows] = gauges.any(axis=0) if counter else ~gauges.all(axis=0)
    anew = np.zeros(len(windows), np.bool_)
    if counter and start is not None:
        anew = start_reset(start[before], ts[before], start[after], ts[after])
    parts = []
    for batch in _batches(block.widths[after] + block.widths[before]):
        one, other = block.take(after[batch]), block.take(before[batch])
        less = np.flatnonzero(~(anew[batch] | detect_reset(other, one))) if counter else np.arange(len(one))
        signs = np.repeat([1.0, -1.0], [len(one), len(less)])
        groups = np.concatenate([np.arange(len(one)), less])
        difference, notes = combine(concatenate([one, other.take(less)]), groups, len(one), signs)
        told[0, windows[batch]], told[1, windows[batch]] = ~notes.incompatible, notes.incompatible
        told[4, windows[batch]] = notes.reconciled
        parts.append(difference)
    found = concatenate(parts).as_gauges()
    if counter:
        found = divide(found, (ts[after] - ts[before]) / 1000)
    rows = np.full(len(low), len(windows), np.int64)
    rows[windows] = np.arange(len(windows))
    return _with_empty(found).take(rows), RateNotes(*told)


def _over_time(
    function: Callable[[Histograms, np.ndarray, int], tuple[Histograms, Notes]],
    block: Histograms,
    low: np.ndarray,
    high: np.ndarray,
) -> tuple[Histograms, Notes]:
    parts = []
    for batch in _batches(block.begins[high] - block.begins[low]):
        sizes = high[batch] - low[batch]
        members = block.take(stretches(low[batch], sizes))
        parts.append(function(members, np.repeat(np.arange(len(sizes)), sizes), len(sizes)))
    notes = [np.concatenate([getattr(part, field.name) for _, part in parts]) for field in fields(Notes)]
    return concatenate([part for part, _ in parts]), Notes(*notes)


def _batches(cost: np.ndarray) -> Iterator[slice]:
    """All windows, some at a time: so many that their buckets fit, but at least one."""
    before = begins_of(cost)
    begin = 0
    while begin < len(cost) or begin == 0:
        end = int(np.searchsorted(before, before[begin] + _CELLS_AT_ONCE, "right")) - 1
        end = max(begin + 1, min(end, begin + _CELLS_AT_ONCE))
        yield slice(begin, end)
        begin = end


def _increases(
    block: Histograms, reset: np.ndarray, low: np.ndarray, high: np.ndarray, started: np.ndarray, *, counter: bool
) -> tuple[Histograms, RateNotes]:
    enough = (high - low >= 2) | started  # noqa: PLR2004 (a difference is of two)
    windows = np.flatnonzero(enough)
    spans = Spans.of(block, reset, low[windows], high[windows], started[windows], counter=counter)
    result, wrong, reconciled = differences(block, reset, spans)
    told = np.zeros((7, len(low)), np.bool_)
    told[0, windows], told[1, windows] = ~wrong, wrong
    told[2 if counter else 3, windows] = not_as_hinted(block, spans)
    told[4, windows], told[5, windows] = reconciled
    rows = np.full(len(low), len(windows), np.int64)
    rows[windows] = np.arange(len(windows))
    return _with_empty(result).take(rows), RateNotes(*told)


def _with_empty(block: Histograms) -> Histograms:
    """And one empty histogram more, for windows without a rate."""
    return concatenate([block, _EMPTY])


def _joined(
    parts: list[tuple[Histograms, RateNotes]], overlapping: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[Histograms, RateNotes]:
    told = [np.concatenate([getattr(part, field.name) for _, part in parts]) for field in fields(RateNotes)]
    notes = RateNotes(*told)
    overlaps = notes.present & (counts_within(overlapping, low, high) > 0)
    return concatenate([part for part, _ in parts]), replace(notes, overlapping=overlaps)
