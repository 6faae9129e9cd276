"""Native histograms in columns give what each would give alone, by the reference written from the specification."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from promql_histogram_reference import CUSTOM, IncompatibleError, One, block_of, bound, ones_of, rate, total

from gnomon_server.query.promql.histograms.arithmetic import add, divide, multiply, reduced, subtract
from gnomon_server.query.promql.histograms.block import Histograms, concatenate
from gnomon_server.query.promql.histograms.buckets import boundary_rules, ordered
from gnomon_server.query.promql.histograms.resets import close, detect_reset, equal
from gnomon_server.query.promql.histograms.statistics import fractions, quantiles, variances
from gnomon_server.query.promql.histograms.totals import avg_by, sum_by
from gnomon_server.query.promql.histograms.windows import avg_over_time, increase, sum_over_time

unhurried = settings(deadline=None, max_examples=40)  # the machine is shared
counts = st.integers(1, 9).map(float)
hints = st.sampled_from([0, 0, 0, 1, 2, 3])
# Between buckets' bounds, on them, within them.
thresholds = st.sampled_from([0.0, 0.0, 2.0**-128, 0.5, 1.0, 2**0.5, 1.1, 1.5, 3.0])


@st.composite
def exponential(draw: st.DrawFn, schemas: st.SearchStrategy[int], zero: st.SearchStrategy[float]) -> One:
    """A histogram whose buckets lie outside its zero bucket."""
    schema, threshold = draw(schemas), draw(zero)
    sides = [
        {index: count for index, count in draw(st.dictionaries(st.integers(-6, 8), counts, max_size=5)).items()
         if bound(schema, index - 1) >= threshold}
        for _ in range(2)
    ]  # fmt: skip
    zero_count = draw(st.integers(0, 4).map(float))
    number = zero_count + sum(sides[0].values()) + sum(sides[1].values())
    summed = draw(st.sampled_from([number, -3.5 * number, math.nan, math.inf]))
    more = draw(st.sampled_from([0.0, 0.0, 2.0]))  # observations of NaN
    return One(schema, number + more, summed, threshold, zero_count, *sides, hint=draw(hints))


@st.composite
def custom(draw: st.DrawFn) -> One:
    """A histogram with custom buckets."""
    bounds = tuple(sorted(draw(st.sets(st.sampled_from([-10.0, -1.0, 0.0, 1.0, 5.0, 10.0, 20.0]), max_size=5))))
    buckets = draw(st.dictionaries(st.integers(0, len(bounds)), counts, max_size=5))
    number = sum(buckets.values())
    summed = draw(st.sampled_from([number, math.nan, 0.5]))
    return One(CUSTOM, number, summed, positive=buckets, bounds=bounds, hint=draw(hints))


fine = st.sampled_from([8, 5, 3, 2, 1, 0, 0, -1, -4])
simple = exponential(st.just(0), st.just(0.0))
any_histogram = st.one_of(exponential(fine, thresholds), custom(), simple)
blocks = st.lists(any_histogram, min_size=1, max_size=6)


def near(one: float, other: float) -> bool:
    """The same but for rounding."""
    return (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


def same(found: One, expected: One, *, hint: bool = True) -> None:
    """The same histogram but for rounding."""
    assert found.schema == expected.schema
    assert found.bounds == expected.bounds
    assert found.zero_threshold == expected.zero_threshold
    for name in ("count", "sum", "zero_count"):
        assert near(getattr(found, name), getattr(expected, name)), name
    for mine, theirs in ((found.positive, expected.positive), (found.negative, expected.negative)):
        for index in {*mine, *theirs}:
            assert near(mine.get(index, 0.0), theirs.get(index, 0.0))
    if hint:
        assert found.hint == expected.hint


def alone(found: Histograms, row: int) -> One:
    """One of them."""
    return next(ones_of(found.take(np.array([row]))))


@unhurried
@given(blocks, blocks)
def test_columns_and_back(members: list[One], others: list[One]) -> None:
    """What goes into a block comes out of it, taken apart and put together in any order."""
    both = concatenate([block_of(members), block_of(others)])
    order = np.arange(len(both))[::-1]
    for found, expected in zip(ones_of(both.take(order)), [*members, *others][::-1], strict=True):
        same(found, expected)
    assert equal(both, both.take(order).take(order)).all()


@unhurried
@given(blocks)
def test_buckets_in_order(members: list[One]) -> None:
    """Bounds, counts and boundary rules are those of AllBucketIterator, and the zero bucket is in its place."""
    block = block_of(members)
    buckets = ordered(block)
    rules = boundary_rules(block, buckets)
    found = list(zip(buckets.lower, buckets.upper, buckets.count, rules, strict=True))
    expected = [(one.lower, one.upper, one.count, one.rule) for member in members for one in member.buckets()]
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert all(near(*pair) for pair in zip(mine, theirs, strict=True))


@unhurried
@given(st.lists(st.tuples(any_histogram, any_histogram), min_size=1, max_size=5))
def test_add_and_subtract(pairs: list[tuple[One, One]]) -> None:
    """Sums and differences row by row, their flags with them."""
    one, other = (block_of([pair[side] for pair in pairs]) for side in (0, 1))
    for function, sign in ((add, 1.0), (subtract, -1.0)):
        made, notes = function(one, other)
        for row, (first, second) in enumerate(pairs):
            assert notes.incompatible[row] == (first.custom != second.custom)
            if first.custom == second.custom:
                expected, conflict, reconciled = first.plus(second, sign)
                same(alone(made, row), expected, hint=sign > 0)
                assert (notes.reset_conflict[row], notes.reconciled[row]) == (conflict, reconciled)


@unhurried
@given(blocks, st.sampled_from([2.0, -0.5, 0.0, math.inf, 3.0]))
def test_multiply_and_divide(members: list[One], factor: float) -> None:
    """Each count is scaled; division by nothing takes the buckets away."""
    block, factors = block_of(members), np.full(len(members), factor)
    for row, member in enumerate(members):
        same(alone(multiply(block, factors), row), member.times(factor))
        if factor and math.isfinite(factor):
            same(alone(divide(block, factors), row), member.times(1 / factor))
    emptied = divide(block, np.zeros(len(members)))
    assert not len(emptied.place)
    assert np.isinf(emptied.count[block.count > 0]).all()


@unhurried
@given(blocks, fine)
def test_reduced(members: list[One], schema: int) -> None:
    """A coarser resolution merges buckets; custom ones stay."""
    for found, member in zip(ones_of(reduced(block_of(members), np.full(len(members), schema))), members, strict=True):
        same(found, member.reduced(schema))


@unhurried
@given(st.lists(st.tuples(any_histogram, any_histogram, st.booleans()), min_size=1, max_size=6))
def test_detect_reset(pairs: list[tuple[One, One, bool]]) -> None:
    """A reset is found where the reference finds one: of strangers, and of a histogram and what it grew into."""
    before, after = [], []
    for one, other, grown in pairs:
        before.append(one)
        after.append(one.plus(other)[0] if grown and one.custom == other.custom else other)
    found = detect_reset(block_of(before), block_of(after))
    assert found.tolist() == [new.began_anew(old) for old, new in zip(before, after, strict=True)]


@unhurried
@given(blocks, st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.8, 0.99, 1.0, -1.0, 2.0, math.nan]))
def test_quantiles(members: list[One], q: float) -> None:
    """Quantiles by linear and exponential interpolation, NaN observations above all others."""
    found, undefined, _ = quantiles(block_of(members), np.full(len(members), q))
    for row, member in enumerate(members):
        expected = member.quantile(q)
        assert near(found[row], expected), (found[row], expected)
        assert not undefined[row] or math.isnan(expected)


values = st.sampled_from([-math.inf, -20.0, -3.0, -1.0, -0.3, 0.0, 0.7, 1.0, 1.2, 4.0, 7.0, 300.0, math.inf, math.nan])


@unhurried
@given(blocks, values, values)
def test_fractions(members: list[One], lower: float, upper: float) -> None:
    """Fractions between any two values."""
    number = len(members)
    found, _ = fractions(block_of(members), np.full(number, lower), np.full(number, upper))
    for row, member in enumerate(members):
        assert near(found[row], member.fraction(lower, upper))


@unhurried
@given(blocks)
def test_variances(members: list[One]) -> None:
    """The spread around the average, each observation in the middle of its bucket."""
    for found, member in zip(variances(block_of(members)), members, strict=True):
        assert near(found, member.variance())


def _grouped(function: Callable[..., object]) -> Callable[..., object]:
    same_zero = st.lists(st.tuples(st.integers(0, 2), exponential(fine, st.just(0.25))), min_size=1, max_size=9)
    same_schema = st.lists(st.tuples(st.integers(0, 2), exponential(st.just(1), thresholds)), min_size=1, max_size=9)
    customs = st.lists(st.tuples(st.integers(0, 2), custom()), min_size=1, max_size=9)
    mixed = st.lists(st.tuples(st.integers(0, 1), st.one_of(custom(), simple)), min_size=1, max_size=5)
    return unhurried(given(st.one_of(same_zero, same_schema, customs, mixed))(function))


@_grouped
def test_sums_and_averages_of_groups(members: list[tuple[int, One]]) -> None:
    """Groups of any size are added up as one histogram after the other would be."""
    groups = np.array([group for group, _ in members])
    block = block_of([member for _, member in members])
    summed, notes = sum_by(block, groups, 4)
    mean, _ = avg_by(block, groups, 4)
    assert not summed.count[3]
    for group in set(groups.tolist()):
        mine = [member for one, member in members if one == group]
        seen = {member.hint for member in mine}
        try:
            expected, reconciled = total(mine)
        except IncompatibleError:
            assert notes.incompatible[group]
            continue
        expected.hint = 3 if 3 in seen else seen.pop() if len(seen) == 1 else 0
        assert not notes.incompatible[group]
        assert notes.reconciled[group] == reconciled
        assert notes.reset_conflict[group] == ({1, 2} <= {member.hint for member in mine})
        same(alone(summed, group), expected)
        same(alone(mean, group), expected.times(1 / len(mine)))


def _windows(size: int) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(low, high) for low in range(size + 1) for high in range(low, size + 1)]
    return np.array([low for low, _ in pairs]), np.array([high for _, high in pairs])


@unhurried
@given(
    st.lists(st.one_of(simple, exponential(fine, st.just(0.0))), min_size=1, max_size=5)
    | st.lists(custom(), max_size=5)
)
def test_windows(members: Sequence[One]) -> None:
    """All windows over a series: sums, averages and increases are those of their members."""
    assume(members)
    block, (low, high) = block_of(members), _windows(len(members))
    summed, _ = sum_over_time(block, low, high)
    mean, _ = avg_over_time(block, low, high)
    ts = np.arange(len(members)) * 1000
    rates = {kind: increase(block, ts, low, high, None, counter=kind) for kind in (True, False)}
    for row, (begin, end) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        mine = members[begin:end]
        if mine:
            expected, _ = total(mine)
            same(alone(summed, row), expected, hint=False)
            same(alone(mean, row), expected.times(1 / len(mine)), hint=False)
        for kind, (found, notes) in rates.items():
            assert notes.present[row] == (len(mine) > 1)
            if len(mine) > 1:
                same(alone(found, row), rate(mine, counter=kind))


@unhurried
@given(st.lists(any_histogram, min_size=2, max_size=5), st.booleans())
def test_increase_of_any_mixture(members: list[One], counter: bool) -> None:
    """Where exponential and custom buckets meet there is no rate, unless the first one alone differed."""
    block, size = block_of(members), len(members)
    found, notes = increase(block, np.arange(size), np.array([0]), np.array([size]), None, counter=counter)
    try:
        expected = rate(members, counter=counter)
    except IncompatibleError:
        assert notes.incompatible[0]
        assert not notes.present[0]
        return
    assert notes.present[0]
    if len({member.zero_threshold for member in members}) == 1:
        same(alone(found, 0), expected)


@unhurried
@given(blocks)
def test_close(members: list[One]) -> None:
    """What differs in the last digits is close and not equal."""
    block = block_of(members)
    shaken = multiply(block, np.full(len(block), 1 + 1e-12))
    assert close(block, shaken, 1e-6).all()
    counted = np.isfinite(block.sum) & (block.count > 0)
    assert not equal(block, shaken)[counted].any()
    assert not close(block, multiply(block, np.full(len(block), 1.01)), 1e-6)[counted].any()


def test_none() -> None:
    """Blocks of no histograms at all go through everything."""
    none = block_of([])
    no_windows = np.empty(0, np.int64)
    assert not len(add(none, none)[0])
    assert not len(sum_over_time(none, no_windows, no_windows)[0])
    assert not len(increase(none, no_windows, no_windows, no_windows, None, counter=True)[0])
    assert not len(quantiles(none, np.empty(0))[0])
    assert not len(detect_reset(none, none))
    with pytest.raises(StopIteration):
        next(ones_of(none))
