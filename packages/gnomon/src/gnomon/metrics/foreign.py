"""Metrics that the host keeps with `prometheus_client`: read from its registries and shown with ours.

They become families like our own, and so are added up over workers as ours are. Their names stay as they are.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from gnomon.metrics.cells import plain
from gnomon.metrics.collect import (
    COUNTER,
    GAUGE,
    HISTOGRAM,
    SUMMARY,
    Buckets,
    Exemplar,
    Family,
    Labels,
    Number,
    Point,
    Quantiles,
)
from gnomon.metrics.said import say_once
from gnomon.wire.envelope import Scope

SCOPE = Scope("prometheus_client")


def families(registries: Iterable[Any] | None = None) -> list[Family]:
    """What the registries hold; the library's own registry if none are named, once somebody imported it."""
    if registries is None:
        library = sys.modules.get("prometheus_client")
        registries = [library.REGISTRY] if library is not None and hasattr(library, "REGISTRY") else []
    found: list[Family] = []
    for registry in registries:
        try:
            found.extend(family for metric in registry.collect() for family in _families(metric))
        except Exception as error:  # noqa: BLE001 - the host's collectors must not end the scrape of all others
            say_once("foreign", f"a registry of prometheus_client could not be read: {error!r}")
    return found


def _families(metric: Any) -> Iterator[Family]:
    kind = {"counter": COUNTER, "histogram": HISTOGRAM, "summary": SUMMARY}.get(metric.type)
    now_ns = time.time_ns()
    if kind is None:  # gauges, and what we have no kind for: info, stateset, gaugehistogram, unknown
        names = dict.fromkeys(sample.name for sample in metric.samples)
        for name in names:
            points: list[Point] = [
                Number(_labels(sample), 0, plain(sample.value)) for sample in metric.samples if sample.name == name
            ]
            yield Family(name, GAUGE, metric.documentation, "", now_ns, tuple(points), SCOPE)
        return
    created = {
        _labels(sample): int(sample.value * 1e9) for sample in metric.samples if sample.name.endswith("_created")
    }
    points = list({COUNTER: _counters, HISTOGRAM: _histograms, SUMMARY: _summaries}[kind](metric, created))
    if points:
        name = f"{metric.name}_total" if kind == COUNTER else metric.name
        yield Family(name, kind, metric.documentation, "", now_ns, tuple(points), SCOPE)


def _labels(sample: Any, besides: str = "") -> Labels:
    return tuple(sorted(pair for pair in sample.labels.items() if pair[0] != besides))


def _counters(metric: Any, created: dict[Labels, int]) -> Iterator[Point]:
    for sample in metric.samples:
        if sample.name.endswith("_total"):
            labels = _labels(sample)
            yield Number(labels, created.get(labels, 0), plain(sample.value), tuple(_exemplar(sample)))


def _exemplar(sample: Any) -> Iterator[Exemplar]:
    """The sample's exemplar, if it names a trace as ours do."""
    told = getattr(sample, "exemplar", None)
    try:
        if told:
            trace, span = bytes.fromhex(told.labels["trace_id"]), bytes.fromhex(told.labels.get("span_id", ""))
            yield Exemplar(told.value, int((told.timestamp or 0) * 1e9), trace, span)
    except (KeyError, ValueError):
        return


def _histograms(metric: Any, created: dict[Labels, int]) -> Iterator[Point]:
    buckets: dict[Labels, list[tuple[float, int, Any]]] = {}
    sums: dict[Labels, float] = {}
    for sample in metric.samples:
        if sample.name.endswith("_bucket"):
            rows = buckets.setdefault(_labels(sample, "le"), [])
            rows.append((float(sample.labels["le"]), int(sample.value), sample))
        elif sample.name.endswith("_sum"):
            sums[_labels(sample)] = sample.value
    for labels, rows in buckets.items():
        rows.sort(key=lambda row: row[0])
        counts = [row[1] - before for row, before in zip(rows, [0, *(row[1] for row in rows)], strict=False)]
        bounds = tuple(row[0] for row in rows[:-1])
        exemplars = tuple(one for row in rows for one in _exemplar(row[2]))
        yield Buckets(labels, created.get(labels, 0), sums.get(labels, 0.0), bounds, tuple(counts), exemplars)


def _summaries(metric: Any, created: dict[Labels, int]) -> Iterator[Point]:
    told: dict[Labels, dict[str, float]] = {}
    quantiles: dict[Labels, list[tuple[float, float]]] = {}
    for sample in metric.samples:
        if "quantile" in sample.labels:
            pair = (float(sample.labels["quantile"]), sample.value)
            quantiles.setdefault(_labels(sample, "quantile"), []).append(pair)
        else:
            told.setdefault(_labels(sample), {})[sample.name.rpartition("_")[2]] = sample.value
    for labels, values in told.items():
        pairs = tuple(quantiles.get(labels, ()))
        yield Quantiles(labels, created.get(labels, 0), values.get("sum", 0.0), int(values.get("count", 0)), pairs)
