"""`info()`: which info series, as of when, and what of their labels."""

import numpy as np
import pytest
from tests.unit.query.promql.asking import MINUTE_MS, context, samples_of, told

from gnomon_server.errors import InvalidInput
from gnomon_server.query.promql.ast import Call
from gnomon_server.query.promql.evaluate import evaluate
from gnomon_server.query.promql.functions.info_selection import name_matchers, reference_times
from gnomon_server.query.promql.histograms.block import Histograms
from gnomon_server.query.promql.parser import parse
from gnomon_server.query.promql.values import NO_ROW, Grid, Samples

BASE = "up{instance='a',job='1'} 1 2 3"
TARGET = "target_info{instance='a',job='1',data='x',more='y'} 1 1 1"


DOUBLED = (
    'found duplicate series for info metric: existing {__name__="target_info", data="x", instance="a", job="1", '
    'more="y"} @ 0, new {__name__="target_info", data="z", instance="a", job="1"} @ 0'
)


@pytest.mark.parametrize(
    ("argument", "minutes"),
    [
        ("up", [8, 9]),
        ("up offset 2m", [6, 7]),
        ("up @ 60", [1, 1]),
        ("up @ end() offset 1m", [8, 8]),
        ("rate((up offset 1m)[5m:1m] offset 2m)", [5, 6]),
        ("rate((up offset 1m)[5m:1m] @ 180)", [2, 2]),
        ("rate((up @ 240)[5m:1m] offset 2m)", [4, 4]),
        ("up offset 1m + on() down offset 1m", [7, 8]),
        ("up * scalar(down offset 1m)", [8, 9]),
        ("up @ 120 + on() down @ 180 offset 1m", [2, 2]),
        ("up offset 1m + on() down", [8, 9]),
        ("up offset 1m or vector(1)", [8, 9]),
        ("info(up offset 1m, {a='b'})", [7, 8]),
        ("vector(1)", [8, 9]),
    ],
)
def test_info_series_are_looked_at_as_the_samples_are(argument: str, minutes: list[int]) -> None:
    """If all samples are looked at alike; else at the time of the step."""
    grid = Grid(8 * MINUTE_MS, 9 * MINUTE_MS, MINUTE_MS)
    call = parse(f"info({argument})", experimental=True)
    assert isinstance(call, Call)
    assert (reference_times(call, grid, grid) // MINUTE_MS).tolist() == minutes


@pytest.mark.parametrize(
    ("second", "matchers"),
    [
        ("", ["=target_info"]), (", {a='b'}", ["=target_info"]), (", {__name__='x'}", ["=x"]),
        (", {__name__!='x',a='b'}", ["=~.+_info", "!=x"]), (", {__name__=~'x',__name__!~'y'}", ["=~x", "!~y"]),
    ],
)  # fmt: skip
def test_names_of_info_series(second: str, matchers: list[str]) -> None:
    """`target_info` where none are named, all `*_info` where some are only excluded."""
    call = parse(f"info(up{second})", experimental=True)
    assert isinstance(call, Call)
    assert [f"{one.op.value}{one.value}" for one in name_matchers(call)] == matchers


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("info(up)", 'up{data="x",instance="a",job="1",more="y"}'),
        ("info(up, {data=~'.+'})", 'up{data="x",instance="a",job="1"}'),
        ("info(up, {data=''})", 'up{instance="a",job="1"}'),
        ("info(up, {none=''})", 'up{instance="a",job="1"}'),
        ("info(up, {__name__='build_info'})", 'up{instance="a",job="1",version="2"}'),
        ("info(up, {__name__=~'(build|target)_info',version=~'.*',more=~'y'})", 'up{instance="a",job="1",more="y"}'),
        ("info(abs(up))", '{data="x",instance="a",job="1",more="y"}'),
        ("info(target_info)", 'target_info{data="x",instance="a",job="1",more="y"}'),
    ],
)
def test_labels_of_the_same_target_are_added(query: str, expected: str) -> None:
    """All, or those that are asked for; the name stays unless something took it away; info series stay as they are."""
    lines = (BASE, TARGET, "build_info{instance='a',job='1',version='2'} 1 1 1")
    assert list(told(query, *lines, to=2).series) == [expected]


