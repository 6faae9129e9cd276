"""Binary operators: who meets whom, and what comes of it.

Series are matched once, by their labels; then all pairs and steps are computed at once.
https://github.com/prometheus/prometheus/blob/main/promql/engine.go: VectorBinop, VectorscalarBinop, vectorElemBinop.
"""

from dataclasses import dataclass, replace

import numpy as np

from gnomon_server.errors import Internal
from gnomon_server.query.promql.ast import Binary, Cardinality, Matching
from gnomon_server.query.promql.context import Context, each_step, refused
from gnomon_server.query.promql.labels import METADATA, Key, all_but, grouped, merged, only, replaced, shown
from gnomon_server.query.promql.operators import COMPARISONS, Cells, elements, numbers
from gnomon_server.query.promql.values import NAME, Labels, Scalar, Value, Vector, joined

_ARITHMETIC = frozenset({"+", "-", "*", "/", "^", "%", "atan2"})
SET_OPERATORS = frozenset({"and", "or", "unless"})


def evaluated(node: Binary, lhs: Value, rhs: Value, ctx: Context) -> Value:
    """The value of a binary expression.

    Raises:
        InvalidInput: series of both sides cannot be matched one to one, or as the modifiers say.
    """
    if isinstance(lhs, Scalar) and isinstance(rhs, Scalar):
        value, keep = numbers(node.op, lhs.values, rhs.values)
        return Scalar(keep.astype(np.float64) if node.op in COMPARISONS else value)
    if isinstance(lhs, Vector) and isinstance(rhs, Scalar):
        return _with_scalar(node, lhs, rhs, ctx, swapped=False)
    if isinstance(lhs, Scalar) and isinstance(rhs, Vector):
        return _with_scalar(node, rhs, lhs, ctx, swapped=True)
    if not (isinstance(lhs, Vector) and isinstance(rhs, Vector)):
        raise Internal("promql_types", f"{type(lhs).__name__} {node.op} {type(rhs).__name__} was let through")
    if node.op in SET_OPERATORS:
        return _set(node, lhs, rhs)
    return _matched(node, lhs, rhs, ctx)


def _with_scalar(node: Binary, vector: Vector, scalar: Scalar, ctx: Context, *, swapped: bool) -> Vector:
    mine = Cells.of(vector)
    other = Cells(np.broadcast_to(each_step(scalar.values, ctx.grid), vector.values.shape), vector.present)
    found, keep = elements(node, other if swapped else mine, mine if swapped else other, ctx)
    compared = node.op in COMPARISONS
    if node.return_bool:
        found = Cells(keep.astype(np.float64), found.present)
    elif compared:
        # Of a comparison the vector's own value is kept, on whichever side it stands.
        found = mine.where(found.present & keep)
    renamed = node.return_bool or node.op in _ARITHMETIC
    nameless = np.ones_like(vector.nameless) if renamed else vector.nameless
    return found.vector(vector.labels, nameless)


# Sets -----------------------------------------------------------------------------------------------------------------


def _key(matching: Matching) -> Key:
    return only(matching.labels) if matching.on else all_but({NAME, *matching.labels})


def _groups(lhs: Vector, rhs: Vector, key: Key) -> tuple[np.ndarray, np.ndarray, list[Labels]]:
    """The match group of each series of both sides, and the groups' labels."""
    both, keys = grouped([*lhs.labels, *rhs.labels], key)
    return both[: len(lhs.labels)], both[len(lhs.labels) :], keys


def _there(vector: Vector, group: np.ndarray, groups: int) -> np.ndarray:
    """How many series of each group are there: int64[n_groups, n_steps]."""
    counts = np.zeros((groups, vector.present.shape[1]), np.int64)
    np.add.at(counts, group, vector.present)
    return counts


def _set(node: Binary, lhs: Vector, rhs: Vector) -> Vector:
    left, right, keys = _groups(lhs, rhs, _key(node.matching or Matching()))
    if node.op == "or":
        only_right = rhs.where(_there(lhs, left, len(keys))[right] == 0)
        return joined([lhs, only_right.kept()])
    met = _there(rhs, right, len(keys))[left] > 0
    return lhs.where(met if node.op == "and" else ~met)


# Matching -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sides:
    """Both sides with the one that may have many series of a group first; `swapped`: it is the right one."""

    many: Vector
    one: Vector
    many_group: np.ndarray
    one_group: np.ndarray
    keys: list[Labels]
    swapped: bool
    matching: Matching


