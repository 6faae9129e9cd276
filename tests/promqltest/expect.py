"""Whether an answer is the expected one, as exactly as Prometheus asks it of itself; the values and the notes apart.

Source: Prometheus, promql/promqltest/test.go (compareResult, compareNativeHistogram, checkAnnotations),
util/almost/almost.go.
"""

import math
from collections.abc import Sequence

from tests.promqltest.answers import Failure, Result, Series, Shown
from tests.promqltest.histogram import HINTS, Histogram
from tests.promqltest.language import Evaluation, Said
from tests.promqltest.series import Labels, Value

_TOLERANCE = 1e-6  # defaultEpsilon of test.go
_LEAST_NORMAL = 2.2250738585072014e-308


def almost_equal(one: float, other: float) -> bool:
    """Whether the difference is less than a millionth of the sum; NaN equals NaN."""
    if (math.isnan(one) and math.isnan(other)) or one == other:
        return True
    total, difference = abs(one) + abs(other), abs(one - other)
    if one == 0 or other == 0 or total < _LEAST_NORMAL:
        return difference < _TOLERANCE * _LEAST_NORMAL
    return difference / min(total, 1.7976931348623157e308) < _TOLERANCE


def failure_fault(expected: Evaluation, reply: Failure) -> str:
    """What is wrong about a refusal; empty when it is the expected one."""
    if expected.fails is None:
        return f"failed: {reply.message}"
    if reply.unexpected:
        return f"broke instead of refusing: {reply.message}"
    return "" if expected.fails.matches(reply.message) else f"failed with {reply.message!r}, expected {expected.fails}"


def note_fault(expected: Evaluation, result: Result) -> str:
    """What is wrong about the warnings and infos; empty when all is well."""
    if expected.no_warn and result.warnings:
        return f"unexpected warnings {result.warnings}"
    if expected.no_info and result.infos:
        return f"unexpected infos {result.infos}"
    if (expected.some_warn and not result.warnings) or (expected.some_info and not result.infos):
        return "expected an annotation, got none"
    return _notes("warning", expected.warns, result.warnings) or _notes("info", expected.informs, result.infos)


def _notes(kind: str, expected: Sequence[Said], actual: Sequence[str]) -> str:
    if not expected:
        return ""
    for said in expected:
        if not any(said.matches(message) for message in actual):
            return f"expected a {kind} {said}, got {list(actual)}"
    for message in actual:
        if not any(said.matches(message) for said in expected):
            return f"unexpected {kind} {message!r}"
    return ""


def value_fault(expected: Evaluation, result: Result) -> str:
    """The first difference of the values; empty when there is none."""
    if expected.fails is not None:
        return "expected a failure, got an answer"
    match result.kind:
        case "scalar":
            return _scalar(expected, result.scalar)
        case "string":
            return "" if expected.text == result.text else f"expected {expected.text!r}, got {result.text!r}"
        case "vector":
            return _vector(expected, result.series)
        case _:
            return _matrix(expected, result.series)


def _scalar(expected: Evaluation, value: float) -> str:
    if expected.scalar is None:
        return f"expected series, got the scalar {value}"
    return "" if almost_equal(expected.scalar, value) else f"expected the scalar {expected.scalar}, got {value}"


def _vector(expected: Evaluation, series: Sequence[Series]) -> str:
    if expected.scalar is not None:
        return f"expected the scalar {expected.scalar}, got a vector"
    for place, one in enumerate(series, 1):
        wanted = expected.series.get(one.labels)
        if wanted is None:
            return f"unexpected {show(one.labels)}: {_samples(one)}"
        if expected.ordered and wanted.place != place:
            return f"expected {show(one.labels)} at place {wanted.place}, it is at {place}"
        actual = one.histograms[0][1] if one.histograms else one.floats[0][1]
        if fault := _sample(wanted.values[0] if wanted.values else None, actual):
            return f"{show(one.labels)}: {fault}"
    return _missing(expected, series)


