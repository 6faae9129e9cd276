"""Strategies for PromQL trees such as the parser builds: what printing cannot tell apart is in parentheses."""

import math
from typing import Any

from hypothesis import strategies as st

from gnomon_server.query.promql import ast
from gnomon_server.query.promql.ast import Cardinality, Matching
from gnomon_server.query.promql.duration import fold
from gnomon_server.query.syntax.matchers import METRIC_NAME, Matcher, MatchOp

ARITHMETIC = {"+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "atan2": 5, "^": 6}
COMPARISONS = dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), 3)
TRIMS = dict.fromkeys(("</", ">/"), 3)
SETS = {"or": 1, "and": 2, "unless": 2}
PRECEDENCE = ARITHMETIC | COMPARISONS | TRIMS | SETS
SIGN = 5.5  # between product and power

# Keywords that are metrics' and labels' names too.
WORDS = ["sum", "offset", "by", "and", "start", "step", "min_of", "fill", "anchored", "limitk", "without", "foo", "_x9"]
metric_names = st.sampled_from([*WORDS, "a:b", ":c"])
texts = st.text(st.characters(codec="utf-8"), max_size=8)
label_names = st.sampled_from([*WORDS, "bool", "on", "group_left"]) | texts.filter(bool)
groupings = st.lists(label_names, max_size=3).map(tuple)
patterns = st.sampled_from(["a|b", ".+", "[^x]*y", r"\d{2}\.", "(?i)é", ""])
instants = st.none() | st.sampled_from(ast.AtEdge) | st.integers(-(10**15), 10**15)

_literal = st.integers(1, 10**12).map(lambda ms: ast.DurationLiteral(ms / 1000))
_seconds = st.integers(1, 10**6).map(lambda value: ast.DurationLiteral(float(value), has_unit=False))
_call = st.sampled_from(("step", "range")).map(ast.DurationCall)


def _computed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    both = st.sampled_from(("min_of", "max_of"))
    return st.builds(
        lambda op, a, b: ast.DurationParen(ast.DurationBinary(op, a, b)), st.sampled_from("+*"), inner, inner
    ) | st.builds(lambda name, a, b: ast.DurationCall(name, (a, b)), both, inner, inner)


_computed_durations = st.recursive(_literal | _seconds | _call, _computed, max_leaves=4)
_terms = st.builds(ast.DurationBinary, st.sampled_from("+-*/%^"), _call, _computed_durations) | _call
lengths = (_literal | _terms).map(lambda expr: ast.Duration(expr, fold(expr)))
offsets = st.none() | (
    _literal
    | _call
    | st.integers(-(10**12), 0).map(lambda ms: ast.DurationLiteral(ms / 1000))
    | _call.map(ast.DurationNegation)
).map(lambda expr: ast.Duration(expr, fold(expr), is_offset=True))


_plain_ops = st.sampled_from([MatchOp.EQUAL, MatchOp.NOT_EQUAL])
_regex_ops = st.sampled_from([MatchOp.REGEX, MatchOp.NOT_REGEX])


@st.composite
def selectors(draw: st.DrawFn) -> ast.VectorSelector:
    """An instant vector selector with something in it that is not empty."""
    found = [
        *draw(st.lists(st.builds(Matcher, label_names, _plain_ops, texts), max_size=3)),
        *draw(st.lists(st.builds(Matcher, label_names, _regex_ops, patterns), max_size=2)),
    ]
    name = draw(metric_names | st.just(""))
    found += [Matcher("q", MatchOp.EQUAL, draw(texts.filter(bool)))] * (not name)
    found = [matcher for matcher in found if matcher.name != METRIC_NAME]
    # In the order in which they are printed, so that trees compare.
    found.sort(key=_printed)
    found += [Matcher(METRIC_NAME, MatchOp.EQUAL, name)] if name else []
    extended = draw(st.sampled_from(("", "", "anchored", "smoothed")))
    return ast.VectorSelector(
        name, tuple(found), draw(offsets), draw(instants), extended == "anchored", extended == "smoothed"
    )


def _printed(matcher: Matcher) -> str:
    from gnomon_server.query.promql.format import show  # noqa: PLC0415 - for its way of writing a matcher alone

    return show(ast.VectorSelector("", (matcher,)))[1:-1]


def numbers() -> st.SearchStrategy[ast.NumberLiteral]:
    """Numbers and durations; NaN as the one object that the parser has for it."""
    floats = st.floats().map(lambda value: math.nan if math.isnan(value) else value)
    return floats.map(ast.NumberLiteral) | st.integers(-(10**12), 10**12).map(
        lambda ms: ast.NumberLiteral(ms / 1000, is_duration=True)
    )


def _precedence(node: Any) -> float:
    match node:
        case ast.Binary(op=op):
            return PRECEDENCE[op]
        case ast.Unary():
            return SIGN
        case ast.NumberLiteral(value=value) if math.copysign(1, value) < 0 or value == math.inf:
            return SIGN  # printed with a sign
        case _:
            return 9


