"""The stages against the real engine: what is stored already is not stored again, and changes become totals."""

import math
from typing import Any

import pytest
from batches import Counts, batch
from rows import sample, span

from gnomon_server.errors import Unavailable
from gnomon_server.intake.writer import Intake, IntakeLimits
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.retention import RetentionSettings
from gnomon_server.store.tenants import TenantNumbers

DAY = "2026-11-20"


class Running:
    """An intake on a store; `again` is a new process on the same data."""

    def __init__(self, store: DurableStore) -> None:
        self.store, self.meter = store, Counts()

    async def again(self) -> "Running":
        if hasattr(self, "intake"):
            await self.intake.stop()
        tenants = TenantNumbers(self.store)
        await tenants.load()
        limits = IntakeLimits(commit_interval_s=0)
        self.intake = Intake(self.store, tenants, RetentionSettings().days, self.meter, limits)
        await self.intake.start()
        return self

    async def send(self, tenant: str = "acme", **tables: Any) -> None:
        await self.intake.submit(batch(tenant, **tables))

    async def values(self, identity: int = 1) -> list[float]:
        found, _ = await self.store.query("SELECT v FROM samples WHERE id = {id:UInt64} ORDER BY ts", {"id": identity})
        return found["v"].to_pylist() if found.num_rows else []

    async def count(self, table: str) -> int:
        found, _ = await self.store.query(f"SELECT count() AS n FROM {table}")
        return found["n"][0].as_py()


@pytest.fixture
async def running(store: DurableStore) -> Any:
    """Started, and stopped with the test."""
    started = await Running(store).again()
    yield started
    await started.intake.stop()


def at_second(second: int, v: float = 1.0, identity: int = 1, **columns: Any) -> dict[str, Any]:
    """A sample some seconds into the day."""
    row = sample(DAY, identity, v, **columns)
    return row | {"ts": row["ts"] + second * 1000}


async def test_a_sample_is_stored_once(running: Running) -> None:
    """Within a batch, in a later one, out of order, and after a restart; the first one counts, and each is counted."""
    await running.send(samples=[at_second(5, 1.0), at_second(5, 2.0), at_second(7, 3.0)])
    await running.send(samples=[at_second(5, 4.0), at_second(6, 5.0), at_second(8, 6.0)])
    await running.again()
    await running.send(samples=[at_second(7, 7.0), at_second(9, 8.0)])
    assert await running.values() == [1.0, 5.0, 3.0, 6.0, 8.0]
    assert running.meter.dropped("duplicate_sample") == 3


async def test_tenants_and_series_do_not_meet(running: Running) -> None:
    """The same series at the same time of two tenants, and two series of one, are four samples."""
    rows = [at_second(5, identity=identity) for identity in (1, 2)]
    for tenant in ("acme", "other"):
        await running.send(tenant, samples=rows)
        await running.send(tenant, samples=rows)
    assert await running.count("samples") == 4


async def test_a_stale_marker_and_old_times_are_samples_like_others(running: Running) -> None:
    """Not-a-number is stored once, and a sample of 1970 beside one of today."""
    rows = [at_second(5, math.nan), {**sample("1970-01-01"), "ts": 0}]
    await running.send(samples=rows)
    await running.again()
    await running.send(samples=rows)
    assert await running.count("samples") == 2


async def test_a_span_is_stored_once(running: Running) -> None:
    """Within a batch, in a later one, and after a restart; another tenant's is another span."""
    await running.send(spans=[span(DAY, 1), span(DAY, 1, name="again"), span(DAY, 2)])
    await running.send(spans=[span(DAY, 2), span(DAY, 3)])
    await running.send("other", spans=[span(DAY, 1)])
    assert await running.count("spans") == 4
    assert running.meter.dropped("duplicate_span") == 2
    now, _ = await running.store.query("SELECT toString(now() - INTERVAL 5 MINUTE) AS t")
    recent = [span(now["t"][0].as_py(), 10)]
    await running.send(spans=recent)
    await running.again()
    await running.send(spans=recent)
    assert await running.count("spans") == 5
    traced, _ = await running.store.query("SELECT sum(spans) AS n FROM trace_index")
    assert traced["n"].to_pylist() == [5]


