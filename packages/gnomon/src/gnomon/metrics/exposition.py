"""Snapshots as Prometheus reads them: text 0.0.4, and OpenMetrics 1.0 with exemplars.

https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from gnomon.metrics import names
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
)
from gnomon.metrics.foreign import SCOPE as FOREIGN
from gnomon.metrics.labelled import OVERFLOW
from gnomon.metrics.said import say_once
from gnomon.wire.metrics import OURS

TEXT, OPENMETRICS = "text/plain", "application/openmetrics-text"
CONTENT_TYPES = {
    TEXT: "text/plain; version=0.0.4; charset=utf-8",
    OPENMETRICS: "application/openmetrics-text; version=1.0.0; charset=utf-8",
}
_TYPES = {
    COUNTER: "counter",
    UP_DOWN: "gauge",
    GAUGE: "gauge",
    HISTOGRAM: "histogram",
    EXPONENTIAL: "histogram",
    SUMMARY: "summary",
}
# Prometheus' text has no exponential buckets. Two explicit ones for each power of two: bounds that stay where they are
# while the histogram becomes coarser, and a quantile that is at most 41 % off.
SHOWN_SCALE = 1


def negotiate(accept: str) -> str:
    """The format that an Accept header asks for first: `OPENMETRICS` or `TEXT`."""
    best = {TEXT: 0.0, OPENMETRICS: 0.0}
    for part in accept.split(","):
        kind, *parameters = (piece.strip() for piece in part.lower().split(";"))
        told = dict(pair.split("=", 1) for pair in parameters if "=" in pair)
        if kind in best and told.get("version", "1.0.0") in ("1.0.0", "0.0.4"):
            best[kind] = max(best[kind], _quality(told.get("q", "1")))
    return OPENMETRICS if best[OPENMETRICS] > best[TEXT] else TEXT


def _quality(told: str) -> float:
    try:
        return float(told)
    except ValueError:
        return 0.0


def render(
    families: Iterable[Family],
    form: str = TEXT,
    *,
    resource: Mapping[str, Any] | None = None,
    created: bool = False,
) -> bytes:
    """The body of a scrape.

    Args:
        families: a snapshot; of two with the same name in Prometheus the first is shown, and it is said once.
        form: `TEXT` or `OPENMETRICS`.
        resource: the service's attributes, shown as `target_info`.
        created: whether OpenMetrics says when each count began, one more line for each.
    """
    writer = _Writer(form == OPENMETRICS, created)
    if resource:
        writer.target_info(resource)
    for shown in by_name(families):
        writer.family(shown)
    if form == OPENMETRICS:
        writer.lines.append("# EOF\n")
    return "".join(writer.lines).encode("utf-8", "replace")


class Sample(NamedTuple):
    """A number under a name; several make a point."""

    name: str
    extra: str
    """The label that a point's samples differ in: `le`, `quantile` or, for most, none."""
    bound: str
    """That label's value."""
    value: float
    exemplar: Exemplar | None = None


@dataclass(slots=True)
class Shown:
    """Families that are one in Prometheus."""

    name: str
    family: Family
    points: list[Point]

    @property
    def kind(self) -> str:
        """Prometheus' word for it."""
        return _TYPES[self.family.kind]

    @property
    def stem(self) -> str:
        """The name, without a counter's `_total`."""
        return self.name.removesuffix("_total") if self.kind == "counter" else self.name

    def labelled(self) -> Iterator[tuple[dict[str, str], Point]]:
        """Each point under its labels as Prometheus has them."""
        present = _present(self.points)
        for point in self.points:
            yield shown_labels(_others(present) if point.labels[: len(OVERFLOW)] == OVERFLOW else point.labels), point

    def samples(self, point: Point) -> Iterator[Sample]:
        """What a point is made of, in the order of the text format."""
        stem = self.stem
        if isinstance(point, Number):
            if self.kind == "counter":
                yield Sample(f"{stem}_total", "", "", point.value, point.exemplars[-1] if point.exemplars else None)
            else:
                yield Sample(stem, "", "", point.value)
            return
        if isinstance(point, Quantiles):
            for share, value in point.quantiles:
                yield Sample(stem, "quantile", number_text(float(share)), value)
            count = point.count
        else:
            buckets = explicit(point) if isinstance(point, Exponential) else point
            marks = {bisect_left(buckets.bounds, one.value): one for one in buckets.exemplars}
            count = 0
            for number, (bound, more) in enumerate(zip((*buckets.bounds, float("inf")), buckets.counts, strict=True)):
                count += more
                yield Sample(f"{stem}_bucket", "le", number_text(bound), count, marks.get(number))
        yield Sample(f"{stem}_sum", "", "", point.sum)
        yield Sample(f"{stem}_count", "", "", count)


def by_name(families: Iterable[Family]) -> list[Shown]:
    """Families as Prometheus has them; of two with the same name the first is shown, and it is said once."""
    found: dict[str, Shown] = {}
    for family in families:
        foreign = family.scope.name == FOREIGN.name
        name = family.name if foreign else names.exposed(family.name, family.unit, family.kind)
        stem = name.removesuffix("_total")
        points = family.points if foreign else _scoped(family)
        known = found.setdefault(stem, Shown(name, family, []))
        if known.points and (known.family.kind != family.kind or known.family.scope == family.scope or foreign):
            say_once(
                f"clash {stem}",
                f"{name} comes from {known.family.scope.name} and {family.scope.name}; the first is shown",
            )
            continue
        known.points.extend(points)
    return list(found.values())


