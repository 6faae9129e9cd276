"""The snapshots of several processes as one, and as bytes."""

import marshal
from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from gnomon.metrics.collect import (
    COUNTER,
    EXPONENTIAL,
    GAUGE,
    HISTOGRAM,
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
    plus,
)
from gnomon.metrics.labelled import OVERFLOW
from gnomon.metrics.said import say_once
from gnomon.wire.envelope import Scope

# What grows as long as the processes live, and so stays counted after them.
LASTING = (COUNTER, HISTOGRAM, EXPONENTIAL, SUMMARY)
# Four times an instrument's usual cap: the union of workers' label sets is rarely larger than one's.
MOST_POINTS = 8000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one process had to say."""

    worker: str
    """The process, as the `worker` label of its gauges shows it."""
    families: tuple[Family, ...]


def merge(snapshots: Iterable[Snapshot], most: int = MOST_POINTS) -> list[Family]:
    """One family for each name: counts are added up, gauges stand apart with a label `worker`.

    Args:
        snapshots: of all processes; an instrument's own wish (`workers`) goes before what its kind says.
        most: how many label sets a family may have; the counts of further ones go to the overflow set.
    """
    first: dict[tuple[str, str, str], Family] = {}
    points: dict[tuple[str, str, str], dict[Labels, Point]] = {}
    for snapshot in snapshots:
        for family in snapshot.families:
            key = (family.scope.name, family.name, family.kind)
            known = first.setdefault(key, family)
            if family.time_ns > known.time_ns:
                first[key] = family
            _into(points.setdefault(key, {}), family, snapshot.worker, most)
    return [replace(family, points=tuple(points[key].values())) for key, family in first.items()]


def _into(merged: dict[Labels, Point], family: Family, worker: str, most: int) -> None:
    how = family.workers or ("each" if family.kind == GAUGE else "sum")
    for point in family.points:
        if how == "each":
            # With the label in front the sets of two workers never meet.
            named = "gnomon_worker" if any(name == "worker" for name, _ in point.labels) else "worker"
            own = replace(point, labels=(*point.labels, (named, worker)))
        else:
            own = point
        if own.labels not in merged and len(merged) >= most and family.kind in LASTING:
            own = replace(own, labels=OVERFLOW)
        before = merged.get(own.labels)
        both = own if before is None else _one(before, own, how)
        if both is None:
            say_once(
                f"merge {family.name}", f"{family.name} has other bounds in other workers; they cannot be added up"
            )
        else:
            merged[own.labels] = both


def _one(before: Point, own: Point, how: str) -> Point | None:
    if how in ("sum", "each") or not (isinstance(before, Number) and isinstance(own, Number)):
        return plus(before, own)
    if how == "latest":
        return max(before, own, key=lambda point: point.start_ns)
    return (max if how == "max" else min)(before, own, key=lambda point: point.value)


def lasting(families: Iterable[Family]) -> tuple[Family, ...]:
    """What stays counted after its process is gone: no gauges, and nothing of which the workers' maximum is wanted."""
    return tuple(family for family in families if family.kind in LASTING and family.workers in ("", "sum"))


_CLASSES: dict[str, Any] = {
    COUNTER: Number,
    UP_DOWN: Number,
    GAUGE: Number,
    HISTOGRAM: Buckets,
    EXPONENTIAL: Exponential,
    SUMMARY: Quantiles,
}
_parts = {kind: attrgetter(*kind.__slots__) for kind in (Number, Buckets, Exponential, Quantiles, Exemplar, Scope)}


def _point_parts(point: Point) -> tuple[Any, ...]:
    parts: tuple[Any, ...] = _parts[type(point)](point)
    if isinstance(point, Quantiles) or not point.exemplars:
        return parts
    return (*parts[:-1], tuple(_parts[Exemplar](one) for one in point.exemplars))


def dump(families: Iterable[Family]) -> bytes:
    """The families as bytes for another process of the same Python; equal numbers at another time give equal bytes."""
    return marshal.dumps(
        [
            (
                *(family.name, family.kind, family.description, family.unit),
                [_point_parts(point) for point in family.points],
                _parts[Scope](family.scope),
                family.workers,
            )
            for family in families
        ]
    )


def load(body: bytes, time_ns: int) -> tuple[Family, ...]:
    """The inverse of `dump`, as of this time.

    Raises:
        ValueError: these are no such bytes.
    """
    try:
        told = marshal.loads(body)  # noqa: S302 - from a private directory of our own user
        return tuple(_family(time_ns, *parts) for parts in told)
    except (EOFError, TypeError, KeyError, IndexError) as error:
        raise ValueError(f"not a snapshot: {error!r}") from error


def _family(
    time_ns: int, name: str, kind: str, description: str, unit: str, points: list[Any], scope: Any, workers: str
) -> Family:
    made = _CLASSES[kind]
    revived = tuple(_revived(made(*parts)) for parts in points)
    return Family(name, kind, description, unit, time_ns, revived, Scope(*scope), workers)


def _revived(point: Point) -> Point:
    if isinstance(point, Quantiles) or not point.exemplars:
        return point
    return replace(point, exemplars=tuple(Exemplar(*parts) for parts in point.exemplars))  # type: ignore[misc]  # tuples till now
