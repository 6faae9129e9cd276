"""From text to tree: precedence climbing over PromQL's tokens.

Source: the grammar in Prometheus promql/parser/generated_parser.y, whose messages these are. `parse` is the door:
what it gives is checked (`check`), so its types fit and its functions exist.
"""

import math
from difflib import get_close_matches

from gnomon_server.errors import InvalidInput
from gnomon_server.query.promql import lexer
from gnomon_server.query.promql.ast import (
    Aggregate,
    Binary,
    Call,
    Cardinality,
    Expr,
    Matching,
    NumberLiteral,
    Paren,
    StringLiteral,
    Unary,
    VectorSelector,
)
from gnomon_server.query.promql.check import check, limit_depth
from gnomon_server.query.promql.cursor import Cursor
from gnomon_server.query.promql.modifiers import at_instant, extended, offset, range_or_step
from gnomon_server.query.promql.selector import label_names, matchers
from gnomon_server.query.promql.signatures import FUNCTIONS
from gnomon_server.query.syntax.lexer import quote
from gnomon_server.query.syntax.matchers import METRIC_NAME, Matcher, MatchOp

MAX_LENGTH = 100_000  # characters; the longest of 1,230 real expressions has 1,486

_PRECEDENCE = {
    "or": 1,
    "and": 2, "unless": 2,
    "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3, "</": 3, ">/": 3,
    "+": 4, "-": 4,
    "*": 5, "/": 5, "%": 5, "atan2": 5,
    "^": 6,
}  # fmt: skip
_POWER = 6  # right-associative, and tighter than a sign: -1^2 is -(1^2)
_SETS = frozenset({"and", "or", "unless"})
_WITH_PARAMETER = frozenset({"topk", "bottomk", "count_values", "quantile", "limitk", "limit_ratio"})
# Words that cannot be a metric's name outside braces; all other keywords can.
_NOT_A_METRIC = frozenset({"bool", "on", "ignoring", "group_left", "group_right", "atan2"})
_GROUPS = (("group_left", Cardinality.MANY_TO_ONE), ("group_right", Cardinality.ONE_TO_MANY))


def parse(text: str, *, experimental: bool = True) -> Expr:
    """The checked tree of an expression.

    Args:
        text: PromQL.
        experimental: whether what Prometheus has behind feature flags is part of the language: experimental functions
            and aggregations, duration expressions, `anchored` and `smoothed`, and the fill modifiers.

    Raises:
        InvalidInput: it is none. `what` reads as in Prometheus (`1:7: parse error: ...`), `where` shows the spot.
    """
    tree = _Parser(_open(text)).whole()
    limit_depth(tree, text)
    return check(tree, text, experimental=experimental)


def parse_selector(text: str) -> tuple[Matcher, ...]:
    """The matchers of a bare instant vector selector, as `match[]` of the Prometheus API takes it.

    Raises:
        InvalidInput: it is anything else.
    """
    tree = _Parser(_open(text)).selector()
    check(tree, text, experimental=False)
    return tree.matchers


def _open(text: str) -> Cursor:
    if len(text) > MAX_LENGTH:
        what = f"the expression has {len(text)} characters; {MAX_LENGTH} are allowed"
        raise InvalidInput("promql_too_long", what, where="query")
    return Cursor(text)


