"""`anchored` and `smoothed` selectors over native histograms.

https://github.com/prometheus/prometheus/blob/main/promql/functions.go: extendedHistogramRate, interpolateHistograms.
"""

from dataclasses import replace

import numpy as np

from gnomon_server.query.promql.histograms.arithmetic import multiply
from gnomon_server.query.promql.histograms.block import GAUGE, Histograms, begins_of, concatenate, stretches
from gnomon_server.query.promql.histograms.resets import detect_reset
from gnomon_server.query.promql.histograms.totals import combine, sum_by
from gnomon_server.query.promql.histograms.windows import RateNotes


def interpolated(
    block: Histograms, ts: np.ndarray, before: np.ndarray, at: np.ndarray, *, counter: bool
) -> tuple[Histograms, np.ndarray, np.ndarray]:
    """The histogram at a time between one and the next one of its series.

    Args:
        block: the histograms.
        ts: their times.
        before: int64[k]: the one before.
        at: int64[k]: the time.
        counter: one that began anew between them began at nothing.

    Returns:
        The histograms; which had incompatible buckets on both sides, and which a counter that began anew: bool[k].
    """
    one, other = block.take(before), block.take(before + 1)
    share = (at - ts[before]) / (ts[before + 1] - ts[before])
    anew = detect_reset(one, other) if counter else np.zeros(len(before), np.bool_)
    parts = [multiply(one, np.where(anew, 0.0, 1 - share)), multiply(other, share)]
    found, notes = sum_by(concatenate(parts), np.tile(np.arange(len(before)), 2), len(before))
    return replace(found, hint=other.hint), notes.incompatible & ~anew, anew


def increase(
    block: Histograms,
    ts: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    edges: tuple[np.ndarray, np.ndarray],
    *,
    counter: bool,
    smoothed: bool,
) -> tuple[Histograms, RateNotes]:
    """By how much the histogram at each window's end exceeds that at its start.

    Args:
        block: the histograms, by series and time.
        ts: their times.
        low: where windows begin: int64[w].
        high: where they end.
        edges: when they begin and end: int64[w] each.
        counter: what was lost when the counter began anew is added.
        smoothed: whether the edges lie on the lines between samples.

    Returns:
        Of each window a histogram, and what is to be told of it.
    """
    starts, ends = edges
    some = high > low
    first, last = np.where(some, low, 0), np.where(some, high - 1, 0)
    good = some & (ts[last] > starts) & ~(smoothed & (ts[first] > ends))
    windows = np.flatnonzero(good)
    first, last, starts, ends = first[windows], last[windows], starts[windows], ends[windows]
    kinds = begins_of(block.custom)
    customs = kinds[last + 1] - kinds[first]
    mixed = (customs > 0) & (customs <= last - first)
    gauge = block.hint == GAUGE
    gauges = begins_of(gauge)
    enters = smoothed & (ts[first] < starts) & ~mixed
    leaves = smoothed & (ts[last] > ends) & (last > first) & ~mixed
    left, left_anew = _edge(block, ts, first, first, starts, enters, counter=counter)
    right, _ = _edge(block, ts, last, np.maximum(last - 1, 0), ends, leaves, counter=counter)
    members, groups, signs = [right, left], [np.arange(len(windows))] * 2, [1.0, -1.0]
    sizes = [len(windows), len(windows)]
    if counter:
        for lost, of in _lost(block, first, last, left, right, left_anew):
            members.append(lost)
            groups.append(of)
            signs.append(1.0)
            sizes.append(len(of))
    found, notes = combine(concatenate(members), np.concatenate(groups), len(windows), np.repeat(signs, sizes))
    told = np.zeros((7, len(low)), np.bool_)
    told[0, windows] = ~mixed & ~notes.incompatible
    told[1, windows] = mixed | notes.incompatible
    if counter:
        told[2, windows] = gauges[last + 1] > gauges[first]
    else:
        told[3, windows] = ~mixed & ~(gauge[first] & gauge[last])
    told[4, windows] = notes.reconciled
    rows = np.zeros(len(low), np.int64)
    rows[windows] = np.arange(len(windows))
    return (found.as_gauges().take(rows) if len(windows) else block.take(first)), RateNotes(*told)


def _edge(
    block: Histograms,
    ts: np.ndarray,
    sample: np.ndarray,
    before: np.ndarray,
    at: np.ndarray,
    between: np.ndarray,
    *,
    counter: bool,
) -> tuple[Histograms, np.ndarray]:
    """The histogram at an edge: a sample's, or one between two; and where the counter began anew between them."""
    anew = np.zeros(len(sample), np.bool_)
    places = np.flatnonzero(between)
    if not len(places):
        return block.take(sample), anew
    made, _, anew[places] = interpolated(block, ts, before[places], at[places], counter=counter)
    rows = np.arange(len(sample))
    rows[places] = len(sample) + np.arange(len(places))
    return concatenate([block.take(sample), made]).take(rows), anew


def _lost(
    block: Histograms, first: np.ndarray, last: np.ndarray, left: Histograms, right: Histograms, left_anew: np.ndarray
) -> list[tuple[Histograms, np.ndarray]]:
    """correctForCounterResetsHistogram: histograms after which the counter began anew, and whose window each is in."""
    begin = first + 1 + left_anew  # what the left edge has passed over already is not looked at again
    inner = np.maximum(last - begin, 0)
    window = np.repeat(np.arange(len(first)), inner)
    at = stretches(begin, inner)
    # The first of them follows the left edge itself, the others the sample before.
    follows_edge = (at == first[window] + 1) & ~left_anew[window]
    both = concatenate([block, left])
    before = np.where(follows_edge, len(block) + window, at - 1)
    fell = detect_reset(both.take(before), block.take(at))
    found = [(both.take(before[fell]), window[fell])]
    checked = np.flatnonzero(begin <= last)
    at_edge = (last[checked] == first[checked] + 1) & ~left_anew[checked]
    before = np.where(at_edge, len(block) + checked, last[checked] - 1)
    fell = detect_reset(both.take(before), right.take(checked))
    return [*found, (both.take(before[fell]), checked[fell])]
