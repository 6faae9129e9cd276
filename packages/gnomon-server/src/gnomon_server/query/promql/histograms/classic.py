"""Classic histograms, whose buckets are series of their own: quantiles and fractions at many steps at once.

As BucketQuantile, BucketFraction and ensureMonotonicAndIgnoreSmallDeltas of promql/quantile.go.
"""

from dataclasses import dataclass

import numpy as np

from gnomon_server.query.promql.histograms.resets import close_numbers

_TOLERANCE = 1e-12  # Prometheus': smaller relative differences between buckets are rounding


@dataclass(frozen=True, slots=True, eq=False)
class Forced:
    """Where counts fell from a bucket to the next, which cannot be, and were raised: what Prometheus' info says of it.

    Attributes:
        at: bool[steps].
        lowest, highest: float64[steps], the upper bounds of the first and the last bucket that was raised.
        largest: float64[steps], the largest difference.
    """

    at: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    largest: np.ndarray


def bucket_quantile(q: np.ndarray, bounds: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, Forced]:
    """`histogram_quantile` of one histogram; for several with the same bounds set their steps side by side.

    Args:
        q: float64[steps].
        bounds: float64[k], upper bounds in any order, k at least 1; of equal ones the counts are added.
        counts: float64[k, steps], cumulative; NaN where a bucket has no sample at a step is for the caller to avoid,
            as Prometheus sees a NaN in it.

    Returns:
        float64[steps], and where counts were raised.
    """
    bounds, counts = _coalesced(bounds, counts)
    steps = counts.shape[1]
    valid = (q >= 0) & (q <= 1)
    outside = np.select([q < 0, q > 1], [-np.inf, np.inf], np.nan)
    if bounds[-1] != np.inf:
        nowhere = np.zeros(steps)
        return np.where(valid, np.nan, outside), Forced(np.zeros(steps, np.bool_), nowhere, nowhere, nowhere)
    counts, forced = _rising(bounds, counts, valid)
    if len(bounds) == 1:
        return np.where(valid, np.nan, outside), forced
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        found = np.where(counts[-1] == 0, np.nan, _interpolated(q, bounds, counts))
    return np.where(valid, found, outside), forced


def bucket_fraction(lower: np.ndarray, upper: np.ndarray, bounds: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """`histogram_fraction` of one histogram: float64[steps].

    Args:
        lower: float64[steps].
        upper: float64[steps].
        bounds: as of `bucket_quantile`.
        counts: as of `bucket_quantile`; here they are not made to rise.
    """
    bounds, counts = _coalesced(bounds, counts)
    if bounds[-1] != np.inf:
        return np.full(counts.shape[1], np.nan)
    total = counts[-1]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        between = (_rank(upper, bounds, counts) - _rank(lower, bounds, counts)) / total
    undefined = (total == 0) | np.isnan(lower) | np.isnan(upper)
    return np.where(undefined, np.nan, np.where(lower >= upper, 0.0, between))


def _coalesced(bounds: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(bounds, kind="stable")
    bounds = bounds[order]
    first = np.flatnonzero(np.concatenate([[True], bounds[1:] != bounds[:-1]]))
    return bounds[first], np.add.reduceat(counts[order], first, axis=0)


def _rising(bounds: np.ndarray, counts: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, Forced]:
    """Counts that do not fall, and where they were raised by more than rounding."""
    counts, steps = counts.copy(), counts.shape[1]
    lowest, highest, largest = np.full(steps, np.inf), np.full(steps, -np.inf), np.zeros(steps)
    for bound, before, now in zip(bounds[1:], counts[:-1], counts[1:], strict=True):
        near = close_numbers(before, now, _TOLERANCE)
        fell = ~near & (now < before)
        lowest[fell] = np.minimum(lowest[fell], bound)
        highest[fell] = bound
        largest[fell] = np.maximum(largest[fell], before[fell] - now[fell])
        # In place: the next one is compared with what this one became.
        np.copyto(now, before, where=fell | near)
    return counts, Forced((highest > -np.inf) & asked, lowest, highest, largest)


def _interpolated(q: np.ndarray, bounds: np.ndarray, counts: np.ndarray) -> np.ndarray:
    rank = q * counts[-1]
    reached = counts[:-1] >= rank
    last = ~reached.any(axis=0)
    bucket = reached.argmax(axis=0)
    steps = np.arange(counts.shape[1])
    before = np.maximum(bucket - 1, 0)
    begin = np.where(bucket > 0, bounds[before], 0.0)
    below = np.where(bucket > 0, counts[before, steps], 0.0)
    end = bounds[bucket]
    within = begin + (end - begin) * ((rank - below) / (counts[bucket, steps] - below))
    found: np.ndarray = np.where(last, bounds[-2], np.where((bucket == 0) & (bounds[0] <= 0), bounds[0], within))
    return found


def _rank(value: np.ndarray, bounds: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """How many observations are below: float64[steps]."""
    lowest = -np.inf if bounds[0] <= 0 else 0.0
    begins = np.concatenate([[lowest], bounds[:-1]])
    reached = (begins[:, None] >= value) | (bounds[:, None] > value)
    bucket, steps = reached.argmax(axis=0), np.arange(counts.shape[1])
    begin, end, count = begins[bucket], bounds[bucket], counts[bucket, steps]
    before = np.where(bucket > 0, counts[np.maximum(bucket - 1, 0), steps], 0.0)
    within = np.where(begin == -np.inf, count, before + (count - before) * (value - begin) / (end - begin))
    rank = np.where(begin >= value, before, within)
    return np.where(~reached.any(axis=0) | (rank > counts[-1]), counts[-1], rank)
