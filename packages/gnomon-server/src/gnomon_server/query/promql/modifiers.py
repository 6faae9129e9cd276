"""What follows an operand: `[5m]`, `[5m:1m]`, `offset 5m`, `@ 1700000000`, `anchored` and `smoothed`."""

import math
from dataclasses import replace
from enum import Enum

from gnomon_server.query.promql import lexer
from gnomon_server.query.promql.ast import (
    AtEdge,
    Duration,
    DurationBinary,
    DurationCall,
    DurationExpr,
    DurationLiteral,
    DurationNegation,
    DurationParen,
    Expr,
    MatrixSelector,
    Subquery,
    VectorSelector,
)
from gnomon_server.query.promql.cursor import Cursor
from gnomon_server.query.promql.duration import MAX_SECONDS, fold, literal_seconds
from gnomon_server.query.syntax.lexer import Token

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "^": 3}
_SIGNED = 3  # what a sign takes: a power, but no product
_MAX_OPERATORS = 100  # of one duration; they stack up to a tree as deep
_OPERAND = "number, duration, step(), or range()"
_OR_NOTHING = 'number, duration, step(), range(), or "]"'
_BOTH = "anchored and smoothed modifiers cannot be used together"
_OFFSET_OF = "must be preceded by an instant vector selector or range vector selector or a subquery"
_MAX_TIME = 2**63
# Later than any sample, and exact in floating point; Prometheus' own counter overflows somewhat farther out.
_MAX_AT_MS = 2**53
_NO_NUMBERS = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}
_EDGES = {"start": AtEdge.START, "end": AtEdge.END}


class _Where(Enum):
    """What a duration is for, and what is said where there is none."""

    RANGE = "subquery or range selector"
    STEP = "subquery selector"
    OFFSET = "offset"


def range_or_step(cursor: Cursor, node: Expr) -> Expr:
    """`node[range]` or `node[range:step]`."""
    opening = cursor.take()
    extent = _duration(cursor, _Where.RANGE)
    if cursor.accept(":"):
        step = None if cursor.sees("]") else _duration(cursor, _Where.STEP)
        closing = cursor.expect("]", _Where.STEP.value, '"]"')
        return Subquery(node, extent, step, start=node.start, end=closing.end)
    closing = cursor.expect("]", "subquery or range", '":" or "]"')
    if not isinstance(node, VectorSelector):
        cursor.fail("ranges only allowed for vector selectors", opening.start, closing.end)
    if node.offset is not None:
        cursor.fail("no offset modifiers allowed before range", opening.start, closing.end)
    if node.at is not None:
        cursor.fail("no @ modifiers allowed before range", opening.start, closing.end)
    return MatrixSelector(node, extent, start=node.start, end=closing.end)


def offset(cursor: Cursor, node: Expr) -> Expr:
    """`node offset duration`."""
    cursor.take()
    value = _offset_duration(cursor)
    target = _target(cursor, node, "offset modifier")
    if target.offset is not None:
        cursor.fail("offset may not be set multiple times", node.start, node.end)
    return _put_back(node, replace(target, offset=value, end=cursor.last_end))


def at_instant(cursor: Cursor, node: Expr) -> Expr:
    """`node @ 1700000000`, `node @ start()` or `node @ end()`."""
    cursor.take()
    at: AtEdge | int
    edge = _EDGES.get(cursor.peek.text.lower())
    if edge is not None:
        cursor.take()
        cursor.expect("(", "@", "timestamp")
        cursor.expect(")", "@", "timestamp")
        at = edge
    else:
        seconds = cursor.signed_number("@", "timestamp")
        if not -_MAX_TIME < seconds < _MAX_TIME:
            shown = _NO_NUMBERS.get(str(seconds), f"{seconds:f}")
            cursor.fail(f"timestamp out of bounds for @ modifier: {shown}", node.start, node.end)
        ms = math.copysign(math.floor(abs(seconds) * 1000 + 0.5), seconds)
        at = int(max(-_MAX_AT_MS, min(ms, _MAX_AT_MS)))
    target = _target(cursor, node, "@ modifier")
    if target.at is not None:
        cursor.fail("@ <timestamp> may not be set multiple times", node.start, node.end)
    return _put_back(node, replace(target, at=at, end=cursor.last_end))


def extended(cursor: Cursor, node: Expr) -> Expr:
    """`node anchored` or `node smoothed`."""
    word = cursor.take().text.lower()
    if isinstance(node, Subquery):
        cursor.fail(f"{word} modifier is not supported for subqueries", node.start, node.end)
    if not isinstance(node, VectorSelector | MatrixSelector):
        cursor.fail(f"{word} modifier not implemented", node.start, node.end)
    selector = node if isinstance(node, VectorSelector) else node.selector
    anchored, smoothed = selector.anchored or word == "anchored", selector.smoothed or word == "smoothed"
    if anchored and smoothed:
        cursor.fail(_BOTH, node.start, node.end)
    return _put_back(node, replace(selector, anchored=anchored, smoothed=smoothed, end=cursor.last_end))


def _target(cursor: Cursor, node: Expr, modifier: str) -> VectorSelector | Subquery:
    """What holds the modifiers of `node`."""
    if isinstance(node, MatrixSelector):
        return node.selector
    if not isinstance(node, VectorSelector | Subquery):
        cursor.fail(f"{modifier} {_OFFSET_OF}", node.start, node.end)
    return node