class _Parser:
    """One text on its way to a tree."""

    def __init__(self, cursor: Cursor) -> None:
        self._at = cursor

    def whole(self) -> Expr:
        if self._at.peek.kind == lexer.END:
            self._at.fail("no expression found in input", 0, 0)
        tree = self._expression(1)
        if self._at.peek.kind != lexer.END:
            self._at.unexpected()
        return tree

    def selector(self) -> VectorSelector:
        tree = self._vector_selector()
        if self._at.peek.kind != lexer.END:
            self._at.unexpected()
        return tree

    # Operators ----------------------------------------------------------------------------------------------------

    def _expression(self, least: int) -> Expr:
        """Operands joined by operators of at least this precedence."""
        self._at.descend()
        left = self._operand()
        while (found := _PRECEDENCE.get(self._operator(), 0)) >= least:
            op = self._at.take().text.lower()
            return_bool = self._at.accept("bool")
            matching = self._matching(op)
            right = self._expression(found if found == _POWER else found + 1)
            left = Binary(op, left, right, return_bool, matching, start=left.start, end=right.end)
        self._at.ascend()
        return left

    def _operator(self) -> str:
        token = self._at.peek
        return token.text.lower() if token.kind == lexer.OPERATOR else ""

    def _operand(self) -> Expr:
        token = self._at.peek
        if token.kind != lexer.OPERATOR or token.text not in "+-":
            return self._modified(self._primary())
        self._at.take()
        inner = self._expression(_POWER)
        if isinstance(inner, NumberLiteral):
            value = -inner.value if token.text == "-" and not math.isnan(inner.value) else inner.value
            return NumberLiteral(value, inner.is_duration, start=token.start, end=inner.end)
        return Unary(token.text, inner, start=token.start, end=inner.end)

    def _matching(self, op: str) -> Matching:
        """`on (...) group_left (...) fill (...)` and its kin after a binary operator."""
        start = self._at.peek.start
        cardinality = Cardinality.MANY_TO_MANY if op in _SETS else Cardinality.ONE_TO_ONE
        labels: tuple[str, ...] = ()
        include: tuple[str, ...] = ()
        on = self._at.accept("on")
        if on or self._at.accept("ignoring"):
            labels = label_names(self._at)
            grouped = next((kind for word, kind in _GROUPS if self._at.accept(word)), None)
            if grouped is not None:
                cardinality = grouped
                include = label_names(self._at) if self._at.sees("(") else ()
        left, right = self._fills()
        return Matching(cardinality, labels, on, include, left, right, start=start, end=self._at.last_end)

    def _fills(self) -> tuple[float | None, float | None]:
        if self._at.accept("fill"):
            value = self._fill_value()
            return value, value
        left = self._fill_value() if self._at.accept("fill_left") else None
        right = self._fill_value() if self._at.accept("fill_right") else None
        if left is None and right is not None and self._at.accept("fill_left"):
            left = self._fill_value()
        return left, right

    def _fill_value(self) -> float:
        self._at.expect("(", "fill modifier")
        value = self._at.signed_number("fill modifier", "number")
        self._at.expect(")", "fill modifier")
        return value

    # Operands -----------------------------------------------------------------------------------------------------

    def _primary(self) -> Expr:
        token, ahead = self._at.peek, self._at.ahead
        match token.kind:
            case lexer.NUMBER_KIND | lexer.DURATION_KIND:
                value = self._at.number()
                return NumberLiteral(value, token.kind == lexer.DURATION_KIND, start=token.start, end=token.end)
            case lexer.STRING_KIND:
                return StringLiteral(self._at.string(), start=token.start, end=token.end)
            case lexer.MARK if token.text == "(":
                return self._paren()
            case lexer.AGGREGATOR if ahead.text.lower() in ("(", "by", "without"):
                return self._aggregate()
            case lexer.IDENTIFIER | lexer.QUERY_WORD if ahead.text == "(":
                return self._call()
            case _:
                return self._vector_selector()

    def _paren(self) -> Expr:
        opening = self._at.take()
        inner = self._expression(1)
        closing = self._at.expect(")")
        return Paren(inner, start=opening.start, end=closing.end)

    def _call(self) -> Expr:
        name = self._at.take()
        args = self._arguments()
        if name.text not in FUNCTIONS:
            near = get_close_matches(name.text, FUNCTIONS, 1)
            hint = f"did you mean {near[0]}?" if near else ""
            self._at.fail(f"unknown function with name {quote(name.text)}", name.start, name.end, hint)
        return Call(name.text, args, start=name.start, end=self._at.last_end)

    def _arguments(self) -> tuple[Expr, ...]:
        self._at.expect("(")
        found: list[Expr] = []
        while not self._at.accept(")"):
            if found:
                comma = self._at.expect(",")
                if self._at.sees(")") or self._at.sees(","):
                    self._at.fail("trailing commas not allowed in function call args", comma.start, comma.end)
            found.append(self._expression(1))
        return tuple(found)

    def _aggregate(self) -> Expr:
        word = self._at.take()
        op = word.text.lower()
        self._at.aggregations += 1
        grouping = self._grouping()
        args = self._arguments()
        self._at.aggregations -= 1
        grouping = grouping or self._grouping()
        labels, without = grouping or ((), False)
        end = self._at.last_end
        if not args:
            self._at.fail("no arguments for aggregate expression provided", word.start, end)
        wanted = 2 if op in _WITH_PARAMETER else 1
        if len(args) != wanted:
            what = "wrong number of arguments for aggregate expression provided"
            self._at.fail(f"{what}, expected {wanted}, got {len(args)}", word.start, end)
        param = args[0] if op in _WITH_PARAMETER else None
        return Aggregate(op, args[-1], param, labels, without, start=word.start, end=end)

    def _grouping(self) -> tuple[tuple[str, ...], bool] | None:
        without = self._at.accept("without")
        if without or self._at.accept("by"):
            return label_names(self._at), without
        return None

    def _vector_selector(self) -> VectorSelector:
        token = self._at.peek
        name = ""
        found: tuple[Matcher, ...] = ()
        if token.kind in (lexer.IDENTIFIER, lexer.METRIC_IDENTIFIER) or self._is_metric():
            name = self._at.take().text
        elif token.text != "{" or token.kind != lexer.MARK:
            self._at.unexpected()
        if self._at.sees("{"):
            found = matchers(self._at)
        if name:
            found = (*found, Matcher(METRIC_NAME, MatchOp.EQUAL, name, token.start, token.end))
        return VectorSelector(name, found, start=token.start, end=self._at.last_end)

    def _is_metric(self) -> bool:
        token = self._at.peek
        if token.kind in (lexer.AGGREGATOR, lexer.QUERY_WORD, lexer.KEYWORD, lexer.OPERATOR):
            return token.text[0].isalpha() and token.text.lower() not in _NOT_A_METRIC
        return False

    # What follows an operand --------------------------------------------------------------------------------------

    def _modified(self, node: Expr) -> Expr:
        while True:
            token = self._at.peek
            if token.text == "[" and token.kind == lexer.MARK:
                node = range_or_step(self._at, node)
            elif token.text == "@" and token.kind == lexer.OPERATOR:
                node = at_instant(self._at, node)
            elif token.kind == lexer.KEYWORD and token.text.lower() == "offset":
                node = offset(self._at, node)
            elif token.kind == lexer.KEYWORD and token.text.lower() in ("anchored", "smoothed"):
                node = extended(self._at, node)
            else:
                return node
