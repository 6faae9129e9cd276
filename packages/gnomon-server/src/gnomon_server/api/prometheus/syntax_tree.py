"""A tree of PromQL as JSON, for the tree view of Prometheus' console.

Source: Prometheus web/api/v1/translate_ast.go. Durations that hang on the query (`step()`) are 0, as there.
"""

from collections.abc import Sequence
from typing import Any

from gnomon_server.api.prometheus.texts import clean
from gnomon_server.query.promql.ast import (
    Aggregate,
    AtEdge,
    Binary,
    Call,
    Duration,
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
from gnomon_server.query.promql.format import number
from gnomon_server.query.promql.signatures import FUNCTIONS
from gnomon_server.query.syntax.matchers import Matcher


def as_json(node: Expr) -> dict[str, Any]:
    """The node and all below it; members in the order of their names, as Go writes maps."""
    return dict(sorted(_members(node).items()))


def _members(node: Expr) -> dict[str, Any]:  # noqa: C901, PLR0911 - one line a kind of node
    match node:
        case NumberLiteral(value=value):
            return {"type": "numberLiteral", "val": number(value)}
        case StringLiteral(value=value):
            return {"type": "stringLiteral", "val": clean(value)}
        case Paren(expr=expr):
            return {"type": "parenExpr", "expr": as_json(expr)}
        case Unary(op=op, expr=expr):
            return {"type": "unaryExpr", "op": op, "expr": as_json(expr)}
        case VectorSelector():
            return {"type": "vectorSelector", **_selector(node)}
        case MatrixSelector(selector=selector, range=window):
            return {"type": "matrixSelector", "range": _ms(window), **_selector(selector)}
        case Subquery():
            return _subquery(node)
        case Binary():
            return _binary(node)
        case Aggregate():
            return _aggregate(node)
        case Call():
            return _call(node)


def _selector(node: VectorSelector) -> dict[str, Any]:
    return {
        "name": node.name,
        "offset": _ms(node.offset),
        "matchers": [_matcher(one) for one in node.matchers],
        **_when(node.at),
        "anchored": node.anchored,
        "smoothed": node.smoothed,
    }


def _subquery(node: Subquery) -> dict[str, Any]:
    return {
        "type": "subquery",
        "expr": as_json(node.expr),
        "range": _ms(node.range),
        "offset": _ms(node.offset),
        "step": _ms(node.step),
        **_when(node.at),
    }


def _binary(node: Binary) -> dict[str, Any]:
    return {
        "type": "binaryExpr",
        "op": node.op,
        "lhs": as_json(node.lhs),
        "rhs": as_json(node.rhs),
        "matching": None if node.matching is None else _matching(node.matching),
        "bool": node.return_bool,
    }


def _matching(matching: Matching) -> dict[str, Any]:
    return {
        "card": matching.cardinality.value,
        "fillValues": {"lhs": matching.fill_left, "rhs": matching.fill_right},
        "include": list(matching.include),
        "labels": list(matching.labels),
        "on": matching.on,
    }


def _aggregate(node: Aggregate) -> dict[str, Any]:
    return {
        "type": "aggregation",
        "op": node.op,
        "expr": as_json(node.expr),
        "param": None if node.param is None else as_json(node.param),
        "grouping": list(node.grouping),
        "without": node.without,
    }


def _call(node: Call) -> dict[str, Any]:
    signature = FUNCTIONS[node.function]
    function = {
        "argTypes": [kind.value for kind in signature.args],
        "name": node.function,
        "returnType": signature.returns.value,
        "variadic": signature.variadic,
    }
    return {"type": "call", "func": function, "args": _all(node.args)}


def _all(nodes: Sequence[Expr]) -> list[dict[str, Any]]:
    return [as_json(node) for node in nodes]


def _matcher(matcher: Matcher) -> dict[str, str]:
    return {"name": clean(matcher.name), "type": matcher.op.value, "value": clean(matcher.value)}


def _when(at: int | AtEdge | None) -> dict[str, Any]:
    edge = at.value if isinstance(at, AtEdge) else None
    return {"timestamp": None if isinstance(at, AtEdge) else at, "startOrEnd": edge}


def _ms(duration: Duration | None) -> int:
    return 0 if duration is None else duration.ms or 0