def _put_back(node: Expr, changed: VectorSelector | Subquery) -> Expr:
    if isinstance(node, MatrixSelector) and isinstance(changed, VectorSelector):
        # The selector itself ends before the bracket, whatever follows it.
        return replace(node, selector=replace(changed, end=node.selector.end), end=changed.end)
    return changed


def _duration(cursor: Cursor, where: _Where) -> Duration:
    """A range or a step: a literal must be above 0, an expression is held to that when it is resolved."""
    start = cursor.peek.start
    expr = _Reader(cursor, where).expression(1)
    literal = literal_seconds(expr)
    if literal is not None and literal <= 0:
        cursor.fail("duration must be greater than 0", start, cursor.last_end)
    ms = fold(expr)
    if ms is not None and ms <= 0 and literal is None:
        ms = None
    return Duration(_plain(expr), ms, start=start, end=cursor.last_end)


def _offset_duration(cursor: Cursor) -> Duration:
    start = cursor.peek.start
    expr = _Reader(cursor, _Where.OFFSET).offset()
    return Duration(_plain(expr), fold(expr), is_offset=True, start=start, end=cursor.last_end)


def _plain(expr: DurationExpr) -> DurationExpr:
    """What comes down to one literal as that literal; it is printed with units."""
    literal = literal_seconds(expr)
    return expr if literal is None else DurationLiteral(literal, start=expr.start, end=expr.end)


class _Reader:
    """Reads one duration expression."""

    def __init__(self, cursor: Cursor, where: _Where) -> None:
        self._at = cursor
        self._where = where
        self._operators = 0

    def offset(self) -> DurationExpr:
        """One operand, with a sign or without: `foo offset 5m - 3` takes 3 from the values, not from the offset.

        An operand in parentheses goes on, as Prometheus' grammar has it: `foo offset (5m) - 3` is an offset of 297 s.
        """
        if self._at.sees("("):
            return self.expression(1)
        sign = self._sign()
        if sign is None:
            return self._operand()
        inner = self.expression(_SIGNED) if self._is_sign() else self._operand()
        return self._signed(sign, inner)

    def expression(self, least: int) -> DurationExpr:
        """Operands joined by operators of at least this precedence."""
        self._at.descend()
        sign = self._sign()
        left = self._operand() if sign is None else self._signed(sign, self.expression(_SIGNED))
        while (found := self._precedence()) >= least:
            op = self._at.take()
            self._count(op)
            # A power takes what is right of it first.
            right = self.expression(found if op.text == "^" else found + 1)
            if op.text in ("/", "%") and literal_seconds(right) == 0:
                what = "division by zero" if op.text == "/" else "modulo by zero"
                self._at.fail(what, op.start, op.end)
            left = DurationBinary(op.text, left, right, start=left.start, end=right.end)
        self._at.ascend()
        return left

    def _precedence(self) -> int:
        token = self._at.peek
        return _PRECEDENCE.get(token.text, 0) if token.kind == lexer.OPERATOR else 0

    def _count(self, op: Token) -> None:
        self._operators += 1
        if self._operators > _MAX_OPERATORS:
            self._at.fail(f"a duration has at most {_MAX_OPERATORS} operators", op.start, op.end)

    def _is_sign(self) -> bool:
        return self._at.peek.kind == lexer.OPERATOR and self._at.peek.text in ("+", "-")

    def _sign(self) -> Token | None:
        return self._at.take() if self._is_sign() else None

    def _signed(self, sign: Token, inner: DurationExpr) -> DurationExpr:
        if sign.text == "+":
            return inner
        if isinstance(inner, DurationLiteral):
            return replace(inner, seconds=-inner.seconds, start=sign.start)
        return DurationNegation(inner, start=sign.start, end=inner.end)

    def _operand(self) -> DurationExpr:
        token = self._at.peek
        if token.kind in (lexer.NUMBER_KIND, lexer.DURATION_KIND):
            return self._literal()
        if self._at.accept("("):
            inner = self.expression(1)
            closing = self._at.expect(")", self._where.value, '")"')
            return DurationParen(inner, start=token.start, end=closing.end)
        word = token.text.lower()
        if token.kind == lexer.QUERY_WORD and word not in _EDGES:
            return self._call(word)
        return self._at.unexpected(self._where.value, _OR_NOTHING if self._where is _Where.STEP else _OPERAND)

    def _literal(self) -> DurationExpr:
        token = self._at.peek
        value = self._at.number()
        if not -MAX_SECONDS <= value <= MAX_SECONDS:
            self._at.fail("duration out of range", token.start, token.end)
        return DurationLiteral(value, token.kind == lexer.DURATION_KIND, start=token.start, end=token.end)

    def _call(self, function: str) -> DurationExpr:
        start = self._at.take().start
        self._at.expect("(", self._where.value, '"("')
        args: tuple[DurationExpr, ...] = ()
        if function in ("min_of", "max_of"):
            first = self.expression(1)
            self._at.expect(",", self._where.value, '","')
            args = (first, self.expression(1))
        closing = self._at.expect(")", self._where.value, '")"')
        return DurationCall(function, args, start=start, end=closing.end)
