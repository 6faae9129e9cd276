"""Samples in memory: never other ones than those in the store, whatever arrives when."""

import asyncio
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.query.promql.arrivals import T0, Nobody, batch

from gnomon_server.errors import TooLarge, Unavailable
from gnomon_server.intake.group import Group
from gnomon_server.intake.writer import Intake, IntakeLimits
from gnomon_server.model.series import STALE_BITS, series_id
from gnomon_server.model.tables import NATIVE_HISTOGRAMS
from gnomon_server.query.promql.caches.chunks import HOUR_MS, Chunk, Gathered, Rows
from gnomon_server.query.promql.caches.loading import Loader
from gnomon_server.query.promql.caches.samples import Missing, SampleCache
from gnomon_server.query.promql.context import Options
from gnomon_server.query.promql.door import Answer, PromqlDoor
from gnomon_server.query.promql.memory import Memory
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.interface import QueryLimits
from gnomon_server.store.tenants import TenantNumbers

STALE = np.uint64(STALE_BITS).view(np.float64)
QUERIES = (
    "sum by (job) (rate(requests_total[5m]))",
    "requests_total",
    'requests_total{job=~"j[13]"} offset 40m',
    "count_over_time(requests_total[90m])",
    "resets(requests_total[2h])",
    "max_over_time(rate(requests_total[2m])[30m:1m])",
)


def same(one: Answer, other: Answer) -> None:
    """Two answers are, to the last bit."""
    assert list(one.value.labels) == list(other.value.labels)
    assert np.array_equal(one.value.present, other.value.present)
    there = other.value.present
    assert np.array_equal(one.value.values[there], other.value.values[there])
    assert (one.warnings, one.infos) == (other.warnings, other.infos)


async def test_it_is_never_wrong(store: DurableStore) -> None:
    """New series, late samples, samples twice, stale markers, counters that begin anew; reading goes on meanwhile."""
    tenants = TenantNumbers(store)
    await tenants.load()
    looks: Counter[tuple[str, bool]] = Counter()
    memory = Memory(samples_bytes=1 << 22, on_look=lambda cache, found: looks.update([(cache, found)]))
    intake = Intake(
        store, tenants, lambda *_: 0, Nobody(), IntakeLimits(commit_interval_s=0),
        on_commit=lambda group, stored: memory.committed(group.tables, group.oldest_samples(), stored=stored),
    )  # fmt: skip
    await intake.start()
    door, bare = PromqlDoor(store, tenants, memory=memory), PromqlDoor(store, tenants)
    chance = np.random.default_rng(7)
    try:
        for turn in range(40):
            now = T0 + turn * 180_000
            late = int(chance.choice([0, 0, 0, 60_000, 4_000_000]))
            points = [
                (series, now - late - 15_000 * back + series, float(chance.integers(0, 1000)))
                for series in range(2 + turn // 15)
                for back in range(12)
            ]
            points += points[:2] if turn % 3 == 0 else []
            points += [(1, now + 2, STALE)] if turn % 7 == 0 else []
            await intake.submit(batch(points, T0 - 1 if turn % 2 else 0))
            for text in QUERIES:
                asked = {"start_ms": now - 3_600_000, "end_ms": now, "step_ms": 60_000, "tenant": "default"}
                fresh = await bare.range(text, **asked, options=Options(pushdown=False))
                same(await door.range(text, **asked, options=Options(pushdown=False)), fresh)
            if turn % 5 == 0:
                await door.loader.idle()
    finally:
        await intake.stop()
        await door.close()
        await bare.close()
    assert looks["samples", True] > 100
    assert looks["samples", False] > 5


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "cover", "ask"]),
            st.lists(
                st.tuples(
                    st.integers(1, 5), st.integers(0, 20), st.sampled_from([0.0, 1.5, 2.0, np.nan]), st.integers(0, 2)
                ),
                max_size=12,
            ),
        ),
        max_size=12,
    )
)  # fmt: skip
def test_a_chunk(turns: list[tuple[str, list[tuple[int, int, float, int]]]]) -> None:
    """Against a dict: of two samples of one time the larger stays, NaN before all; what is whole is not read again."""
    chunk, said, whole = Chunk(HOUR_MS), {}, set[int]()
    chunk.tracked = np.arange(1, 5, dtype=np.uint64)
    for what, points in turns:
        rows = Rows(
            np.array([point[0] for point in points], np.uint64),
            np.array([HOUR_MS + point[1] for point in points], np.int64),
            np.array([point[2] for point in points]),
            np.array([point[3] for point in points], np.int64),
        )
        most = 4
        if what == "add":
            chunk.add(rows)
        elif what == "cover":
            most = 2 + 2 * (len(points) % 2)
            chunk.cover(np.arange(1, most + 1, dtype=np.uint64), rows.only(rows.ids <= most))
        else:
            continue
        for series, at, value, _ in points:
            if series <= most and not (what == "cover" and series in whole):
                before = said.get((series, at), -np.inf)
                said[series, at] = before if np.isnan(before) or value < before else value
        if what == "cover":
            whole |= set(range(1, most + 1))
        wanted = np.array([1, 3, 4, 9], np.uint64)
        order = np.array([2, 0, 1, 3])
        runs, between = [(HOUR_MS, run) for run in chunk.runs()], (HOUR_MS + 2, HOUR_MS + 18)
        found = Gathered(runs, [()] * 4, wanted, order, between, with_start=True).whole()
        begins, ts, v = found.begins, found.ts, found.v
        for series, place in zip(wanted.tolist(), order.tolist(), strict=True):
            mine = slice(begins[place], begins[place + 1])
            expected = sorted((at, value) for (one, at), value in said.items() if one == series and 2 <= at <= 18)
            assert (ts[mine] - HOUR_MS).tolist() == [at for at, _ in expected]
            assert np.array_equal(v[mine], [value for _, value in expected], equal_nan=True)


