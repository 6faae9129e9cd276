"""From text to tree."""

import math
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from gnomon_server.errors import InvalidInput
from gnomon_server.query.promql import ast
from gnomon_server.query.promql.ast import AtEdge, Binary, Cardinality, Matching, NumberLiteral
from gnomon_server.query.promql.format import show
from gnomon_server.query.promql.parser import MAX_LENGTH, parse, parse_selector
from gnomon_server.query.syntax.matchers import Matcher, MatchOp

REFUSED = Path(__file__).parents[3] / "cases" / "promql-syntax" / "refused.yaml"


@pytest.mark.parametrize("case", yaml.safe_load(REFUSED.read_text()), ids=lambda case: case["expr"])
def test_what_makes_no_sense_is_refused_with_its_place(case: dict[str, str]) -> None:
    """The page of refusals, place by place."""
    with pytest.raises(InvalidInput) as error:
        parse(case["expr"])
    assert error.value.what == case["what"]
    assert error.value.where.splitlines()[1:] == ["  " + line for line in case["spot"].splitlines()]
    assert error.value.hint == case.get("hint", "")


def _brackets(text: str) -> str:
    """The expression with each operator in parentheses."""

    def inside(node: ast.Expr) -> str:
        match node:
            case ast.Binary(op=op, lhs=lhs, rhs=rhs):
                return f"({inside(lhs)} {op} {inside(rhs)})"
            case ast.Unary(op=op, expr=expr):
                return f"({op}{inside(expr)})"
            case _:
                return show(node)

    return inside(parse(text))


@pytest.mark.parametrize(
    ("text", "meaning"),
    [("a + b * c", "(a + (b * c))"), ("a * b + c", "((a * b) + c)"), ("a - b - c", "((a - b) - c)"),
     ("a ^ b ^ c", "(a ^ (b ^ c))"), ("-a ^ b", "(-(a ^ b))"), ("-a * b", "((-a) * b)"),
     ("a ^ -b ^ c", "(a ^ (-(b ^ c)))"), ("a ^ -b * c", "((a ^ (-b)) * c)"), ("a or b and c", "(a or (b and c))"),
     ("a unless b and c", "((a unless b) and c)"), ("a == b + c", "(a == (b + c))"),
     ("a > b == c", "((a > b) == c)"), ("a </ b + c", "(a </ (b + c))"), ("a >/ b < c", "((a >/ b) < c)"),
     ("a atan2 b / c", "((a atan2 b) / c)"), ("a % b * c", "((a % b) * c)"), ("a AND b OR c", "((a and b) or c)"),
     ("--a", "(-(-a))"), ("-1 ^ 2", "(-(1 ^ 2))")],
)  # fmt: skip
def test_precedence_is_prometheus(text: str, meaning: str) -> None:
    """`^` binds to the right and tighter than a sign."""
    assert _brackets(text) == meaning


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-1", -1),
        ("+5.5e-3", 0.0055),
        ("--1", 1),
        ("-Inf", -math.inf),
        ("0xc", 12),
        ("017", 15),
        ("1_000", 1000),
    ],
)
def test_a_sign_is_part_of_a_number(text: str, value: float) -> None:
    """And so are all of Go's ways to write it."""
    assert parse(text) == NumberLiteral(value)


def test_a_duration_is_a_number_of_seconds() -> None:
    """A sign changes nothing about that; NaN has none."""
    assert parse("-1h30m") == NumberLiteral(-5400, is_duration=True)
    assert parse("-NaN") == NumberLiteral(math.nan)


def test_a_selector_has_all_its_matchers() -> None:
    """The name's is the last."""
    text = """foo:bar{a="1", "b.c"!='2', sum=~"3|4", x!~`\\d`,}"""
    assert parse(text) == ast.VectorSelector(
        "foo:bar",
        (
            Matcher("a", MatchOp.EQUAL, "1"),
            Matcher("b.c", MatchOp.NOT_EQUAL, "2"),
            Matcher("sum", MatchOp.REGEX, "3|4"),
            Matcher("x", MatchOp.NOT_REGEX, "\\d"),
            Matcher("__name__", MatchOp.EQUAL, "foo:bar"),
        ),
    )
    assert parse('{"my.metric", a="b"}') == ast.VectorSelector(
        "", (Matcher("__name__", MatchOp.EQUAL, "my.metric"), Matcher("a", MatchOp.EQUAL, "b"))
    )


