"""Label sets: what of them counts when series are grouped or matched, and what is left in the answer."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from gnomon_server.errors import InvalidInput
from gnomon_server.query.promql.go_text import quoted
from gnomon_server.query.promql.values import NAME, NO_ROW, Labels, Samples, Vector

# What a function's result no longer is: the metric of that name, type and unit (Prometheus: schema.IsMetadataLabel).
METADATA = frozenset({NAME, "__type__", "__unit__"})
Key = Callable[[Labels], Labels]


def only(names: Iterable[str]) -> Key:
    """These labels alone, as `by` and `on` want it."""
    wanted = frozenset(names)
    return lambda labels: tuple(pair for pair in labels if pair[0] in wanted)


def all_but(names: Iterable[str]) -> Key:
    """All but these, as `without` and `ignoring` want it."""
    unwanted = frozenset(names)
    return lambda labels: tuple(pair for pair in labels if pair[0] not in unwanted)


without_metadata = all_but(METADATA)


def name_of(labels: Labels) -> str:
    """The metric; empty for a series without a name."""
    return next((value for name, value in labels if name == NAME), "")


def named(labels: Labels) -> str:
    """` for metric name "up"`, as messages end; empty for a series without a name."""
    name = name_of(labels)
    return f" for metric name {quoted(name)}" if name else ""


def shown(labels: Labels) -> str:
    """`{job="api", instance="1"}`, as Prometheus' errors print labels."""
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels) + "}"


def replaced(labels: Labels, name: str, value: str) -> Labels:
    """With one label set, or removed where the value is empty."""
    rest = [pair for pair in labels if pair[0] != name]
    return tuple(sorted([*rest, (name, value)])) if value else tuple(rest)


def grouped(labels: Sequence[Labels], key: Key) -> tuple[np.ndarray, list[Labels]]:
    """Which series belong together.

    Returns:
        int64[n_series]: the group of each; the groups' keys in the order of their first series.
    """
    numbers: dict[Labels, int] = {}
    group = np.fromiter((numbers.setdefault(key(one), len(numbers)) for one in labels), np.int64, len(labels))
    return group, list(numbers)


def merged(vector: Vector, labels: Sequence[Labels]) -> Vector:
    """The vector under new labels; series that have become the same are one, where at no step both are there.

    engine.go: mergeSeriesWithSameLabelset.

    Raises:
        InvalidInput: they are there at the same step.
    """
    group, keys = grouped(labels, lambda one: one)
    if len(keys) == len(labels):
        return Vector(
            labels, vector.values, vector.present, vector.rows, vector.histograms, vector.nameless, vector.ordered
        )
    steps = vector.present.shape[1]
    present = np.zeros((len(keys), steps), np.int64)
    np.add.at(present, group, vector.present)
    if (present > 1).any():
        raise InvalidInput("promql_execution", "vector cannot contain metrics with the same labelset")
    values = np.zeros((len(keys), steps))
    rows = None if vector.rows is None else np.full((len(keys), steps), NO_ROW)
    series, step = np.nonzero(vector.present)
    values[group[series], step] = vector.values[series, step]
    if rows is not None and vector.rows is not None:
        rows[group[series], step] = vector.rows[series, step]
    nameless = np.zeros(len(keys), np.bool_)
    np.logical_or.at(nameless, group, vector.nameless)
    return Vector(keys, values, present > 0, rows, vector.histograms, nameless, vector.ordered)


def range_names_removed(samples: Samples) -> Samples:
    """Likewise for a range vector, of whose series those without samples do not count.

    Raises:
        InvalidInput: two series have become the same.
    """
    if samples.nameless is None:
        return samples
    labels = [
        without_metadata(one) if nameless else one
        for one, nameless in zip(samples.labels, samples.nameless.tolist(), strict=True)
    ]
    there = [one for one, count in zip(labels, np.diff(samples.begins).tolist(), strict=True) if count]
    if len(set(there)) < len(there):
        raise InvalidInput("promql_execution", "vector cannot contain metrics with the same labelset")
    return replace(samples, labels=labels)


def names_removed(vector: Vector) -> Vector:
    """The end of a query: names that functions took away are gone, empty series too; sorted, if no order was asked."""
    left = vector.kept()
    labels = [
        without_metadata(one) if nameless else one
        for one, nameless in zip(left.labels, left.nameless.tolist(), strict=True)
    ]
    answer = merged(left, labels)
    if answer.ordered:
        return answer
    return answer.take(np.array(sorted(range(len(answer.labels)), key=answer.labels.__getitem__), np.int64))
