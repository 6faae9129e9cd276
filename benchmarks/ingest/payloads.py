"""Request bodies for the ingest benchmark: built once with the generated OTLP classes, then made distinct by patching.

A body's ids, times and unique attribute values have a fixed width, so their places in the bytes are found once, and
every further body is a copy with other random bytes there: as many distinct payloads as are wanted, at the speed of
memory.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_UNIQUE = "U" * 16  # a unique value: 16 hexadecimal digits
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_SPANS_A_TRACE = 8
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def _attribute(attributes: object, key: str, value: str | float | bool) -> None:
    pair = attributes.add()  # type: ignore[attr-defined]
    pair.key = key
    if isinstance(value, bool):
        pair.value.bool_value = value
    elif isinstance(value, int):
        pair.value.int_value = value
    elif isinstance(value, float):
        pair.value.double_value = value
    else:
        pair.value.string_value = value


def _ten_attributes(attributes: object, number: int) -> None:
    """Ten attributes of four types; three of the values are unique."""
    _attribute(attributes, "http.request.method", ("GET", "POST", "PUT")[number % 3])
    _attribute(attributes, "http.route", f"/api/v1/items/{number % 20}")
    _attribute(attributes, "user.id", _UNIQUE)
    _attribute(attributes, "request.id", _UNIQUE)
    _attribute(attributes, "session.id", _UNIQUE)
    _attribute(attributes, "http.response.status_code", 500 if number % 50 == 0 else 200)
    _attribute(attributes, "server.port", 8080)
    _attribute(attributes, "cache.hit", number % 2 == 0)
    _attribute(attributes, "load", (number % 8) / 8)
    _attribute(attributes, "server.address", f"10.0.0.{number % 32}")


def _resource(resource: object, service: int) -> None:
    _attribute(resource.attributes, "service.name", f"service-{service}")  # type: ignore[attr-defined]
    _attribute(resource.attributes, "service.version", "1.4.2")  # type: ignore[attr-defined]
    _attribute(resource.attributes, "host.name", f"host-{service}")  # type: ignore[attr-defined]


def spans(count: int, service: int) -> bytes:
    """A trace request; ids are the bytes TTTT... and SSSS..., to be patched."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    _resource(group.resource, service)
    scoped = group.scope_spans.add()
    scoped.scope.name = "benchmark"
    now = time.time_ns()
    for number in range(count):
        span = scoped.spans.add()
        span.trace_id, span.span_id = b"T" * 16, b"S" * 8
        if number % _SPANS_A_TRACE:
            span.parent_span_id = b"P" * 8
        span.name = f"{('GET', 'POST', 'PUT')[number % 3]} /api/v1/items/{number % 20}"
        span.kind = 2 if number % _SPANS_A_TRACE == 0 else 3
        span.start_time_unix_nano = now + number * 1000
        span.end_time_unix_nano = span.start_time_unix_nano + 1_000_000 + number * 7919 % 100_000_000
        if number % 50 == 0:
            span.status.code = 2
        _ten_attributes(span.attributes, number)
    return request.SerializeToString()


