"""OTLP requests from the generated classes, as bytes; nothing of our own encoding."""

import base64
import gzip
import itertools
import json
import secrets
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from backports import zstd
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

PROTOBUF, JSON = "application/x-protobuf", "application/json"
RESPONSES: dict[str, type[Message]] = {
    "traces": ExportTraceServiceResponse,
    "metrics": ExportMetricsServiceResponse,
    "logs": ExportLogsServiceResponse,
}
REJECTED = {"traces": "rejectedSpans", "metrics": "rejectedDataPoints", "logs": "rejectedLogRecords"}
METHODS = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
}
_names = itertools.count(1)


def name(stem: str = "n") -> str:
    """A service or metric name that no other test uses."""
    return f"{stem}_{next(_names)}_{secrets.token_hex(4)}"


def value(plain: Any) -> AnyValue:
    """A Python value as AnyValue."""
    match plain:
        case bool():
            return AnyValue(bool_value=plain)
        case int():
            return AnyValue(int_value=plain)
        case float():
            return AnyValue(double_value=plain)
        case bytes():
            return AnyValue(bytes_value=plain)
        case _:
            return AnyValue(string_value=plain)


def pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """Attributes as KeyValues."""
    return [KeyValue(key=key, value=value(plain)) for key, plain in attributes.items()]


def span(**fields: Any) -> dict[str, Any]:
    """A good span of now, with what differs."""
    now = time.time_ns()
    good = {"trace_id": secrets.token_bytes(16), "span_id": secrets.token_bytes(8), "name": "s"}
    return {**good, "start_time_unix_nano": now - 1000, "end_time_unix_nano": now, **fields}


def traces(service: str, spans: Iterable[Mapping[str, Any]]) -> ExportTraceServiceRequest:
    """Spans of one service."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.extend(pairs({"service.name": service}))
    scope = group.scope_spans.add()
    for fields in spans:
        scope.spans.add(**fields)
    return request


def logs(service: str, records: Iterable[Mapping[str, Any]]) -> ExportLogsServiceRequest:
    """Log records of one service; the time is now unless given."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.extend(pairs({"service.name": service}))
    scope = group.scope_logs.add()
    for fields in records:
        scope.log_records.add(**{"time_unix_nano": time.time_ns(), **fields})
    return request


def gauge(metric: str, points: Iterable[Mapping[str, Any]], service: str = "shop") -> ExportMetricsServiceRequest:
    """Points of one gauge; the time is now unless given."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.extend(pairs({"service.name": service}))
    data = group.scope_metrics.add().metrics.add(name=metric).gauge
    for fields in points:
        data.data_points.add(**{"time_unix_nano": time.time_ns(), **fields})
    return request


def one_of(signal: str, service: str) -> Message:
    """One good record of a signal; of metrics, a gauge whose name is the service's."""
    match signal:
        case "traces":
            return traces(service, [span()])
        case "logs":
            return logs(service, [{"body": value("hello")}])
        case _:
            return gauge(service, [{"as_double": 1.5}], service)


def as_json(request: Message) -> bytes:
    """OTLP/JSON: protobuf's own JSON, but ids in hex and enums as numbers."""
    tree = json_format.MessageToDict(request, use_integers_for_enums=True)

    def mend(node: Any) -> Any:
        if isinstance(node, dict):
            return {
                key: base64.b64decode(item).hex() if key in ("traceId", "spanId", "parentSpanId") else mend(item)
                for key, item in node.items()
            }
        return [mend(item) for item in node] if isinstance(node, list) else node

    return json.dumps(mend(tree)).encode()


def written(request: Message, media: str) -> bytes:
    """The request in that media type."""
    return as_json(request) if media == JSON else request.SerializeToString()


def partial(signal: str, media: str, answer: bytes) -> tuple[int, str]:
    """Count and words of a 200's `partial_success`."""
    if media == JSON:
        told = json.loads(answer).get("partialSuccess", {})
        return int(told.get(REJECTED[signal], 0)), told.get("errorMessage", "")
    response: Any = RESPONSES[signal].FromString(answer)
    told = json_format.MessageToDict(response.partial_success)
    return int(told.get(REJECTED[signal], 0)), told.get("errorMessage", "")


def status(media: str, answer: bytes) -> tuple[int, str]:
    """Code (gRPC's) and message of a refusal's `google.rpc.Status`."""
    if media == JSON:
        told = json.loads(answer)
        return told["code"], told["message"]
    read = Status.FromString(answer)
    return read.code, read.message


def retry_delay_s(details: bytes) -> float:
    """The delay in the RetryInfo of a serialized `google.rpc.Status`."""
    (detail,) = Status.FromString(details).details
    info = RetryInfo()
    assert detail.Unpack(info)
    return info.retry_delay.ToTimedelta().total_seconds()
