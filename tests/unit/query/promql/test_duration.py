"""Durations that hang on the query."""

import pytest

from gnomon_server.errors import InvalidInput
from gnomon_server.query.promql.ast import Duration, MatrixSelector, VectorSelector
from gnomon_server.query.promql.duration import resolve
from gnomon_server.query.promql.parser import parse

STEP_MS, RANGE_MS = 15_000, 3_600_000


def _range(text: str) -> Duration:
    tree = parse(f"foo[{text}]")
    assert isinstance(tree, MatrixSelector)
    return tree.range


def _offset(text: str) -> Duration:
    tree = parse(f"foo offset {text}")
    assert isinstance(tree, VectorSelector)
    assert tree.offset is not None
    return tree.offset


@pytest.mark.parametrize(
    ("text", "ms"),
    [("5m", 300_000), ("step()", 15_000), ("range() / 2", 1_800_000), ("1+(STep()-5)*2", 21_000),
     ("step() ^ 2", 225_000), ("max_of(min_of((step()+1),((1h))),1ms)", 16_000), ("range() % 7m", 240_000),
     ("-step() + 1m", 45_000), ("4.35", 4350), ("step()/7", 2142)],
)  # fmt: skip
def test_ranges(text: str, ms: int) -> None:
    """In milliseconds, cut towards 0."""
    assert resolve(_range(text), STEP_MS, RANGE_MS) == ms


def test_offsets_may_be_negative() -> None:
    """Or nothing, which an instant query's step is."""
    assert resolve(_offset("(-step()*2)"), STEP_MS, RANGE_MS) == -30_000
    assert resolve(_offset("-step()"), 0, 0) == 0
    assert resolve(_offset("(1 - 2)"), 0, 0) == -1000


@pytest.mark.parametrize(
    ("duration", "message"),
    [(_range("step()"), "must be greater than 0"), (_range("0+-2^2"), "must be greater than 0"),
     (_range("1 / step()"), "division by zero"), (_offset("(1 % range())"), "modulo by zero"),
     (_range("10 ^ 400"), "out of range"), (_range("(0 - 8) ^ 0.5"), "out of range"),
     (_offset("(2 ^ 40 * 2 ^ 40)"), "out of range")],
)  # fmt: skip
def test_what_has_no_length_is_refused(duration: Duration, message: str) -> None:
    """Once the query is known, with the place."""
    with pytest.raises(InvalidInput, match=message) as error:
        resolve(duration, 0, 0)
    assert f"characters {duration.start + 1} to {duration.end}" in error.value.where
