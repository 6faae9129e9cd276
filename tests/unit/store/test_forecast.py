"""The forecast of the disk: days that are made up, so that the answer can be counted on one's fingers."""

from datetime import UTC, date, datetime, timedelta

from gnomon_server.store.disk import DiskSettings, DiskUsage
from gnomon_server.store.forecast import Forecast, forecast
from gnomon_server.store.partitions import Partition

TODAY = date(2026, 11, 21)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MB = 1_000_000


def day(ago: int, megabytes: float, table: str = "samples", ret: int = 0, index: float = 0) -> Partition:
    """The partition of a day."""
    first = TODAY - timedelta(days=ago)
    return Partition(table, f"{ret}-{first:%Y%m%d}", int(megabytes * MB), 1000, int(index * MB))


def foresee(partitions: list[Partition], budget_mb: float) -> Forecast:
    """At noon, with so large a budget on an endless disk."""
    held = sum(partition.weight_bytes for partition in partitions)
    return forecast(partitions, DiskUsage(held, 0, 10**15), DiskSettings(budget_bytes=int(budget_mb * MB)), NOON)


def test_a_steady_table_that_is_kept_for_ever() -> None:
    """Ten days of 10 MB, half of today's: 105 MB, 110 at midnight; 10 more a day reach 150 when the fifth has come."""
    seen = foresee([*(day(ago, 10) for ago in range(1, 11)), day(0, 5)], 150)
    assert round(seen.growth_bytes_a_day / MB) == 10
    assert seen.days_left == 5


def test_retention_keeps_it_below() -> None:
    """The same with three days of retention never grows: today and three days more are there at most."""
    seen = foresee([*(day(ago, 10, ret=3) for ago in range(1, 4)), day(0, 5, ret=3)], 60)
    assert seen.days_left is None
    assert 35 * MB <= seen.peak_bytes <= 40 * MB


def test_one_wild_day_does_not_count() -> None:
    """A day of a hundred times as much moves neither the growth nor the slope."""
    calm = [*(day(ago, 10) for ago in range(1, 11)), day(0, 5)]
    wild = [partition for partition in calm if partition.first != TODAY - timedelta(days=4)] + [day(4, 1000)]
    assert foresee(wild, 10_000).growth_bytes_a_day == foresee(calm, 10_000).growth_bytes_a_day


def test_growing_days_come_sooner() -> None:
    """Each day weighs 1 MB more than the one before: 10 today, then 11, 12, ..."""
    seen = foresee([*(day(ago, 10 - ago) for ago in range(1, 8)), day(0, 10)], 10 + 42 + 11 + 12 + 13 - 4.5)
    assert round(seen.growth_bytes_a_day / MB) == 10
    assert seen.days_left == 3


def test_text_indexes_go_after_three_days() -> None:
    """40 MB a day of which 30 are text index: four days have it, the others weigh 10."""
    days = [
        *(day(ago, 40 if ago < 4 else 10, "logs", 7, 30 if ago < 4 else 0) for ago in range(1, 8)),
        day(0, 20, "logs", 7, 15),
    ]
    seen = foresee(days, 1000)
    assert seen.days_left is None
    assert abs(seen.peak_bytes - (4 * 40 + 4 * 10) * MB) <= 10 * MB


def test_the_first_day() -> None:
    """Nothing but today at noon: as much again is expected until midnight, and twice that each day."""
    seen = foresee([day(0, 5)], 24)
    assert round(seen.growth_bytes_a_day / MB) == 10
    assert seen.days_left == 2
    assert foresee([], 24).days_left is None
    assert foresee([day(0, 25)], 24).days_left == 0


def test_what_goes_first() -> None:
    """The oldest day of all signals, never today."""
    days = [day(2, 1, "spans"), day(2, 2, "logs"), day(1, 3, "logs"), day(0, 4, "logs")]
    assert {(part.table, part.first) for part in foresee(days, 1).first_dropped} == {
        ("spans", TODAY - timedelta(days=2)),
        ("logs", TODAY - timedelta(days=2)),
    }
    assert not foresee([day(0, 4, "logs")], 1).first_dropped


def test_months_are_spread_over_their_days() -> None:
    """The partition of a month counts as its days so far."""
    month = Partition("resources", "30-20261101", 21 * MB, 10)
    seen = foresee([month], 10_000)
    assert round(seen.growth_bytes_a_day / MB) == 1
