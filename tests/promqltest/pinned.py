"""A query with every selector pinned to a time by `@`: at whatever time it is asked, it must answer the same.

Source: Prometheus, promql/promqltest/test.go (atModifierTestCases), promql/functions.go (AtModifierUnsafeFunctions).
"""

from dataclasses import fields, replace
from typing import Any, TypeVar

from gnomon_server.errors import GnomonError
from gnomon_server.query.promql.ast import Call, Node, Subquery, VectorSelector, walk
from gnomon_server.query.promql.format import show
from gnomon_server.query.promql.parser import parse

_Tree = TypeVar("_Tree", bound=Node)

# Their answers hang on the time of evaluation or on the times of the samples, whatever is pinned.
_UNSAFE = {
    "days_in_month", "day_of_month", "day_of_week", "day_of_year", "hour", "minute", "month", "year", "predict_linear",
    "time", "timestamp", "start", "end", "range", "step",
}  # fmt: skip


def pinned(query: str, at_ms: int) -> str | None:
    """The query with `@` at every selector that has none; None where the time of evaluation shows all the same."""
    try:
        tree = parse(query)
    except GnomonError:
        return None  # the query itself is asked first, and tells
    if any(isinstance(node, Call) and node.function in _UNSAFE for node in walk(tree)):
        return None
    return show(_with_at(tree, at_ms))


def _with_at(node: _Tree, at_ms: int) -> _Tree:
    if isinstance(node, VectorSelector | Subquery):  # what stands in a subquery hangs on its time
        return node if node.at is not None else replace(node, at=at_ms)
    changed: dict[str, Any] = {}
    for part in fields(node):
        value = getattr(node, part.name)
        if isinstance(value, Node):
            changed[part.name] = _with_at(value, at_ms)
        elif isinstance(value, tuple):
            changed[part.name] = tuple(_with_at(one, at_ms) if isinstance(one, Node) else one for one in value)
    return replace(node, **changed)
