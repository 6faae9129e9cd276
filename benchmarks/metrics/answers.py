"""Are two answers to a range query the same?"""

import json
from dataclasses import dataclass

import numpy as np

EXACT = 1e-9
"""Relative: values that are to be equal may be summed up in another order."""
Points = dict[frozenset[tuple[str, str]], dict[float, float]]
"""By labels and time."""


@dataclass(frozen=True)
class Comparison:
    """Of an answer with Prometheus'.

    Attributes:
        series, expected_series: how many.
        same_series: whether their labels and steps are the same; or else, where one of several equals was to be chosen
            (`topk`), whether each step has the same values.
        median, worst: relative difference of the values that both have.
        points: how many those are.
    """

    series: int
    expected_series: int
    same_series: bool
    points: int
    median: float
    worst: float

    def verdict(self, *, exact: bool) -> str:
        """`equal`, or what is not; without `exact`, where other semantics excuse a difference, how large it is."""
        if exact:
            right = self.same_series and self.worst <= EXACT
            return "equal" if right else f"DIFFERS: {self._text()}, worst {self.worst:.2g}"
        return f"{self.median:.1%}" if self.series == self.expected_series else f"{self._text()}, {self.median:.1%}"

    def _text(self) -> str:
        return f"{self.series} series of {self.expected_series}{'' if self.same_series else ', other ones or steps'}"


def compare(body: bytes, expected: bytes, *, names: bool) -> Comparison:
    """Two answers of `/api/v1/query_range`; without `names` those of the metrics do not count.

    (VictoriaMetrics keeps them where a function does not change what the values are.)
    """
    ours, theirs = _points(body, names=names), _points(expected, names=names)
    pairs = [
        (ours[labels][at], value)
        for labels, points in theirs.items()
        if labels in ours
        for at, value in points.items()
        if at in ours[labels]
    ]
    same = ours.keys() == theirs.keys() and all(
        ours[labels].keys() == points.keys() for labels, points in theirs.items()
    )
    left, right = np.array(pairs, np.float64).reshape(-1, 2).T
    with np.errstate(invalid="ignore"):
        apart = np.abs(left - right)
        scale = np.maximum(np.maximum(np.abs(left), np.abs(right)), 1e-300)
    alike = (left == right) | (np.isnan(left) & np.isnan(right))
    relative = np.where(alike, 0.0, apart / scale) if pairs else np.array([np.inf])
    relative = np.nan_to_num(relative, nan=np.inf)
    same = same or _same_values(ours, theirs)
    return Comparison(len(ours), len(theirs), same, len(pairs), float(np.median(relative)), float(relative.max()))


def _same_values(ours: Points, theirs: Points) -> bool:
    """Whether each step has the same values, whatever series they belong to."""
    steps: list[dict[float, list[float]]] = [{}, {}]
    for found, points in zip(steps, (ours, theirs), strict=True):
        for series in points.values():
            for at, value in series.items():
                found.setdefault(at, []).append(value)
    return steps[0].keys() == steps[1].keys() and all(
        len(mine) == len(steps[1][at]) and np.allclose(sorted(mine), sorted(steps[1][at]), EXACT, 0)
        for at, mine in steps[0].items()
    )


def _points(body: bytes, *, names: bool) -> Points:
    found = {}
    for one in json.loads(body)["data"]["result"]:
        labels = frozenset(pair for pair in one["metric"].items() if names or pair[0] != "__name__")
        found[labels] = {at: float(value) for at, value in one["values"]}
    return found
