"""What native histograms say of their observations: averages, spread, fractions, quantiles.

As promql/functions.go (histogramVariance) and promql/quantile.go (HistogramQuantile, HistogramFraction).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gnomon_server.query.promql.histograms.block import Histograms
from gnomon_server.query.promql.histograms.buckets import Buckets, ordered
from gnomon_server.query.promql.loops.numbers import compensated

_HALF = 0.5  # a quantile is counted from the end that is nearer
_CELLS_AT_ONCE = 1 << 20  # of a matrix of buckets; bounds what one very wide histogram among narrow ones costs


def averages(block: Histograms) -> np.ndarray:
    """`histogram_avg`: float64[n]."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: np.ndarray = block.sum / block.count
    return mean


def variances(block: Histograms) -> np.ndarray:
    """`histogram_stdvar`: float64[n]. Each observation is taken to be in the middle of its bucket.

    The middle is the arithmetic mean of custom buckets, zero in the zero bucket, the geometric mean elsewhere.
    """
    buckets = ordered(block)
    owner = buckets.owner
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        geometric = np.sqrt(buckets.upper * buckets.lower)
        middle = np.where(buckets.upper < 0, -geometric, geometric)
        middle = np.where((buckets.lower <= 0) & (buckets.upper >= 0), 0.0, middle)
        middle = np.where(block.custom[owner], (buckets.upper + buckets.lower) / 2, middle)
        apart = middle - averages(block)[owner]
        total, lost, _ = compensated(buckets.count * apart * apart, buckets.begins)
        variance: np.ndarray = (total + lost) / block.count
    return variance


def deviations(block: Histograms) -> np.ndarray:
    """`histogram_stddev`: float64[n]."""
    with np.errstate(invalid="ignore"):
        deviation: np.ndarray = np.sqrt(variances(block))
    return deviation


