"""Retention and the disk budget, on the real engine with back-dated rows and a clock that is set."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import ValidationError
from rows import at, insert_of, log, resource, sample, span

from gnomon_server.store.ddl import Deployment
from gnomon_server.store.disk import DiskSettings, DiskUsage, oldest_beyond, read_usage
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.partitions import Partition, Partitions
from gnomon_server.store.retention import Retention, RetentionSettings

NO_BUDGET = DiskSettings(budget_bytes=1 << 60, reserve_bytes=0)


@dataclass
class Names:
    """Tenants 1 and 2."""

    known: dict[int, str] = field(default_factory=lambda: {1: "acme", 2: "other"})

    def names(self) -> dict[int, str]:
        return self.known


@dataclass
class Stopped:
    """A clock that is set by hand."""

    day: str

    def now_ns(self) -> int:
        return at(self.day)


@dataclass
class Job:
    """A retention job, and what it told."""

    store: DurableStore
    now: str
    settings: RetentionSettings = field(default_factory=RetentionSettings)
    disk: DiskSettings = NO_BUDGET
    events: list[tuple[str, str]] = field(default_factory=list)
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.retention = Retention(
            self.store, Names(), self.settings, self.disk, Stopped(self.now), self._tell, self._count
        )

    def _tell(self, name: str, detail: str) -> None:
        self.events.append((name, detail))

    def _count(self, name: str, **labels: str) -> None:
        assert name == "gnomon_partitions_dropped_total"
        self.dropped[labels["table"], labels["reason"]] += 1

    async def run(self) -> "Job":
        await self.retention.run_once()
        return self


async def days_left(store: DurableStore, table: str, column: str = "toDate(ts)") -> list[str]:
    """The days of which rows are there."""
    found, _ = await store.query(f"SELECT DISTINCT toString({column}) AS day FROM {table} ORDER BY day")
    return found["day"].to_pylist() if found.num_rows else []


def kept(**settings: Any) -> RetentionSettings:
    """Retention settings."""
    return RetentionSettings.model_validate(settings)


def test_retention_is_a_duration_in_whole_days_or_off() -> None:
    """`7d`, `36h` (two days), seconds, `off`; anything else is a mistake that says so."""
    settings = kept(metrics="36h", traces="off", logs=86_400, tenants={"acme": {"traces": "30d", "logs": False}})
    assert [settings.days("x", signal) for signal in ("metrics", "traces", "logs")] == [2, 0, 1]
    assert [settings.days("acme", signal) for signal in ("metrics", "traces", "logs")] == [2, 30, 0]
    assert settings.days("x", "longest") == 0
    assert kept().days("x", "longest") == 7
    assert [str(settings.metrics), str(settings.traces)] == ["2d", "off"]
    for wrong in ("soon", "0d", -1, True, "70000d", "", None):
        with pytest.raises(ValidationError, match="metrics"):
            kept(metrics=wrong)
    with pytest.raises(ValidationError):
        kept(tenants={"acme": {"spans": "3d"}})


async def test_partitions_past_their_retention_are_dropped(store: DurableStore) -> None:
    """A day goes when its newest row is past the retention, in every table; younger days and `off` stay."""
    for ret, day in ((7, "2026-11-01"), (7, "2026-11-02"), (0, "2026-11-01"), (30, "2026-11-01")):
        await store.insert(
            [
                insert_of("resources", [resource(day)], ret=ret),
                insert_of("samples", [sample(day)], ret=ret),
                insert_of("spans", [span(day)], ret=ret),
                insert_of("logs", [log(day)], ret=ret),
            ]
        )
    settings = kept(tenants={"acme": dict.fromkeys(("metrics", "traces", "logs"), "off")})
    job = await Job(store, "2027-02-09 00:00:00", settings).run()
    assert {reason for _, reason in job.dropped} == {"retention"}
    assert job.dropped["spans", "retention"] == job.dropped["trace_index", "retention"] == 3
    assert job.dropped["resources", "retention"] == 2  # a month each
    for table in ("samples", "spans", "logs"):
        found, _ = await store.query(f"SELECT DISTINCT ret FROM {table}")
        assert found["ret"].to_pylist() == [0]
    assert {name for name, _ in job.events} == {"partition_dropped"}
    assert any("spans 2026-11-02: " in detail and "older than 7 days" in detail for _, detail in job.events)


async def test_a_day_is_kept_until_its_last_moment_is_past(store: DurableStore) -> None:
    """With 7 days, the rows of 1 November are there until 9 November begins."""
    await store.insert([insert_of("logs", [log("2026-12-01 00:00:00")])])
    await Job(store, "2026-12-08 23:59:59").run()
    assert await days_left(store, "logs") == ["2026-12-01"]
    await Job(store, "2026-12-09 00:00:00").run()
    assert await days_left(store, "logs") == []


async def test_rows_that_arrive_past_their_retention_are_kept_for_a_day(store: DurableStore) -> None:
    """A batch from 1970 to today is there after the job has run, and gone when it has been quiet for a day."""
    now, _ = await store.query("SELECT toString(now()) AS now, toString(now() + INTERVAL 25 HOUR) AS later")
    days = ["1970-01-01", "1999-12-31", "2026-01-01", now["now"][0].as_py()[:10]]
    await store.insert([insert_of("spans", [span(day, number) for number, day in enumerate(days, 1)])])
    await Job(store, now["now"][0].as_py()).run()
    assert await days_left(store, "spans") == sorted(days)
    await Job(store, now["later"][0].as_py()).run()
    assert await days_left(store, "spans") == days[-1:]


async def test_shortened_retention_frees_only_that_tenants_rows(store: DurableStore) -> None:
    """A partition goes whole when nobody keeps its rows, else it is rewritten without those of the tenant."""
    both = [span("2026-11-01", 1), span("2026-11-01", 2, tenant=2), span("2026-11-09", 3)]
    await store.insert([insert_of("spans", both, ret=30), insert_of("logs", [log("2026-11-01")], ret=0)])
    settings = kept(traces="30d", tenants={"acme": {"traces": "3d", "logs": "1d"}})
    job = await Job(store, "2026-11-11 00:00:00", settings).run()
    found, _ = await store.query("SELECT tenant, toString(toDate(ts)) AS day FROM spans ORDER BY day")
    assert found.to_pylist() == [{"tenant": 2, "day": "2026-11-01"}, {"tenant": 1, "day": "2026-11-09"}]
    assert job.dropped == {("logs", "shortened"): 1}
    parts, _ = await store.query("SELECT sum(rows) AS rows FROM system.parts WHERE table = 'spans' AND active")
    assert parts["rows"].to_pylist() == [2]  # freed, not only hidden
    index, _ = await store.query("SELECT DISTINCT tenant FROM trace_index WHERE start < '2026-11-02' ORDER BY tenant")
    assert index["tenant"].to_pylist() == [2]
    assert any("only rows of acme" in detail for _, detail in job.events)
    again = await Job(store, "2026-11-11 00:00:00", settings).run()
    assert not again.events


async def test_lengthened_retention_leaves_rows_as_they_came(store: DurableStore) -> None:
    """Rows that came with 3 days go after 3 days, whatever the setting is now."""
    await store.insert([insert_of("logs", [log("2026-11-25")], ret=3)])
    assert not (await Job(store, "2026-11-28", kept(logs="90d")).run()).events
    assert (await Job(store, "2026-11-29", kept(logs="90d")).run()).dropped == {("logs", "retention"): 1}


async def test_the_disk_budget_drops_the_oldest_days_of_all_signals(store: DurableStore) -> None:
    """Over the budget the oldest day goes first, spans, index, logs and samples together, and it is said."""
    days = ["2026-11-01", "2026-11-02", "2026-11-03"]
    for day in days:
        rows = [insert_of("spans", [span(day, number) for number in range(1, 200)], ret=0)]
        rows += [insert_of("logs", [log(day)], ret=0), insert_of("samples", [sample(day)], ret=0)]
        await store.insert(rows)
    usage = await read_usage(store, Deployment())
    assert usage.free_bytes > 0
    oldest = [part for part in await Partitions(store, Deployment()).read() if str(part.first) == days[0]]
    budget = usage.held_bytes - sum(part.weight_bytes for part in oldest)
    job = await Job(store, "2026-11-04", disk=DiskSettings(budget_bytes=budget, reserve_bytes=0)).run()
    for table in ("spans", "logs", "samples"):
        assert await days_left(store, table) == days[1:]
        assert job.dropped[table, "disk_budget"] == 1
    assert await days_left(store, "trace_index", "toDate(start)") == days[1:]
    assert any("spans 2026-11-01: " in detail and "over the disk budget of " in detail for _, detail in job.events)
    # What was dropped still lies on the disk for minutes: that is no reason to drop more.
    assert (await read_usage(store, Deployment())).leaving_bytes > 0
    again = await Job(store, "2026-11-04", disk=DiskSettings(budget_bytes=budget, reserve_bytes=0)).run()
    assert not again.events


async def test_today_is_never_dropped_and_that_is_said_once(store: DurableStore) -> None:
    """When the newest day alone is over the budget, its rows stay and the job says that nothing else is left."""
    await store.insert([insert_of("logs", [log("2026-11-01")]), insert_of("logs", [log("2026-11-04 01:00:00")])])
    job = Job(store, "2026-11-04 02:00:00", disk=DiskSettings(budget_bytes=1, reserve_bytes=0))
    await job.run()
    await job.run()
    assert await days_left(store, "logs") == ["2026-11-04"]
    assert [name for name, _ in job.events] == ["partition_dropped", "retention_failed"]


def test_the_budget_is_less_when_the_disk_is() -> None:
    """The reserve stays free whoever fills the disk, and parts on their way out count as free."""
    usage = DiskUsage(held_bytes=600, leaving_bytes=100, free_bytes=300)
    assert usage.budget_bytes(DiskSettings(budget_bytes=500, reserve_bytes=0)) == 500
    assert usage.budget_bytes(DiskSettings(reserve_bytes=0)) == 800
    assert usage.budget_bytes(DiskSettings(reserve_bytes=900)) == 100
    assert usage.budget_bytes(DiskSettings(reserve_bytes=5000)) == 0


def test_months_and_days_go_in_the_order_of_their_ends() -> None:
    """Back-fill is in months before 2026, resources always are: a month goes when its last day does."""
    today = at("2026-03-10") // 86_400_000_000_000
    parts = [
        Partition("resources", "7-20260201", 1),
        Partition("spans", "7-20260227", 1),
        Partition("spans", "0-20260228", 1),
        Partition("spans", "7-20251201", 1),
        Partition("logs", "7-20260310", 1),
    ]
    day = parts[0].first.fromordinal(719_163 + today)
    chosen = [str(part.end) for part in oldest_beyond(parts, 1 << 40, day)]
    assert chosen == ["2026-01-01", "2026-02-28", "2026-03-01", "2026-03-01"]
    assert [part.id for part in oldest_beyond(parts, 1, day)] == ["7-20251201"]
    assert not oldest_beyond(parts, 0, day)


async def test_text_indexes_are_cleared_from_days_past(store: DurableStore) -> None:
    """After three days the text indexes go, once, and searches answer the same."""
    await store.command(
        "INSERT INTO logs (tenant, ret, ts, body) SELECT 1, 0, toDateTime64('2026-11-01 00:00:00', 9, 'UTC'), "
        "concat(toString(cityHash64(number)), ' ', toString(number)) FROM numbers(150000)"
    )
    partitions = Partitions(store, Deployment())
    before = (await partitions.read())[0].index_bytes
    await Job(store, "2026-11-04 12:00:00").run()
    assert (await partitions.read())[0].index_bytes == before
    await Job(store, "2026-11-05 12:00:00").run()
    after = (await partitions.read())[0]
    assert after.index_bytes < before / 5
    await Job(store, "2026-11-05 12:00:00").run()
    assert (await partitions.read())[0] == after
    found, _ = await store.query("SELECT count() AS n FROM logs WHERE hasToken(body, '149999')")
    assert found["n"].to_pylist() == [1]
