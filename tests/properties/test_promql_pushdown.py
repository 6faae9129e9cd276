"""ClickHouse's kernels and the evaluation in NumPy give the same, presence and all, for every function that is pushed.

GNOMON_EXAMPLES is how many scenes are tried; `pytest -s` tells how many values were compared.
"""

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from promql_pushdown_scenes import EXACT, VALUES, Scene, scene, scenes
from promql_pushdown_sides import EVERY, SELECTOR, Sides
from tests.promqltest.engine import engine, writing

from gnomon_server.query.promql.context import Options
from gnomon_server.query.promql.parser import parse
from gnomon_server.query.promql.plan import reads
from gnomon_server.query.promql.pushdown import KERNELS
from gnomon_server.query.promql.signatures import FUNCTIONS, ValueType
from gnomon_server.query.promql.values import Grid, Vector

# No shrinking: what is told of a difference is one series at one step already.
QUICK = settings(
    max_examples=int(os.environ.get("GNOMON_EXAMPLES", "5")),
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
UNTRUSTED = ("floats", "mixed", "histograms", "started long ago", "started within", "restarting")


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    """Both sides, over an engine of this module's own."""

    async def begin(stack: AsyncExitStack, runner: asyncio.Runner) -> Sides:
        store, tenants = await stack.enter_async_context(engine())
        intake = await stack.enter_async_context(writing(store, tenants))
        return Sides(runner, intake, tenants, store)

    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        both = runner.run(begin(stack, runner))
        try:
            yield both
        finally:
            runner.run(stack.aclose())
            print("\ncompared:", {name or "selector": cells for name, cells in both.pushed.items()})


@QUICK
@given(scene=scenes(EXACT))
def test_kernels(sides: Sides, scene: Scene) -> None:
    """Floats without infinities or starts: every function, every kind of time, every grid."""
    sides.agree(scene)


@pytest.mark.parametrize("apart_ms", [160, 10_000, 15_000, 30_000])
@pytest.mark.parametrize("beside_ms", [-1, 0, 1])
def test_edges_just_as_far_as_extrapolation_goes(sides: Sides, apart_ms: int, beside_ms: int) -> None:
    """1.1 times the distance of the samples, which seconds and milliseconds round in two ways; before and behind."""
    edge_ms = apart_ms * 11 // 10 + beside_ms
    points = [(60_000 + apart_ms * number, 2.0 * number) for number in range(5)]
    last_ms = points[-1][0]
    window_ms = last_ms - 60_000 + 2 * edge_ms
    sides.agree(scene(points, points[1:], start_ms=last_ms + edge_ms, window_ms=window_ms))


@QUICK
@given(scene=scenes([*EXACT, "infinite"], UNTRUSTED))
def test_beside_what_is_not_trusted(sides: Sides, scene: Scene) -> None:
    """Series with infinities, starts of every sort or native histograms are evaluated here, the others still agree."""
    sides.agree(scene)


@pytest.mark.parametrize("values", ["tenths", "huge", "tiny", "signed zeros", "many NaNs"])
def test_odd_values(sides: Sides, values: str) -> None:
    """Values whose sums are rounded, that overflow or vanish, zeros of both signs, NaN in many forms."""
    # Sums that overflow give a slope of NaN or of infinity, by the order of the additions.
    functions = [one for one in EVERY if (values, one) != ("huge", "deriv")]

    @settings(QUICK, max_examples=2)
    @given(scene=scenes([values]))
    def compare(scene: Scene) -> None:
        sides.agree(scene, functions)

    compare()


def test_resets_beside_a_large_series(sides: Sides) -> None:
    """A counter that restarts is not changed by another one that comes before it."""
    large, small = [(1_000, 1e17), (2_000, 1e17)], [(1_000, 5.0), (30_000, 3.0), (59_000, 5.0)]
    sides.agree(scene(large, small), ["increase"])


def test_resets_that_have_gone(sides: Sides) -> None:
    """A counter of seconds that restarts twice, then stands still, does not increase."""
    restarting = [(1_000, 0.1), (2_000, 0.0), (45_000, 0.2), (50_000, 0.0)]
    standing = [(90_000, 0.0), (115_000, 0.0), (130_000, 0.0)]
    sides.agree(scene([*restarting, *standing], start_ms=40_000, end_ms=140_000, step_ms=20_000), ["increase"])


def test_resets_that_overflow(sides: Sides) -> None:
    """Two resets too large to be added do not undo what comes later."""
    points = [(1_000, 1e308), (2_000, 0.0), (45_000, 1e308), (50_000, 0.0), (115_000, 1.0), (130_000, 2.0)]
    sides.agree(scene(points, start_ms=40_000, end_ms=140_000, step_ms=20_000), ["increase"])


def test_a_steep_counter(sides: Sides) -> None:
    """A rate that a float can hold is no infinity."""
    sides.agree(scene([(1_000, 0.0), (59_000, 1e307)]), ["irate"])


@pytest.mark.parametrize("pair", [(0.0, -0.0), VALUES["many NaNs"][:2]], ids=["zeros", "NaNs"])
def test_no_change(sides: Sides, pair: tuple[float, float]) -> None:
    """Zeros of both signs are equal, and NaN is no change from NaN."""
    sides.agree(scene([(1_000, pair[0]), (2_000, pair[1])]), ["changes"])


def many(numbers: Iterable[int], *, value: float) -> list[list[tuple[int, float]]]:
    """A counter for each number, which goes its own way from this value."""
    return [[(1_000 + number, value), (30_000, 1.0 + number), (59_000, 2.0 * number)] for number in numbers]


def test_many_series(sides: Sides) -> None:
    """More series than ids stand in a statement."""
    sides.agree(scene(*many(range(620), value=0.0)), [SELECTOR, "rate", "changes"])


def test_many_series_that_are_not_trusted(sides: Sides) -> None:
    """Of many series most are evaluated here, and some are not."""
    sides.agree(scene(*many(range(60), value=0.0), *many(range(560), value=np.inf)), ["rate"])


def test_nothing_else_is_read(sides: Sides) -> None:
    """Of plain floats every kernel answers for all series, and no sample is read."""
    pushed, read = sides.pushed.copy(), sides.read.copy()
    sides.agree(scene(*many(range(3), value=0.0)))
    assert {one: sides.pushed[one] - pushed[one] for one in EVERY} == dict.fromkeys(EVERY, 3)
    assert sides.read == read


def test_through_the_door(sides: Sides) -> None:
    """Around the leaves all is as ever; with kernels only what none is right for is read."""
    text = 'max(rate(m_total{i!="001"}[1m])) + on() count(m_total offset 5s) + on() sum(sum_over_time(m_total[30s]))'
    with_kernels, without = sides.answers(scene(*many(range(9), value=0.0), end_ms=80_000, step_ms=1_000), text)
    assert isinstance(with_kernels.value, Vector)
    assert isinstance(without.value, Vector)
    assert with_kernels.value.labels == without.value.labels == [()]
    assert with_kernels.value.present.tolist() == without.value.present.tolist()
    there = without.value.present
    assert there.any()
    assert with_kernels.value.values[there] == pytest.approx(without.value.values[there], rel=1e-12)
    assert 0 < with_kernels.samples_read < without.samples_read


def arguments(types: Sequence[ValueType]) -> str:
    """Some of these types."""
    return ", ".join({ValueType.MATRIX: "m[5m]", ValueType.VECTOR: "m"}.get(one, "0.5") for one in types)


OF_RANGES = {name: one.args for name, one in FUNCTIONS.items() if ValueType.MATRIX in one.args}
NOT_PUSHED = [
    *(f"{name}({arguments(args)})" for name, args in OF_RANGES.items() if name not in KERNELS),
    *(f"{name}(m[5m] {how})" for name in ("rate", "increase", "delta") for how in ("anchored", "smoothed")),
    *(f"{name}(m[5m] @ {when})" for name in KERNELS for when in ("60", "end()")),
    *(f"{name}(abs(m @ 60)[5m:1m])" for name in KERNELS),
    *("m @ 60", "m @ start()", "m smoothed", "timestamp(m)", "start_timestamp(m)", "timestamp((m))"),
]


@pytest.mark.parametrize("text", NOT_PUSHED)
def test_what_is_not_pushed(text: str) -> None:
    """No kernel is asked for what none gets right."""
    grid = Grid(0, 60_000, 15_000)
    assert [one.pushed for one in reads(parse(text, experimental=True), grid, grid, Options())] == [None]
