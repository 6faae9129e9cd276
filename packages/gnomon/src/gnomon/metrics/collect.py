"""What reads metrics: the snapshot types, adding label sets up, and deltas between two snapshots."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from gnomon.wire.metrics import (
    COUNTER,
    EXPONENTIAL,
    GAUGE,
    HISTOGRAM,
    OURS,
    SUMMARY,
    UP_DOWN,
    Buckets,
    Exemplar,
    Exponential,
    Family,
    Labels,
    Number,
    Point,
    Quantiles,
)

__all__ = [
    "COUNTER",
    "EXPONENTIAL",
    "GAUGE",
    "HISTOGRAM",
    "OURS",
    "SUMMARY",
    "UP_DOWN",
    "Buckets",
    "Deltas",
    "Exemplar",
    "Exponential",
    "Family",
    "Labels",
    "Number",
    "Point",
    "Quantiles",
    "plus",
]


def plus(one: Point, other: Point, sign: int = 1) -> Point | None:
    """Two points of one label set as one: the sum, since the earlier start.

    Args:
        one: a point; its labels are the result's, and if it has exemplars, they are.
        other: a point of the same class.
        sign: -1 takes `other` away.

    Returns:
        None if they cannot be added: their bounds differ.
    """
    start_ns = min(one.start_ns, other.start_ns)
    if isinstance(one, Number) and isinstance(other, Number):
        value = one.value + sign * other.value
        return replace(one, start_ns=start_ns, value=value, exemplars=one.exemplars or other.exemplars)
    if isinstance(one, Quantiles) and isinstance(other, Quantiles):
        total, count = one.sum + sign * other.sum, one.count + sign * other.count
        return Quantiles(one.labels, start_ns, total, count)
    if isinstance(one, Buckets) and isinstance(other, Buckets) and one.bounds == other.bounds:
        counts = tuple(mine + sign * theirs for mine, theirs in zip(one.counts, other.counts, strict=True))
        exemplars = one.exemplars or other.exemplars
        return Buckets(one.labels, start_ns, one.sum + sign * other.sum, one.bounds, counts, exemplars)
    if isinstance(one, Exponential) and isinstance(other, Exponential):
        return _exponential(one, other, sign, start_ns)
    return None


def _exponential(one: Exponential, other: Exponential, sign: int, start_ns: int) -> Exponential:
    scale = min(one.scale, other.scale)
    sides: dict[str, Any] = {}
    for side in ("positive", "negative"):
        counts: dict[int, int] = {}
        for point, factor in ((one, 1), (other, sign)):
            for bucket, count in getattr(point, side):
                coarser = bucket >> (point.scale - scale)
                counts[coarser] = counts.get(coarser, 0) + factor * count
        sides[side] = tuple(sorted((bucket, count) for bucket, count in counts.items() if count))
    zeros, total = one.zeros + sign * other.zeros, one.sum + sign * other.sum
    exemplars = one.exemplars or other.exemplars
    return replace(one, start_ns=start_ns, sum=total, scale=scale, zeros=zeros, exemplars=exemplars, **sides)


class Deltas:
    """Turns totals into what came since the last time, for receivers that want delta temporality."""

    def __init__(self) -> None:
        self._last: dict[tuple[Any, ...], tuple[int, Point]] = {}

    def since(self, families: Iterable[Family]) -> list[Family]:
        """The families with each counter's and histogram's points since the last call; the others as they are."""
        last, self._last = self._last, {}
        return [
            family
            if family.kind in (GAUGE, UP_DOWN, SUMMARY)
            else replace(family, points=tuple(self._less(family, point, last) for point in family.points))
            for family in families
        ]

    def _less(self, family: Family, point: Point, last: dict[tuple[Any, ...], tuple[int, Point]]) -> Point:
        key = (family.scope.name, family.name, point.labels)
        self._last[key] = family.time_ns, point
        read_ns, before = last.get(key, (0, None))
        if before is None or before.start_ns != point.start_ns or _fell(family, point, before):  # new, or begun anew
            return point
        less = plus(point, before, -1)
        return point if less is None else replace(less, start_ns=read_ns)


def _fell(family: Family, point: Point, before: Point) -> bool:
    """Whether a sum that only grows is smaller than it was: what a callback reads may begin anew without a word."""
    falls = isinstance(point, Number) and isinstance(before, Number) and point.value < before.value
    return family.kind == COUNTER and falls
