"""Whether a counter began anew between two samples, and whether two native histograms are the same.

As DetectReset and Equals of model/histogram/float_histogram.go, isStartTimestampReset and checkStartTimeOverlap of
promql/functions.go.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gnomon_server.query.promql.histograms.block import (
    MIDDLE,
    NO_RESET,
    RESET,
    Histograms,
    concatenate,
    keyed,
    stretches,
    unkeyed,
)
from gnomon_server.query.promql.histograms.buckets import cell_bounds, exponential_bound
from gnomon_server.query.promql.histograms.layouts import Layouts, intersections, places_in

_SMALLEST_NORMAL = np.finfo(np.float64).smallest_normal
_LARGEST = np.finfo(np.float64).max


def detect_reset(previous: Histograms, current: Histograms) -> np.ndarray:
    """Whether the counter began anew between each of the previous and the same of the current ones: bool[n].

    What the current one's hint says holds. Else it did if anything fell, the count, the zero count or a bucket's, or
    if the resolution became finer or the zero bucket narrower. The sum says nothing.
    """
    number = len(current)
    both = concatenate([previous, current])
    layout, differing, bounds_of = intersections(
        both.layout, np.tile(np.arange(number), 2), number, both.bounds_of, both.custom
    )
    kind = previous.custom != current.custom
    finer = (current.schema > previous.schema) | (current.zero_threshold < previous.zero_threshold)
    fell: np.ndarray = (current.count < previous.count) | kind | finer
    # What is certain needs no look at the buckets.
    unsure = np.flatnonzero(~fell & (current.hint != RESET) & (current.hint != NO_RESET))
    before, after = both.take(unsure), both.take(number + unsure)
    reached, cut = _swallowed(before, after.zero_threshold)
    exponential = ~after.custom
    fell[unsure] |= exponential & (cut | (after.zero_count < before.zero_count + reached))
    layouts = Layouts(after.schema, before.zero_threshold, layout[unsure], differing[unsure], bounds_of)
    fell[unsure] |= _bucket_fell(before, after, layouts)
    found: np.ndarray = (current.hint == RESET) | ((current.hint != NO_RESET) & fell)
    return found


def start_reset(start: np.ndarray, ts: np.ndarray, later_start: np.ndarray, later_ts: np.ndarray) -> np.ndarray:
    """Whether a sample's start time says that the counter began anew after the sample before: bool[n].

    Args:
        start: int64[n], start times of the earlier samples, milliseconds; 0 is unknown.
        ts: int64[n], times of the earlier samples.
        later_start: int64[n], start times of the later ones.
        later_ts: int64[n], times of the later ones.
    """
    # A start at the sample itself is OpenTelemetry's unknown start time.
    known = (later_start != 0) & (later_start < later_ts)
    # One that is the earlier sample's time is that of changes, if the earlier one's start was known and possible.
    change = (later_start == ts) & (start != 0) & (start < ts)
    found: np.ndarray = known & ((later_start > ts) | change)
    return found


def start_overlap(start: np.ndarray, ts: np.ndarray, later_start: np.ndarray) -> np.ndarray:
    """Whether a later sample claims to have begun within the time of the earlier one: bool[n]; args of start_reset."""
    found: np.ndarray = (later_start != 0) & (later_start < ts) & (later_start != start)
    return found


def equal(one: Histograms, other: Histograms) -> np.ndarray:
    """Which rows are the same, bit for bit but for their hints: bool[n]. A NaN is the same as itself, -0 is not 0."""
    return _alike(one, other, lambda a, b: a.view(np.int64) == b.view(np.int64))


def close(one: Histograms, other: Histograms, tolerance: float) -> np.ndarray:
    """Which rows are the same but for rounding: bool[n]; see `close_numbers`."""
    return _alike(one, other, lambda a, b: close_numbers(a, b, tolerance))


def close_numbers(one: np.ndarray, other: np.ndarray, tolerance: float) -> np.ndarray:
    """Which differ by less than that part of their sum (util/almost): bool[n]. NaN is close to NaN."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        size, apart = np.abs(one) + np.abs(other), np.abs(one - other)
        tiny = (one == 0) | (other == 0) | (size < _SMALLEST_NORMAL)
        near = np.where(tiny, apart < tolerance * _SMALLEST_NORMAL, apart / np.minimum(size, _LARGEST) < tolerance)
    found: np.ndarray = (one == other) | near | (np.isnan(one) & np.isnan(other))
    return found


