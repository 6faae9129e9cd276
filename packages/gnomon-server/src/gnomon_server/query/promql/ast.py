"""The tree of a PromQL expression: what `parser` builds, `check` judges, `format` prints and the evaluator reads.

Nodes are frozen and compare by what they mean: two trees are equal whatever the spacing, the comments and the
places of their texts. `start` and `end` are offsets in characters, `end` exclusive.

The shape follows Prometheus' `promql/parser/ast.go`, save that a duration is a node of its own (`Duration`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from gnomon_server.query.syntax.matchers import Matcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A piece of the text, from `start` to before `end`."""

    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


class AtEdge(Enum):
    """`@ start()` and `@ end()`: the first and the last instant of the query."""

    START = "start"
    END = "end"


class Cardinality(Enum):
    """How many series of a side may match one of the other; the left side is named first."""

    ONE_TO_ONE = "one-to-one"
    MANY_TO_ONE = "many-to-one"  # group_left
    ONE_TO_MANY = "one-to-many"  # group_right
    MANY_TO_MANY = "many-to-many"  # and, or, unless


# Durations --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DurationLiteral(Node):
    """`5m`, `300` or `-1.5`: `seconds`, and whether it is written with units."""

    seconds: float
    has_unit: bool = True


@dataclass(frozen=True, slots=True)
class DurationCall(Node):
    """`step()`, `range()`, `min_of(a, b)`, `max_of(a, b)`; `function` is the name."""

    function: str
    args: "tuple[DurationExpr, ...]" = ()


@dataclass(frozen=True, slots=True)
class DurationNegation(Node):
    """`-expr`; before a literal the sign is part of the literal."""

    expr: "DurationExpr"


@dataclass(frozen=True, slots=True)
class DurationBinary(Node):
    """`lhs op rhs`; `op` is one of `+ - * / % ^`."""

    op: str
    lhs: "DurationExpr"
    rhs: "DurationExpr"


@dataclass(frozen=True, slots=True)
class DurationParen(Node):
    """`(expr)`."""

    expr: "DurationExpr"


DurationExpr = DurationLiteral | DurationCall | DurationNegation | DurationBinary | DurationParen


@dataclass(frozen=True, slots=True)
class Duration(Node):
    """A range, a step or an offset; `duration.resolve(this, step_ms, range_ms)` gives its milliseconds.

    Args:
        expr: as it was written; what comes down to one literal is that literal, with units.
        ms: milliseconds where they are known without the query: an offset may be negative, others are above 0. None
            where it hangs on `step()` or `range()`, or where only `resolve` may say what is wrong with it.
        is_offset: whether it may be 0 or negative.
    """

    expr: DurationExpr
    ms: int | None
    is_offset: bool = False


# Expressions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NumberLiteral(Node):
    """A scalar. `is_duration` says that it was written as one (`1h` is 3600)."""

    value: float
    is_duration: bool = False


@dataclass(frozen=True, slots=True)
class StringLiteral(Node):
    r"""A string, its escapes resolved.

    `\xff` and the like make bytes that are no UTF-8; they stand here as Python's surrogate escapes.
    """

    value: str


@dataclass(frozen=True, slots=True)
class VectorSelector(Node):
    """An instant vector selector.

    Args:
        name: the metric's name where it stands before the braces, else empty.
        matchers: all of them; the one for `name` is among them and the last.
        offset: how far back, or None.
        at: `@`: an instant in milliseconds since the epoch or an edge of the query, or None.
        anchored, smoothed: the extended range selectors; at most one is true.
    """

    name: str
    matchers: tuple[Matcher, ...]
    offset: Duration | None = None
    at: int | AtEdge | None = None
    anchored: bool = False
    smoothed: bool = False


@dataclass(frozen=True, slots=True)
class MatrixSelector(Node):
    """A range vector selector; offset, `@` and the extended modifiers are the `selector`'s."""

    selector: VectorSelector
    range: Duration


@dataclass(frozen=True, slots=True)
class Subquery(Node):
    """`expr[range:step]`; `step` is None for the default evaluation interval."""

    expr: "Expr"
    range: Duration
    step: Duration | None = None
    offset: Duration | None = None
    at: int | AtEdge | None = None


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """`-expr` or `+expr`; before a number it is part of the number."""

    op: str
    expr: "Expr"


@dataclass(frozen=True, slots=True)
class Matching(Node):
    """How the series of two vectors find each other.

    Args:
        cardinality: `MANY_TO_MANY` for `and`, `or` and `unless`.
        labels: of `on (...)` where `on` is true, else of `ignoring (...)`.
        include: the labels of `group_left (...)` or `group_right (...)`.
        fill_left, fill_right: the value for a series that is missing on that side, or None.
    """

    cardinality: Cardinality = Cardinality.ONE_TO_ONE
    labels: tuple[str, ...] = ()
    on: bool = False
    include: tuple[str, ...] = ()
    fill_left: float | None = None
    fill_right: float | None = None


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """`lhs op rhs`.

    Args:
        op: `+ - * / % ^ atan2`, `== != < <= > >=`, `and or unless`, or `</` and `>/`, which trim histograms.
        return_bool: the `bool` modifier.
        matching: None where a side is a scalar.
    """

    op: str
    lhs: "Expr"
    rhs: "Expr"
    return_bool: bool = False
    matching: Matching | None = None


@dataclass(frozen=True, slots=True)
class Aggregate(Node):
    """`op by (grouping) (param, expr)`; `param` is None for operators without one."""

    op: str
    expr: "Expr"
    param: "Expr | None" = None
    grouping: tuple[str, ...] = ()
    without: bool = False


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`function(args)`; the name is one of `signatures.FUNCTIONS`."""

    function: str
    args: "tuple[Expr, ...]" = ()


@dataclass(frozen=True, slots=True)
class Paren(Node):
    """`(expr)`."""

    expr: "Expr"


Expr = (
    NumberLiteral
    | StringLiteral
    | VectorSelector
    | MatrixSelector
    | Subquery
    | Unary
    | Binary
    | Aggregate
    | Call
    | Paren
)


def children(node: Expr) -> tuple[Expr, ...]:
    """The expressions directly below `node`, in the order of the text."""
    match node:
        case MatrixSelector(selector=selector):
            return (selector,)
        case Unary(expr=expr) | Paren(expr=expr) | Subquery(expr=expr) | Aggregate(expr=expr, param=None):
            return (expr,)
        case Binary(lhs=lhs, rhs=rhs):
            return (lhs, rhs)
        case Aggregate(param=param, expr=expr) if param is not None:
            return (param, expr)
        case Call(args=args):
            return args
        case _:
            return ()


def walk(node: Expr) -> Iterator[Expr]:
    """`node` and all below it, a parent before its children."""
    stack = [node]
    while stack:
        item = stack.pop()
        yield item
        stack.extend(reversed(children(item)))
