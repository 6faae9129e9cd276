"""What native histograms must have in common before they can be added: resolution, zero bucket, custom bounds.

As checkSchemaAndBounds, reconcileZeroBuckets and intersectCustomBucketBounds of model/histogram/float_histogram.go do
it for two histograms, here for whole groups at once. The coarser resolution, the wider zero bucket and the bounds that
all have in common hold for each group.
"""

from dataclasses import dataclass

import numpy as np

from gnomon_server.query.promql.histograms.block import MIDDLE, Histograms, begins_of, coarser
from gnomon_server.query.promql.histograms.buckets import cell_bounds

_FINEST = 127


@dataclass(frozen=True, slots=True, eq=False)
class Layouts:
    """What the histograms of each of g groups are brought to.

    Attributes:
        schema: int8[g].
        zero_threshold: float64[g].
        layout: int32[g] into `bounds_of`.
        reconciled: bool[g]: custom bounds differed.
        bounds_of: those of the histograms and their intersections.
    """

    schema: np.ndarray
    zero_threshold: np.ndarray
    layout: np.ndarray
    reconciled: np.ndarray
    bounds_of: tuple[tuple[float, ...], ...]


def common_layouts(block: Histograms, groups: np.ndarray, number: int) -> Layouts:
    """The layout that is coarse enough for all histograms of a group.

    Args:
        block: n histograms; those of a group are all exponential or all custom.
        groups: int64[n], the group of each.
        number: of groups. One without histograms gets the layout of an empty exponential histogram.
    """
    schema = np.full(number, _FINEST, np.int8)
    np.minimum.at(schema, groups, block.schema)
    schema[schema == _FINEST] = 0
    threshold = np.zeros(number)
    np.maximum.at(threshold, groups, block.zero_threshold)
    if (block.zero_threshold != threshold[groups]).any():
        threshold = _widened(block, groups, threshold)
    layout, reconciled, bounds_of = intersections(block.layout, groups, number, block.bounds_of, block.custom)
    return Layouts(schema, threshold, layout, reconciled, bounds_of)


def places_in(block: Histograms, groups: np.ndarray, layouts: Layouts) -> np.ndarray:
    """Where each cell belongs in the layout of its histogram's group: int64[cells]; 0 is the zero bucket."""
    group = np.repeat(groups, block.widths)
    index = block.index
    halvings = np.repeat(np.where(block.custom, 0, block.schema - layouts.schema[groups]), block.widths)
    if halvings.any():
        index = coarser(index, halvings)
    index = _rebounded(block, groups, layouts, index)
    place = np.where(block.place > 0, MIDDLE + index, -(MIDDLE + index))
    reach = layouts.zero_threshold[group]
    own = np.repeat(block.zero_threshold, block.widths)
    if (own < reach).any():
        lower, upper = cell_bounds(block)
        place = np.where((own < reach) & (np.minimum(np.abs(lower), np.abs(upper)) < reach), 0, place)
    return place


def intersections(
    layout: np.ndarray,
    groups: np.ndarray,
    number: int,
    bounds_of: tuple[tuple[float, ...], ...],
    among: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, tuple[tuple[float, ...], ...]]:
    """The bounds that all members of a group have in common.

    Args:
        layout: int32[n] into `bounds_of`.
        groups: int64[n].
        number: of groups.
        bounds_of: lists of bounds.
        among: bool[n]: the members that count.

    Returns:
        The layout of each group, int32[number]; whether its members' differed, bool[number]; bounds_of, longer if need
        be.
    """
    found = np.zeros(number, np.int32)
    pairs = np.unique(groups[among] * len(bounds_of) + layout[among])
    group, member = np.divmod(pairs, len(bounds_of))
    first = np.concatenate([[True], group[1:] != group[:-1]]) if len(group) else np.empty(0, np.bool_)
    found[group[first]] = member[first]
    rank = np.arange(len(group)) - np.flatnonzero(first)[np.cumsum(first) - 1] if len(group) else group
    numbers = {bounds: at for at, bounds in enumerate(bounds_of)}
    for turn in range(1, int(rank.max(initial=0)) + 1):
        mine = np.flatnonzero(rank == turn)
        both, which = np.unique(
            np.stack([found[group[mine]].astype(np.int64), member[mine]]), axis=1, return_inverse=True
        )
        known = list(numbers)
        common = [_in_both(known[one], known[other]) for one, other in both.T.tolist()]
        found[group[mine]] = np.array([numbers.setdefault(bounds, len(numbers)) for bounds in common])[
            which.reshape(-1)
        ]
    return found, np.bincount(group, minlength=number) > 1, tuple(numbers)


def _in_both(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
    kept = frozenset(other)
    return tuple(bound for bound in one if bound in kept)


def _widened(block: Histograms, groups: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """Thresholds that cut no bucket in two.

    A bucket that a wider threshold cuts in two widens it further, to the bucket's end, which may cut one more. Where
    the resolutions of three and more histograms differ as well, Prometheus, which adds one after the other, may have
    merged buckets before it looks, and ends wider.
    """
    lower, upper = cell_bounds(block)
    near, far = np.minimum(np.abs(lower), np.abs(upper)), np.maximum(np.abs(lower), np.abs(upper))
    own, group = np.repeat(block.zero_threshold, block.widths), np.repeat(groups, block.widths)
    while True:
        reach = threshold[group]
        cut = (own < reach) & (near < reach) & (far > reach)
        if not cut.any():
            return threshold
        threshold = threshold.copy()
        np.maximum.at(threshold, group[cut], far[cut])


def _rebounded(block: Histograms, groups: np.ndarray, layouts: Layouts, index: np.ndarray) -> np.ndarray:
    """Indices of custom buckets among the bounds of their group."""
    target = layouts.layout[groups]
    moved = block.custom & (block.layout != target)
    if not moved.any():
        return index
    pairs, which = np.unique(
        np.stack([block.layout[moved].astype(np.int64), target[moved]]), axis=1, return_inverse=True
    )
    # Of each pair of layouts: where the buckets of the one are among those of the other, +Inf among itself.
    maps = [
        np.append(np.searchsorted(layouts.bounds_of[to], layouts.bounds_of[of]), len(layouts.bounds_of[to]))
        for of, to in pairs.T.tolist()
    ]
    begins = begins_of(np.array([len(one) for one in maps]))
    cells = np.repeat(moved, block.widths)
    pair = np.repeat(which.reshape(-1), block.widths[moved])
    at = begins[pair] + np.clip(index[cells], 0, np.diff(begins)[pair] - 1)
    index = index.copy()
    index[cells] = np.concatenate(maps)[at]
    return index