IDS = np.sort(np.array([series_id("requests_total", {"job": f"j{number}"}) for number in range(3)], np.uint64))
HOUR = T0 // HOUR_MS


def filled(budget_bytes: int = 1 << 20, hours: int = 1) -> SampleCache:
    """A cache with some hours of three series: a sample each."""
    cache = SampleCache(budget_bytes)
    for hour in range(HOUR, HOUR + hours):
        missing = Missing(int(IDS[0]) >> 48, IDS, [hour])
        cache.track(1, missing)
        cache.cover(1, missing, Rows(IDS, np.full(3, hour * HOUR_MS), np.ones(3), np.zeros(3, np.int64)))
    return cache


def found(cache: SampleCache, hour: int = HOUR) -> int | None:
    """How many samples it has of an hour; None: it does not know."""
    runs, _ = cache.find(1, IDS, hour * HOUR_MS, (hour + 1) * HOUR_MS - 1)
    return None if runs is None else sum(len(run.ts) for _, run in runs)


def group(points: list[tuple[int, int, float]]) -> Group:
    """A commit."""
    return Group.of([(batch(points), 1)], lambda *_: 0)


def test_a_commit_arrives() -> None:
    """Of the series that are kept; of other tenants and hours nothing."""
    cache = filled()
    cache.committed(group([(0, T0 + 5, 1.0), (1, T0 + 2 * HOUR_MS, 1.0), (7, T0, 1.0)]).tables, stored=True)
    assert found(cache) == 4
    other = Group.of([(batch([(0, T0 + 1, 1.0)]), 2)], lambda *_: 0)
    cache.committed(other.tables, stored=True)
    assert found(cache) == 4


def test_a_commit_that_failed() -> None:
    """What of it is stored nobody knows: all is read again."""
    cache = filled()
    cache.committed(group([(0, T0, 1.0)]).tables, stored=False)
    assert found(cache) is None
    assert cache.bytes == 0


def test_native_histograms() -> None:
    """They are not kept, and not asked for again."""
    cache = filled()
    rows = pa.RecordBatch.from_pylist(
        [{"id": int(IDS[0]), "ts": T0, "start": 0}],
        pa.schema([NATIVE_HISTOGRAMS.field(name) for name in ("id", "ts", "start")]),
    )
    table = pa.Table.from_batches([rows]).append_column("tenant", pa.array([1], pa.uint32()))
    cache.committed({"native_histograms": table}, stored=True)
    runs, missing = cache.find(1, IDS, T0, T0)
    assert (runs, missing) == (None, [])


def test_the_budget() -> None:
    """What was not asked for longest goes first; what is too much is not read."""
    cache = filled(budget_bytes=1200, hours=10)
    assert cache.bytes <= 1200
    assert found(cache, HOUR) is None
    assert found(cache, HOUR + 9) == 3
    many = np.arange(1_000_000, dtype=np.uint64)
    for _ in range(2):
        assert cache.find(1, many, T0, T0)[1] == []


