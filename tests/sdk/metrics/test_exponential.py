"""Exponential histograms: each value in its bucket, at any scale, whatever the range."""

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics._internal.exponential_histogram.mapping.exponent_mapping import ExponentMapping
from opentelemetry.sdk.metrics._internal.exponential_histogram.mapping.logarithm_mapping import LogarithmMapping

from gnomon.metrics import ExponentialHistogram, Registry
from gnomon.metrics.exponential import MOST_BUCKETS, Grid
from gnomon.metrics.exposition import explicit

sizes = st.floats(1e-300, 1e300)


@given(sizes, st.integers(-10, 20))
def test_a_value_lies_between_the_bounds_of_its_bucket(size: float, scale: int) -> None:
    """(base**i, base**(i+1)], within the rounding of the bounds themselves; as OTel's own mapping has it."""
    bucket = Grid(scale).bucket(size)
    base_log2 = 2.0**-scale
    assert bucket * base_log2 - 1e-9 <= math.log2(size) <= (bucket + 1) * base_log2 + 1e-9
    reference = LogarithmMapping(scale) if scale > 0 else ExponentMapping(scale)
    assert abs(reference.map_to_index(size) - bucket) <= (1 if scale > 10 else 0)


@given(st.integers(-1000, 1000), st.integers(-10, 20))
def test_a_power_of_two_is_the_upper_bound_of_its_bucket(exponent: int, scale: int) -> None:
    """Exactly, where a logarithm might round to the next."""
    bucket = Grid(scale).bucket(2.0**exponent)
    assert bucket == (exponent * 2**scale - 1 if scale >= 0 else (exponent - 1) >> -scale)


@given(st.lists(st.floats(-1e9, 1e9) | st.just(0.0), min_size=1, max_size=60))
def test_nothing_is_lost_as_the_buckets_become_coarser(values: Any) -> None:
    """Counts, zeros and the sum are right, and either side keeps to its number of buckets."""
    registry = Registry()
    histogram = ExponentialHistogram("a", registry=registry)
    for value in values:
        histogram.observe(value)
    (point,) = registry.collect()[0].points
    assert point.count == len(values)
    assert point.zeros == sum(value == 0 for value in values)
    assert math.isclose(point.sum, sum(values), abs_tol=1e-6)
    grid = Grid(point.scale)
    for side, sign in ((point.positive, 1), (point.negative, -1)):
        expected: dict[int, int] = {}
        for value in values:
            if value * sign > 0:
                expected[grid.bucket(abs(value))] = expected.get(grid.bucket(abs(value)), 0) + 1
        assert {bucket for bucket, _ in side} == set(expected)
        assert not side or side[-1][0] - side[0][0] < MOST_BUCKETS
    shown = explicit(point)
    assert sum(shown.counts) == len(values)
    assert list(shown.bounds) == sorted(set(shown.bounds))
    for bound in shown.bounds:
        below = sum(count for limit, count in zip(shown.bounds, shown.counts, strict=False) if limit <= bound)
        near = sum(value <= bound * (1 + math.copysign(1e-9, bound)) for value in values)
        assert below in (near, sum(value <= bound * (1 - math.copysign(1e-9, bound)) for value in values)) or (
            bound < 0  # a negative bucket holds its far end, not the near one
        )
