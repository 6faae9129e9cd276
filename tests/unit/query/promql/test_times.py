"""When things are looked at, and how many steps a subquery may have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon_server.errors import TooLarge
from gnomon_server.query.promql.ast import Call, MatrixSelector, Subquery, VectorSelector
from gnomon_server.query.promql.parser import parse
from gnomon_server.query.promql.times import MOST_SUBQUERY_STEPS, looked_at, reach_ms, subquery_grid
from gnomon_server.query.promql.values import Grid

MODIFIERS = st.sampled_from(
    ["", " offset 7s", " offset -1h", " @ 100", " @ start()", " @ end() offset 1m", " offset step()"]
)
GRIDS = st.builds(
    lambda start, length, step: Grid(start, start + length, step if length else 0),
    st.integers(-(1 << 53), 1 << 53),
    st.integers(0, 100_000),
    st.integers(20, 70_000),
)


def subquery(text: str) -> Subquery:
    """The subquery in a call."""
    call = parse(text)
    assert isinstance(call, Call)
    assert isinstance(call.args[0], Subquery)
    return call.args[0]


@given(MODIFIERS, GRIDS)
def test_a_selector_reaches_from_its_first_look_back_to_its_last(modifiers: str, grid: Grid) -> None:
    """As all of its times say, though these are not made for it."""
    node = parse(f"x{modifiers}")
    assert isinstance(node, VectorSelector)
    times = looked_at(node, grid, grid)
    assert reach_ms(node, grid, grid, 300_000) == (times.min() - 300_000 + 1, times.max())
    call = parse(f"rate(x[5s]{modifiers})")
    assert isinstance(call, Call)
    assert isinstance(call.args[0], MatrixSelector)
    assert reach_ms(call.args[0], grid, grid, 300_000) == (times.min() - 5_000 + 1, times.max())


@given(MODIFIERS, GRIDS)
def test_a_subquery_has_the_multiples_of_its_step_in_all_of_its_windows(modifiers: str, grid: Grid) -> None:
    """The left edge is not in the first window, the right edge is in the last."""
    node = subquery(f"max_over_time(x[30s:7s]{modifiers})")
    times, inner = looked_at(node, grid, grid), subquery_grid(node, grid, grid)
    assert inner.start_ms % 7_000 == 0
    assert times.min() - 30_000 < inner.start_ms <= times.min() - 23_000
    assert inner.times[-1] <= times.max() < inner.times[-1] + 7_000


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("max_over_time(x[5000001ms:1ms])", "5,000,001"),
        ("max_over_time(x[1y:1ms])", "31,536,000,000"),
        ("max_over_time(x[292y:1ms] @ 0 offset -292y)", "9,208,512,000,000"),
    ],
)
def test_a_subquery_of_too_many_steps_is_refused(text: str, steps: str) -> None:
    """Before any of them is made; the place is said."""
    with pytest.raises(TooLarge) as refusal:
        subquery_grid(subquery(text), Grid(0, 0, 0), Grid(0, 0, 0))
    assert refusal.value.code == "query_too_many_samples"
    assert refusal.value.what.endswith(f"a subquery has {steps} steps, 5,000,000 are allowed")
    assert refusal.value.where == f"the subquery at characters 15 to {len(text) - 1}"


def test_a_subquery_of_as_many_steps_as_may_be() -> None:
    """The last one that is taken."""
    assert subquery_grid(subquery("max_over_time(x[5000s:1ms])"), Grid(0, 0, 0), Grid(0, 0, 0)).steps == (
        MOST_SUBQUERY_STEPS
    )