def _scoped(family: Family) -> Iterable[Point]:
    """The points, with the label that tells the instruments of several libraries apart."""
    if family.scope.name == OURS.name:
        return family.points
    scope = ("otel_scope_name", family.scope.name)
    return [replace(point, labels=(*point.labels, scope)) for point in family.points]


class _Writer:
    """Lines, one format."""

    def __init__(self, openmetrics: bool, created: bool) -> None:
        self.lines: list[str] = []
        self._open, self._created = openmetrics, openmetrics and created

    def target_info(self, resource: Mapping[str, Any]) -> None:
        """The service itself."""
        name, kind = ("target", "info") if self._open else ("target_info", "gauge")
        self.lines.append(f"# HELP {name} Target metadata\n# TYPE {name} {kind}\n")
        self.lines.append(f"target_info{_braces(_pairs(shown_labels(resource.items())))} 1\n")

    def family(self, shown: Shown) -> None:
        """HELP, TYPE and all samples."""
        kind, stem = shown.kind, shown.stem
        head = stem if self._open else shown.name
        told = _help(shown.family.description or shown.family.name, quotes=self._open)
        self.lines.append(f"# HELP {head} {told}\n# TYPE {head} {kind}\n")
        for labels, point in shown.labelled():
            pairs = _pairs(labels)
            # OpenMetrics: a sum of what may be below zero may fall, and so is no counter; without it no count.
            unsummed = (f"{stem}_sum", f"{stem}_count") if self._open and _below_zero(point) else ()
            for sample in shown.samples(point):
                if sample.name not in unsummed:
                    self._sample(sample, pairs)
            if self._created and kind != "gauge" and point.start_ns:
                self.lines.append(f"{stem}_created{_braces(pairs)} {point.start_ns / 1e9}\n")

    def _sample(self, sample: Sample, pairs: str) -> None:
        labels = _braces(pairs, f'{sample.extra}="{sample.bound}"') if sample.extra else _braces(pairs)
        mark = self._exemplar(sample.exemplar) if self._open and sample.exemplar is not None else ""
        self.lines.append(f"{sample.name}{labels} {number_text(sample.value)}{mark}\n")

    @staticmethod
    def _exemplar(one: Exemplar) -> str:
        ids = f'trace_id="{one.trace_id.hex()}",span_id="{one.span_id.hex()}"'
        return f" # {{{ids}}} {number_text(one.value)} {one.time_ns / 1e9}"


def explicit(point: Exponential) -> Buckets:
    """An exponential histogram with bounds that can be written down: at most two for each power of two."""
    shift = max(0, point.scale - SHOWN_SCALE)
    scale = point.scale - shift
    base_log2 = 2.0**-scale
    counts: dict[float, int] = {0.0: point.zeros} if point.zeros or point.negative else {}
    for side, sign in ((point.negative, -1), (point.positive, 1)):
        coarse: dict[int, int] = {}
        for bucket, count in side:
            coarse[bucket >> shift] = coarse.get(bucket >> shift, 0) + count
        for bucket in range(min(coarse, default=0), max(coarse, default=-1) + 1):
            # A bucket's upper bound is its far end above zero, its near end below.
            bound = sign * 2.0 ** min(1023.0, (bucket + (sign > 0)) * base_log2)
            counts[bound] = counts.get(bound, 0) + coarse.get(bucket, 0)
    bounds = sorted(counts)
    return Buckets(
        point.labels,
        point.start_ns,
        point.sum,
        tuple(bounds),
        (*(counts[bound] for bound in bounds), 0),
        point.exemplars,
    )


def _below_zero(point: Point) -> bool:
    """Whether a histogram counts what is below zero."""
    if isinstance(point, Exponential):
        return bool(point.negative)
    return isinstance(point, Buckets) and bool(point.bounds) and point.bounds[0] < 0


def _present(points: Iterable[Point]) -> list[str]:
    """All label names of a family, but for the overflow's own."""
    return list(dict.fromkeys(name for point in points for name, _ in point.labels if name != OVERFLOW[0][0]))


def _others(present: Iterable[str]) -> Labels:
    return tuple((name, "other") for name in present) or OVERFLOW


def shown_labels(labels: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Labels as Prometheus has them; where two names become one, their values are joined as the OTel rules ask."""
    found: dict[str, str] = {}
    for name, value in labels:
        shown, text = names.label(name), names.label_value(value)
        found[shown] = f"{found[shown]};{text}" if shown in found else text
    return found


def _pairs(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())


def _braces(*pairs: str) -> str:
    inside = ",".join(pair for pair in pairs if pair)
    return f"{{{inside}}}" if inside else ""


def _escaped(text: str) -> str:
    if "\\" in text or '"' in text or "\n" in text:
        return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    return text


def _help(text: str, *, quotes: bool) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def number_text(value: float) -> str:
    """As Prometheus reads it back to the same bits."""
    if isinstance(value, int):
        return str(value)
    shown = repr(value)
    return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(shown, shown)