def _alike(one: Histograms, other: Histograms, same: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    numbers = {bounds: at for at, bounds in enumerate(dict.fromkeys((*one.bounds_of, *other.bounds_of)))}
    layouts = [
        np.array([numbers[bounds] for bounds in block.bounds_of])[np.where(block.custom, block.layout, 0)]
        for block in (one, other)
    ]
    alike: np.ndarray = (one.schema == other.schema) & (layouts[0] == layouts[1]) & (one.widths == other.widths)
    alike &= one.zero_threshold == other.zero_threshold
    for column in ("count", "sum", "zero_count"):
        alike &= same(getattr(one, column), getattr(other, column))
    rows = np.flatnonzero(alike)
    widths = one.widths[rows]
    mine, theirs = stretches(one.begins[rows], widths), stretches(other.begins[rows], widths)
    differing = (one.place[mine] != other.place[theirs]) | ~same(one.counts[mine], other.counts[theirs])
    alike[np.repeat(rows, widths)[differing]] = False
    return alike


def _swallowed(block: Histograms, threshold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a wider zero bucket takes in from the buckets, float64[n], and whether it cuts one in two, bool[n]."""
    taken, cut = np.zeros(len(block)), np.zeros(len(block), np.bool_)
    if not (block.zero_threshold < threshold).any():
        return taken, cut
    lower, upper = cell_bounds(block)
    near, far = np.minimum(np.abs(lower), np.abs(upper)), np.maximum(np.abs(lower), np.abs(upper))
    reach = np.repeat(np.where(block.zero_threshold < threshold, threshold, 0.0), block.widths)
    inside = near < reach
    np.add.at(taken, block.owner[inside], block.counts[inside])
    cut[block.owner[inside & (far > reach)]] = True
    return taken, cut


def _bucket_fell(before: Histograms, after: Histograms, layouts: Layouts) -> np.ndarray:
    """Whether a bucket's count fell, both in the resolution of the later one: bool[n]."""
    # Nearly always, neighbours have the same buckets.
    alike = (before.widths == after.widths) & (before.schema == after.schema) & (before.layout == after.layout)
    alike &= _clear_of_zero(after)
    rows = np.flatnonzero(alike)
    widths = after.widths[rows]
    old, new = stretches(before.begins[rows], widths), stretches(after.begins[rows], widths)
    owner = np.repeat(rows, widths)
    alike[owner[before.place[old] != after.place[new]]] = False
    fell = np.zeros(len(after), np.bool_)
    fell[owner[after.counts[new] < before.counts[old]]] = True
    others = np.flatnonzero(~alike)
    if len(others):
        chosen = replace(
            layouts,
            schema=layouts.schema[others],
            zero_threshold=layouts.zero_threshold[others],
            layout=layouts.layout[others],
            reconciled=layouts.reconciled[others],
        )
        fell[others] = _any_bucket_fell(before.take(others), after.take(others), chosen)
    return fell


def _clear_of_zero(block: Histograms) -> np.ndarray:
    """Whether even the bucket that is nearest to zero reaches out of the zero bucket: bool[n]."""
    free = np.ones(len(block), np.bool_)
    rows = np.flatnonzero((block.widths > 0) & (block.zero_threshold > 0))
    if len(rows):
        nearest = np.minimum.reduceat(np.abs(block.place), block.begins[:-1][block.widths > 0])
        index = np.full(len(block), MIDDLE)
        index[block.widths > 0] = nearest
        free[rows] = exponential_bound(index[rows] - MIDDLE, block.schema[rows]) > block.zero_threshold[rows]
    return free


def _any_bucket_fell(before: Histograms, after: Histograms, layouts: Layouts) -> np.ndarray:
    """The same of histograms whose buckets differ."""
    every = np.arange(len(after))
    keys, counts = [], []
    for block in (before, after):
        place = places_in(block, every, layouts)
        schema = np.repeat(np.where(after.custom, 0, after.schema), block.widths)
        reach = np.repeat(np.where(after.custom, -1.0, after.zero_threshold), block.widths)
        # What lies within the later one's zero bucket is in its count.
        outside = exponential_bound(np.abs(place) - MIDDLE, schema) > reach
        keys.append(keyed(block.owner, place)[outside])
        counts.append(block.counts[outside])
    found, which = np.unique(np.concatenate(keys), return_inverse=True)
    split = len(keys[0])
    was = np.bincount(which[:split], counts[0], len(found))
    is_ = np.bincount(which[split:], counts[1], len(found))
    there = [np.bincount(part, minlength=len(found)) > 0 for part in (which[:split], which[split:])]
    row, _ = unkeyed(found)
    # Where bounds differ, sums are compared, be a bucket there or not.
    fell = np.where(there[0] & ~there[1], was != 0, there[0] & (is_ < was))
    fell = np.where(layouts.reconciled[row], is_ < was, fell)
    return np.bincount(row[fell], minlength=len(after)) > 0
