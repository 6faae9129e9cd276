"""What Prometheus' API answers, as series of arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels, its samples in the order of time, and its native histograms as the JSON has them.

    Attributes:
        times: int64[n_samples], milliseconds.
        values: float64[n_samples].
        texts: the values as they were sent.
        histograms: time in milliseconds and histogram, of each.
    """

    labels: Mapping[str, str]
    times: np.ndarray
    values: np.ndarray
    texts: list[str]
    histograms: list[tuple[int, dict[str, Any]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Answer:
    """A query's answer.

    Attributes:
        kind: `scalar`, `string`, `vector` or `matrix`.
        series: of vectors and matrices.
        text: of scalars and strings.
        warnings, infos: as the server says them.
        body: the answer as it came.
    """

    kind: str
    series: list[Series]
    text: str
    warnings: list[str]
    infos: list[str]
    body: bytes


def read(tree: Mapping[str, Any], body: bytes) -> Answer:
    """Of the JSON `body`, parsed.

    Raises:
        AttributeError, IndexError, KeyError, TypeError, ValueError: it is no answer of Prometheus' API.
    """
    data = tree["data"]
    kind, result = data["resultType"], data["result"]
    series, text = [], ""
    if kind in ("scalar", "string"):
        text = str(result[1])
    else:
        series = [_series(one) for one in result]
    return Answer(kind, series, text, list(tree.get("warnings", ())), list(tree.get("infos", ())), body)


def _series(one: Mapping[str, Any]) -> Series:
    points = one.get("values", [one["value"]] if "value" in one else [])
    natives = one.get("histograms", [one["histogram"]] if "histogram" in one else [])
    texts = [text for _, text in points]
    times = np.array([at for at, _ in points], np.float64)
    return Series(
        {str(name): str(value) for name, value in one["metric"].items()},
        np.rint(times * 1000).astype(np.int64),
        np.array(texts, np.str_).astype(np.float64) if texts else np.empty(0),
        texts,
        [(round(at * 1000), histogram) for at, histogram in natives],
    )
