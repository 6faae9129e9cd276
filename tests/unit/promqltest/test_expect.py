"""When an answer is the expected one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.promqltest.answers import Failure, Result, Series, Shown, of_json
from tests.promqltest.expect import almost_equal, failure_fault, note_fault, value_fault
from tests.promqltest.histogram import Histogram, read_histogram
from tests.promqltest.language import Evaluation, read_script
from tests.promqltest.series import STALE, Labels

A: Labels = (("__name__", "m"), ("a", "1"))
B: Labels = (("__name__", "m"), ("a", "2"))


def _expecting(lines: str, head: str = "eval instant at 0 m") -> Evaluation:
    (command,) = read_script(f"{head}\n{lines}")
    assert isinstance(command, Evaluation)
    return command


def _vector(*samples: tuple[Labels, Any]) -> Result:
    series = [
        Series(labels, [(0, value)]) if isinstance(value, float) else Series(labels, [], [(0, value)])
        for labels, value in samples
    ]
    return Result("vector", series)


def _matrix(*rows: tuple[Labels, Sequence[tuple[int, float]]]) -> Result:
    return Result("matrix", [Series(labels, list(samples)) for labels, samples in rows])


def test_numbers_are_equal_within_a_millionth() -> None:
    """Relative to their sum; zero equals only what is next to nothing; NaN equals any NaN."""
    assert almost_equal(1e9, 1e9 + 100)
    assert not almost_equal(1.0, 1.00001)
    assert not almost_equal(0.0, 1e-300)
    assert almost_equal(STALE, float("nan"))
    assert almost_equal(float("inf"), float("inf"))
    assert not almost_equal(float("inf"), float("-inf"))
    assert not almost_equal(1.0, float("nan"))


@pytest.mark.parametrize(
    ("result", "fault"),
    [
        (_vector((A, 1.0), (B, 2.0)), ""),
        (_vector((B, 2.0), (A, 1.0)), ""),
        (_vector((A, 1.0)), 'missing: m{a="2"}'),
        (_vector((A, 1.0), (B, 2.0), ((), 3.0)), "unexpected {}: 3.0@0"),
        (_vector((A, 1.0), (B, 2.0), (B, 2.0)), "twice"),
        (_vector((A, 1.0), (B, 2.1)), "expected 2.0, got 2.1"),
        (_vector((A, 1.0), (B, Histogram())), "expected 2.0, got {{"),
        (Result("scalar", scalar=1.0), "expected series"),
    ],
)
def test_vectors_are_compared_series_by_series(result: Result, fault: str) -> None:
    """In any order, none missing, none too many."""
    found = value_fault(_expecting('m{a="1"} 1\nm{a="2"} 2'), result)
    assert (fault in found) if fault else (found == "")


def test_order_is_compared_where_it_is_expected() -> None:
    """And only there."""
    expected = _expecting('expect ordered\nm{a="1"} 1\nm{a="2"} 2')
    assert value_fault(expected, _vector((A, 1.0), (B, 2.0))) == ""
    assert "at place 2" in value_fault(expected, _vector((B, 2.0), (A, 1.0)))


@pytest.mark.parametrize(
    ("result", "fault"),
    [
        (_matrix((A, [(0, 1.0), (120_000, 3.0)]), (B, [(60_000, 2.0)])), ""),
        (_matrix((B, [(60_000, 2.0)]), (A, [(0, 1.0), (120_000, 3.0)])), "not sorted"),
        (_matrix((A, [(0, 1.0), (60_000, 2.0), (120_000, 3.0)]), (B, [(60_000, 2.0)])), "expected a sample at 120000"),
        (_matrix((A, [(0, 1.0)]), (B, [(60_000, 2.0)])), "expected 2 samples, got 1"),
        (_matrix((A, [(0, 1.0), (120_000, 4.0)]), (B, [(60_000, 2.0)])), "at 120000 ms expected 3.0, got 4.0"),
    ],
)
def test_matrices_are_compared_sample_by_sample(result: Result, fault: str) -> None:
    """With their times, gaps included, and sorted by labels."""
    expected = _expecting('m{a="1"} 1 _ 3\nm{a="2"} _ 2', "eval range from 0 to 2m step 1m m")
    found = value_fault(expected, result)
    assert (fault in found) if fault else (found == "")


def test_more_values_than_steps_are_a_fault_of_the_script() -> None:
    """The range cannot answer them."""
    expected = _expecting('m{a="1"} 1 2 3', "eval range from 0 to 1m step 1m m")
    assert "not so many steps" in value_fault(expected, _matrix((A, [(0, 1.0), (60_000, 2.0)])))


def test_scalars_and_strings_are_compared() -> None:
    """Each with its own kind."""
    assert value_fault(_expecting("5"), Result("scalar", scalar=5.0)) == ""
    assert "got 6.0" in value_fault(_expecting("5"), Result("scalar", scalar=6.0))
    assert "got a vector" in value_fault(_expecting("5"), _vector(((), 5.0)))
    assert value_fault(_expecting('expect string "a"'), Result("string", text="a")) == ""
    assert "got 'b'" in value_fault(_expecting('expect string "a"'), Result("string", text="b"))


HISTOGRAM = "schema:0 count:7 sum:3 z_bucket:1 z_bucket_w:0.1 buckets:[1 0 2] n_buckets:[3]"


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 1},
        {"count": 8.0},
        {"sum": 3.1},
        {"zero_threshold": 0.2},
        {"zero_count": 2.0},
        {"positive": {0: 1.0, 1: 2.0}},
        {"positive": {0: 1.0, 2: 2.0, 3: 1e-9}},
        {"negative": {}},
        {"bounds": (1.0,)},
    ],
)
def test_histograms_are_compared_bucket_by_bucket(changes: dict[str, Any]) -> None:
    """Every part counts; the hint, only where one is expected."""
    same = read_histogram(HISTOGRAM)
    expected = _expecting(f'm{{a="1"}} {{{{{HISTOGRAM}}}}}')
    assert value_fault(expected, _vector((A, same))) == ""
    assert value_fault(expected, _vector((A, replace(same, hint=3)))) == ""
    assert value_fault(expected, _vector((A, replace(same, **changes)))) != ""


def test_a_hint_that_is_expected_must_be_there() -> None:
    """Also where it says that nothing is known."""
    expected = _expecting('m{a="1"} {{count:1 counter_reset_hint:unknown}}')
    assert value_fault(expected, _vector((A, Histogram(count=1)))) == ""
    assert value_fault(expected, _vector((A, Histogram(count=1, hint=2)))) != ""


def test_histograms_of_the_http_api_are_compared_by_their_bounds() -> None:
    """The JSON shows neither resolution nor empty buckets."""
    expected = _expecting(f'm{{a="1"}} {{{{{HISTOGRAM}}}}}')
    shown = Shown(7, 3, [(1, -1, -0.5, 3), (3, -0.1, 0.1, 1), (0, 0.5, 1, 1), (0, 2, 4, 2)])
    assert value_fault(expected, _vector((A, shown))) == ""
    assert value_fault(expected, _vector((A, replace(shown, buckets=shown.buckets[1:])))) != ""
    assert value_fault(expected, _vector((A, replace(shown, buckets=[(0, -1, -0.5, 3), *shown.buckets[1:]])))) != ""


def test_failures_are_compared_with_their_words() -> None:
    """A fault of ours is no refusal, whatever it says."""
    expected = _expecting("expect fail msg: no such label")
    assert failure_fault(expected, Failure("no such label")) == ""
    assert failure_fault(expected, Failure("no such thing")) != ""
    assert "broke" in failure_fault(expected, Failure("no such label", unexpected=True))
    assert failure_fault(_expecting('m{a="1"} 1'), Failure("no")) == "failed: no"
    assert "expected a failure" in value_fault(expected, _vector())


@pytest.mark.parametrize(
    ("lines", "warnings", "infos", "good"),
    [
        ("m 1", ["w"], ["i"], True),
        ("expect no_warn", ["w"], [], False),
        ("expect no_info", ["w"], [], True),
        ("expect no_info", [], ["i"], False),
        ("expect warn", [], ["i"], False),
        ("expect warn", ["w"], [], True),
        ("expect warn msg: w", ["w"], [], True),
        ("expect warn msg: w", ["w", "other"], [], False),
        ("expect warn msg: w", ["ww"], [], False),
        ("expect warn msg: w\nexpect warn regex: o.*r", ["w", "other"], [], True),
        ("expect info regex: ^i", ["w"], ["is"], True),
    ],
)
def test_annotations_are_compared(lines: str, warnings: list[str], infos: list[str], *, good: bool) -> None:
    """Each that is expected must be there; once one of a kind is, each of that kind must be expected."""
    result = replace(_vector(), warnings=warnings, infos=infos)
    assert (note_fault(_expecting(lines), result) == "") is good


def test_the_old_words_ask_for_some_annotation() -> None:
    """`eval_warn` and `eval_info`."""
    expected = _expecting("", "eval_warn instant at 0 m")
    assert note_fault(expected, _vector()) != ""
    assert note_fault(expected, replace(_vector(), warnings=["w"])) == ""


def test_answers_of_the_http_api_are_read() -> None:
    """Scalars, strings, vectors and matrices with floats and histograms; annotations; errors."""
    histogram = {"count": "4", "sum": "5.5", "buckets": [[3, "-0.1", "0.1", "1"], [0, "1", "2", "3"]]}
    matrix = {
        "resultType": "matrix",
        "result": [{"metric": {"b": "2", "__name__": "m"}, "values": [[1.5, "+Inf"]], "histograms": [[2, histogram]]}],
    }
    body = {"status": "success", "data": matrix, "warnings": ["w"], "infos": ["i"]}
    shown = Shown(4, 5.5, [(3, -0.1, 0.1, 1), (0, 1, 2, 3)])
    series = Series((("__name__", "m"), ("b", "2")), [(1500, float("inf"))], [(2000, shown)])
    assert of_json(body) == Result("matrix", [series], warnings=["w"], infos=["i"])
    vector = {"resultType": "vector", "result": [{"metric": {}, "value": [0, "1"]}]}
    assert of_json({"status": "success", "data": vector}) == Result("vector", [Series((), [(0, 1.0)])])
    scalar = {"resultType": "scalar", "result": [0, "2.5"]}
    assert of_json({"status": "success", "data": scalar}) == Result("scalar", scalar=2.5)
    string = {"resultType": "string", "result": [0, "x"]}
    assert of_json({"status": "success", "data": string}) == Result("string", text="x")
    assert of_json({"status": "error", "errorType": "execution", "error": "no"}) == Failure("no")