def _matched(node: Binary, lhs: Vector, rhs: Vector, ctx: Context) -> Vector:
    matching = node.matching or Matching()
    swapped = matching.cardinality is Cardinality.ONE_TO_MANY
    left, right, keys = _groups(lhs, rhs, _key(matching))
    sides = (
        _Sides(rhs, lhs, right, left, keys, swapped, matching)
        if swapped
        else _Sides(lhs, rhs, left, right, keys, swapped, matching)
    )
    _refuse_ambiguous(node, sides, ctx)
    many, one = _pairs(sides.many_group, sides.one_group, len(keys))
    ctx.check(len(many) * ctx.grid.steps)
    parts = [_result(node, sides, sides.many.take(many), sides.one.take(one), ctx)]
    many_fill, one_fill = matching.fill_left, matching.fill_right
    if one_fill is not None:
        lonely = sides.many.where(_there(sides.one, sides.one_group, len(keys))[sides.many_group] == 0)
        parts.append(_result(node, sides, lonely, _filled(lonely, one_fill, matching), ctx))
    if many_fill is not None:
        lonely = sides.one.where(_there(sides.many, sides.many_group, len(keys))[sides.one_group] == 0)
        parts.append(_result(node, sides, _filled(lonely, many_fill, matching), lonely, ctx))
    result = joined([part for part, _ in parts])
    # Pairs that met at different steps may make the same series; at one step they must not, even if not kept.
    met = replace(result, present=np.concatenate([where for _, where in parts]))
    group, labels = grouped(result.labels, lambda one: one)
    if (_there(met, group, len(labels)) > 1).any():
        raise refused("multiple matches for labels: grouping labels must ensure unique matches", node, ctx.notes.text)
    kept = result.kept()
    return merged(kept, kept.labels)


def _refuse_ambiguous(node: Binary, sides: _Sides, ctx: Context) -> None:
    ones = _there(sides.one, sides.one_group, len(sides.keys))
    manys = _there(sides.many, sides.many_group, len(sides.keys))
    filled = sides.matching.fill_left is not None or sides.matching.fill_right is not None
    asked = manys.any(axis=0) | filled  # with nothing on the other side there is nothing to be ambiguous about
    for group, step in np.argwhere((ones > 1) & asked)[:1].tolist():
        twins = np.flatnonzero((sides.one_group == group) & sides.one.present[:, step])[:2]
        first, second = (shown(sides.one.labels[twin]) for twin in twins.tolist())
        side = "left" if sides.swapped else "right"
        raise refused(
            f"found duplicate series for the match group {shown(sides.keys[group])} on the {side} hand-side of the "
            f"operation: [{first}, {second}];many-to-many matching not allowed: matching labels must be unique on one "
            "side",
            node,
            ctx.notes.text,
        )
    if sides.matching.cardinality is Cardinality.ONE_TO_ONE and ((manys > 1) & (ones > 0)).any():
        raise refused(
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
            node,
            ctx.notes.text,
        )


def _pairs(many_group: np.ndarray, one_group: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Every series with every one of the other side's in its group: two int64[n_pairs]."""
    order = np.argsort(one_group, kind="stable")
    counts = np.bincount(one_group, minlength=groups)
    begins = np.cumsum(counts) - counts
    widths = counts[many_group]
    many = np.repeat(np.arange(len(many_group)), widths)
    within = np.arange(len(many)) - np.repeat(np.cumsum(widths) - widths, widths)
    return many, order[np.repeat(begins[many_group], widths) + within]


def _filled(vector: Vector, value: float, matching: Matching) -> Vector:
    """The other side, where it is missing: the value under the labels that are matched by."""
    key = _key(matching)
    return Vector.of_floats([key(one) for one in vector.labels], np.full(vector.values.shape, value), vector.present)


def _result(node: Binary, sides: _Sides, many: Vector, one: Vector, ctx: Context) -> tuple[Vector, np.ndarray]:
    """What comes of these pairs, and where they met: bool[n_pairs, n_steps]."""
    there = many.present & one.present
    mine, other = Cells.of(many.where(there)), Cells.of(one.where(there))
    found, keep = elements(node, other if sides.swapped else mine, mine if sides.swapped else other, ctx)
    met = found.present
    if node.return_bool:
        found = Cells(keep.astype(np.float64), met)
    elif node.op in COMPARISONS:
        found = found.where(met & keep)
    labels = [
        _labels(mine_labels, other_labels, node, sides.matching)
        for mine_labels, other_labels in zip(many.labels, one.labels, strict=True)
    ]
    nameless = many.nameless | node.return_bool
    return found.vector(labels, nameless), met


def _labels(many: Labels, one: Labels, node: Binary, matching: Matching) -> Labels:
    """engine.go: resultMetric."""
    labels = all_but(METADATA)(many) if node.op in _ARITHMETIC else many
    if matching.cardinality is Cardinality.ONE_TO_ONE:
        labels = (only if matching.on else all_but)(matching.labels)(labels)
    if matching.include:
        others = dict(one)
        for name in matching.include:
            labels = replaced(labels, name, others.get(name, ""))
    return labels
