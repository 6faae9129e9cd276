"""Functions of an instant vector's numbers, scalars, what is absent, and the order of an answer."""

import calendar
import datetime as dt
import math
from collections.abc import Callable

import pytest
from tests.unit.query.promql.asking import same, told

from gnomon_server.query.promql.functions.sorting import natural

NAN, INF = math.nan, math.inf
VALUES = (-2.5, -1.0, -0.5, 0.0, 0.3, 1.0, 1.7, 250.0)
Number = Callable[[float], float]


def guarded(number: Number) -> Number:
    """NaN outside of a function's domain, and infinities at its edges, as Go has it."""

    def go(value: float) -> float:
        try:
            return number(value)
        except OverflowError:
            return INF
        except ValueError:
            poles = {math.log: -INF, math.log2: -INF, math.log10: -INF}
            if value == 0 and number in poles:
                return poles[number]
            return math.copysign(INF, value) if number is math.atanh and abs(value) == 1 else NAN

    return go


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("abs", abs), ("ceil", math.ceil), ("floor", math.floor), ("exp", math.exp), ("sqrt", math.sqrt),
        ("ln", math.log), ("log2", math.log2), ("log10", math.log10), ("sin", math.sin), ("cos", math.cos),
        ("tan", math.tan), ("asin", math.asin), ("acos", math.acos), ("atan", math.atan), ("sinh", math.sinh),
        ("cosh", math.cosh), ("tanh", math.tanh), ("asinh", math.asinh), ("acosh", math.acosh), ("atanh", math.atanh),
        ("rad", math.radians), ("deg", math.degrees), ("sgn", lambda value: (value > 0) - (value < 0)),
    ],
)  # fmt: skip
def test_numbers_are_mapped_and_lose_their_name(name: str, number: Number) -> None:
    """Each as the mathematics have it, NaN where there is no result."""
    answer = told(f"{name}(x)", f"x{{a='b'}} {' '.join(map(str, VALUES))} NaN", to=len(VALUES))
    (found,) = answer.series.values()
    assert list(answer.series) == ['{a="b"}']
    assert all(map(same, found, [*map(guarded(number), VALUES), NAN]))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("clamp(x, 0, 2)", [0, 1, 2, NAN]),
        ("clamp(x, 2, 0)", [None, None, None, None]),
        ("clamp(x, NaN, 2)", [NAN, NAN, NAN, NAN]),
        ("clamp(x, -Inf, -Inf)", [-INF, -INF, -INF, -INF]),
        ("clamp_min(x, time() / 60)", [0, 1, 5, NAN]),
        ("clamp_max(x, time() / 60)", [-3, 1, 2, NAN]),
    ],
)
def test_clamp_follows_bounds_that_change_by_the_step(query: str, expected: list[float | None]) -> None:
    """Bounds that are the wrong way round leave nothing; NaN stays NaN, save below -Inf."""
    answer = told(query, "x -3 1 5 NaN", to=3)
    assert all(map(same, answer.series.get("{}", [None] * 4), expected))


@pytest.mark.parametrize(
    ("query", "expected"),
    [("round(x)", [3, -2, 0]), ("round(x, 0.1)", [2.5, -2.5, 0.3]), ("round(x, 5)", [5, 0, 0]),
     ("round(x, 0)", [NAN] * 3)],
)  # fmt: skip
def test_round_takes_halves_up(query: str, expected: list[float]) -> None:
    """To the nearest multiple."""
    assert all(map(same, told(query, "x 2.5 -2.5 0.27", to=2).series["{}"], expected))


TIMES = (-1.0, -86_400 * 366.5, 0.0, 951_782_400.9, 1_709_251_199.0, 4_107_542_399.0, 253_402_300_799.0)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("minute", lambda at: at.minute), ("hour", lambda at: at.hour), ("month", lambda at: at.month),
        ("year", lambda at: at.year), ("day_of_month", lambda at: at.day),
        ("day_of_week", lambda at: at.isoweekday() % 7), ("day_of_year", lambda at: at.timetuple().tm_yday),
        ("days_in_month", lambda at: calendar.monthrange(at.year, at.month)[1]),
    ],
)  # fmt: skip
def test_dates_are_read_in_utc(name: str, read: Callable[[dt.datetime], int]) -> None:
    """Before the epoch and in leap years too; what is no time has no date."""
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    (found,) = told(f"{name}(x)", f"x {' '.join(map(str, TIMES))} NaN +Inf 1e30", to=len(TIMES) + 2).series.values()
    expected = [read(epoch + dt.timedelta(seconds=math.trunc(at))) for at in TIMES]
    assert all(map(same, found, [*expected, NAN, NAN, NAN]))


def test_dates_without_an_argument_are_of_the_step() -> None:
    """One series without labels."""
    assert told("minute()", at=58, to=61).series == {"{}": [58, 59, 0, 1]}