@pytest.mark.parametrize(
    "word",
    ["sum", "MIN", "by", "offset", "and", "or", "unless", "without", "start", "end", "step", "range", "min_of",
     "anchored", "smoothed", "limitk", "fill_left"],
)  # fmt: skip
def test_keywords_are_metrics_where_nothing_else_fits(word: str) -> None:
    """In the spelling of the text."""
    for text in (word, f"{word} + {word}", f'{word}{{a="b"}}[5m]', f"sum({word}) by ({word})"):
        names = {node.name for node in ast.walk(parse(text)) if isinstance(node, ast.VectorSelector)}
        assert names == {word}


@pytest.mark.parametrize(
    ("text", "offset_ms", "at"),
    [("foo offset 5m", 300_000, None), ("foo offset -7m", -420_000, None), ("foo OFFSET 1.5", 1500, None),
     ("foo @ 1.2345", None, 1235), ("foo @ -3.3e1 offset 1m", 60_000, -33_000),
     ("foo offset 1m @ 1m40s", 60_000, 100_000), ("foo @ start()", None, AtEdge.START),
     ("foo @ END ( )", None, AtEdge.END), ("foo @ 0.0005", None, 1), ("foo @ 1e18", None, 2**53),
     ("foo offset - (5)", -5000, None), ("foo offset --5", 5000, None), ("foo offset +min_of(3, 2)", 2000, None),
     ("foo offset (1h - 5m) ", 3_300_000, None), ("foo offset -(2 ^ 2)", -4000, None)],
)  # fmt: skip
def test_modifiers_stand_in_any_order(text: str, offset_ms: int | None, at: int | AtEdge | None) -> None:
    """On selectors, on ranges (the selector's) and on subqueries."""
    tail = text.removeprefix("foo")
    for node in (parse(text), parse("foo[5m]" + tail).selector, parse("foo[5m:]" + tail)):
        assert (node.offset.ms if node.offset else None, node.at) == (offset_ms, at)


def test_an_offset_is_one_operand() -> None:
    """What follows it belongs to the values, unless the offset began with a bracket."""
    for text, shown in (
        ("foo offset 5s - 8", "foo offset 5s - 8"),
        ("foo offset -1 ^ 1", "foo offset -1s ^ 1"),
        ("foo offset step() ^ 0", "foo offset step() ^ 0"),
        ("foo offset -(min_of(step(), 1s)) + 8", "foo offset -(min_of(step(), 1s)) + 8"),
    ):
        tree = parse(text)
        assert isinstance(tree, Binary)
        assert show(tree) == shown
    assert parse("foo offset (5m) - 3").offset.ms == 297_000


@pytest.mark.parametrize(
    ("text", "ms"),
    [("5m", 300_000), ("300", 300_000), ("1.5", 1500), ("5m * 2", 600_000), ("2m*(10+5)", 1_800_000),
     ("-5m+35m", 1_800_000), ("30m1s-30m1s % 1m", 1_800_000), ("1h/2", 1_800_000), ("2^3", 8000),
     ("-(10s-5s)+20s", 15_000), ("(((5)))", 5000), ("max_of(1s, min_of(3s, 2s))", 2000), ("step() + 1", None),
     ("2m/range()", None), ("0+-2^2", None), ("1/(1-1)", None)],
)  # fmt: skip
def test_constant_durations_are_computed(text: str, ms: int | None) -> None:
    """What hangs on the query, or has no value, is left to `resolve`."""
    tree = parse(f"foo[{text}]")
    assert isinstance(tree, ast.MatrixSelector)
    assert tree.range.ms == ms
    subquery = parse(f"foo[1h:{text}]")
    assert isinstance(subquery, ast.Subquery)
    assert subquery.step is not None
    assert subquery.step.ms == ms


