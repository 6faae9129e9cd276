"""`sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`: the order of an instant query's answer.

The answer of a range query is ordered by labels whatever the function says; Prometheus warns of that.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cmp_to_key, partial
from types import MappingProxyType

import numpy as np

from gnomon_server.query.promql.ast import Call
from gnomon_server.query.promql.context import Context
from gnomon_server.query.promql.functions.arguments import text_of, vector_of
from gnomon_server.query.promql.ranges import Function
from gnomon_server.query.promql.values import Labels, Value, Vector

_PIECES = re.compile(r"[0-9]+|[^0-9]+")
_INT64_DIGITS = 18  # so many digits always are an int64


def _by_value(call: Call, args: list[Value], ctx: Context, *, descending: bool) -> Vector:
    """Floats alone, NaN last either way."""
    vector = vector_of(args)
    floats = vector.where(vector.floats)
    if _is_in_vain(call, ctx):
        return floats
    there = floats.take(floats.present[:, 0])
    column = there.values[:, 0]
    order = np.argsort(-column if descending else column, kind="stable")  # which puts NaN last
    return replace(there.take(order), ordered=True)


def _by_label(call: Call, args: list[Value], ctx: Context, *, descending: bool) -> Vector:
    """In natural order of the labels' values, then by all labels."""
    vector = vector_of(args)
    if _is_in_vain(call, ctx):
        return vector
    there = vector.take(vector.present[:, 0])
    names = [text_of(args, position) for position in range(1, len(args))]
    given = [dict(labels) for labels in there.labels]

    def compared(one: int, other: int) -> int:
        for name in names:
            if order := natural(given[one].get(name, ""), given[other].get(name, "")):
                return order
        return _order(there.labels[one], there.labels[other])

    order = sorted(range(len(given)), key=cmp_to_key(compared), reverse=descending)
    return replace(there.take(np.array(order, np.int64)), ordered=True)


def _is_in_vain(call: Call, ctx: Context) -> bool:
    if ctx.grid.start_ms == ctx.grid.end_ms:
        return False
    ctx.notes.warn("sort is ineffective for range queries since results are always ordered by labels", call)
    return True


def natural(one: str, other: str) -> int:
    """Natural order, as github.com/facette/natsort has it: below zero where `one` comes first, 0 where neither does.

    Runs of digits are compared as numbers where both are an int64, else as texts.
    """
    left, right = _PIECES.findall(one), _PIECES.findall(other)
    for a, b in zip(left, right, strict=False):
        numbers = _number(a), _number(b)
        order = _order(a, b) if None in numbers else _order(*numbers)
        if order:
            return order
    return len(left) - len(right)


def _number(piece: str) -> int | None:
    is_number = "0" <= piece[0] <= "9" and len(piece.lstrip("0")) <= _INT64_DIGITS
    return int(piece) if is_number else None


def _order(one: str | int | Labels | None, other: str | int | Labels | None) -> int:
    return (one > other) - (one < other)  # type: ignore[operator]  # both are of one kind, and none is None


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "sort": partial(_by_value, descending=False),
        "sort_desc": partial(_by_value, descending=True),
        "sort_by_label": partial(_by_label, descending=False),
        "sort_by_label_desc": partial(_by_label, descending=True),
    }
)