def test_without_an_info_series_a_series_stays_or_goes() -> None:
    """It goes where a label is asked for that it cannot have."""
    other = "up{instance='b',job='1'} 1 2 3"
    assert told("info(up)", other, TARGET, to=2).series == {'up{instance="b",job="1"}': [1.0, 2.0, 3.0]}
    assert told("info(up, {data=~'x?'})", other, TARGET, to=2).series == {'up{instance="b",job="1"}': [1.0, 2.0, 3.0]}
    assert told("info(up, {data='x'})", other, TARGET, to=2).series == {}


def test_a_target_may_have_one_of_its_labels_alone() -> None:
    """Then so must the info series."""
    infos = ("target_info{instance='a',data='i'} 1", "target_info{job='1',data='j'} 1", "target_info{data='none'} 1")
    series = ("up{instance='a'} 1", "up{job='1'} 2", "up{a='b'} 3", "up{instance='a',job='1'} 4")
    assert told("info(up)", *series, *infos).series == {
        'up{data="i",instance="a"}': [1.0], 'up{data="j",job="1"}': [2.0], 'up{a="b"}': [3.0],
        'up{instance="a",job="1"}': [4.0],
    }  # fmt: skip


def test_labels_change_when_the_info_series_does() -> None:
    """The newest sample counts; after its end there is none."""
    lines = (BASE.replace("3", "3 4"), "target_info{instance='a',job='1',data='x'} 1 1 _ stale",
             "target_info{instance='a',job='1',data='y'} _ _ 1 stale")  # fmt: skip
    assert told("info(up)", *lines, to=3).series == {
        'up{data="x",instance="a",job="1"}': [1.0, 2.0, None, None],
        'up{data="y",instance="a",job="1"}': [None, None, 3.0, None],
        'up{instance="a",job="1"}': [None, None, None, 4.0],
    }


def test_what_the_series_has_itself_is_kept() -> None:
    """Also where it is what was asked for."""
    own = "up{instance='a',job='1',data='own'} 1"
    assert list(told("info(up, {data='x'})", own, TARGET).series) == ['up{data="own",instance="a",job="1"}']


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (
            (TARGET, "target_info{instance='a',job='1',data='z'} 1"),
            DOUBLED,
        ),
        ((TARGET, "build_info{instance='a',job='1',data='z'} 1"), "conflicting label: data"),
    ],
)
def test_info_series_that_disagree_are_refused(lines: tuple[str, ...], what: str) -> None:
    """Two at the same time, or of two names."""
    with pytest.raises(InvalidInput) as refusal:
        told("info(up, {__name__=~'.+_info'})", BASE, *lines)
    assert refusal.value.what == what
    assert told("info(up, {__name__=~'.+_info'})", *lines).series == {}


def test_an_info_series_is_no_histogram() -> None:
    """Its value would have no meaning."""
    text = "info(up)"
    info = samples_of("target_info{instance='a',job='1'} 1")
    zero, none = np.zeros(1), np.zeros(2, np.int64)
    block = Histograms(
        zero.astype(np.int8), zero.astype(np.uint8), zero, zero, zero, zero, zero.astype(np.int32), none,
        none[:0], zero[:0],
    )  # fmt: skip
    native = Samples(info.labels, info.begins, info.ts, info.v, np.array([NO_ROW + 1]), block)
    tree = parse(text, experimental=True)
    samples = {(0, len(text)): native, (5, 7): samples_of(BASE)}
    with pytest.raises(InvalidInput, match="info sample should be float"):
        evaluate(tree, context(text, Grid(0, 0, 0), samples))


def test_an_empty_vector_stays_empty() -> None:
    """Whatever info series there are."""
    assert told("info(nothing)", TARGET, TARGET.replace("x", "z")).series == {}


def test_a_pattern_too_large_to_run_is_refused() -> None:
    """With its place, and not as a fault of ours."""
    with pytest.raises(InvalidInput, match="the regular expression of data cannot be run"):
        told(r"info(up, {data=~'(?:\\pL{500}){2}'})", BASE, TARGET)