def test_what_a_metric_weighs_is_learnt() -> None:
    """What would be too much if it were as usual is read where it is not: a few series of one hour tell."""
    hours = list(range(HOUR, HOUR + 10))
    most = np.uint64(7 << 48) + np.arange(3_000, dtype=np.uint64)
    cache = SampleCache(20_000_000)  # as usual these would be 86 MB

    def missing() -> list[Missing]:
        return [cache.find(1, most, hours[0] * HOUR_MS, hours[-1] * HOUR_MS)[1] for _ in range(2)][1]

    (few,) = missing()
    assert (len(few.ids), few.hours) == (1_000, [HOUR + 5])
    cache.track(1, few)
    zeros = np.zeros(1_000)
    cache.cover(1, few, Rows(few.ids, np.full(1_000, (HOUR + 5) * HOUR_MS), zeros, zeros.astype(np.int64)))
    (rest,) = missing()
    assert (len(rest.ids), rest.hours) == (3_000, hours)


async def test_a_large_leaf_in_memory_is_evaluated_by_blocks(store: DurableStore) -> None:
    """What the engine may evaluate is not too much once it is in memory: its steps count, not its samples."""
    tenants = TenantNumbers(store)
    await tenants.load()
    intake = Intake(store, tenants, lambda *_: 0, Nobody(), IntakeLimits(commit_interval_s=0))
    await intake.start()
    looks: list[bool] = []
    memory = Memory(samples_bytes=1 << 22, on_look=lambda _, found: looks.append(found))
    door = PromqlDoor(store, tenants, memory=memory)
    try:
        await intake.submit(batch([(0, T0 + step * 15_000, float(step)) for step in range(200)]))
        asked = {"start_ms": T0 + 2_000_000, "end_ms": T0 + 2_900_000, "step_ms": 300_000, "tenant": "default"}
        for _ in range(4):
            await door.range("rate(requests_total[5m])", **asked, options=Options(most_samples=20))
            assert door.loader is not None
            await door.loader.idle()
        assert looks[-1]
        with pytest.raises(TooLarge):
            await door.range("avg_over_time(requests_total[5m])", **asked, options=Options(most_samples=20))
    finally:
        await intake.stop()
        await door.close()


def test_what_is_asked_again_is_read() -> None:
    """The second time; and at once where the hour before is there."""
    cache = SampleCache(1 << 20)
    looked = [len(cache.find(2, IDS, T0, T0)[1]) for _ in range(2)]
    assert looked == [0, 1]
    assert len(filled().find(1, IDS, T0 + HOUR_MS, T0 + HOUR_MS)[1]) == 1


def test_commits_go_on_when_it_is_closed() -> None:
    """Intake stops after the queries do."""
    cache = filled()
    cache.close()
    cache.committed(group([(0, T0, 1.0)]).tables, stored=True)
    assert cache.bytes == 0


async def test_closing_ends_reading(store: DurableStore) -> None:
    """Nothing is left behind."""
    tenants = TenantNumbers(store)
    await tenants.load()
    door = PromqlDoor(store, tenants, memory=Memory(samples_bytes=1 << 20))
    door.loader.load_soon(1, [Missing(1, IDS, list(range(HOUR, HOUR + 50)))], natives=True)
    await door.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "promql-load"]


async def test_why_nothing_is_read_is_told(store: DurableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, until something could be read."""
    told: list[str] = []
    loader = Loader(store, SampleCache(1 << 20), QueryLimits(), lambda error: told.append(error.code))

    async def read(hour: int) -> None:
        loader.load_soon(1, [Missing(int(IDS[0]) >> 48, IDS, [hour])], natives=False)
        await loader.idle()

    async def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("store_away", "the engine is being started again")

    for times in (1, 2):
        with monkeypatch.context() as broken:
            broken.setattr(store, "query", away)
            await read(HOUR + times)
            await read(HOUR + times)
        assert told == ["store_away"] * times
        await read(HOUR + times)
    await loader.close()


def test_what_is_read_in_pieces_is_there_once() -> None:
    """Series that were asked for before are not read again with others, and their samples are not twice in memory."""
    cache = filled()
    more = np.union1d(IDS, [series_id("requests_total", {"job": f"more{number}"}) for number in range(9)]).astype(
        np.uint64
    )
    wanted = Missing(int(IDS[0]) >> 48, more, [HOUR, HOUR + 1])
    lacking = cache.lacking(1, wanted)
    assert (lacking.ids.tolist(), lacking.hours) == (more.tolist(), [HOUR, HOUR + 1])
    lacking = cache.lacking(1, Missing(wanted.metric, more, [HOUR]))
    assert lacking.ids.tolist() == np.setdiff1d(more, IDS).tolist()
    cache.track(1, wanted)
    cache.cover(1, wanted, Rows(more, np.full(12, HOUR * HOUR_MS), np.ones(12), np.zeros(12, np.int64)))
    runs, _ = cache.find(1, more, HOUR * HOUR_MS, HOUR * HOUR_MS + 1)
    assert runs is not None
    assert sum(len(run.ts) for _, run in runs) == 12
