"""Whether a tree makes sense: types, functions and their arguments, matchers, and what is experimental.

Source: `checkAST` in Prometheus promql/parser/parse.go, whose messages these are.
"""

from dataclasses import replace
from typing import NoReturn

from gnomon_server.query.promql.ast import (
    Aggregate,
    Binary,
    Call,
    Cardinality,
    Duration,
    DurationLiteral,
    Expr,
    Matching,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
    VectorSelector,
    children,
    walk,
)
from gnomon_server.query.promql.cursor import CODE
from gnomon_server.query.promql.signatures import DOCUMENTED, FUNCTIONS, Signature, ValueType
from gnomon_server.query.syntax import regex
from gnomon_server.query.syntax.lexer import quote
from gnomon_server.query.syntax.matchers import METRIC_NAME, Matcher, MatchOp
from gnomon_server.query.syntax.spot import parse_error

# Of the tree: what walks it may use some three of Python's 1,000 frames a level. A sum of 200 terms is as deep.
MAX_DEPTH = 256

COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
SET_OPERATORS = frozenset({"and", "or", "unless"})
_EXPERIMENTAL_AGGREGATES = frozenset({"limitk", "limit_ratio"})
_NUMERIC = (ValueType.SCALAR, ValueType.VECTOR)


def value_type(node: Expr) -> ValueType:  # noqa: PLR0911 - one return a kind of node
    """What `node` gives."""
    match node:
        case NumberLiteral():
            return ValueType.SCALAR
        case StringLiteral():
            return ValueType.STRING
        case MatrixSelector() | Subquery():
            return ValueType.MATRIX
        case Call(function=function):
            return FUNCTIONS[function].returns
        case Unary(expr=expr) | Paren(expr=expr):
            return value_type(expr)
        case Binary(lhs=lhs, rhs=rhs):
            return _joined(value_type(lhs), value_type(rhs))
        case _:
            return ValueType.VECTOR


def limit_depth(tree: Expr, text: str) -> None:
    """See that `tree` is not deeper than `MAX_DEPTH`; what walks it afterwards may recurse.

    Raises:
        InvalidInput: it is.
    """
    level = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in children(node)]
        if not level:
            return
    node = level[0]
    message = f"more than {MAX_DEPTH} operators and calls stand within one another"
    raise parse_error(CODE, message, text, node.start, node.end)


def check(tree: Expr, text: str, *, experimental: bool) -> Expr:
    """`tree`, with `matching` only where both sides of an operator are vectors.

    Args:
        tree: as the parser built it, not too deep.
        text: what it was built from, for the messages.
        experimental: see `parser.parse`.

    Raises:
        InvalidInput: it makes no sense; the message and the place are Prometheus'.
    """
    if not experimental:
        _refuse_experimental(tree, text)
    return _Checker(text).visit(tree)[0]


def _joined(left: ValueType, right: ValueType) -> ValueType:
    return ValueType.SCALAR if left is right is ValueType.SCALAR else ValueType.VECTOR