def test_extended_selectors() -> None:
    """On a selector or on its range, before or after other modifiers."""
    for text in ("foo[5m] anchored", "foo anchored[5m]", "foo[5m] anchored @ 5", "foo[5m] offset 5m ANCHORED"):
        tree = parse(text)
        assert isinstance(tree, ast.MatrixSelector)
        assert tree.selector.anchored
        assert not tree.selector.smoothed
    assert parse("foo smoothed").smoothed


def test_matching_of_vectors() -> None:
    """With all that may follow an operator."""
    text = 'a + on(x, "y.z",) group_left(q) fill_right(-1) fill_left(1h) b'
    expected = Matching(Cardinality.MANY_TO_ONE, ("x", "y.z"), on=True, include=("q",), fill_left=3600, fill_right=-1)
    assert parse(text).matching == expected
    assert parse("a / ignoring() group_right b").matching == Matching(Cardinality.ONE_TO_MANY)
    assert parse("a unless on(bool) b").matching == Matching(Cardinality.MANY_TO_MANY, ("bool",), on=True)
    filled = parse("a == bool fill(2) b")
    assert filled.matching == Matching(fill_left=2, fill_right=2)
    assert filled.return_bool
    assert parse("a + 1").matching is None


def test_grouping_stands_before_or_after() -> None:
    """Once."""
    before = parse('sum without (a, by, "c d",) (foo)')
    assert before == parse('sum(foo) without (a, by, "c d")')
    assert before.grouping == ("a", "by", "c d")
    assert parse("topk by (a) (3, foo)") == parse("TOPK(3, foo) by (a)")


def test_places_are_characters() -> None:
    """Whatever their length in UTF-8, comments and lines between."""
    text = 'rate({"é☺", b="c"}[5m]  offset 1m) # d\n + 1'
    tree = parse(text)
    assert isinstance(tree, Binary)
    inner = tree.lhs.args[0]
    assert text[inner.start : inner.end] == '{"é☺", b="c"}[5m]  offset 1m'
    assert text[inner.selector.start : inner.selector.end] == '{"é☺", b="c"}'
    assert text[inner.range.start : inner.range.end] == "5m"
    matcher = inner.selector.matchers[1]
    assert text[matcher.start : matcher.end] == 'b="c"'
    assert (tree.start, tree.end) == (0, len(text))


def test_a_selector_alone_is_read() -> None:
    """For `match[]`; nothing else is."""
    assert parse_selector('foo{a="b"}') == (Matcher("a", MatchOp.EQUAL, "b"), Matcher("__name__", MatchOp.EQUAL, "foo"))
    for text in ("foo[5m]", "foo + foo", "foo offset 5m", "{}", "1", ""):
        with pytest.raises(InvalidInput, match="parse error"):
            parse_selector(text)


def test_limits_of_length_and_depth() -> None:
    """What they let pass is parsed and checked within Python's own limit, deep in a stack as it is."""
    with pytest.raises(InvalidInput, match=f"{MAX_LENGTH + 1} characters"):
        parse("a" * (MAX_LENGTH + 1))
    deepest = "abs(" * 125 + "a" + " + a" * 120 + ")" * 125
    found = []
    thread = threading.Thread(target=_below, args=(150, lambda: found.append(show(parse(deepest)))))
    thread.start()
    thread.join()
    assert found == [deepest]
    assert show(parse(" or ".join(["a"] * 256)))
    for text in ("abs(" * 128 + "a" + ")" * 128, " or ".join(["a"] * 257)):
        with pytest.raises(InvalidInput, match=r"nests deeper than 128|more than 256"):
            parse(text)


def _below(frames: int, work: Callable[[], None]) -> None:
    """Call `work` so many frames down."""
    if frames:
        _below(frames - 1, work)
    else:
        work()
