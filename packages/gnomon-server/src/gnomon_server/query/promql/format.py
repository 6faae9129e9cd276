"""From tree to text: on one line as Prometheus' `String()` has it, or laid out as its `format_query` does.

Source: Prometheus promql/parser/printer.go and prettier.go. What a tree's text means is that tree: `parse(show(tree))`
is `tree`.
"""

import math
import re

from gnomon_server.query.promql.ast import (
    Aggregate,
    AtEdge,
    Binary,
    Call,
    Cardinality,
    Duration,
    DurationBinary,
    DurationCall,
    DurationExpr,
    DurationLiteral,
    DurationNegation,
    DurationParen,
    Expr,
    Matching,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
    VectorSelector,
)
from gnomon_server.query.syntax import durations
from gnomon_server.query.syntax.lexer import NAME, quote
from gnomon_server.query.syntax.matchers import METRIC_NAME, Matcher, MatchOp

_LINE = 100  # characters; what is longer is laid out over several lines
_INDENT = "  "
_PLAIN_LABEL = re.compile(NAME)


def show(node: Expr) -> str:  # noqa: C901, PLR0911 - one return a kind of node
    """`node` on one line."""
    match node:
        case NumberLiteral(value=value, is_duration=True):
            return durations.show(round(value * 1000))
        case NumberLiteral(value=value):
            return number(value)
        case StringLiteral(value=value):
            return quote(value)
        case VectorSelector():
            return _name_and_matchers(node) + _at(node.at) + _extended(node) + _offset(node.offset)
        case MatrixSelector(selector=selector):
            window = f"[{_duration(node.range)}]"
            tail = _extended(selector) + _at(selector.at) + _offset(selector.offset)
            return _name_and_matchers(selector) + window + tail
        case Subquery(expr=expr):
            return show(expr) + _window(node)
        case Unary(op=op, expr=expr):
            return op + show(expr)
        case Paren(expr=expr):
            return f"({show(expr)})"
        case Call(function=function, args=args):
            return f"{function}({', '.join(show(arg) for arg in args)})"
        case Aggregate(expr=expr, param=param):
            return f"{_aggregation(node)}({'' if param is None else show(param) + ', '}{show(expr)})"
        case Binary(lhs=lhs, rhs=rhs):
            return f"{show(lhs)} {_operation(node)} {show(rhs)}"


def pretty(node: Expr, level: int = 0) -> str:  # noqa: PLR0911 - one return a kind of node
    """`node` over as many lines as it takes; `level` is its indent."""
    indent = _INDENT * level
    line = show(node)
    if isinstance(node, Unary):
        return indent + node.op + pretty(node.expr, level).strip()
    if len(line) <= _LINE:
        # Prometheus does not indent a short subquery.
        return line if isinstance(node, Subquery) else indent + line
    match node:
        case Aggregate(expr=expr, param=param):
            first = "" if param is None else f"{pretty(param, level + 1)},\n"
            return f"{indent}{_aggregation(node)}(\n{first}{pretty(expr, level + 1)}\n{indent})"
        case Binary(lhs=lhs, rhs=rhs):
            return f"{pretty(lhs, level + 1)}\n{indent}{_operation(node)}\n{pretty(rhs, level + 1)}"
        case Call(function=function, args=args):
            inner = ",\n".join(pretty(arg, level + 1) for arg in args)
            return f"{indent}{function}(\n{inner}\n{indent})"
        case Paren(expr=expr):
            return f"{indent}(\n{pretty(expr, level + 1)}\n{indent})"
        case Subquery(expr=expr):
            return pretty(expr, level) + _window(node)
        case _:
            return indent + line


def number(value: float) -> str:
    """A number as Go's `strconv.FormatFloat(value, 'f', -1, 64)` writes it: all digits, no exponent."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    if "e" not in text:
        return text.removesuffix(".0")
    mantissa, _, exponent = text.partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits, point = whole + fraction, len(whole) + int(exponent)
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}".rstrip("0")
    return sign + digits.removesuffix("0" if fraction == "0" else "").ljust(point, "0")


def _name_and_matchers(node: VectorSelector) -> str:
    shown = sorted(_matcher(matcher) for matcher in node.matchers if not _is_name(matcher, node.name))
    return node.name + (f"{{{','.join(shown)}}}" if shown else "")


def _is_name(matcher: Matcher, name: str) -> bool:
    return bool(name) and matcher.name == METRIC_NAME and matcher.op is MatchOp.EQUAL and matcher.value == name


def _matcher(matcher: Matcher) -> str:
    return f"{_label(matcher.name)}{matcher.op}{quote(matcher.value)}"


def _label(name: str) -> str:
    return name if _PLAIN_LABEL.fullmatch(name) else quote(name)


def _labels(names: tuple[str, ...]) -> str:
    # In a list `inf` and `nan` are numbers, in every spelling.
    shown = (quote(name) if name.lower() in ("inf", "nan") else _label(name) for name in names)
    return f"({', '.join(shown)})"


def _at(at: int | AtEdge | None) -> str:
    if at is None:
        return ""
    return f" @ {at.value}()" if isinstance(at, AtEdge) else f" @ {at / 1000:.3f}"


def _extended(node: VectorSelector) -> str:
    return " anchored" if node.anchored else " smoothed" if node.smoothed else ""


def _offset(offset: Duration | None) -> str:
    return f" offset {_duration(offset)}" if offset is not None else ""


def _window(node: Subquery) -> str:
    step = "" if node.step is None else _duration(node.step)
    return f"[{_duration(node.range)}:{step}]{_at(node.at)}{_offset(node.offset)}"


def _duration(duration: Duration) -> str:
    return _duration_expr(duration.expr)


def _duration_expr(expr: DurationExpr) -> str:
    match expr:
        case DurationLiteral(seconds=seconds, has_unit=has_unit):
            return durations.show(round(seconds * 1000)) if has_unit else number(seconds)
        case DurationCall(function=function, args=args):
            return f"{function}({', '.join(_duration_expr(arg) for arg in args)})"
        case DurationNegation(expr=inner):
            return f"-{_duration_expr(inner)}"
        case DurationParen(expr=inner):
            return f"({_duration_expr(inner)})"
        case DurationBinary(op=op, lhs=lhs, rhs=rhs):
            return f"{_duration_expr(lhs)} {op} {_duration_expr(rhs)}"


def _aggregation(node: Aggregate) -> str:
    if node.without:
        return f"{node.op} without {_labels(node.grouping)} "
    return f"{node.op} by {_labels(node.grouping)} " if node.grouping else node.op


def _operation(node: Binary) -> str:
    """The operator with all its modifiers."""
    matching = "" if node.matching is None else _matching(node.matching)
    return node.op + (" bool" if node.return_bool else "") + matching


def _matching(matching: Matching) -> str:
    text = ""
    grouped = matching.cardinality in (Cardinality.MANY_TO_ONE, Cardinality.ONE_TO_MANY)
    if matching.labels or matching.on or grouped:
        text = f" {'on' if matching.on else 'ignoring'} {_labels(matching.labels)}"
    if grouped:
        side = "left" if matching.cardinality is Cardinality.MANY_TO_ONE else "right"
        text += f" group_{side} {_labels(matching.include)}"
    return text + _fill(matching.fill_left, matching.fill_right)


def _fill(left: float | None, right: float | None) -> str:
    # One value for both sides, which `fill` makes the very same object, so that NaN is NaN here too.
    if left is not None and (left is right or left == right):
        return f" fill ({number(left)})"
    text = "" if left is None else f" fill_left ({number(left)})"
    return text + ("" if right is None else f" fill_right ({number(right)})")
