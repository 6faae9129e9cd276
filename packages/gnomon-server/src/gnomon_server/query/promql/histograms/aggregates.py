"""Native histograms in aggregations: `sum` and `avg` of them, and their texts for `count_values`."""

from collections.abc import Callable

import numpy as np

from gnomon_server.query.promql.ast import Aggregate, Expr
from gnomon_server.query.promql.context import Context
from gnomon_server.query.promql.go_text import general
from gnomon_server.query.promql.histograms.block import Histograms
from gnomon_server.query.promql.histograms.buckets import boundary_rules, ordered
from gnomon_server.query.promql.histograms.totals import Notes, avg_by, sum_by
from gnomon_server.query.promql.labels import name_of
from gnomon_server.query.promql.values import NO_ROW, Vector

# By the boundary rules of `buckets`.
_BRACKETS = (("(", "]"), ("[", ")"), ("(", ")"), ("[", "]"))


def joined_in(node: Aggregate, group: np.ndarray, vector: Vector, floats: Vector, ctx: Context) -> Vector:
    """`sum` or `avg` of floats, and of the histograms where there are some.

    Args:
        node: the aggregation.
        group: int64[n_series]: the group of each series.
        vector: the series.
        floats: what the floats give, of each group.
        ctx: where it is evaluated.
    """
    series, step = np.nonzero(vector.histogram_there)
    steps = vector.present.shape[1]
    cells, cell = np.unique(group[series] * steps + step, return_inverse=True)
    assert vector.histograms is not None and vector.rows is not None  # noqa: PT018, S101 - some are there
    members = vector.histograms.take(vector.rows[series, step])
    found, notes = (avg_by if node.op == "avg" else sum_by)(members, cell, len(cells))
    where = np.divmod(cells, steps)
    mixed = floats.present[where]
    if mixed.any():
        ctx.notes.warn("encountered a mix of histograms and floats for aggregation", node.expr)
    names = (name_of(vector.labels[one]) for one in series[notes.incompatible[cell]].tolist())
    tell(notes, ctx, node.expr, lambda: next(names, ""))
    good = ~mixed & ~notes.incompatible
    present, rows = floats.present.copy(), np.full(floats.present.shape, NO_ROW)
    present[where] = good
    rows[where] = np.where(good, np.arange(len(cells)), NO_ROW)
    return Vector(floats.labels, floats.values, present, rows, found, floats.nameless)


def tell(notes: Notes, ctx: Context, place: Expr, name: Callable[[], str], what: str = "aggregation") -> None:
    """Say what an addition or subtraction of histograms has noticed, in Prometheus' words."""
    if notes.incompatible.any():
        ctx.notes.warn(
            "vector contains a mix of histograms with exponential and custom buckets schemas for metric name "
            f'"{name()}"',
            place,
        )
    if notes.reconciled.any():
        ctx.notes.inform(f"mismatched custom buckets were reconciled during {what}", place)
    if notes.reset_conflict.any():
        ctx.notes.warn(f"conflicting counter resets during histogram {what}", place)


def texts(vector: Vector, series: np.ndarray, step: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The distinct histograms at some places as texts, and which of them stands at each."""
    assert vector.histograms is not None and vector.rows is not None  # noqa: PT018, S101 - some are there
    rows, which = np.unique(vector.rows[series, step], return_inverse=True)
    every = text_of(vector.histograms.take(rows))
    numbers: dict[str, int] = {}
    number = np.array([numbers.setdefault(text, len(numbers)) for text in every], np.int64)
    return list(numbers), number[which]


def text_of(block: Histograms) -> list[str]:
    """FloatHistogram.String: `{count:3, sum:4.5, (1,2]:3}` of each."""
    buckets = ordered(block)
    totals = zip(block.count.tolist(), block.sum.tolist(), strict=True)
    parts = [[f"count:{general(count)}", f"sum:{general(total)}"] for count, total in totals]
    columns = (buckets.owner, boundary_rules(block, buckets), buckets.lower, buckets.upper, buckets.count)
    for owner, rule, lower, upper, count in zip(*(column.tolist() for column in columns), strict=True):
        opens, closes = _BRACKETS[rule]
        parts[owner].append(f"{opens}{general(lower)},{general(upper)}{closes}:{general(count)}")
    return ["{" + ", ".join(part) + "}" for part in parts]
