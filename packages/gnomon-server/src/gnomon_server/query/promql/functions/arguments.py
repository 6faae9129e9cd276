"""A function's arguments as what `check` has found them to be."""

import numpy as np

from gnomon_server.query.promql.ast import Expr, Paren
from gnomon_server.query.promql.values import Scalar, String, Value, Vector, Windows


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


def windows_of(args: list[Value], position: int = 0) -> Windows:
    """The range vector among the arguments."""
    found = args[position]
    assert isinstance(found, Windows), "check.py has seen to it"  # noqa: S101 - for the type checker
    return found


def scalar_of(args: list[Value], position: int) -> np.ndarray:
    """A scalar argument: float64[n_steps]."""
    found = args[position]
    assert isinstance(found, Scalar), "check.py has seen to it"  # noqa: S101 - for the type checker
    return found.values


def bare(node: Expr) -> Expr:
    """What stands within the parentheses."""
    while isinstance(node, Paren):
        node = node.expr
    return node