class _Checker:
    """Checks a tree from the leaves up, in the order in which Prometheus finds faults."""

    def __init__(self, text: str) -> None:
        self._text = text

    def visit(self, node: Expr) -> tuple[Expr, ValueType]:  # noqa: PLR0911 - one return a kind of node
        """The node, checked, and its type."""
        match node:
            case Aggregate():
                return self._aggregate(node), ValueType.VECTOR
            case Binary():
                return self._binary(node)
            case Call():
                return self._call(node), FUNCTIONS[node.function].returns
            case Paren():
                inner, kind = self.visit(node.expr)
                return replace(node, expr=inner), kind
            case Unary():
                return self._unary(node)
            case Subquery():
                return self._subquery(node), ValueType.MATRIX
            case MatrixSelector():
                self._selector(node.selector)
            case VectorSelector():
                self._selector(node)
        return node, value_type(node)

    def _expect(self, node: Expr, wanted: ValueType, context: str) -> Expr:
        checked, kind = self.visit(node)
        if kind is not wanted:
            self._fail(node, f"expected type {DOCUMENTED[wanted]} in {context}, got {DOCUMENTED[kind]}")
        return checked

    def _aggregate(self, node: Aggregate) -> Aggregate:
        expr = self._expect(node.expr, ValueType.VECTOR, "aggregation expression")
        param = node.param
        if param is not None:
            wanted = ValueType.STRING if node.op == "count_values" else ValueType.SCALAR
            param = self._expect(param, wanted, "aggregation parameter")
        return replace(node, expr=expr, param=param)

    def _unary(self, node: Unary) -> tuple[Unary, ValueType]:
        inner, kind = self.visit(node.expr)
        if kind not in _NUMERIC:
            what = "unary expression only allowed on expressions of type scalar or instant vector"
            self._fail(node, f"{what}, got {quote(DOCUMENTED[kind])}")
        return replace(node, expr=inner), kind

    def _subquery(self, node: Subquery) -> Subquery:
        inner, kind = self.visit(node.expr)
        if kind is not ValueType.VECTOR:
            self._fail(node, f"subquery is only allowed on instant vector, got {kind} instead")
        return replace(node, expr=inner)

    def _binary(self, node: Binary) -> tuple[Binary, ValueType]:
        left, left_type = self.visit(node.lhs)
        right, right_type = self.visit(node.rhs)
        both_scalar = left_type is right_type is ValueType.SCALAR
        if node.return_bool and node.op not in COMPARISONS:
            self._fail_at_operator(node, "bool modifier can only be used on comparison operators")
        if node.op in COMPARISONS and not node.return_bool and both_scalar:
            self._fail_at_operator(node, "comparisons between scalars must use BOOL modifier")
        matching = node.matching or Matching()
        twice = next((label for label in matching.labels if matching.on and label in matching.include), None)
        if twice is not None:
            self._fail_at_operator(node, f"label {quote(twice)} must not occur in ON and GROUP clause at once")
        for side, kind in ((node.lhs, left_type), (node.rhs, right_type)):
            if kind not in _NUMERIC:
                self._fail(side, "binary expression must contain only scalar and instant vector types")
        if left_type is right_type is ValueType.VECTOR:
            self._check_sets(node, matching)
            return replace(node, lhs=left, rhs=right, matching=matching), ValueType.VECTOR
        self._check_scalars(node, matching)
        return replace(node, lhs=left, rhs=right, matching=None), _joined(left_type, right_type)

    def _check_sets(self, node: Binary, matching: Matching) -> None:
        if node.op not in SET_OPERATORS:
            return
        if matching.cardinality is not Cardinality.MANY_TO_MANY:
            self._fail(node, f"no grouping allowed for {quote(node.op)} operation")
        if matching.fill_left is not None or matching.fill_right is not None:
            self._fail(node, "filling in missing series not allowed for set operators")

    def _check_scalars(self, node: Binary, matching: Matching) -> None:
        if matching.labels:
            self._fail(node, "vector matching only allowed between instant vectors")
        if matching.fill_left is not None or matching.fill_right is not None:
            self._fail(node, "filling in missing series only allowed between instant vectors")
        if node.op in SET_OPERATORS:
            self._fail(node, f"set operator {quote(node.op)} not allowed in binary scalar expression")

    def _call(self, node: Call) -> Call:
        signature = FUNCTIONS[node.function]
        self._check_count(node, signature)
        if node.function == "info" and len(node.args) > 1:
            return self._info(node)
        context = f"call to function {quote(node.function)}"
        args = []
        # A loop, not a comprehension: it would be a frame more for each level of a deep tree.
        for index, arg in enumerate(node.args):
            wanted = signature.args[min(index, len(signature.args) - 1)]
            args.append(self._expect(arg, wanted, context))
        return replace(node, args=tuple(args))

    def _check_count(self, node: Call, signature: Signature) -> None:
        wanted, given = len(signature.args), len(node.args)
        least = wanted - 1 if signature.variadic else wanted
        most = wanted if not signature.variadic else least + signature.variadic
        problem = ""
        if not signature.variadic and given != wanted:
            problem = f"{wanted}"
        elif given < least:
            problem = f"at least {least}"
        elif signature.variadic >= 0 and given > most:
            problem = f"at most {most}"
        if problem:
            self._fail(node, f"expected {problem} argument(s) in call to {quote(node.function)}, got {given}")

    def _info(self, node: Call) -> Call:
        """The second argument of `info` is matchers alone, which may match everything."""
        first = self._expect(node.args[0], ValueType.VECTOR, 'call to function "info"')
        labels = node.args[1]
        if not isinstance(labels, VectorSelector):
            self._fail(labels, "expected label selectors only")
        if labels.name:
            self._fail(labels, "expected label selectors only, got vector selector instead")
        return replace(node, args=(first, labels))

    def _selector(self, node: VectorSelector) -> None:
        if node.name:
            for matcher in node.matchers[:-1]:
                if matcher.name == METRIC_NAME:
                    names = f"{quote(node.name)} or {quote(matcher.value)}"
                    self._fail(node, f"metric name must not be set twice: {names}")
        elif all(_matches_empty(matcher) for matcher in node.matchers):
            self._fail(node, "vector selector must contain at least one non-empty matcher")

    def _fail_at_operator(self, node: Binary, message: str) -> NoReturn:
        between = self._text[node.lhs.end : node.rhs.start]
        start = node.lhs.end + len(between) - len(between.lstrip())
        raise parse_error(CODE, message, self._text, start, start + len(between.strip()))

    def _fail(self, node: Expr, message: str) -> NoReturn:
        raise parse_error(CODE, message, self._text, node.start, node.end)


def _matches_empty(matcher: Matcher) -> bool:
    match matcher.op:
        case MatchOp.EQUAL:
            return not matcher.value
        case MatchOp.NOT_EQUAL:
            return bool(matcher.value)
        case MatchOp.REGEX:
            return regex.check(matcher.value)
        case MatchOp.NOT_REGEX:
            return not regex.check(matcher.value)


def _refuse_experimental(tree: Expr, text: str) -> None:
    for node in walk(tree):
        if message := _experimental(node):
            hint = "PromQL's experimental parts are switched off here"
            raise parse_error(CODE, message, text, node.start, node.end, hint=hint)


def _experimental(node: Expr) -> str:  # noqa: PLR0911 - one return a kind of node
    """Prometheus' message where `node` is experimental, else empty."""
    match node:
        case Aggregate(op=op) if op in _EXPERIMENTAL_AGGREGATES:
            return f"{op}() is experimental and must be enabled with --enable-feature=promql-experimental-functions"
        case Call(function=function) if FUNCTIONS[function].experimental:
            return f"function {quote(function)} is not enabled"
        case Binary(matching=Matching(fill_left=left, fill_right=right)) if (left, right) != (None, None):
            return "binop fill modifiers are experimental and not enabled"
        case VectorSelector(anchored=True):
            return "anchored modifier is experimental and not enabled"
        case VectorSelector(smoothed=True):
            return "smoothed modifier is experimental and not enabled"
        case VectorSelector(offset=offset):
            return _computed(offset)
        case MatrixSelector(range=extent):
            return _computed(extent)
        case Subquery(range=extent, step=step, offset=offset):
            return _computed(extent, step, offset)
        case _:
            return ""


def _computed(*durations: Duration | None) -> str:
    plain = all(duration is None or isinstance(duration.expr, DurationLiteral) for duration in durations)
    return "" if plain else "experimental duration expression is not enabled"
