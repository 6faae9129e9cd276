"""The terminal chart, of any numbers on any terminal."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from gnomon_server.cli.promql.chart import Curve, Window, draw
from gnomon_server.cli.promql.digits import column
from gnomon_server.cli.promql.ticks import scale

NAMES = st.text(st.characters(exclude_categories=("C", "Z")), max_size=60)  # as `names` makes them printable
DRAWN = st.floats(-1e300, 1e300).map(lambda value: value if abs(value) >= 1e-300 else 0.0)
TIMES_MS = st.integers(-(2**53), 2**53)


@st.composite
def charts(draw_: Any) -> tuple[list[Curve], Window]:
    """Curves with their own gaps on one axis of time."""
    start, step, steps = draw_(TIMES_MS), draw_(st.integers(1, 10**12)), draw_(st.integers(1, 40))
    window = Window(start, start + step * (steps - 1), step)
    curves = []
    for name in draw_(st.lists(NAMES, max_size=6)):
        places = sorted(draw_(st.sets(st.integers(0, steps - 1))))
        values = draw_(st.lists(st.floats(), min_size=len(places), max_size=len(places)))
        curves.append(Curve(name, start + step * np.array(places, np.int64), np.array(values, np.float64)))
    return curves, window


@given(charts(), st.integers(1, 200), st.integers(-5, 60))
def test_never_wider_than_asked(chart: tuple[list[Curve], Window], width: int, height: int) -> None:
    """Whatever the numbers are: no line is wider, nothing is raised, and the same is drawn again."""
    curves, window = chart
    lines = draw(curves, window, width=width, height=height)
    assert all(cell_len(line.plain) <= width for line in lines)
    assert all("\n" not in line.plain for line in lines)
    if height >= 12:
        assert len(lines) == height
    assert [line.plain for line in draw(curves, window, width=width, height=height)] == [line.plain for line in lines]


@given(DRAWN, DRAWN, st.integers(1, 30))
def test_an_axis_holds_its_values(one: float, other: float, most: int) -> None:
    """Both ends lie on it, the marks too, and their labels differ."""
    low, high = sorted((one, other))
    axis = scale(low, high, most)
    slack = 1e-9 * (axis.high - axis.low)
    assert axis.low - slack <= low <= high <= axis.high + slack
    assert axis.marks
    assert all(axis.low - slack <= value <= axis.high + slack for value, _ in axis.marks)
    assert len({label for _, label in axis.marks}) == len(axis.marks)


@given(st.lists(st.floats(), min_size=1))
def test_columns_are_straight(values: list[float]) -> None:
    """All texts have one width, and each is its number to six digits."""
    texts = column(values)
    assert len({len(text) for text in texts}) == 1
    for value, text in zip(values, texts, strict=True):
        assert np.isclose(float(text.replace(",", "")), value, rtol=1e-5, atol=0, equal_nan=True) or value == 0
