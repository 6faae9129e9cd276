"""Durations as Prometheus writes them."""

import pytest

from gnomon_server.query.syntax import durations

YEAR_MS = 365 * 24 * 3600 * 1000


@pytest.mark.parametrize(
    ("text", "ms"),
    [("5m", 300_000), ("1h30m", 5_400_000), ("1000ms", 1000), ("0s", 0), ("4s180ms", 4180), ("1y", YEAR_MS),
     ("1y2w3d4h5m6s7ms", YEAR_MS + 1_483_506_007), ("00012s", 12_000)],
)  # fmt: skip
def test_units_go_from_large_to_small(text: str, ms: int) -> None:
    """Each at most once, each with a whole number."""
    assert durations.parse(text) == ms


@pytest.mark.parametrize("text", ["", "5", "m", "5m1", "5m1m", "5y1hs", "1m1h", "-5m", "1.5h", "5 m", "٣m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Among it the Arabic digit three."""
    with pytest.raises(ValueError, match="duration string"):
        durations.parse(text)


@pytest.mark.parametrize("text", ["293y", "9999999999y", "9" * 5000 + "d"])
def test_go_counts_nanoseconds_in_64_bits(text: str) -> None:
    """However many digits there are."""
    with pytest.raises(ValueError, match="duration out of range"):
        durations.parse(text)


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0s"), (1, "1ms"), (90_000, "1m30s"), (-90_000, "-1m30s"), (7 * 86_400_000, "1w"), (8 * 86_400_000, "8d"),
     (YEAR_MS, "1y"), (YEAR_MS + 86_400_000, "366d"), (5_400_123, "1h30m123ms")],
)  # fmt: skip
def test_the_shortest_form_is_shown(ms: int, text: str) -> None:
    """Years and weeks only where they come out even."""
    assert durations.show(ms) == text