def _matrix(expected: Evaluation, series: Sequence[Series]) -> str:
    if expected.scalar is not None or expected.ordered:
        return "expected a scalar or an order, got a matrix"
    if fault := sorting_fault(series):
        return fault
    for one in series:
        wanted = expected.series.get(one.labels)
        if wanted is None:
            return f"unexpected {show(one.labels)}: {_samples(one)}"
        if fault := _row(expected, wanted.values, one):
            return f"{show(one.labels)}: {fault}; got {_samples(one)}"
    return _missing(expected, series)


def sorting_fault(series: Sequence[Series]) -> str:
    """A matrix is sorted by its labels: names and values in turn, as bytes."""
    keys = [[text.encode("utf-8", "surrogateescape") for pair in one.labels for text in pair] for one in series]
    for before, after, one in zip(keys, keys[1:], series[1:], strict=False):
        if before > after:
            return f"the series are not sorted: {show(one.labels)} stands too late"
    return ""


def _row(expected: Evaluation, values: Sequence[Value], actual: Series) -> str:
    times = [expected.start_ms + place * expected.step_ms for place in range(len(values))]
    if times and times[-1] > expected.end_ms:
        return f"{len(values)} values are expected, the range has not so many steps"
    wanted = [(at, value) for at, value in zip(times, values, strict=True) if value is not None]
    got: list[tuple[int, float | Histogram | Shown]] = sorted(
        [*actual.floats, *actual.histograms], key=lambda sample: sample[0]
    )
    for (at, value), (got_at, got_value) in zip(wanted, got, strict=False):
        if at != got_at:
            return f"expected a sample at {at} ms, the next is at {got_at} ms"
        if fault := _sample(value, got_value):
            return f"at {at} ms {fault}"
    return "" if len(wanted) == len(got) else f"expected {len(wanted)} samples, got {len(got)}"


def _missing(expected: Evaluation, series: Sequence[Series]) -> str:
    there = {one.labels for one in series}
    if len(there) != len(series):
        return "a series stands twice in the answer"
    missing = [show(labels) for labels in expected.series if labels not in there]
    return f"missing: {', '.join(missing[:5])}" if missing else ""


def _sample(expected: Value, actual: float | Histogram | Shown) -> str:
    if isinstance(expected, Histogram) and isinstance(actual, Histogram):
        same = _same_histogram(expected, actual)
    elif isinstance(expected, Histogram) and isinstance(actual, Shown):
        same = _same_shown(expected, actual)
    elif isinstance(expected, float) and isinstance(actual, float):
        same = almost_equal(expected, actual)
    else:
        same = False
    return "" if same else f"expected {expected}, got {actual}"


def _same_histogram(expected: Histogram, actual: Histogram) -> bool:
    return (
        expected.schema == actual.schema
        and almost_equal(expected.count, actual.count)
        and almost_equal(expected.sum, actual.sum)
        and expected.bounds == actual.bounds
        and expected.zero_threshold == actual.zero_threshold
        and almost_equal(expected.zero_count, actual.zero_count)
        and _same_buckets(expected.positive, actual.positive)
        and _same_buckets(expected.negative, actual.negative)
        and (not expected.hint_said or HINTS[expected.hint] == HINTS[actual.hint])
    )


def _same_buckets(expected: object, actual: object) -> bool:
    assert isinstance(expected, dict)
    assert isinstance(actual, dict)
    return expected.keys() == actual.keys() and all(
        almost_equal(count, actual[index]) for index, count in expected.items()
    )


def _same_shown(expected: Histogram, actual: Shown) -> bool:
    wanted = expected.buckets()
    return (
        almost_equal(expected.count, actual.count)
        and almost_equal(expected.sum, actual.sum)
        and len(wanted) == len(actual.buckets)
        and all(
            one[0] == other[0] and all(map(almost_equal, one[1:], other[1:]))
            for one, other in zip(wanted, actual.buckets, strict=True)
        )
    )


def show(labels: Labels) -> str:
    """`metric{a="b"}`."""
    said = dict(labels)
    name = said.pop("__name__", "")
    inside = ", ".join(f'{key}="{value}"' for key, value in said.items())
    return f"{name}{{{inside}}}"


def _samples(one: Series) -> str:
    shown = [f"{value}@{at}" for at, value in [*one.floats[:10], *one.histograms[:10]]]
    return " ".join(shown) if shown else "no samples"
