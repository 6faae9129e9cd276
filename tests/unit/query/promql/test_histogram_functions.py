"""Functions of classic and native histograms."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.query.promql.asking import context, rows, same, told

from gnomon_server.errors import InvalidInput
from gnomon_server.query.promql.ast import Call, VectorSelector
from gnomon_server.query.promql.evaluate import evaluate
from gnomon_server.query.promql.functions.histograms import FUNCTIONS
from gnomon_server.query.promql.histograms.block import MIDDLE, Histograms
from gnomon_server.query.promql.parser import parse
from gnomon_server.query.promql.values import NO_ROW, Grid, Labels, Value, Vector

NAN = math.nan
NAME = ("__name__", "h")


def classic(name: str, counts: dict[str, str], labels: str = "") -> list[str]:
    """The lines of a classic histogram: values by upper bound."""
    return [f'{name}{{le="{bound}"{labels}}} {values}' for bound, values in counts.items()]


def answered(text: str, vector: Vector, *, minutes: int) -> tuple[Vector, list[str], list[str]]:
    """What a function makes of a vector that is there already, its warnings and infos; scalars are evaluated."""
    grid = Grid(0, minutes * 60_000, 60_000)
    ctx = context(text, grid)
    call = parse(text, experimental=True)
    assert isinstance(call, Call)
    args: list[Value] = [vector if isinstance(node, VectorSelector) else evaluate(node, ctx) for node in call.args]
    result = FUNCTIONS[call.function](call, args, ctx)
    assert isinstance(result, Vector)
    return result, ctx.notes.warnings, ctx.notes.infos


def natives(*counts: list[float], sums: list[float]) -> Histograms:
    """Of schema 0: counts of the buckets (1, 2], (2, 4], ... for each."""
    n = len(counts)
    widths = [len(one) for one in counts]
    return Histograms(
        np.zeros(n, np.int8), np.zeros(n, np.uint8), np.array([sum(one) for one in counts], np.float64),
        np.array(sums), np.zeros(n), np.zeros(n), np.zeros(n, np.int32), np.concatenate([[0], np.cumsum(widths)]),
        np.concatenate([MIDDLE + 1 + np.arange(width) for width in widths]), np.concatenate(counts).astype(np.float64),
    )  # fmt: skip


def mixed(labels: list[Labels], values: list[list[float]], block: Histograms, rows_of: list[list[int]]) -> Vector:
    """Floats and histograms, all there."""
    shown = np.array(values, np.float64)
    return Vector(labels, shown, np.ones(shown.shape, np.bool_), np.array(rows_of), block)


# Classic ones ------------------------------------------------------------------------------------------


def quantile(q: float, buckets: list[tuple[float, float]]) -> float:  # noqa: PLR0911 - as the original
    """One histogram at one step, as promql/quantile.go tells it: (upper bound, count), rising."""
    if math.isnan(q):
        return NAN
    if q < 0 or q > 1:
        return math.copysign(math.inf, q)
    if buckets[-1][0] != math.inf:
        return NAN
    counts = [buckets[0][1]]
    for _, count in buckets[1:]:
        near = abs(count - counts[-1]) < 1e-12 * (abs(count) + abs(counts[-1]))
        counts.append(counts[-1] if near or count < counts[-1] else count)
    if len(buckets) < 2 or counts[-1] == 0:
        return NAN
    rank = q * counts[-1]
    at = next((number for number, count in enumerate(counts[:-1]) if count >= rank), len(counts) - 1)
    if at == len(counts) - 1:
        return buckets[-2][0]
    if at == 0 and buckets[0][0] <= 0:
        return buckets[0][0]
    begin, below = (buckets[at - 1][0], counts[at - 1]) if at else (0.0, 0.0)
    if counts[at] == below:
        return NAN
    return begin + (buckets[at][0] - begin) * ((rank - below) / (counts[at] - below))


BOUNDS = ("-1", "0.5", "2", "10", "+Inf")
COUNTS = st.lists(
    st.lists(st.one_of(st.none(), st.integers(0, 20)), min_size=5, max_size=5), min_size=1, max_size=4
)  # steps, each with a count for a bucket or none


@given(histograms=st.lists(COUNTS, min_size=1, max_size=3), q=st.sampled_from([0.0, 0.1, 0.5, 0.99, 1.0, -1, 2, NAN]))
def test_quantiles_of_many_are_those_of_each(histograms: list[list[list[int | None]]], q: float) -> None:
    """At each step from the buckets that have a sample there, whatever the others have."""
    lines, expected = [], {}
    for number, steps in enumerate(histograms):
        for place, bound in enumerate(BOUNDS):
            values = " ".join("stale" if step[place] is None else str(step[place]) for step in steps)
            lines.append(f'h{{le="{bound}",a="{number}"}} {values} stale')
        for at, step in enumerate(steps):
            buckets = [
                (float(bound), float(count)) for bound, count in zip(BOUNDS, step, strict=True) if count is not None
            ]
            if buckets:
                expected[f'{{a="{number}"}}', at] = quantile(q, buckets)
    found = {
        (series, at): value
        for series, values in told(f"histogram_quantile({q}, h)", *lines, to=4).series.items()
        for at, value in enumerate(values)
        if value is not None
    }
    assert found.keys() == expected.keys()
    assert all(same(found[key], expected[key]) for key in expected), (found, expected)


@pytest.mark.parametrize("bound", ["", "x", "NaN", " 1", "1_0", "1e999", "\u0661"])
def test_a_bound_that_cannot_be_read_is_warned_of(bound: str) -> None:
    """And its series left out; for a series that is not there nothing is said."""
    lines = [*classic("h", {"1": "1", "+Inf": "2", bound: "7"}), *classic("gone", {"y": "stale"})]
    answer = told('histogram_quantile(0.5, {__name__=~"h|gone"})', *lines)
    said = f'bucket label "le" is missing or has a malformed value of "{bound}" for metric name "h"'
    assert answer.warnings == [f"PromQL warning: {said} (1:25)"]
    assert answer.series == {"{}": [1.0]}


def test_names_keep_histograms_apart() -> None:
    """Their answers would be one series."""
    lines = [*classic("a", {"1": "1", "+Inf": "2"}), *classic("b", {"1": "1", "+Inf": "2"})]
    with pytest.raises(InvalidInput, match="same labelset"):
        told('histogram_quantile(0.5, {__name__=~"a|b"})', *lines)


def test_counts_that_fall_are_told_of_once() -> None:
    """From which bucket to which, by how much at most, at how many steps, from when to when."""
    lines = [
        *classic("h", {"1": "5 1 5", "2": "4 1 2", "4": "6 1 3", "+Inf": "6 1 9"}),
        *classic("h", {"1": "2 1 2", "+Inf": "1 1 2"}, ',a="b"'),
    ]
    answer = told("histogram_quantile(0.5, h)", *lines, to=2)
    said = (
        "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see "
        "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile) for metric name "
        '"h", from buckets 2 to +Inf, with a max diff of 3, over 3 samples from 1970-01-01T00:00:00Z to '
        "1970-01-01T00:02:00Z (1:25)"
    )
    assert answer.infos == [said]


def test_a_quantile_that_is_none_is_warned_of_at_its_place() -> None:
    """Each value once, whether there are histograms or not."""
    answer = told("histogram_quantile(1.5 - time() / 60, nothing)", at=0, to=4)
    said = "PromQL warning: quantile value should be between 0 and 1, got"
    assert answer.warnings == [f"{said} {text} (1:20)" for text in ("-2.5", "-1.5", "-0.5", "1.5")]


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [("0", "1", 0.25), ("1", "2", 0.5), ("-Inf", "1.5", 0.5), ("2", "+Inf", 0.25), ("3", "Inf", 0.25), ("2", "1", 0.0),
     ("NaN", "1", NAN), ("0", "time() + 2", 0.75)],
)  # fmt: skip
def test_fractions_of_classic_histograms(lower: str, upper: str, expected: float) -> None:
    """Of the last bucket nothing is said to lie below a bound, be it inside."""
    lines = classic("h", {"1": "1", "2": "3", "+Inf": "4"})
    (found,) = told(f"histogram_fraction({lower}, {upper}, h)", *lines).series.values()
    assert same(found[0], expected)


def test_several_quantiles_have_a_label_each() -> None:
    """It is set as OpenMetrics writes numbers; one that changes by the step is another series."""
    lines = classic("h", {"1": "1x3", "2": "3x3", "+Inf": "4x3"}, ',a="b"')
    answer = told('histogram_quantiles(h, "q", 0.5, 1, time() / 60 * 1e-7, 2)', *lines, at=1, to=2)
    assert answer.series == {
        '{a="b",q="0.5"}': [1.5, 1.5], '{a="b",q="1.0"}': [2.0, 2.0], '{a="b",q="2.0"}': [math.inf, math.inf],
        '{a="b",q="1e-07"}': [pytest.approx(4e-07), None], '{a="b",q="2e-07"}': [None, pytest.approx(8e-07)],
    }  # fmt: skip
    with pytest.raises(InvalidInput, match="same labelset"):
        told('histogram_quantiles(h, "q", 0.5, 0.5)', *lines)


# Native ones -------------------------------------------------------------------------------------------


def test_numbers_of_native_histograms() -> None:
    """Floats beside them are dropped; names go."""
    block = natives([1, 3], [2], sums=[10.0, 3.0])
    vector = mixed([(NAME,), (NAME, ("a", "b"))], [[0, 0], [0, 7]], block, [[0, 1], [1, NO_ROW]])
    for function, expected in (("count", [4, 2, 2]), ("sum", [10, 3, 3]), ("avg", [2.5, 1.5, 1.5])):
        found, _, _ = answered(f"histogram_{function}(h)", vector, minutes=1)
        assert rows(found) == {"h{}": [expected[0], expected[1]], 'h{a="b"}': [expected[2], None]}
        assert found.nameless.all()
    deviation, _, _ = answered("histogram_stddev(h)", vector, minutes=1)
    variance, _, _ = answered("histogram_stdvar(h)", vector, minutes=1)
    assert np.allclose(deviation.values[deviation.present] ** 2, variance.values[variance.present])


def test_both_kinds_of_one_histogram_at_a_step_are_none() -> None:
    """Which is warned of; at other steps each counts, and both are one series."""
    labels: list[Labels] = [(NAME, ("le", "1")), (NAME, ("le", "+Inf")), (NAME,)]
    vector = mixed(labels, [[1] * 3, [2] * 3, [0] * 3], natives([4], sums=[6.0]), [[NO_ROW] * 3] * 2 + [[0] * 3])
    there = np.array([[True, True, False], [True, True, False], [False, True, True]])
    vector = dataclasses.replace(vector, present=there)
    for text, expected in (
        ("histogram_quantile(0.5, h)", [1.0, math.sqrt(2)]),
        ("histogram_fraction(-Inf, 1, h)", [0.5, 0.0]),
    ):
        found, warnings, _ = answered(text, vector, minutes=2)
        (values,) = rows(found).values()
        assert same(values[0], expected[0])
        assert values[1] is None
        assert same(values[2], expected[1])
        said = 'vector contains a mix of classic and native histograms for metric name "h"'
        assert warnings == [f"PromQL warning: {said} (1:{text.index('h)') + 1})"]


def test_observations_of_nan_are_told_of() -> None:
    """With the name of the metric, where it has one."""
    block = dataclasses.replace(natives([4], sums=[NAN]), count=np.array([8.0]))
    vector = mixed([(NAME,)], [[0]], block, [[0]])
    of = 'input to histogram_quantile has NaN observations, result is {} for metric name "h" (1:{})'
    _, _, low = answered("histogram_quantile(0.1, h)", vector, minutes=0)
    _, _, high = answered("histogram_quantile(0.9, h)", vector, minutes=0)
    assert low == [f"PromQL info: {of.format('skewed higher', 25)}"]
    assert high == [f"PromQL info: {of.format('NaN', 25)}"]
    _, _, outside = answered("histogram_fraction(0, 1, h)", vector, minutes=0)
    said = "input to histogram_fraction has NaN observations, which are excluded from all fractions"
    assert outside == [f'PromQL info: {said} for metric name "h" (1:26)']