def test_scalar_wants_exactly_one_number() -> None:
    """Or it is NaN."""
    (found,) = told("scalar(x)", "x{a='1'} 1 2 _", "x{a='2'} _ 5 _", to=2).series.values()
    # The lookback keeps the first series alive at the last step.
    assert all(map(same, found, [1.0, NAN, NAN]))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("time()", [60.0, 120.0]), ("pi()", [math.pi] * 2), ("start()", [60.0] * 2), ("end()", [120.0] * 2),
        ("step()", [60.0] * 2), ("range()", [60.0] * 2), ("min_of(NaN, -Inf)", [-INF] * 2),
        ("min_of(1, NaN)", [NAN] * 2), ("max_of(time(), 90)", [90.0, 120.0]), ("max_of(NaN, Inf)", [INF] * 2),
    ],
)  # fmt: skip
def test_scalars(query: str, expected: list[float]) -> None:
    """Of the step, of the query, of two."""
    assert all(map(same, told(query, at=1, to=2).series[""], expected))


def test_the_query_s_edges_are_the_same_in_a_subquery() -> None:
    """Its own steps do not count; an instant query has neither step nor range."""
    assert told("sum_over_time(vector(end() + step())[2m:1m])", at=5, to=6).series == {"{}": [840.0, 840.0]}
    assert told("vector(range() + step())", at=5).series == {"{}": [0.0]}


def test_timestamp_of_what_was_computed_is_the_step_s() -> None:
    """And not that of a sample."""
    assert told("timestamp(x + 0)", "x 1", at=1, to=2).series == {"{}": [60.0, 120.0]}


@pytest.mark.parametrize(
    ("query", "labels"),
    [
        ('absent(x{a="1",b=~"2",c!="3",d=""})', '{a="1"}'),
        ('absent((x{a="1",a="2",b="3"}))', '{b="3"}'),
        ('absent(x{a=~"1",a="2"})', '{a="2"}'),
        ('absent({__name__="x",__type__="counter",a="1"})', '{a="1"}'),
        ('absent(sum(x{a="1"}))', "{}"),
        ('absent_over_time(x{a="1"}[5m])', '{a="1"}'),
        ('absent_over_time(sum(x{a="1"})[5m:1m])', "{}"),
    ],
)
def test_absent_has_the_labels_that_were_asked_for(query: str, labels: str) -> None:
    """Those that are asked for with `=` and once."""
    assert told(query).series == {labels: [1.0]}


def test_absent_is_there_where_nothing_else_is() -> None:
    """Step by step, over all series; stale markers end one."""
    lines = ("x{a='1'} 1 stale _ _ 1", "x{a='2'} _ _ 1 stale _")
    assert told("absent(x)", *lines, to=4).series == {"{}": [None, 1.0, None, 1.0, None]}
    assert told("absent_over_time(x[2m])", *lines, at=1, to=5).series == {}


def test_sort_orders_an_instant_answer_with_nan_last() -> None:
    """Either way."""
    lines = ("x{a='1'} 3", "x{a='2'} NaN", "x{a='3'} -1", "x{a='4'} 3")
    assert list(told("sort(x)", *lines).series) == ['x{a="3"}', 'x{a="1"}', 'x{a="4"}', 'x{a="2"}']
    assert list(told("sort_desc(x)", *lines).series) == ['x{a="1"}', 'x{a="4"}', 'x{a="3"}', 'x{a="2"}']


def test_sort_by_label_counts() -> None:
    """Numbers within values are numbers; ties are broken by all labels."""
    lines = ("x{a='n10',b='1'} 1", "x{a='n9',b='2'} 1", "x{a='n9',b='1'} 1", "x{b='0'} 1")
    expected = ['x{b="0"}', 'x{a="n9",b="1"}', 'x{a="n9",b="2"}', 'x{a="n10",b="1"}']
    assert list(told('sort_by_label(x, "a")', *lines).series) == expected
    assert list(told('sort_by_label_desc(x, "a")', *lines).series) == expected[::-1]
    assert next(iter(told('sort_by_label(x, "b", "a")', *lines).series)) == expected[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a2", "a10"),
        ("a2b", "a2c"),
        ("2", "a"),
        ("", "a"),
        ("a", "a0"),
        ("9" * 30, "10"),
        ("1.9", "1.10"),
        ("01a", "2"),
    ],
)
def test_natural_order(one: str, other: str) -> None:
    """As natsort has it; digits that are no int64 are text."""
    swapped = one.isdigit() and len(one) > 18
    assert (natural(one, other) < 0) is not swapped
    assert (natural(other, one) > 0) is not swapped
    assert natural(one, one) == 0 == natural("007", "7")


@pytest.mark.parametrize("query", ['sort_by_label(x, "a")', "sort(x)", "sort_desc(x)", 'sort_by_label_desc(x, "a")'])
def test_sorting_a_range_is_warned_of(query: str) -> None:
    """And does nothing."""
    answer = told(query, "x 1", to=1)
    said = "sort is ineffective for range queries since results are always ordered by labels"
    assert answer.warnings == [f"PromQL warning: {said} (1:1)"]
    assert answer.series == {"x{}": [1.0, 1.0]}