def _within(node: Any, least: float) -> Any:
    return node if _precedence(node) >= least else ast.Paren(node)


def _binary(op: str, left: Any, right: Any, *, bool_modifier: bool = False, matching: Matching | None = None) -> Any:
    precedence = PRECEDENCE[op]
    power = op == "^"
    left = _within(left, precedence + 0.6 if power else precedence)
    # Right of an operator a sign stands as it is, whatever the operator.
    signed = isinstance(right, ast.Unary | ast.NumberLiteral)
    right = right if signed else _within(right, precedence if power else precedence + 0.1)
    return ast.Binary(op, left, right, bool_modifier and op in COMPARISONS, matching)


def _signed(op: str, node: Any) -> Any:
    plain = isinstance(node, ast.NumberLiteral) or _precedence(node) < SIGN
    return ast.Unary(op, ast.Paren(node) if plain else node)


@st.composite
def matchings(draw: st.DrawFn, op: str) -> Matching:
    """How two vectors find each other."""
    on = draw(st.booleans())
    labels = draw(groupings)
    if op in SETS:
        return Matching(Cardinality.MANY_TO_MANY, labels, on)
    cardinality = draw(st.sampled_from((Cardinality.ONE_TO_ONE, Cardinality.MANY_TO_ONE, Cardinality.ONE_TO_MANY)))
    include = () if cardinality is Cardinality.ONE_TO_ONE else draw(groupings)
    include = tuple(label for label in include if not on or label not in labels)
    fills = st.none() | st.floats(allow_nan=False)
    return Matching(cardinality, labels, on, include, draw(fills), draw(fills))


@st.composite
def _vector_binaries(draw: st.DrawFn, inner: st.SearchStrategy[Any], scalars: st.SearchStrategy[Any]) -> Any:
    left, right = draw(inner), draw(inner)
    kind = draw(st.sampled_from(("both", "left", "right")))
    if kind == "both":
        op = draw(st.sampled_from(sorted(PRECEDENCE)))
        return _binary(op, left, right, bool_modifier=draw(st.booleans()), matching=draw(matchings(op)))
    op = draw(st.sampled_from(sorted(ARITHMETIC | COMPARISONS | TRIMS)))
    scalar = draw(scalars)
    pair = (left, scalar) if kind == "left" else (scalar, right)
    return _binary(op, *pair, bool_modifier=draw(st.booleans()))


def _more_scalars(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    ops = st.sampled_from(sorted(ARITHMETIC))
    compared = st.builds(
        lambda op, a, b: _binary(op, a, b, bool_modifier=True), st.sampled_from(sorted(COMPARISONS)), inner, inner
    )
    return (
        st.builds(_binary, ops, inner, inner)
        | compared
        | inner.map(ast.Paren)
        | st.builds(_signed, st.sampled_from("+-"), inner)
        | st.builds(lambda a, b: ast.Call("max_of", (a, b)), inner, inner)
    )


scalars = st.recursive(
    numbers() | st.sampled_from(("time", "pi", "start", "range")).map(ast.Call), _more_scalars, max_leaves=4
)


def _more_vectors(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    plain = st.sampled_from(("sum", "avg", "group", "stdvar"))
    with_number = st.sampled_from(("topk", "quantile", "limit_ratio"))
    strings = texts.map(ast.StringLiteral)
    labels = st.lists(strings, min_size=3, max_size=5)
    subqueries = st.builds(
        ast.Subquery, inner.map(lambda node: _within(node, 7)), lengths, st.none() | lengths, offsets, instants
    )
    return (
        _vector_binaries(inner, scalars)
        | inner.map(ast.Paren)
        | st.builds(_signed, st.sampled_from("+-"), inner)
        | st.builds(ast.Aggregate, plain, inner, st.none(), groupings, st.booleans())
        | st.builds(lambda op, p, node, by: ast.Aggregate(op, node, p, by), with_number, scalars, inner, groupings)
        | st.builds(lambda p, node: ast.Aggregate("count_values", node, p), strings, inner)
        | st.builds(lambda node: ast.Call("abs", (node,)), inner)
        | st.builds(lambda q, node: ast.Call("histogram_quantile", (q, node)), scalars, inner)
        | st.builds(lambda node, rest: ast.Call("label_join", (node, *rest)), inner, labels)
        | st.builds(lambda node: ast.Call("rate", (node,)), subqueries)
    )  # fmt: skip


def _range_vector(selector: ast.VectorSelector, length: ast.Duration) -> ast.Call:
    return ast.Call("rate", (ast.MatrixSelector(selector, length),))


vectors = st.recursive(selectors() | st.builds(_range_vector, selectors(), lengths), _more_vectors, max_leaves=5)
trees = scalars | vectors | st.builds(ast.MatrixSelector, selectors(), lengths) | texts.map(ast.StringLiteral)
