"""How fast OTLP bytes become Arrow rows: records a second on one core, by kind and batch size.

    python benchmarks/decode/run.py [--seconds 2] [--only spans]

Payloads come from the generated OTLP classes: ten attributes a record, three of them unique (metric points: four
attributes, 2,000 series). Every payload is decoded once by one context, which is what a server under load does with its
caches warm and its values new; the figure is the median over the payloads of the CPU time of this process.
"""

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gnomon_server.decode.otlp.context import DecodeContext
from gnomon_server.decode.otlp.from_json import to_protobuf
from gnomon_server.decode.otlp.logs import decode_logs
from gnomon_server.decode.otlp.metrics import decode_metrics
from gnomon_server.decode.otlp.traces import decode_traces

NOW_NS = 1_790_000_000_000_000_000
BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5]


def attributes(into: object, n: int) -> None:
    """Seven values that repeat, of four types, and three that never do."""
    for key, value in (
        ("http.request.method", ("GET", "POST")[n % 2]),
        ("http.route", f"/api/v1/items/{n % 20}"),
        ("url.scheme", "https"),
        ("server.address", f"shop-{n % 5}.internal"),
        ("request.id", f"{n:032x}"),
        ("user.id", f"user-{n}"),
        ("url.path", f"/api/v1/items/{n}"),
    ):
        into.add(key=key).value.string_value = value
    into.add(key="http.response.status_code").value.int_value = (200, 404, 500)[n % 3]
    into.add(key="cache.hit").value.bool_value = n % 2 == 0
    into.add(key="sampling.ratio").value.double_value = 0.25


def resource(into: object) -> None:
    for key, value in (("service.name", "shop"), ("service.instance.id", "shop-1"), ("host.name", "node-7")):
        into.attributes.add(key=key).value.string_value = value


