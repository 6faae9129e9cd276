"""What the load sends, and what must be stored: both follow from a request's identity alone.

A request is (service, number, time); its records' ids, attributes, bodies and values are computed from these, so that
the check needs no copy of what was sent.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

SIGNALS = ("traces", "logs", "metrics")
SPANS_A_TRACE = 10
_MS = 1_000_000


@dataclass(frozen=True)
class Request:
    """One export request. `at_ns` is the time of its first record; metrics take one millisecond a point."""

    signal: str
    service: str
    number: int
    records: int
    at_ns: int

    def line(self) -> dict[str, Any]:
        """For the journal."""
        return asdict(self)

    def message(self) -> Message:
        """As the generated OTLP classes build it."""
        return {"traces": _traces, "logs": _logs, "metrics": _metrics}[self.signal](self)

    @cached_property
    def expected(self) -> dict[str, tuple[Any, ...]]:
        """Rows as `check.py` reads them back, by record id."""
        return {"traces": _span_rows, "logs": _log_rows, "metrics": _point_rows}[self.signal](self)

    def word(self, index: int) -> bytes:
        """16 bytes that are this record's own."""
        return hashlib.blake2b(f"{self.service}/{self.number}/{index}".encode(), digest_size=16).digest()

    def trace(self, index: int) -> bytes:
        """The trace that the record is part of."""
        return self.word(-1 - index // SPANS_A_TRACE)


def _attributes(**values: Any) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any(value)) for key, value in values.items()]


def _any(value: str | bool | float) -> AnyValue:
    match value:
        case str():
            return AnyValue(string_value=value)
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case _:
            return AnyValue(double_value=value)


def _own(request: Request, index: int) -> dict[str, Any]:
    return {
        "chaos.request": request.number,
        "chaos.index": index,
        "chaos.text": request.word(index).hex(),
        "chaos.ratio": index / 8,
        "chaos.even": index % 2 == 0,
    }


def _typed(values: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Attributes as the views show them: one map a type."""
    return tuple(
        {key: value for key, value in values.items() if type(value) is kind} for kind in (str, int, float, bool)
    )


def _traces(request: Request) -> ExportTraceServiceRequest:
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    resource.resource.attributes.extend(_attributes(**{"service.name": request.service}))
    scope = resource.scope_spans.add()
    for index in range(request.records):
        start = request.at_ns + index
        span = scope.spans.add(
            trace_id=request.trace(index),
            span_id=request.word(index)[:8],
            parent_span_id=b"" if index % SPANS_A_TRACE == 0 else request.word(index - index % SPANS_A_TRACE)[:8],
            name=f"operation {index % 7}",
            kind=1 + index % 5,
            start_time_unix_nano=start,
            end_time_unix_nano=start + 1000 + index,
        )
        span.attributes.extend(_attributes(**_own(request, index)))
        span.events.add(name=f"event {index}", time_unix_nano=start + 1)
        span.status.code = index % 3
    return message


def _span_rows(request: Request) -> dict[str, tuple[Any, ...]]:
    kinds = ["internal", "server", "client", "producer", "consumer"]
    rows = {}
    for index in range(request.records):
        root = index % SPANS_A_TRACE == 0
        rows[request.trace(index).hex() + request.word(index)[:8].hex()] = (
            request.at_ns + index,
            1000 + index,
            "" if root else request.word(index - index % SPANS_A_TRACE)[:8].hex(),
            f"operation {index % 7}",
            kinds[index % 5],
            ["unset", "ok", "error"][index % 3],
            *_typed(_own(request, index)),
            [f"event {index}"],
        )
    return rows


def _logs(request: Request) -> ExportLogsServiceRequest:
    message = ExportLogsServiceRequest()
    resource = message.resource_logs.add()
    resource.resource.attributes.extend(_attributes(**{"service.name": request.service}))
    scope = resource.scope_logs.add()
    for index in range(request.records):
        record = scope.log_records.add(
            time_unix_nano=request.at_ns + index,
            observed_time_unix_nano=request.at_ns + index + 5,
            severity_number=1 + index % 24,
            trace_id=request.trace(index),
            span_id=request.word(index)[:8],
        )
        record.body.string_value = _body(request, index)
        record.attributes.extend(_attributes(**_own(request, index)))
    return message


def _body(request: Request, index: int) -> str:
    return f"request {request.number} record {index} said {request.word(index).hex()}"


def _log_rows(request: Request) -> dict[str, tuple[Any, ...]]:
    return {
        request.word(index).hex(): (
            request.at_ns + index,
            _body(request, index),
            1 + index % 24,
            request.trace(index).hex(),
            request.word(index)[:8].hex(),
            *_typed(_own(request, index)),
        )
        for index in range(request.records)
    }


def _metrics(request: Request) -> ExportMetricsServiceRequest:
    message = ExportMetricsServiceRequest()
    resource = message.resource_metrics.add()
    resource.resource.attributes.extend(_attributes(**{"service.name": request.service}))
    scope = resource.scope_metrics.add()
    gauge, total = scope.metrics.add(name="chaos.gauge"), scope.metrics.add(name="chaos.total")
    gauge.gauge.SetInParent()
    total.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    total.sum.is_monotonic = True
    histogram = scope.metrics.add(name="chaos.histogram").exponential_histogram
    histogram.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    for index in range(request.records):
        at = request.at_ns + index * _MS
        if index == 0:
            point = histogram.data_points.add(
                time_unix_nano=at, start_time_unix_nano=_start(request), count=7, sum=request.number / 2, scale=3
            )
            point.positive.bucket_counts.extend([3, 4])
        elif index % 2:
            gauge.gauge.data_points.add(time_unix_nano=at, as_double=_value(request, index))
        else:
            total.sum.data_points.add(
                time_unix_nano=at, start_time_unix_nano=_start(request), as_int=request.number * 1000 + index
            )
    return message


def _start(request: Request) -> int:
    return request.at_ns - request.at_ns % 3_600_000_000_000


def _value(request: Request, index: int) -> float:
    return int.from_bytes(request.word(index)[:4], "big") / 1024


def _point_rows(request: Request) -> dict[str, tuple[Any, ...]]:
    at_ms = request.at_ns // _MS
    rows: dict[str, tuple[Any, ...]] = {f"histogram/{at_ms}": (7.0, request.number / 2, [3.0, 4.0])}
    for index in range(1, request.records):
        if index % 2:
            rows[f"gauge/{at_ms + index}"] = (_value(request, index),)
        else:
            rows[f"counter/{at_ms + index}"] = (float(request.number * 1000 + index),)
    return rows


def request_of(line: str) -> Request:
    """A request from its journal line."""
    fields = json.loads(line)
    return Request(*(fields[name] for name in ("signal", "service", "number", "records", "at_ns")))
