"""The HTTP server's metrics by their old names: `http_requests_total{method,endpoint,status}` and its kin.

Dashboards and rules of a decade ask for these. They are the same measurements, named otherwise when they are read;
nothing is counted twice. A namespace stands before them: `astra_http_requests_total`.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from gnomon.metrics.collect import plus
from gnomon.wire.metrics import COUNTER, Buckets, Family, Labels, Number, Point

DURATION = "http.server.request.duration"
# Measured name -> (old name, unit). The active ones were called connections, and are requests.
RENAMED = {
    DURATION: ("http_request_duration", "s"),
    "http.server.request.body.size": ("http_request_size", "By"),
    "http.server.response.body.size": ("http_response_size", "By"),
    "http.server.active_requests": ("active_connections", ""),
}
LABELS = {
    "http.request.method": "method",
    "http.route": "endpoint",
    "http.response.status_code": "status",
}


def classic(namespace: str = "") -> Callable[[Iterable[Family]], list[Family]]:
    """What puts the old names in place of the new."""
    prefix = f"{namespace}_" if namespace else ""

    def renamed(families: Iterable[Family]) -> list[Family]:
        found: list[Family] = []
        for family in families:
            if family.name not in RENAMED:
                found.append(family)
                continue
            name, unit = RENAMED[family.name]
            found.append(replace(family, name=prefix + name, unit=unit, points=_merged(family.points, _same)))
            if family.name == DURATION:
                points = _merged(family.points, _count)
                told = "Requests that were answered"
                found.append(
                    replace(
                        family, name=f"{prefix}http_requests", kind=COUNTER, description=told, unit="", points=points
                    )
                )
        return found

    return renamed


def _same(point: Any, labels: Labels) -> Point:
    return replace(point, labels=labels)  # type: ignore[no-any-return]  # of the same class


def _count(point: Any, labels: Labels) -> Point:
    counted: Buckets = point
    return Number(labels, counted.start_ns, sum(counted.counts))


def _merged(points: Iterable[Point], made: Callable[[Any, Labels], Point]) -> tuple[Point, ...]:
    """Points under the old labels, which are fewer: those that fall together are added up."""
    merged: dict[Labels, Point] = {}
    for point in points:
        labels = _labels(point.labels)
        one = made(point, labels)
        known = merged.get(labels)
        merged[labels] = one if known is None else plus(known, one) or known
    return tuple(merged.values())


def _labels(labels: Labels) -> Labels:
    """The old names; what no route matched has an empty endpoint. An overflow stays what it is."""
    if any(name == "otel.metric.overflow" for name, _ in labels):
        return labels
    known = dict(labels)
    told = {LABELS[name]: str(value) for name, value in known.items() if name in LABELS}
    if "status" in told:
        told.setdefault("endpoint", "")
    return tuple(sorted(told.items()))
