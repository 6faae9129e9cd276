"""Classic histograms at many steps at once give what each step would give alone."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon_server.query.promql.histograms.classic import bucket_fraction, bucket_quantile

Counted = list[tuple[float, float]]


def coalesced(buckets: Counted) -> Counted:
    """Sorted by their upper bounds, those with the same one added."""
    made: dict[float, float] = {}
    for bound, count in sorted(buckets, key=lambda bucket: bucket[0]):
        made[bound] = made.get(bound, 0.0) + count
    return list(made.items())


def quantile(q: float, buckets: Counted) -> tuple[float, bool]:  # noqa: PLR0911 (the specification's own cases)
    """BucketQuantile, without its tolerance; whether counts were made to rise."""
    if not 0 <= q <= 1:
        return (math.nan if math.isnan(q) else math.copysign(math.inf, q)), False
    buckets = coalesced(buckets)
    if buckets[-1][0] != math.inf:
        return math.nan, False
    counts, forced = [buckets[0][1]], False
    for _, count in buckets[1:]:
        forced |= count < counts[-1]
        counts.append(max(count, counts[-1]))
    if len(buckets) < 2 or not counts[-1]:
        return math.nan, forced
    rank = q * counts[-1]
    at = next((place for place, count in enumerate(counts[:-1]) if count >= rank), len(counts) - 1)
    if at == len(counts) - 1:
        return buckets[-2][0], forced
    if at == 0 and buckets[0][0] <= 0:
        return buckets[0][0], forced
    start, below = (buckets[at - 1][0], counts[at - 1]) if at else (0.0, 0.0)
    if counts[at] == below:
        return math.nan, forced
    return start + (buckets[at][0] - start) * ((rank - below) / (counts[at] - below)), forced


def below(value: float, buckets: Counted) -> float:
    """How many observations are below a value, as BucketFraction counts them."""
    start, rank = (0.0 if buckets[0][0] > 0 else -math.inf), 0.0
    for bound, count in buckets:
        if start >= value:
            break
        if bound > value:
            rank = count if start == -math.inf else rank + (count - rank) * (value - start) / (bound - start)
            break
        start, rank = bound, count
    return min(rank, buckets[-1][1])


bounds = st.lists(st.sampled_from([-2.0, -0.5, 0.0, 0.1, 1.0, 5.0, math.inf]), min_size=1, max_size=7)
values = st.sampled_from([-math.inf, -1.0, 0.0, 0.05, 0.1, 0.7, 3.0, 9.0, math.inf, math.nan])


@st.composite
def histograms(draw: st.DrawFn) -> tuple[list[float], list[list[float]]]:
    """Bounds, and counts by bound and step; they need not rise."""
    limits = draw(bounds)
    steps = draw(st.integers(1, 4))
    return limits, draw(st.lists(st.lists(st.integers(0, 6).map(float), min_size=steps, max_size=steps),
                                 min_size=len(limits), max_size=len(limits)))  # fmt: skip


@settings(deadline=None)
@given(histograms(), st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0, -0.1, 1.1, math.nan]))
def test_quantiles(histogram: tuple[list[float], list[list[float]]], q: float) -> None:
    """Interpolated in the bucket that holds the rank, once counts rise."""
    limits, counts = np.array(histogram[0]), np.array(histogram[1])
    found, forced = bucket_quantile(np.full(counts.shape[1], q), limits, counts)
    for step in range(counts.shape[1]):
        expected, raised = quantile(q, list(zip(histogram[0], counts[:, step].tolist(), strict=True)))
        np.testing.assert_allclose(found[step], expected, rtol=1e-12)
        assert forced.at[step] == raised


@settings(deadline=None)
@given(histograms(), values, values)
def test_fractions(histogram: tuple[list[float], list[list[float]]], lower: float, upper: float) -> None:
    """Between two values, interpolated in the buckets that hold them."""
    limits, counts = np.array(histogram[0]), np.array(histogram[1]).cumsum(axis=0)
    steps = counts.shape[1]
    found = bucket_fraction(np.full(steps, lower), np.full(steps, upper), limits, counts)
    for step in range(steps):
        buckets = coalesced(list(zip(histogram[0], counts[:, step].tolist(), strict=True)))
        total = buckets[-1][1]
        if buckets[-1][0] != math.inf or not total or math.isnan(lower) or math.isnan(upper):
            assert math.isnan(found[step])
        else:
            expected = (below(upper, buckets) - below(lower, buckets)) / total if lower < upper else 0.0
            np.testing.assert_allclose(found[step], expected, rtol=1e-12)


def forced(counts: Sequence[float]) -> tuple[bool, float, float, float]:
    """What is told of one histogram with the bounds 1, 2, 3, +Inf."""
    _, told = bucket_quantile(np.array([0.5]), np.array([1.0, 2.0, 3.0, np.inf]), np.array(counts)[:, None])
    return bool(told.at[0]), told.lowest[0], told.highest[0], told.largest[0]


def test_what_is_told_of_counts_that_fall() -> None:
    """The first and the last bucket that was raised and by how much; rounding is put right in silence."""
    assert forced([5, 3, 8, 7]) == (True, 2.0, math.inf, 2.0)
    assert forced([5, 5 * (1 - 1e-14), 8, 9])[0] is False
    found, _ = bucket_quantile(
        np.array([0.5]), np.array([1.0, 2.0, np.inf]), np.array([[5.0], [5 * (1 - 1e-14)], [10]])
    )
    assert found[0] == pytest.approx(1.0)