def quantiles(block: Histograms, q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`histogram_quantile`.

    Args:
        block: n histograms.
        q: float64[n].

    Returns:
        The quantiles, float64[n]; where observations of NaN made the result NaN, bool[n]; where they raised it,
        bool[n].
    """
    found, undefined, raised = np.empty(len(block)), np.zeros(len(block), np.bool_), np.zeros(len(block), np.bool_)
    buckets = ordered(block)
    for rows in _batches(buckets):
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            found[rows], undefined[rows], raised[rows] = _quantiles(block.take(rows), buckets, rows, q[rows])
    counted = (block.count != 0) & (q >= 0) & (q <= 1)
    found = np.where(counted, found, np.select([q < 0, q > 1], [-np.inf, np.inf], np.nan))
    return found, undefined & counted, raised & counted


def fractions(block: Histograms, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`histogram_fraction`: which part of the observations lies between.

    Args:
        block: n histograms.
        lower: float64[n].
        upper: float64[n].

    Returns:
        The fractions, float64[n]; where observations of NaN are in no bucket, bool[n].
    """
    found, outside = np.empty(len(block)), np.zeros(len(block), np.bool_)
    buckets = ordered(block)
    for rows in _batches(buckets):
        part, matrix = block.take(rows), _Matrix.of(buckets, rows).cut_at_zero()
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            total = np.cumsum(matrix.count, axis=1)[:, -1]
            observed = np.where(np.isnan(part.sum), total, part.count)
            ranks = [_ranks(part, matrix, bound[rows], observed) for bound in (lower, upper)]
            found[rows] = (ranks[1] - ranks[0]) / part.count
        outside[rows] = np.isnan(part.sum) & (total < part.count)
    counted = (block.count != 0) & ~np.isnan(lower) & ~np.isnan(upper)
    between = counted & (lower < upper)
    return np.where(between, found, np.where(counted, 0.0, np.nan)), outside & between


@dataclass(frozen=True, slots=True, eq=False)
class _Matrix:
    """The buckets of k histograms, [k, width of the widest] each, then buckets of nothing from 0 to 0.

    `positive`, `negative`: bool[k], whether there is a bucket on that side of zero.
    """

    lower: np.ndarray
    upper: np.ndarray
    count: np.ndarray
    positive: np.ndarray
    negative: np.ndarray

    @classmethod
    def of(cls, buckets: Buckets, rows: np.ndarray, backward: np.ndarray | None = None) -> "_Matrix":
        """Of some rows; from the highest bucket down where `backward`, bool[k]."""
        begins, ends = buckets.begins[:-1][rows], buckets.begins[1:][rows]
        place = np.arange(max(1, int((ends - begins).max(initial=0))))
        at = begins[:, None] + place
        if backward is not None:
            at = np.where(backward[:, None], ends[:, None] - 1 - place, at)
        at = np.where(place < (ends - begins)[:, None], at, len(buckets.count))
        lower, upper, count, place = (
            np.append(column, 0)[at] for column in (buckets.lower, buckets.upper, buckets.count, buckets.place)
        )
        return cls(lower, upper, count, np.any(place > 0, axis=1), np.any(place < 0, axis=1))

    def cut_at_zero(self) -> "_Matrix":
        """With the bucket around zero only on the side of the others, if all others are on one side.

        Of custom buckets, which count as positive, it is the one that holds zero.
        """
        around = (self.lower <= 0) & (self.upper >= 0) & (self.count != 0)
        above, below = self.positive & ~self.negative, self.negative & ~self.positive
        lower = np.where(around & above[:, None], 0.0, self.lower)
        return replace(self, lower=lower, upper=np.where(around & below[:, None], 0.0, self.upper))

    def at(self, column: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lower bound, upper bound and count of one bucket of each, int64[k]."""
        rows = np.arange(len(column))
        return self.lower[rows, column], self.upper[rows, column], self.count[rows, column]


def _batches(buckets: Buckets) -> Iterator[np.ndarray]:
    """All rows, some at a time: not more than fit a matrix as wide as the widest of them."""
    widths = np.maximum(np.diff(buckets.begins), 1)
    order = np.argsort(widths, kind="stable")
    begin = 0
    while begin < len(order):
        sizes = widths[order[begin:]] * np.arange(1, len(order) - begin + 1)
        end = begin + max(1, int(np.searchsorted(sizes, _CELLS_AT_ONCE, "right")))
        yield order[begin:end]
        begin = end


def _quantiles(
    part: Histograms, buckets: Buckets, rows: np.ndarray, q: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of histograms with observations, q from 0 to 1."""
    # Observations of NaN are counted but in no bucket: they are looked at as above all others, so from below.
    with_nan = np.isnan(part.sum)
    forward = with_nan | (q < _HALF)
    rank = np.where(forward, q, 1 - q) * part.count
    matrix = _Matrix.of(buckets, rows, ~forward)
    running = np.cumsum(matrix.count, axis=1)
    reached = (running >= rank[:, None]) & (matrix.count != 0)
    last = np.maximum(np.diff(buckets.begins)[rows] - 1, 0)
    column = np.where(reached.any(axis=1), reached.argmax(axis=1), last)
    lower, upper, count = matrix.at(column)
    only_positive, only_negative = matrix.positive & ~matrix.negative, matrix.negative & ~matrix.positive
    zero = ~part.custom & (lower < 0) & (upper > 0)
    lower = np.where(zero & only_positive, 0.0, lower)
    upper = np.where(zero & only_negative, 0.0, upper)
    lowest, highest = part.custom & (lower == -np.inf), part.custom & (upper == np.inf)
    # As of classic histograms: no answer within a bucket without end.
    ends = (lowest & (upper <= 0)) | (highest & ~lowest)
    lower = np.where(lowest & (upper > 0), 0.0, lower)
    counted = np.minimum(running[np.arange(len(rows)), column], part.count)
    short = ~ends & (counted < rank)
    fraction = np.where(forward, rank - (counted - count), counted - rank) / count
    found = _between(lower, upper, fraction, part.custom | ((lower <= 0) & (upper >= 0)))
    found = np.where(short, np.where(with_nan, np.nan, upper), found)
    found = np.where(ends, np.where(lowest, upper, lower), found)
    return found, short & with_nan, ~ends & ~short & with_nan & (running[:, -1] < part.count)


def _between(lower: np.ndarray, upper: np.ndarray, fraction: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """The value so far into a bucket: on a line, or on a line of logarithms."""
    low, high = np.log2(np.abs(lower)), np.log2(np.abs(upper))
    rising, falling = np.exp2(low + (high - low) * fraction), -np.exp2(high + (low - high) * (1 - fraction))
    exponential = np.where(lower > 0, rising, falling)
    found: np.ndarray = np.where(linear, lower + (upper - lower) * fraction, exponential)
    return found


def _ranks(part: Histograms, matrix: _Matrix, value: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """How many observations are below each value: float64[k]."""
    reached = (matrix.lower >= value[:, None]) | (matrix.upper > value[:, None])
    reached &= matrix.count != 0
    column = reached.argmax(axis=1)
    lower, upper, count = matrix.at(column)
    running = np.cumsum(matrix.count, axis=1)
    before = np.where(column > 0, running[np.arange(len(value)), column - 1], 0.0)
    low, high, at = np.log2(np.abs(lower)), np.log2(np.abs(upper)), np.log2(np.abs(value))
    rising, falling = (at - low) / (high - low), 1 - (at - high) / (low - high)
    exponential = before + count * np.where(value > 0, rising, falling)
    linear = np.where(lower == -np.inf, count, before + count * (value - lower) / (upper - lower))
    around = (lower <= 0) & (upper >= 0)
    within = np.where(part.custom | around, linear, exponential)
    rank = np.where(lower >= value, before, within)
    return np.where(~reached.any(axis=1) | (rank > observed), observed, rank)
