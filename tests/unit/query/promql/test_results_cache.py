"""The cache of answers: never wrong, whatever arrives when, and only the new edge is evaluated."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.query.promql.arrivals import T0, Nobody, batch

from gnomon_server.intake.writer import Intake, IntakeLimits
from gnomon_server.query.promql.caches.results import Extent, ResultCache, Tide, in_a_row, name_of
from gnomon_server.query.promql.context import Options
from gnomon_server.query.promql.door import PromqlDoor
from gnomon_server.query.promql.memory import Memory
from gnomon_server.query.promql.parser import parse
from gnomon_server.query.promql.values import Grid, Vector
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.tenants import TenantNumbers

STEP = 15_000
QUERIES = (
    "sum by (job) (rate(requests_total[1m]))",
    "requests_total offset 30s",
    "topk(1, requests_total) or vector(time())",
    "max_over_time(rate(requests_total[30s])[2m:30s])",
)


async def test_it_is_never_wrong(store: DurableStore) -> None:
    """Samples arrive in order, late, and far too late, between queries whose window slides: always as without."""
    tenants = TenantNumbers(store)
    await tenants.load()
    memory = Memory(results_bytes=1 << 20)
    intake = Intake(
        store, tenants, lambda *_: 0, Nobody(), IntakeLimits(commit_interval_s=0),
        on_commit=lambda group, stored: memory.committed(group.tables, group.oldest_samples(), stored=stored),
    )  # fmt: skip
    await intake.start()
    door = PromqlDoor(store, tenants, memory=memory)
    chance = np.random.default_rng(5)
    known = 0
    try:
        for turn in range(40):
            now = T0 + turn * STEP
            late = int(chance.choice([0, 0, 0, 1, 7, 30])) * STEP
            points = [(series, now - late + series, float(turn * (series + 1))) for series in range(3)]
            await intake.submit(batch(points))
            for text in QUERIES:
                asked = {"start_ms": now - 20 * STEP, "end_ms": now, "step_ms": STEP, "tenant": "default"}
                kept = await door.range(text, **asked, options=Options())
                fresh = await door.range(text, **asked, options=Options(cached=False))
                assert list(kept.value.labels) == list(fresh.value.labels), (turn, text)
                assert (kept.value.present == fresh.value.present).all(), (turn, text)
                there = fresh.value.present
                assert np.array_equal(kept.value.values[there], fresh.value.values[there]), (turn, text)
                assert (kept.infos, fresh.cached_steps) == (fresh.infos, 0)
                known += kept.cached_steps
    finally:
        await intake.stop()
    assert known > 40 * len(QUERIES) * 8  # of 21 steps; late samples cost the rest


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(0, 40))
def test_the_tide_knows_the_oldest_arrival_since(arrivals: list[int], moment: int) -> None:
    """As looking at all of them would."""
    tide = Tide()
    for at in arrivals:
        tide.arrived(at)
    moment = min(moment, tide.now)
    after = arrivals[moment:]
    assert (tide.since(moment) == min(after)) if after else (tide.since(moment) > 10**15)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("rate(x[5m])", True),
        ("x offset 5m", True),
        ("x offset -5m", False),
        ("x @ 10", False),
        ("x @ end()", False),
        ("x smoothed", False),
        ("rate(x[range()])", False),
        ("sum_over_time(x[1h:5m] @ 3)", False),
        ("time()", True),
        ("end()", False),
    ],
)
def test_what_hangs_on_the_query_is_not_kept(text: str, kept: bool) -> None:
    """An answer that another window would change has no name in the cache."""
    assert (name_of(parse(text)) is not None) is kept


def extent(start: int, steps: int, series: int = 1) -> Extent:
    """Ones."""
    labels = [(("a", str(number)),) for number in range(series)]
    vector = Vector.of_floats(labels, np.ones((series, steps)), np.ones((series, steps), np.bool_))
    return Extent(Grid(start, start + (steps - 1) * 10, 10), vector, (), (), 0)


def test_the_budget_is_kept() -> None:
    """Who was not asked for longest goes; what is larger than a quarter is not kept at all."""
    cache = ResultCache(10_000)
    for number in range(20):
        cache.keep((1, str(number), 10, 0, 0), extent(0, 100))
        cache.find((1, "0", 10, 0, 0), Grid(0, 990, 10))
    assert 0 < cache.bytes <= 10_000
    assert cache.find((1, "0", 10, 0, 0), Grid(0, 990, 10)) is not None
    assert cache.find((1, "1", 10, 0, 0), Grid(0, 990, 10)) is None
    cache.keep((1, "0", 10, 0, 0), extent(0, 1000))
    assert cache.find((1, "0", 10, 0, 0), Grid(0, 990, 10)) is None


def test_cut_and_joined_again() -> None:
    """A row of steps is the sum of its parts."""
    whole = extent(0, 10, 3)
    first, second = whole.between(0, 40), whole.between(50, 95)
    assert first is not None
    assert second is not None
    assert (first.grid.steps, second.grid.steps) == (5, 5)
    again = in_a_row(first, second)
    assert again.grid == whole.grid
    assert (again.vector.values == whole.vector.values).all()
    assert whole.between(95, 99) is None
    assert whole.between(-100, -1) is None