def logs(count: int, service: int) -> bytes:
    """A logs request: a line of some 60 bytes with a unique part, severity, trace context, ten attributes."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    _resource(group.resource, service)
    scoped = group.scope_logs.add()
    now = time.time_ns()
    for number in range(count):
        record = scoped.log_records.add()
        record.time_unix_nano = record.observed_time_unix_nano = now + number * 1000
        record.severity_number, record.severity_text = (17, "ERROR") if number % 50 == 0 else (9, "INFO")
        record.body.string_value = f"request {_UNIQUE} for item {number % 20} took {number % 977} ms"
        record.trace_id, record.span_id = b"T" * 16, b"S" * 8
        _ten_attributes(record.attributes, number)
    return request.SerializeToString()


def numbers(count: int, service: int) -> bytes:
    """A metrics request of cumulative sums: ten metrics, four attributes, each series once."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    _resource(group.resource, service)
    scoped = group.scope_metrics.add()
    now = time.time_ns()
    for metric_number in range(10):
        metric = scoped.metrics.add()
        metric.name, metric.unit = f"http.server.requests.{metric_number}", "1"
        metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, 2
        for number in range(count // 10):
            point = metric.sum.data_points.add()
            point.start_time_unix_nano, point.time_unix_nano = now - 10**12, now
            point.as_double = float(number)
            _series(point.attributes, number)
    return request.SerializeToString()


def histograms(count: int, service: int) -> bytes:
    """A metrics request of cumulative explicit histograms with eleven bounds."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    _resource(group.resource, service)
    scoped = group.scope_metrics.add()
    now = time.time_ns()
    metric = scoped.metrics.add()
    metric.name, metric.unit = "http.server.request.duration", "s"
    metric.histogram.aggregation_temporality = 2
    for number in range(count):
        point = metric.histogram.data_points.add()
        point.start_time_unix_nano, point.time_unix_nano = now - 10**12, now
        point.explicit_bounds.extend(_BOUNDS)
        point.bucket_counts.extend((number + place) % 50 for place in range(len(_BOUNDS) + 1))
        point.count, point.sum = sum(point.bucket_counts), number / 7
        _series(point.attributes, number)
    return request.SerializeToString()


def _series(attributes: object, number: int) -> None:
    _attribute(attributes, "http.route", f"/api/v1/items/{number}")
    _attribute(attributes, "http.request.method", "GET")
    _attribute(attributes, "http.response.status_code", 200)
    _attribute(attributes, "pod", f"pod-{number % 8}")


KINDS: dict[str, Callable[[int, int], bytes]] = {
    "spans": spans,
    "logs": logs,
    "numbers": numbers,
    "histograms": histograms,
}
PATHS = {"spans": "traces", "logs": "logs", "numbers": "metrics", "histograms": "metrics"}


@dataclass
class Payloads:
    """Distinct bodies of one kind and size."""

    kind: str
    count: int
    seed: int
    service: int = 0

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        body = KINDS[self.kind](self.count, self.service)
        self._body = np.frombuffer(body, np.uint8)
        self._unique = _places(body, _UNIQUE.encode())
        self._spans = _places(body, b"S" * 8)
        self._parents = _places(body, b"P" * 8)
        self._traces = _places(body, b"T" * 16)
        self._times = self._time_places(body)

    def _time_places(self, body: bytes) -> np.ndarray:
        """Where the points' times stand; a metric's next report is later than its last."""
        if self.kind in ("spans", "logs"):
            return np.empty(0, np.int64)
        request = ExportMetricsServiceRequest.FromString(body)
        metric = request.resource_metrics[0].scope_metrics[0].metrics[0]
        points = metric.sum.data_points or metric.histogram.data_points
        self._time = points[0].time_unix_nano
        return _places(body, b"\x19" + self._time.to_bytes(8, "little")) + 1  # field 3, fixed64

    def next(self) -> bytes:
        """Another body."""
        body = self._body.copy()
        if len(self._unique):
            digits = _HEX[self._random.integers(0, 16, (len(self._unique), 16))]
            body[self._unique[:, None] + np.arange(16)] = digits
        for places, width, run in ((self._traces, 16, _SPANS_A_TRACE), (self._spans, 8, 1), (self._parents, 8, 1)):
            if len(places):
                ids = self._random.integers(1, 256, (-(-len(places) // run), width), dtype=np.uint8)
                body[places[:, None] + np.arange(width)] = np.repeat(ids, run, axis=0)[: len(places)]
        if len(self._times):
            # Later than the last report, as a report is; else each point would have to be looked for in the store.
            self._time = max(self._time + 1_000_000, time.time_ns())
            at = np.array([self._time], np.uint64).view(np.uint8)
            body[self._times[:, None] + np.arange(8)] = at
        return body.tobytes()


def _places(body: bytes, mark: bytes) -> np.ndarray:
    found, start = [], body.find(mark)
    while start >= 0:
        found.append(start)
        start = body.find(mark, start + len(mark))
    return np.array(found, np.int64)
