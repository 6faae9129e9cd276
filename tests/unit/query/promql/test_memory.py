"""All that is remembered, at once."""

from tests.unit.query.promql.arrivals import T0, Nobody, batch

from gnomon_server.intake.writer import Intake, IntakeLimits
from gnomon_server.query.promql.context import Options
from gnomon_server.query.promql.door import PromqlDoor
from gnomon_server.query.promql.memory import Memory
from gnomon_server.query.promql.metadata import SeriesIndex
from gnomon_server.store.ddl import Deployment
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.partitions import Partitions
from gnomon_server.store.tenants import TenantNumbers

STEP_MS = 15_000


async def test_what_is_dropped_is_forgotten(store: DurableStore) -> None:
    """Answers, samples, series and lists are of what is in the store, also after retention took some of it."""
    tenants = TenantNumbers(store)
    await tenants.load()
    looks: list[tuple[str, bool]] = []
    memory = Memory(1 << 20, 1 << 22, on_look=lambda *look: looks.append(look))
    intake = Intake(
        store, tenants, lambda *_: 0, Nobody(), IntakeLimits(commit_interval_s=0),
        on_commit=lambda group, stored: memory.committed(group.tables, group.oldest_samples(), stored=stored),
    )  # fmt: skip
    await intake.start()
    door, index = PromqlDoor(store, tenants, memory=memory), SeriesIndex(store, tenants, memory=memory)
    now = T0 + 20 * STEP_MS

    async def seen() -> tuple[int, int, list[str]]:
        """Steps of a kept answer, of one from samples, and names."""
        asked = {"start_ms": T0, "end_ms": now, "step_ms": STEP_MS, "tenant": "default"}
        kept = await door.range("requests_total", **asked, options=Options())
        fresh = await door.range("requests_total", **asked, options=Options(cached=False))
        assert door.loader is not None
        await door.loader.idle()
        names = await index.label_names("default", (), (T0, now))
        return int(kept.value.present.sum()), int(fresh.value.present.sum()), names

    try:
        await intake.submit(batch([(0, T0 + step * STEP_MS, 1.0) for step in range(21)]))
        before = [await seen() for _ in range(3)]
        assert before == [(21, 21, ["__name__", "job"])] * 3
        assert {("results", True), ("samples", True)} <= set(looks)
        partitions = Partitions(store, Deployment())
        for partition in await partitions.read():
            if partition.table in ("samples", "series"):
                await partitions.drop(partition)
        memory.dropped()
        assert await seen() == (0, 0, [])
    finally:
        await intake.stop()
        await door.close()
