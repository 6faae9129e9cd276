"""By how much the last histogram of a window exceeds its first: what `increase`, `rate` and `delta` are made of.

As histogramRate of promql/functions.go.
"""

from dataclasses import dataclass, replace

import numpy as np

from gnomon_server.query.promql.histograms.arithmetic import reduced
from gnomon_server.query.promql.histograms.block import GAUGE, Histograms, begins_of, concatenate, empty, stretches
from gnomon_server.query.promql.histograms.layouts import intersections
from gnomon_server.query.promql.histograms.totals import combine


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """k windows, none of them empty.

    Attributes:
        low, last: int64[k], their first and last histogram.
        started: bool[k]: what the first counted is part of the difference.
        counter: bool: what was lost when the counter began anew is added.
        alone: bool[k], of one histogram.
        anew: bool[k]: the counter began anew with the second, so that it is not counted from the first.
        base: int64[k]: whose layout the difference has: the first one's, or the second one's if anew.
        wrong_last: bool[k]: the last one's buckets are not of the base's kind.
        wrong_between: bool[k]: another one's are not; only counters are asked.
    """

    low: np.ndarray
    last: np.ndarray
    started: np.ndarray
    counter: bool
    alone: np.ndarray
    anew: np.ndarray
    base: np.ndarray
    wrong_last: np.ndarray
    wrong_between: np.ndarray

    @classmethod
    def of(
        cls,
        block: Histograms,
        reset: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
        started: np.ndarray,
        *,
        counter: bool,
    ) -> "Spans":
        """Windows that end before `high`; `reset` is bool[m], where the counter began anew."""
        last, alone = high - 1, high - low == 1
        anew = reset[np.minimum(low + 1, len(reset) - 1)] & ~alone
        base = np.where(anew, low + 1, low)
        kind = block.custom[base]
        customs = begins_of(block.custom)
        between = np.maximum(last - low - 1, 0)
        differing = customs[np.maximum(last, low + 1)] - customs[low + 1] != np.where(kind, between, 0)
        wrong_last = block.custom[last] != kind
        return cls(low, last, started, counter, alone, anew, base, wrong_last, counter & differing & ~wrong_last)

    def wrong(self, block: Histograms) -> np.ndarray:
        """Where exponential and custom buckets meet: bool[k]."""
        first = self.started & (block.custom[self.low] != block.custom[self.base])
        found: np.ndarray = self.wrong_last | self.wrong_between | first
        return found


def differences(
    block: Histograms, reset: np.ndarray, spans: Spans
) -> tuple[Histograms, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """The difference of each window, a gauge.

    Args:
        block: m histograms.
        reset: bool[m]: where the counter began anew.
        spans: k windows.

    Returns:
        k histograms; where there is none, as exponential and custom buckets meet, bool[k]; where custom bounds differed
        when the first was subtracted, and when others were added, bool[k] each.
    """
    wrong = spans.wrong(block)
    right, several = np.flatnonzero(~wrong), np.flatnonzero(~wrong & ~spans.alone)
    less = several[~spans.anew[several]]
    from_start = np.flatnonzero(~wrong & spans.started)
    lost, lost_rows = _before_resets(reset, spans, ~wrong)
    # The bounds of a window's base hold, though its counts do not.
    bases = right[spans.anew[right] & block.custom[spans.base[right]]]
    rows = np.concatenate([spans.last[several], spans.low[less], spans.low[from_start], lost_rows])
    groups = np.concatenate([several, less, from_start, lost, bases])
    signs = np.ones(len(groups))
    signs[len(several) : len(several) + len(less)] = -1.0
    members = block.take(rows)
    if len(bases):
        at = spans.base[bases]
        members = concatenate([members, empty(block.schema[at], block.layout[at], block.bounds_of)])
    coarsest = _coarsest(block, spans)[groups]
    if (members.schema != coarsest).any():
        members = reduced(members, coarsest)
    result, _ = combine(members, groups, len(wrong), signs)
    result = replace(result, hint=np.where(spans.alone, block.hint[spans.low], GAUGE).astype(np.uint8))
    more = from_start[~spans.alone[from_start]]
    added, added_rows = np.concatenate([lost, more]), np.concatenate([lost_rows, spans.low[more]])
    subtracted, added = _reconciled(block, result, spans, added, added_rows)
    return result, wrong, (subtracted & ~wrong & ~spans.alone, added)


def not_as_hinted(block: Histograms, spans: Spans) -> np.ndarray:
    """Where a gauge is among counters, or, if these are to be gauges, the first or the last is none: bool[k]."""
    gauge = block.hint == GAUGE
    first, last = gauge[spans.low], gauge[spans.last]
    found: np.ndarray = ~(first & last) & ~spans.wrong_last
    if spans.counter:
        gauges = begins_of(gauge)
        between = gauges[spans.last + 1] > gauges[spans.low]
        # Prometheus has not looked between them where the ends do not fit, and forgets all if what is between does not.
        found = ~spans.alone & ~spans.wrong_between & (first | last | (between & ~spans.wrong_last))
    return found


def _before_resets(reset: np.ndarray, spans: Spans, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some windows, and the histograms in them after which the counter began anew, less the first: int64[] each."""
    at = np.flatnonzero(reset)
    begins, ends = np.searchsorted(at, spans.low + 2), np.searchsorted(at, spans.last, "right")
    sizes = np.where(among, np.maximum(ends - begins, 0), 0)
    return np.repeat(np.arange(len(sizes)), sizes), at[stretches(begins, sizes)] - 1


def _coarsest(block: Histograms, spans: Spans) -> np.ndarray:
    """The coarsest resolution among the histograms that are looked at in each window: int8[k]."""
    schema = block.schema
    if not len(spans.low) or (schema == schema[0]).all() or not spans.counter:
        ends: np.ndarray = np.minimum(schema[spans.low], schema[spans.last])
        return ends
    stretch = np.stack([spans.base, spans.last + 1], axis=1).reshape(-1)
    return np.minimum.reduceat(np.append(schema, np.int8(127)), stretch)[::2]


def _reconciled(
    block: Histograms, result: Histograms, spans: Spans, added: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where custom bounds differed when the first was subtracted, and when `rows` were added to the windows `added`.

    What is added one after the other meets the bounds that those before it have left. They all were the same only if
    all are the result's.
    """
    windows = len(spans.low)
    if not block.custom.any():
        return np.zeros(windows, np.bool_), np.zeros(windows, np.bool_)
    ends = np.concatenate([spans.last, spans.base])
    subtracted = block.custom[spans.last] & (block.layout[spans.last] != block.layout[spans.base])
    twice = np.tile(np.arange(windows), 2)
    met, _, _ = intersections(block.layout[ends], twice, windows, result.bounds_of, block.custom[ends])
    differing = (block.layout[rows] != result.layout[added]) | (met[added] != result.layout[added])
    return subtracted, np.bincount(added[block.custom[rows] & differing], minlength=windows) > 0
