"""What an operator makes of two samples: numbers, native histograms, or one of each; many pairs at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from gnomon_server.query.promql.ast import Binary
from gnomon_server.query.promql.context import Context
from gnomon_server.query.promql.histograms.arithmetic import add, divide, multiply, subtract
from gnomon_server.query.promql.histograms.block import Histograms, concatenate
from gnomon_server.query.promql.histograms.resets import equal
from gnomon_server.query.promql.histograms.totals import Notes
from gnomon_server.query.promql.histograms.trim import trim
from gnomon_server.query.promql.values import NO_ROW, Labels, Vector

_ARITHMETIC: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = MappingProxyType(
    {
        "+": np.add,
        "-": np.subtract,
        "*": np.multiply,
        "/": np.divide,
        "%": np.fmod,
        "^": np.power,
        "atan2": np.arctan2,
    }
)
COMPARISONS: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = MappingProxyType(
    {
        "==": np.equal,
        "!=": np.not_equal,
        ">": np.greater,
        "<": np.less,
        ">=": np.greater_equal,
        "<=": np.less_equal,
    }
)
TRIMS = frozenset({"</", ">/"})


def numbers(op: str, lhs: np.ndarray, rhs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two floats: the result (of a comparison: the left one), and whether it holds (else: true)."""
    with np.errstate(all="ignore"):  # NaN and infinities are answers
        if op in COMPARISONS:
            return lhs, COMPARISONS[op](lhs, rhs)
        if op in TRIMS:
            return lhs, np.zeros(lhs.shape, np.bool_)
        return _ARITHMETIC[op](lhs, rhs), np.ones(lhs.shape, np.bool_)


@dataclass(frozen=True, slots=True)
class Cells:
    """Samples without their labels; the arrays are those of a Vector."""

    values: np.ndarray
    present: np.ndarray
    rows: np.ndarray | None = None
    histograms: Histograms | None = None

    @classmethod
    def of(cls, vector: Vector) -> "Cells":
        """Those of a vector."""
        return cls(vector.values, vector.present, vector.rows, vector.histograms)

    @property
    def is_histogram(self) -> np.ndarray:
        """Where a histogram stands: bool, of the shape of `present`."""
        return np.zeros(self.present.shape, np.bool_) if self.rows is None else self.present & (self.rows != NO_ROW)

    def where(self, present: np.ndarray) -> "Cells":
        """Only there."""
        return Cells(self.values, present, self.rows, self.histograms)

    def vector(self, labels: Sequence[Labels], nameless: np.ndarray) -> Vector:
        """Under these labels."""
        return Vector(labels, self.values, self.present, self.rows, self.histograms, nameless)


def elements(node: Binary, lhs: Cells, rhs: Cells, ctx: Context) -> tuple[Cells, np.ndarray]:
    """What comes of each pair, and whether a comparison holds.

    A pair that makes no sense (a histogram plus a number) is gone from the answer, which is said.
    """
    there = lhs.present & rhs.present
    values, keep = numbers(node.op, lhs.values, rhs.values)
    left, right = lhs.is_histogram, rhs.is_histogram
    if not (left.any() or right.any()):
        if node.op in TRIMS and there.any():
            _incompatible(node, "float", "float", ctx)
            there = np.zeros_like(there)
        return Cells(values, there), keep
    return _with_histograms(node, lhs.where(there), rhs.where(there), Cells(values, there), keep, ctx)


def _incompatible(node: Binary, lhs: str, rhs: str, ctx: Context) -> None:
    ctx.notes.inform(
        f'incompatible sample types encountered for binary operator "{node.op}": {lhs} {node.op} {rhs}', node
    )


# Native histograms ----------------------------------------------------------------------------------------------------


def _with_histograms(
    node: Binary, lhs: Cells, rhs: Cells, floats: Cells, keep: np.ndarray, ctx: Context
) -> tuple[Cells, np.ndarray]:
    left, right = lhs.is_histogram, rhs.is_histogram
    if node.op in COMPARISONS:
        return _compared(node, lhs, rhs, keep, ctx)
    present = floats.present & ~left & ~right
    rows = np.full(present.shape, NO_ROW)
    blocks: list[Histograms] = []
    for where, make, kinds in (
        (left & right, _of_two, ("histogram", "histogram")),
        (left & ~right & floats.present, _of_one, ("histogram", "float")),
        (right & ~left & floats.present, _scaled, ("float", "histogram")),
    ):
        if not where.any():
            continue
        made = make(node, lhs, rhs, where, ctx)
        if made is None:
            _incompatible(node, *kinds, ctx)
            continue
        block, good = made
        place = np.where(good, np.arange(len(block)) + sum(len(one) for one in blocks), NO_ROW)
        rows[where], present[where] = place, good
        blocks.append(block)
    return Cells(floats.values, present, rows, concatenate(blocks) if blocks else None), keep


_Made = tuple[Histograms, np.ndarray] | None
"""Histograms, and which of them are an answer; None: the operator does not take such a pair."""


def _block(cells: Cells, where: np.ndarray) -> Histograms:
    assert cells.rows is not None and cells.histograms is not None  # noqa: PT018, S101 - some are there
    return cells.histograms.take(cells.rows[where])


def _of_two(node: Binary, lhs: Cells, rhs: Cells, where: np.ndarray, ctx: Context) -> _Made:
    if node.op not in "+-":
        return None
    found, notes = (add if node.op == "+" else subtract)(_block(lhs, where), _block(rhs, where))
    _tell(node, notes, ctx)
    return found if node.op == "+" else found.as_gauges(), ~notes.incompatible


def _tell(node: Binary, notes: Notes, ctx: Context) -> None:
    doing = "addition" if node.op == "+" else "subtraction"
    if notes.incompatible.any():
        ctx.notes.warn(f"incompatible bucket layout encountered for binary operator {node.op}", node)
    if notes.reconciled.any():
        ctx.notes.inform(f"mismatched custom buckets were reconciled during {doing}", node)
    if notes.reset_conflict.any():
        ctx.notes.warn(f"conflicting counter resets during histogram {doing}", node)


def _of_one(node: Binary, lhs: Cells, rhs: Cells, where: np.ndarray, _: Context) -> _Made:
    block, number = _block(lhs, where), rhs.values[where]
    if node.op in TRIMS:
        found = trim(block, number, below=node.op == "</")
    elif node.op in "*/":
        found = (multiply if node.op == "*" else divide)(block, number)
    else:
        return None
    return found, np.ones(len(found), np.bool_)


def _scaled(node: Binary, lhs: Cells, rhs: Cells, where: np.ndarray, _: Context) -> _Made:
    if node.op != "*":
        return None
    found = multiply(_block(rhs, where), lhs.values[where])
    return found, np.ones(len(found), np.bool_)


def _compared(node: Binary, lhs: Cells, rhs: Cells, keep: np.ndarray, ctx: Context) -> tuple[Cells, np.ndarray]:
    left, right, there = lhs.is_histogram, rhs.is_histogram, lhs.present & rhs.present
    both, present, keep = left & right, there & (left == right), keep.copy()
    if both.any() and node.op in ("==", "!="):
        same = equal(_block(lhs, both), _block(rhs, both))
        keep[both] = same if node.op == "==" else ~same
    elif both.any():
        _incompatible(node, "histogram", "histogram", ctx)
        present &= ~both
    for where, kinds in (
        (left & ~right & there, ("histogram", "float")),
        (right & ~left & there, ("float", "histogram")),
    ):
        if where.any():
            _incompatible(node, *kinds, ctx)
    return Cells(lhs.values, present, lhs.rows, lhs.histograms), keep
