"""What a query answered, in one shape, whoever was asked: the door itself or the HTTP API."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.promqltest.histogram import Histogram
from tests.promqltest.series import Labels


@dataclass(frozen=True, slots=True)
class Shown:
    """A native histogram as Prometheus' JSON shows it: without resolution, bounds of empty buckets and hint."""

    count: float
    sum: float
    buckets: list[tuple[int, float, float, float]]


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: its samples, each with its time in milliseconds."""

    labels: Labels
    floats: list[tuple[int, float]] = field(default_factory=list)
    histograms: list[tuple[int, Histogram | Shown]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Result:
    """An answer. `kind` is Prometheus' resultType; a series of a `vector` has exactly one sample."""

    kind: str
    series: list[Series] = field(default_factory=list)
    scalar: float = 0.0
    text: str = ""
    warnings: list[str] = field(default_factory=list)
    infos: list[str] = field(default_factory=list)

    def at(self, time_ms: int) -> "Result":
        """The vector that a matrix has at one time."""
        series = []
        for one in self.series:
            floats = [sample for sample in one.floats if sample[0] == time_ms]
            histograms = [sample for sample in one.histograms if sample[0] == time_ms]
            if floats or histograms:
                series.append(Series(one.labels, floats, histograms))
        return Result("vector", series, warnings=self.warnings, infos=self.infos)


@dataclass(frozen=True, slots=True)
class Failure:
    """A query that was refused, and why. `unexpected`: not by a refusal of ours but by a fault."""

    message: str
    unexpected: bool = False


Reply = Result | Failure


def of_json(body: Mapping[str, Any]) -> Reply:
    """An answer of `/api/v1/query` or `/api/v1/query_range`."""
    if body["status"] != "success":
        return Failure(body["error"])
    kind, result = body["data"]["resultType"], body["data"]["result"]
    notes: dict[str, Any] = {"warnings": body.get("warnings", []), "infos": body.get("infos", [])}
    if kind == "scalar":
        return Result(kind, scalar=float(result[1]), **notes)
    if kind == "string":
        return Result(kind, text=result[1], **notes)
    return Result(kind, [_series(one) for one in result], **notes)


def _series(one: Mapping[str, Any]) -> Series:
    floats = [*one.get("values", []), *([one["value"]] if "value" in one else [])]
    histograms = [*one.get("histograms", []), *([one["histogram"]] if "histogram" in one else [])]
    return Series(
        tuple(sorted(one["metric"].items())),
        [(_time(at), float(value)) for at, value in floats],
        [(_time(at), _shown(value)) for at, value in histograms],
    )


def _time(seconds: float) -> int:
    return round(seconds * 1000)


def _shown(histogram: Mapping[str, Any]) -> Shown:
    buckets = [
        (int(ends), float(lower), float(upper), float(count))
        for ends, lower, upper, count in histogram.get("buckets", [])
    ]
    return Shown(float(histogram["count"]), float(histogram["sum"]), buckets)
