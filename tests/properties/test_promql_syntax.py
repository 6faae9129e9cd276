"""PromQL's parser and printer undo each other; no text makes the parser do anything but answer or refuse.

GNOMON_EXAMPLES makes the search longer.
"""

import os
from typing import Any

import promql_trees
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gnomon_server.errors import InvalidInput
from gnomon_server.query.promql.format import pretty, show
from gnomon_server.query.promql.parser import MAX_LENGTH, parse
from gnomon_server.query.syntax import regex

thorough = settings(
    max_examples=int(os.environ.get("GNOMON_EXAMPLES", "150")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

_PIECES = [
    "foo", "sum", "by", "(", ")", "{", "}", "[", "]", "5m", ":", ",", "1", "-", "+", "^", "==", "and", "on", "bool",
    "offset", "@", "start", "step()", "min_of", "=", "=~", "!~", '"a"', '"(', "'", "`", "\\", "#", "\n", "é", "\ud800",
    "fill", "group_left", "topk", "rate", "anchored", "</", ">/", "0x", "1e", ".", "_", "9" * 30, "inf", "\x00",
]  # fmt: skip


@thorough
@given(promql_trees.trees)
def test_a_printed_tree_is_that_tree(tree: Any) -> None:
    """On one line and laid out."""
    assert parse(show(tree)) == tree
    assert parse(pretty(tree)) == tree


@thorough
@given(promql_trees.trees)
def test_every_node_knows_its_place(tree: Any) -> None:
    """What a node of the parser covers in the text, read alone, is that node."""
    text = show(tree)
    found = parse(text)
    assert (found.start, found.end) == (0, len(text))
    for part in promql_trees.ast.children(found):
        if not isinstance(found, promql_trees.ast.MatrixSelector):
            assert parse(text[part.start : part.end]) == part


@thorough
@given(st.lists(st.sampled_from(_PIECES), max_size=12).map(" ".join) | st.lists(st.sampled_from(_PIECES)).map("".join))
def test_any_text_is_taken_or_refused_with_its_place(text: str) -> None:
    """And what is taken can be printed and read again."""
    refusal = _refusal(text)
    if refusal is None:
        tree = parse(text)
        assert show(parse(show(tree))) == show(tree)
    else:
        assert refusal.code == "promql_parse"
        assert "^" in refusal.where
        str(refusal).encode()


@thorough
@given(st.text(st.sampled_from("ab.*+?{2,}()[]^-|\\dQEpLn:?<>=P\0é"), max_size=20))
def test_any_pattern_is_taken_or_refused_with_its_place(pattern: str) -> None:
    """The place lies in the pattern, and is quoted in the message."""
    try:
        regex.check(pattern)
    except regex.RegexError as error:
        found = error
    else:
        return
    assert 0 <= found.start <= found.end <= len(pattern)
    assert found.what.endswith(f"`{pattern[found.start : found.end]}`")


@pytest.mark.parametrize("piece", ["(", "-", "abs(", "a + ", "a ^ ", "a[5m:", "sum by (a) (", "a or ", "a[1+", "a[("])
@pytest.mark.parametrize("length", [3000, MAX_LENGTH - 1])
def test_depth_without_end_is_refused(piece: str, length: int) -> None:
    """However it nests: with a clear word, not with a fault of ours."""
    refusal = _refusal(piece * (length // len(piece)) + "1")
    assert refusal is not None
    assert refusal.code == "promql_parse"


def _refusal(text: str) -> InvalidInput | None:
    try:
        parse(text)
    except InvalidInput as error:
        return error
    return None