async def test_changes_become_totals(running: Running) -> None:
    """Across batches and a restart of ours; the sent change stays beside the total."""
    await running.send(
        delta_samples=[at_second(1, sent=2.0), at_second(2, sent=3.0), at_second(1, sent=5.0, identity=2)]
    )
    await running.send(delta_samples=[at_second(3, sent=4.0)])
    await running.again()
    await running.send(delta_samples=[at_second(4, sent=1.0), at_second(2, sent=1.0, identity=2)])
    assert await running.values() == [2.0, 5.0, 9.0, 10.0]
    assert await running.values(2) == [5.0, 6.0]
    found, _ = await running.store.query("SELECT sent FROM samples WHERE id = 1 ORDER BY ts")
    assert found["sent"].to_pylist() == [2.0, 3.0, 4.0, 1.0]


async def test_changes_out_of_order_or_repeated_are_dropped_and_counted(running: Running) -> None:
    """A total that is stored cannot be changed; within one batch the order does not matter."""
    await running.send(delta_samples=[at_second(3, sent=1.0), at_second(2, sent=2.0), at_second(3, sent=9.0)])
    await running.send(delta_samples=[at_second(1, sent=4.0), at_second(3, sent=8.0), at_second(4, sent=1.0)])
    assert await running.values() == [2.0, 3.0, 4.0]
    assert running.meter.dropped("delta_out_of_order") == 3


async def test_a_gap_in_changes_is_a_gap_and_not_a_total(running: Running) -> None:
    """A change that is no number is stored as that, and the sum goes on after it."""
    await running.send(delta_samples=[at_second(1, sent=1.0), at_second(2, sent=math.nan)])
    await running.send(delta_samples=[at_second(3, sent=2.0)])
    await running.again()
    await running.send(delta_samples=[at_second(4, sent=3.0)])
    first, gap, *rest = await running.values()
    assert math.isnan(gap)
    assert [first, *rest] == [1.0, 3.0, 6.0]


class Failing(DurableStore):
    """Fails the next inserts, or the next questions, on demand."""

    failures = 0
    deaf = 0

    async def insert(self, inserts: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("disk_full", "full")
        await super().insert(inserts)

    async def query(self, *arguments: Any, **named: Any) -> Any:
        if self.deaf:
            self.deaf -= 1
            raise Unavailable("store_away", "away")
        return await super().query(*arguments, **named)


async def test_changes_that_were_refused_count_when_they_come_again(running: Running) -> None:
    """The commit fails, or the check of another table does: nothing of the refused batch is in the total."""
    failing = running.store
    failing.__class__ = Failing
    await running.send(delta_samples=[at_second(1, sent=1.0)], spans=[span(DAY, 1)])
    failing.failures = 1
    with pytest.raises(Unavailable):
        await running.send(delta_samples=[at_second(2, sent=2.0)])
    failing.deaf = 1
    with pytest.raises(Unavailable):  # the span is asked for, after the totals were made
        await running.send(delta_samples=[at_second(2, sent=2.0)], spans=[span(DAY, 1)])
    await running.send(delta_samples=[at_second(2, sent=2.0)], spans=[span(DAY, 1)])
    assert await running.values() == [1.0, 3.0]
    assert running.meter.dropped("delta_out_of_order") == 0


async def test_samples_that_were_refused_are_stored_when_they_come_again(running: Running) -> None:
    """And what was stored before them is still not stored twice."""
    failing = running.store
    failing.__class__ = Failing
    await running.send(samples=[at_second(1)])
    failing.failures = 1
    with pytest.raises(Unavailable):
        await running.send(samples=[at_second(2)])
    await running.send(samples=[at_second(1), at_second(2)])
    assert await running.count("samples") == 2
