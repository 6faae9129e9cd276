"""A function's arguments as what `check` has found them to be."""

from gnomon_server.query.promql.ast import Expr, Paren
from gnomon_server.query.promql.values import String, Value, Vector


def vector_of(args: list[Value], position: int = 0) -> Vector:
    """The instant vector there."""
    found = args[position]
    assert isinstance(found, Vector), "check.py has seen to it"  # noqa: S101 - for the type checker
    return found


def text_of(args: list[Value], position: int) -> str:
    """The string there."""
    found = args[position]
    assert isinstance(found, String), "check.py has seen to it"  # noqa: S101 - for the type checker
    return found.text


def bare(node: Expr) -> Expr:
    """What stands within the parentheses."""
    while isinstance(node, Paren):
        node = node.expr
    return node
