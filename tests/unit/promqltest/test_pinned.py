"""Queries pinned to a time by `@`."""

import pytest
from tests.promqltest.pinned import pinned


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("m", "m @ 60.000"),
        ('sum by (a) (rate(m{b="c"}[5m])) / n', 'sum by (a) (rate(m{b="c"}[5m] @ 60.000)) / n @ 60.000'),
        ("m @ 5 + n offset 1m", "m @ 5.000 + n @ 60.000 offset 1m"),
        ("max_over_time(rate(m[1m])[5m:1m])", "max_over_time(rate(m[1m])[5m:1m] @ 60.000)"),
        ("topk(scalar(k), -(m))", "topk(scalar(k @ 60.000), -(m @ 60.000))"),
        ("1 + 2", "1 + 2"),
    ],
)
def test_selectors_are_pinned(query: str, expected: str) -> None:
    """All that are not pinned yet; of a subquery, the subquery and not what is in it."""
    assert pinned(query, 60_000) == expected


@pytest.mark.parametrize("query", ["time()", "timestamp(m)", "m + on () vector(hour())", "start() + 1", "m{"])
def test_some_queries_are_not_pinned(query: str) -> None:
    """Their answers hang on the time all the same, or they cannot be read."""
    assert pinned(query, 60_000) is None
