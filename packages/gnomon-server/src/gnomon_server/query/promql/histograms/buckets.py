"""Where the buckets of native histograms begin and end, and how the HTTP API shows them."""

from dataclasses import dataclass

import numpy as np

from gnomon_server.query.promql.histograms.block import CUSTOM, MIDDLE, Histograms, begins_of

_LARGEST = np.finfo(np.float64).max
_TOP = 1024.0  # 2^1024 would be infinite; infinite observations belong to the bucket above that
OPEN_LEFT, OPEN_RIGHT, OPEN, CLOSED = range(4)
"""Prometheus' boundary rules: only the upper, only the lower, neither, both bounds are part of the bucket."""


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """The buckets of n histograms from the lowest values to the highest, those around zero among them.

    Attributes:
        begins: int64[n + 1]: where the buckets of each begin.
        place: int64[buckets] as of Histograms; 0 is the bucket around zero.
        lower, upper, count: float64[buckets].
    """

    begins: np.ndarray
    place: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    count: np.ndarray

    @property
    def owner(self) -> np.ndarray:
        """Whose each bucket is: int64[buckets]."""
        return np.repeat(np.arange(len(self.begins) - 1), np.diff(self.begins))


def exponential_bound(index: np.ndarray, schema: np.ndarray) -> np.ndarray:
    """The bound of exponential buckets that is farther from zero, without its sign: 2^(index / 2^schema).

    As getBoundExponential: the largest float stands for 2^1024, so that infinities have a bucket of their own.
    """
    power = np.ldexp(index.astype(np.float64), -schema.astype(np.int32))
    whole = np.floor(power)
    with np.errstate(over="ignore", under="ignore"):
        bound = np.ldexp(np.exp2(power - whole), np.clip(whole, -2000, 2000).astype(np.int32))
    return np.where(power == _TOP, _LARGEST, bound)


def cell_bounds(block: Histograms) -> tuple[np.ndarray, np.ndarray]:
    """The lower and the upper bound of each cell: float64[cells] each."""
    schema = np.repeat(block.schema, block.widths)
    index = block.index
    exponential = np.where(schema == CUSTOM, 0, schema)
    far, near = exponential_bound(index, exponential), exponential_bound(index - 1, exponential)
    lower, upper = np.where(block.place > 0, near, -far), np.where(block.place > 0, far, -near)
    custom = np.flatnonzero(schema == CUSTOM)
    if len(custom):
        # All lists in one array, each between its infinities; an index that is none is that of the nearest bucket.
        bounds = np.concatenate([[-np.inf, *one, np.inf] for one in block.bounds_of])
        sizes = np.array([len(one) for one in block.bounds_of], np.int64)
        layout = np.repeat(block.layout, block.widths)[custom]
        at = begins_of(sizes + 2)[layout] + np.clip(index[custom], 0, sizes[layout])
        lower[custom], upper[custom] = bounds[at], bounds[at + 1]
    return lower, upper


def ordered(block: Histograms) -> Buckets:
    """All buckets, as AllBucketIterator gives them.

    A bucket around zero is there if its count is above 0; what overlaps with it is cut at the zero threshold.
    """
    lower, upper = cell_bounds(block)
    reach = np.repeat(block.zero_threshold, block.widths)
    lower = np.where((lower > 0) & (lower < reach), reach, lower)
    upper = np.where((upper < 0) & (upper > -reach), -reach, upper)
    zero = np.flatnonzero(block.zero_count > 0)
    # Before the first positive bucket, which is where a place of 0 belongs.
    negative = np.bincount(block.owner[block.place < 0], minlength=len(block))
    at = (block.begins[:-1] + negative)[zero]
    more = np.zeros(len(block), np.int64)
    more[zero] = 1
    threshold = block.zero_threshold[zero]
    return Buckets(
        begins_of(block.widths + more),
        np.insert(block.place, at, 0),
        np.insert(lower, at, -threshold),
        np.insert(upper, at, threshold),
        np.insert(block.counts, at, block.zero_count[zero]),
    )


def boundary_rules(block: Histograms, buckets: Buckets) -> np.ndarray:
    """Which of the bounds are part of each bucket: uint8[buckets], one of OPEN_LEFT, OPEN_RIGHT, OPEN, CLOSED.

    With lower, upper and count this is a bucket as the HTTP API shows it
    (https://prometheus.io/docs/prometheus/latest/querying/api/#native-histograms).
    """
    custom = block.custom[buckets.owner]
    zero = buckets.place == 0
    with_lower = np.where(custom, buckets.place == MIDDLE, zero | (buckets.lower < 0))
    with_upper = custom | zero | (buckets.upper > 0)
    return np.select([with_lower & with_upper, with_lower, with_upper], [CLOSED, OPEN_RIGHT, OPEN_LEFT], OPEN).astype(
        np.uint8
    )
