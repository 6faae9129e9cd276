"""The stages against the real engine: what is stored already is not stored again, and changes become totals."""

import math
import struct
from typing import Any

import pytest
from batches import Counts, batch
from rows import sample, span

from gnomon_server.errors import Unavailable
from gnomon_server.intake.writer import Intake, IntakeLimits
from gnomon_server.model.series import STALE_BITS
from gnomon_server.model.tables import HISTOGRAM_VALUES
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

    async def histograms(self, identity: int = 1) -> list[dict[str, Any]]:
        found, _ = await self.store.query(
            "SELECT * FROM native_histograms WHERE id = {id:UInt64} ORDER BY ts, tenant", {"id": identity}
        )
        return found.to_pylist()

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


def change(second: int, identity: int = 1, **columns: Any) -> dict[str, Any]:
    """A change of an exponential histogram some seconds into the day: one observation up to 2, or as told."""
    told = {"schema": 0, "count": 1.0, "sum": 1.5, "p_idx": [1], "p_cnt": [1.0], **columns}
    values = {name: told.get(name, [] if name[1] == "_" else 0) for name, _ in HISTOGRAM_VALUES}
    row = {"id": identity, "ts": at_second(second)["ts"], "start": at_second(second - 1)["ts"], "min": 1.5, "max": 1.5}
    return row | values | {f"sent_{name}": value for name, value in values.items()}


STALE = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]


async def test_changes_of_histograms_become_totals(running: Running) -> None:
    """Across batches, a restart of ours and a coarser sender; what was sent stays beside the total, and its start."""
    finer = {"schema": 2, "count": 3.0, "sum": 9.0, "zero_count": 1.0, "p_idx": [5, 9], "p_cnt": [1.0, 1.0]}
    await running.send(delta_histograms=[change(1, **finer), change(2, **finer), change(1, identity=2)])
    await running.send(delta_histograms=[change(3, **finer)])
    await running.again()
    await running.send(delta_histograms=[change(4, n_idx=[0], n_cnt=[1.0], count=2.0), change(2, identity=2)])
    rows = await running.histograms()
    assert [(row["count"], row["sum"], row["zero_count"], row["schema"], row["hint"]) for row in rows] == [
        (3.0, 9.0, 1.0, 2, 0),
        (6.0, 18.0, 2.0, 2, 0),
        (9.0, 27.0, 3.0, 2, 0),
        (11.0, 28.5, 3.0, 0, 0),
    ]
    assert [(row["p_idx"], row["p_cnt"]) for row in rows[2:]] == [([5, 9], [3.0, 3.0]), ([1, 2, 3], [1.0, 3.0, 3.0])]
    assert (rows[3]["n_idx"], rows[3]["n_cnt"]) == ([0], [1.0])
    assert [(row["sent_schema"], row["sent_count"], row["sent_p_idx"]) for row in rows] == [
        *[(2, 3.0, [5, 9])] * 3,
        (0, 2.0, [1]),
    ]
    assert [(row["ts"] - row["start"]).total_seconds() for row in rows] == [1.0] * 4
    assert [row["max"] for row in rows] == [1.5] * 4
    assert [row["count"] for row in await running.histograms(2)] == [1.0, 2.0]


async def test_changes_of_histograms_out_of_order_or_repeated_are_dropped_and_counted(running: Running) -> None:
    """As of samples, after a restart too; other tenants and totals of the same name are not touched."""
    await running.send(delta_histograms=[change(3), change(2), change(3)])
    await running.send(delta_histograms=[change(1), change(3), change(4)])
    await running.send("other", delta_histograms=[change(3)])
    await running.again()
    await running.send(delta_histograms=[change(4), change(5)], native_histograms=[change(9, identity=3, count=7.0)])
    assert [row["count"] for row in await running.histograms()] == [1.0, 2.0, 1.0, 3.0, 4.0]
    assert [row["count"] for row in await running.histograms(3)] == [7.0]
    assert running.meter.dropped("delta_out_of_order") == 4


async def test_histograms_without_a_recorded_value_change_no_total(running: Running) -> None:
    """They are stored as sent; the total goes on after them, remembered or read back. So do rows that are no totals."""
    gap = {"count": 0.0, "sum": STALE, "p_idx": [], "p_cnt": []}
    await running.send(delta_histograms=[change(1, **gap), change(2), change(3, **gap)])
    await running.send(delta_histograms=[change(4)])
    await running.send(native_histograms=[change(6, count=100.0) | {"hint": 3}])
    await running.send(delta_histograms=[change(5, **gap)])
    await running.again()
    await running.send(delta_histograms=[change(7)])
    rows = await running.histograms()
    assert [row["count"] for row in rows] == [0.0, 1.0, 0.0, 2.0, 0.0, 100.0, 3.0]
    assert [struct.pack("<d", row["sum"]) == struct.pack("<Q", STALE_BITS) for row in rows] == [
        True, False, True, False, True, False, False,
    ]  # fmt: skip


async def test_a_series_of_histograms_that_was_silent_for_two_days_starts_anew(running: Running) -> None:
    """As a process would that has restarted."""
    for second, count in ((1, 1.0), (2 * 86_400, 2.0), (4 * 86_400 + 1, 1.0)):
        await running.send(delta_histograms=[change(second)])
        await running.again()
        assert [row["count"] for row in await running.histograms()][-1] == count


async def test_changes_of_histograms_that_were_refused_count_when_they_come_again(running: Running) -> None:
    """The commit fails, or the check of another table does: nothing of the refused batch is in the total."""
    failing = running.store
    failing.__class__ = Failing
    await running.send(delta_histograms=[change(1)], spans=[span(DAY, 1)])
    failing.failures = 1
    with pytest.raises(Unavailable):
        await running.send(delta_histograms=[change(2)])
    failing.deaf = 2
    with pytest.raises(Unavailable):
        await running.send(delta_histograms=[change(2)], spans=[span(DAY, 1)])
    with pytest.raises(Unavailable):
        await running.send(delta_histograms=[change(2)], spans=[span(DAY, 1)])
    await running.send(delta_histograms=[change(2)], spans=[span(DAY, 1)])
    assert [row["count"] for row in await running.histograms()] == [1.0, 2.0]
    assert running.meter.dropped("delta_out_of_order") == 0


async def test_totals_of_one_series_do_not_blur_those_of_another(running: Running) -> None:
    """A change of one beside one of 1e18 and an infinite one, in the same batch."""
    sizes = (1e18, 1.0, math.inf, 2.0)
    for second in (1, 2):
        rows = [at_second(second, sent=size, identity=number) for number, size in enumerate(sizes)]
        await running.send(delta_samples=rows)
    assert [await running.values(number) for number in range(4)] == [[size, 2 * size] for size in sizes]
