"""The operators `</` and `>/`: the observations of native histograms below or above a value.

As TrimBuckets of model/histogram/float_histogram.go. A bucket on the wrong side goes, the one that holds the value is
cut by interpolation; count and sum are estimated anew from what stays, the sum from the middles of buckets.
"""

from dataclasses import replace

import numpy as np

from gnomon_server.query.promql.histograms.block import Histograms
from gnomon_server.query.promql.histograms.buckets import cell_bounds


def trim(block: Histograms, value: np.ndarray, *, below: bool) -> Histograms:
    """Each with its observations below its value (`</`) or above it (`>/`) only.

    Args:
        block: n histograms.
        value: float64[n].
        below: which to keep.
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        cells, middles = _trimmed_cells(block, np.repeat(value, block.widths), below=below)
        zero, zero_middle = _trimmed_zero(block, value, below=below)
        rows = len(block)
        changed = (np.bincount(block.owner[cells != block.counts], minlength=rows) > 0) | (zero != block.zero_count)
        count = np.bincount(block.owner, cells, rows) + np.where(block.zero_count > 0, zero, 0.0)
        total = np.bincount(block.owner, np.where(cells != 0, middles * cells, 0.0), rows)
        total = total + np.where(block.zero_count > 0, zero_middle * zero, 0.0)
    return replace(
        block,
        count=np.where(changed, count, block.count),
        sum=np.where(changed, total, block.sum),
        zero_count=zero,
        counts=cells,
    ).compact()


def _trimmed_cells(block: Histograms, value: np.ndarray, *, below: bool) -> tuple[np.ndarray, np.ndarray]:
    """What of each cell stays, and the middle of its values: float64[cells] each."""
    lower, upper = cell_bounds(block)
    count, linear = block.counts, np.repeat(block.custom, block.widths)
    whole = upper <= value if below else lower >= value
    held = ~whole & (lower < value if below else upper > value)
    share = _share_below(lower, upper, value, linear) * count
    # Open-ended buckets are custom ones, or hold infinities.
    endless = np.isinf(lower) | np.isinf(upper)
    parts, middles = _cut_endless(lower, upper, count, value, below=below)
    cut = np.where(endless, parts, share if below else count - share)
    middles = np.where(
        endless, middles, _middle(lower if below else value, value if below else upper, linear, block.place)
    )
    cells = np.where(whole, count, np.where(held, cut, 0.0))
    return cells, np.where(whole, _middle(lower, upper, linear, block.place), middles)


def _share_below(lower: np.ndarray, upper: np.ndarray, value: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """How far into a bucket the value is, from 0 to 1: on a line or on a line of logarithms."""
    low, high, at = np.log2(np.abs(lower)), np.log2(np.abs(upper)), np.log2(np.abs(value))
    exponential = np.where(lower >= 0, (at - low) / (high - low), 1 - (at - high) / (low - high))
    share = np.where(linear, (value - lower) / (upper - lower), exponential)
    return np.where(value <= lower, 0.0, np.where(value >= upper, 1.0, share))


def _middle(lower: np.ndarray, upper: np.ndarray, linear: np.ndarray, side: np.ndarray) -> np.ndarray:
    """What stands for all values between: the arithmetic or the geometric mean; the bound that there is."""
    geometric = np.sqrt(np.abs(lower * upper))
    middle = np.where(linear, (lower + upper) / 2, np.where(side > 0, geometric, -geometric))
    without_lower = np.where(upper > 0, upper / 2, upper)
    return np.select(
        [np.isinf(lower) & np.isinf(upper), np.isinf(lower), np.isinf(upper)], [0.0, without_lower, lower], middle
    )


def _cut_endless(
    lower: np.ndarray, upper: np.ndarray, count: np.ndarray, value: np.ndarray, *, below: bool
) -> tuple[np.ndarray, np.ndarray]:
    """What stays of a bucket without end that holds the value, and its middle: float64[cells] each.

    The first of positive values is taken to begin at 0. Nobody knows how values lie in another.
    """
    from_zero = (upper > 0) & (upper != np.inf)
    if below:
        first = [value >= upper, (value > 0) & from_zero, upper <= 0]
        parts = np.select(first, [count, count * value / upper, count], 0.0)
        middles = np.select(first, [0.0, value / 2, value], 0.0)
        return np.where(lower == -np.inf, parts, 0.0), middles
    first = [value <= lower, (value >= 0) & (upper > value) & (upper != np.inf)]
    parts = np.select(first, [count, count * (1 - value / upper)], 0.0)
    middles = np.select(first, [0.0, (value + upper) / 2], 0.0)
    last = value >= lower
    return (
        np.where(lower == -np.inf, parts, np.where(last, count, 0.0)),
        np.where(lower == -np.inf, middles, np.where(last, value, 0.0)),
    )


def _trimmed_zero(block: Histograms, value: np.ndarray, *, below: bool) -> tuple[np.ndarray, np.ndarray]:
    """What of the zero bucket stays, and the middle of its values: float64[n] each.

    It lies on one side of zero if all other buckets do.
    """
    sides = [np.bincount(block.owner[side], minlength=len(block)) > 0 for side in (block.place < 0, block.place > 0)]
    negative, positive = sides
    lower = np.where(positive & ~negative, 0.0, -block.zero_threshold)
    upper = np.where(negative & ~positive, 0.0, block.zero_threshold)
    count = block.zero_count
    begin, end = (lower, value) if below else (value, upper)
    parts, middles = count * ((end - begin) / (upper - lower)), (begin + end) / 2
    nothing, whole = (value <= lower, value >= upper) if below else (value >= upper, value <= lower)
    # In this order, as Prometheus asks: a zero bucket without width is below a value that it is above.
    order = [nothing, whole] if below else [whole, nothing]
    parts = np.select(order, [0.0, count] if below else [count, 0.0], parts)
    middles = np.select(order, [0.0, (lower + upper) / 2] if below else [(lower + upper) / 2, 0.0], middles)
    there = count > 0
    return np.where(there, parts, count), np.where(there, middles, 0.0)