def spans(size: int, first: int) -> bytes:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    resource(group.resource)
    scoped = group.scope_spans.add()
    scoped.scope.name, scoped.scope.version = "opentelemetry.instrumentation.fastapi", "0.50"
    for n in range(first, first + size):
        span = scoped.spans.add(
            trace_id=(n // 8 + 1).to_bytes(16, "big"),
            span_id=(n + 1).to_bytes(8, "big"),
            parent_span_id=b"" if n % 8 == 0 else n.to_bytes(8, "big"),
            name=f"GET /api/v1/items/{n % 20}",
            kind=n % 5 + 1,
            start_time_unix_nano=NOW_NS + n * 1000,
            end_time_unix_nano=NOW_NS + n * 1000 + 5_000_000,
        )
        attributes(span.attributes, n)
        if n % 20 == 0:
            span.status.code, span.status.message = 2, "timeout"
            event = span.events.add(name="exception", time_unix_nano=NOW_NS + n * 1000)
            event.attributes.add(key="exception.type").value.string_value = "TimeoutError"
    return request.SerializeToString()


def logs(size: int, first: int) -> bytes:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    resource(group.resource)
    scoped = group.scope_logs.add()
    for n in range(first, first + size):
        record = scoped.log_records.add(
            time_unix_nano=NOW_NS + n * 1000,
            observed_time_unix_nano=NOW_NS + n * 1000 + 10,
            severity_number=9,
            severity_text="INFO",
            trace_id=(n // 8 + 1).to_bytes(16, "big"),
            span_id=(n + 1).to_bytes(8, "big"),
        )
        record.body.string_value = f"item {n} was sent to customer {n * 7} in {n % 90} ms"
        attributes(record.attributes, n)
    return request.SerializeToString()


def points(size: int, first: int, add: Callable[[object, int], object]) -> bytes:
    """Points of 20 metrics; four attributes each, 2,000 series in all."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    resource(group.resource)
    scoped = group.scope_metrics.add()
    for m in range(20):
        metric = scoped.metrics.add(name=f"http.server.metric.{m}", unit="s", description="what it is")
        for n in range(first + (m - first) % 20, first + size, 20):
            point = add(metric, n)
            point.time_unix_nano, point.start_time_unix_nano = NOW_NS + n * 1_000_000, NOW_NS
            series = n % 2000
            for key, value in (
                ("http.route", f"/api/v1/items/{series}"),
                ("http.request.method", "GET"),
                ("server.address", f"shop-{series % 5}.internal"),
            ):
                point.attributes.add(key=key).value.string_value = value
            point.attributes.add(key="http.response.status_code").value.int_value = 200
    return request.SerializeToString()


def numbers(size: int, first: int) -> bytes:
    def add(metric: object, n: int) -> object:
        metric.sum.aggregation_temporality, metric.sum.is_monotonic = 2, True
        return metric.sum.data_points.add(as_double=n * 0.5)

    return points(size, first, add)


def histograms(size: int, first: int) -> bytes:
    def add(metric: object, n: int) -> object:
        metric.histogram.aggregation_temporality = 2
        counts = [n % 7 + bucket for bucket in range(len(BOUNDS) + 1)]
        return metric.histogram.data_points.add(
            count=sum(counts), sum=n * 0.1, bucket_counts=counts, explicit_bounds=BOUNDS, min=0.001, max=9.5
        )

    return points(size, first, add)


def exponentials(size: int, first: int) -> bytes:
    def add(metric: object, n: int) -> object:
        metric.exponential_histogram.aggregation_temporality = 2
        point = metric.exponential_histogram.data_points.add(count=n, sum=n * 0.1, scale=3, zero_count=1)
        point.positive.offset = -5
        point.positive.bucket_counts.extend(n % 7 + bucket for bucket in range(20))
        return point

    return points(size, first, add)


def json_spans(size: int, first: int) -> bytes:
    """The spans as OTLP/JSON: ids in hex, which protobuf's own JSON does not write."""
    from base64 import b64decode  # noqa: PLC0415 - only this kind needs it

    import orjson  # noqa: PLC0415 - likewise
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415 - likewise

    content = MessageToDict(ExportTraceServiceRequest.FromString(spans(size, first)))
    for span in content["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for key in ("traceId", "spanId", "parentSpanId"):
            if key in span:
                span[key] = b64decode(span[key]).hex()
    return orjson.dumps(content)


KINDS: dict[str, tuple[Callable[[int, int], bytes], Callable[[bytes, DecodeContext], object]]] = {
    "spans": (spans, lambda body, context: decode_traces(body, "default", context)),
    "logs": (logs, lambda body, context: decode_logs(body, "default", context, NOW_NS)),
    "numbers": (numbers, lambda body, context: decode_metrics(body, "default", context)),
    "histograms": (histograms, lambda body, context: decode_metrics(body, "default", context)),
    "exponentials": (exponentials, lambda body, context: decode_metrics(body, "default", context)),
    "json to protobuf, spans": (json_spans, lambda body, _: to_protobuf(body, "traces")),
}


class EverythingSeen:
    """The store has every series and resource: the state of a server that has run for a minute."""

    def unseen(self, tenant: str, kind: str, ids: np.ndarray, days: np.ndarray) -> np.ndarray:  # noqa: ARG002 - Seen
        """Nothing."""
        return np.zeros(len(ids), np.bool_)


def timed(
    make: Callable[[int, int], bytes], decode: Callable[[bytes, DecodeContext], object], size: int, seconds: float
) -> Iterator[float]:
    """CPU seconds of each payload; each has values of its own, the context is kept."""
    context = DecodeContext(seen=EverythingSeen())
    bodies = [make(size, number * size) for number in range(max(8, 40_000 // size))]
    for body in bodies[:2]:
        decode(body, context)
    spent, number = 0.0, 2
    while number < len(bodies) and spent < seconds:
        before = time.process_time()
        decode(bodies[number], context)
        taken = time.process_time() - before
        spent, number = spent + taken, number + 1
        yield taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="CPU seconds for each line")
    parser.add_argument("--only", default="", help="kinds that contain this word")
    parser.add_argument("--freeze", action="store_true", help="gc.freeze() first and a threshold of 50,000")
    given = parser.parse_args()
    if given.freeze:
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
    print(f"{'kind':26}{'batch':>6}{'us a record':>13}{'records/s':>12}")
    for kind, (make, decode) in KINDS.items():
        if given.only not in kind:
            continue
        for size in (512, 8192):
            each = statistics.median(timed(make, decode, size, given.seconds)) / size
            print(f"{kind:26}{size:>6}{each * 1e6:>13.2f}{1 / each:>12,.0f}")


if __name__ == "__main__":
    main()
