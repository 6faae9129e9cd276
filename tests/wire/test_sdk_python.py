"""The stock OpenTelemetry SDK for Python over the wire: what its exporters send comes back as it was sent."""

import logging
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

SCOPE = "wire.python"
DELTA = dict.fromkeys((Counter, Histogram, ObservableCounter), AggregationTemporality.DELTA)

# Each attribute type of OTLP at its edges. Bytes read as {"$bytes": base64}, see decode/otlp/values.py.
SENT: dict[str, Any] = {
    "text": "naïve ☃ \U0001f980",
    "text.empty": "",
    "text.long": "x" * 5_000,
    "int": 42,
    "int.zero": 0,
    "int.max": 2**63 - 1,
    "int.min": -(2**63),
    "double": 0.1,
    "double.whole": 3.0,
    "double.huge": 1.7976931348623157e308,
    "double.tiny": 5e-324,
    "bool.yes": True,
    "bool.no": False,
    "bytes": b"\x00\xff\x10",
    "texts": ["a", "", "ü"],
    "ints": [1, -2, 2**53 + 1],
    "doubles": [1.0, -0.5],
    "bools": [True, False],
    "nothing in it": [],
    "map": {"a": 1, "b": {"c": [1.5, "two", False, {"d": b"\x01"}]}},
}
READ = SENT | {
    "bytes": {"$bytes": "AP8Q"},
    "map": {"a": 1, "b": {"c": [1.5, "two", False, {"d": {"$bytes": "AQ=="}}]}},
}


def rfc3339(ns: int) -> str:
    """As the API writes times."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def exactly(value: Any) -> Any:
    """A value with its types spelled out, so that 3 and 3.0, 1 and True differ."""
    if isinstance(value, dict):
        return {key: exactly(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exactly(item) for item in value]
    return (type(value).__name__, value)


class Sender:
    """The three providers of one service on the exporters of one protocol, as an application would set them up."""

    def __init__(self, gnomon: Any, protocol: str, compressed: bool) -> None:
        self.service = f"py-{uuid.uuid4().hex[:12]}"
        self.resource = Resource.create(
            {"service.name": self.service, "service.instance.id": "i-1", "wire": SENT["map"]}
        )
        if protocol == "grpc":
            shared = {"endpoint": gnomon.otlp_grpc, "insecure": True}
            shared["compression"] = grpc.Compression.Gzip if compressed else grpc.Compression.NoCompression
            self.exporters: tuple[Any, Any, Any] = (GrpcSpans, GrpcMetrics, GrpcLogs)
            self.options = [shared, shared, shared]
        else:
            packing = Compression.Gzip if compressed else Compression.NoCompression
            self.exporters = (HttpSpans, HttpMetrics, HttpLogs)
            paths = ("traces", "metrics", "logs")
            self.options = [{"endpoint": f"{gnomon.otlp_http}/v1/{path}", "compression": packing} for path in paths]
        self.closing: list[Any] = []

    def tracers(self) -> TracerProvider:
        """Spans, batched."""
        provider = TracerProvider(resource=self.resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(self.exporters[0](**self.options[0])))
        self.closing.append(provider)
        return provider

    def meters(self, *views: View, **options: Any) -> MeterProvider:
        """Metrics, exported when flushed; `options` go to the exporter."""
        exporter = self.exporters[1](**self.options[1], **options)
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
        provider = MeterProvider([reader], self.resource, shutdown_on_exit=False, views=views)
        self.closing.append(provider)
        return provider

    def loggers(self) -> LoggerProvider:
        """Log records, batched."""
        provider = LoggerProvider(resource=self.resource, shutdown_on_exit=False)
        provider.add_log_record_processor(BatchLogRecordProcessor(self.exporters[2](**self.options[2])))
        self.closing.append(provider)
        return provider

    def close(self) -> None:
        """Shut down what was set up."""
        for provider in self.closing:
            provider.shutdown()


@pytest.fixture(params=["grpc", "grpc gzip", "http", "http gzip"])
def sender(gnomon: Any, request: pytest.FixtureRequest) -> Iterator[Sender]:
    """The SDK on each protocol, compressed and not."""
    protocol, _, packing = request.param.partition(" ")
    sender = Sender(gnomon, protocol, compressed=bool(packing))
    yield sender
    sender.close()


def hex_ids(span: trace.Span) -> tuple[str, str]:
    """Trace and span id as the API writes them."""
    context = span.get_span_context()
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def spans_of(gnomon: Any, span: trace.Span) -> dict[str, dict[str, Any]]:
    """The spans of a trace, by name."""
    return {entry["name"]: entry for entry in gnomon.get(f"/traces/{hex_ids(span)[0]}")["spans"]}


def test_span_attributes_keep_type_and_value(gnomon: Any, sender: Sender) -> None:
    """Every attribute type, on the span, its event, its link and the resource, keeps its type and value."""
    provider = sender.tracers()
    link = Link(SpanContext(2**128 - 1, 2**64 - 1, is_remote=True), SENT)
    span = provider.get_tracer(SCOPE).start_span("typed", attributes=SENT, links=[link])
    span.add_event("typed event", SENT)
    span.end()
    assert provider.force_flush()

    stored = spans_of(gnomon, span)["typed"]
    for where in (stored["attributes"], stored["events"][0]["attributes"], stored["links"][0]["attributes"]):
        assert exactly(where) == exactly(READ)
    assert exactly(stored["resource"]["wire"]) == exactly(READ["map"])
    assert stored["service"] == sender.service
    assert stored["scope"] == SCOPE


def test_span_structure(gnomon: Any, sender: Sender) -> None:
    """Ids, parents, kinds, status, links, events and times to the nanosecond come back; an exception is an event."""
    provider = sender.tracers()
    tracer = provider.get_tracer(SCOPE, "1.2.3")
    start = time.time_ns() // 10**9 * 10**9 - 5 * 10**9 + 123_456_789
    state = TraceState([("vendor", "opaque")])
    remote = SpanContext(0xABCDEF, 0x123456, is_remote=True, trace_flags=TraceFlags(1), trace_state=state)
    root = tracer.start_span("root", kind=SpanKind.SERVER, start_time=start, links=[Link(remote)])
    root.add_event("moment", {"n": 1}, timestamp=start + 1)
    for number, kind in enumerate((SpanKind.CLIENT, SpanKind.INTERNAL, SpanKind.PRODUCER, SpanKind.CONSUMER)):
        child = tracer.start_span(
            kind.name.lower(), trace.set_span_in_context(root), kind, start_time=start + 10 + number
        )
        child.set_status(Status(StatusCode.OK))
        child.end(start + 20 + number)
    root.record_exception(ValueError("the cat is out"), timestamp=start + 2)
    root.set_status(Status(StatusCode.ERROR, "no cat"))
    root.end(start + 987_654_321)
    assert provider.force_flush()

    stored = spans_of(gnomon, root)
    top = stored["root"]
    assert (top["span_id"], top["parent_id"], top["kind"]) == (hex_ids(root)[1], "", "server")
    assert (top["status"], top["status_message"]) == ("error", "no cat")
    assert (top["start"], top["duration_ns"]) == (rfc3339(start), 987_654_321)
    assert [(link["trace_id"], link["span_id"]) for link in top["links"]] == [(f"{0xABCDEF:032x}", f"{0x123456:016x}")]
    moment, exception = top["events"]
    assert moment == {"time": rfc3339(start + 1), "name": "moment", "attributes": {"n": 1}}
    assert (exception["time"], exception["name"]) == (rfc3339(start + 2), "exception")
    assert exception["attributes"]["exception.type"] == "ValueError"
    assert exception["attributes"]["exception.message"] == "the cat is out"
    for number, kind in enumerate(("client", "internal", "producer", "consumer")):
        child = stored[kind]
        assert (child["parent_id"], child["kind"], child["status"]) == (top["span_id"], kind, "ok")
        assert (child["start"], child["duration_ns"]) == (rfc3339(start + 10 + number), 10)


def test_many_spans_arrive_once_each(gnomon: Any, sender: Sender) -> None:
    """Two thousand spans in several batches are stored once each, none missing."""
    provider = sender.tracers()
    tracer = provider.get_tracer(SCOPE)
    ids = set()
    for number in range(2_000):
        span = tracer.start_span(f"s{number % 7}", attributes={"number": number, "unique": f"u-{number}"})
        span.end()
        ids.add(hex_ids(span)[1])
    assert provider.force_flush()
    rows = gnomon.sql("SELECT span_id FROM spans WHERE service = {service:String}", service=sender.service)
    assert len(rows) == len(ids)
    assert {row["span_id"] for row in rows} == ids


def series(gnomon: Any, sender: Sender, metric: str) -> dict[frozenset[tuple[str, str]], list[dict[str, Any]]]:
    """Samples of a metric in time order, by what labels the instruments' own attributes became."""
    rows = gnomon.sql(
        "SELECT time, labels, value, type FROM metrics WHERE service = {service:String} AND metric = {metric:String}"
        " ORDER BY time",
        service=sender.service,
        metric=metric,
    )
    found: dict[frozenset[tuple[str, str]], list[dict[str, Any]]] = {}
    for row in rows:
        own = {name: value for name, value in row["labels"].items() if name in {"colour", "size", "le"}}
        found.setdefault(frozenset(own.items()), []).append(row)
    return found


def last_values(gnomon: Any, sender: Sender, metric: str) -> dict[frozenset[tuple[str, str]], float]:
    """The last value of each series of a metric."""
    return {labels: rows[-1]["value"] for labels, rows in series(gnomon, sender, metric).items()}


RED, BLUE = frozenset({("colour", "red")}), frozenset({("colour", "blue")})
NONE: frozenset[tuple[str, str]] = frozenset()


def test_metric_kinds(gnomon: Any, sender: Sender) -> None:
    """Counters, up-down counters and gauges, synchronous and observed, of integers and floats, have their values."""
    provider = sender.meters()
    meter = provider.get_meter(SCOPE)
    counter = meter.create_counter("wire.requests", unit="{request}", description="Requests seen")
    counter.add(3, {"colour": "red"})
    counter.add(2**53, {"colour": "blue"})
    meter.create_counter("wire.sent", unit="By").add(0.25, {"colour": "red"})
    level = meter.create_up_down_counter("wire.level")
    level.add(5)
    level.add(-7)
    meter.create_gauge("wire.temperature", unit="Cel").set(-273.15, {"colour": "blue"})
    meter.create_observable_counter("wire.cpu", [lambda _: [Observation(1.5, {"colour": "red"})]], unit="s")
    meter.create_observable_up_down_counter("wire.heap", [lambda _: [Observation(-4)]], unit="By")
    meter.create_observable_gauge("wire.ratio", [lambda _: [Observation(0.75)]], unit="1")
    assert provider.force_flush()

    for metric, expected in (
        ("wire_requests_total", {RED: 3, BLUE: 2**53}),
        ("wire_sent_bytes_total", {RED: 0.25}),
        ("wire_level", {NONE: -2}),
        ("wire_temperature_celsius", {BLUE: -273.15}),
        ("wire_cpu_seconds_total", {RED: 1.5}),
        ("wire_heap_bytes", {NONE: -4}),
        ("wire_ratio", {NONE: 0.75}),
    ):
        assert last_values(gnomon, sender, metric) == expected, metric
    listed = {entry["metric"]: entry for entry in gnomon.get("/metrics")["metrics"]}
    assert listed["wire_requests_total"]["type"] == "counter"
    assert listed["wire_requests_total"]["help"] == "Requests seen"
    assert listed["wire_level"]["type"] != "counter"
    assert listed["wire_temperature_celsius"]["type"] == "gauge"


def test_histogram(gnomon: Any, sender: Sender) -> None:
    """An explicit histogram reads as classic series: cumulative buckets, sum and count."""
    provider = sender.meters()
    histogram = provider.get_meter(SCOPE).create_histogram(
        "wire.latency", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1, 10]
    )
    for value in (0.05, 0.1, 0.5, 5, 50, 500):
        histogram.record(value, {"colour": "red"})
    assert provider.force_flush()

    buckets = last_values(gnomon, sender, "wire_latency_seconds_bucket")
    counts = {float(dict(labels)["le"]): count for labels, count in buckets.items()}
    assert counts == {0.1: 2, 1: 3, 10: 4, float("inf"): 6}
    assert last_values(gnomon, sender, "wire_latency_seconds_count") == {RED: 6}
    assert last_values(gnomon, sender, "wire_latency_seconds_sum") == {RED: pytest.approx(555.65)}


def test_exponential_histogram(gnomon: Any, sender: Sender) -> None:
    """An exponential histogram stays native: count, sum and zero count are those recorded."""
    provider = sender.meters(View(instrument_name="wire.size", aggregation=ExponentialBucketHistogramAggregation()))
    histogram = provider.get_meter(SCOPE).create_histogram("wire.size", unit="By")
    for value in (0, 1, 2, 4, 1_000_000):
        histogram.record(value, {"colour": "blue"})
    assert provider.force_flush()

    (row,) = gnomon.sql(
        "SELECT labels, count, sum, zero_count FROM histograms"
        " WHERE service = {service:String} AND metric = 'wire_size_bytes'",
        service=sender.service,
    )
    assert row["labels"]["colour"] == "blue"
    assert (row["count"], row["sum"], row["zero_count"]) == (5, 1_000_007, 1)


def test_delta_adds_up(gnomon: Any, sender: Sender) -> None:
    """Counters and histograms sent as deltas read as the running totals a cumulative sender would have sent."""
    provider = sender.meters(preferred_temporality=DELTA)
    meter = provider.get_meter(SCOPE)
    counter, histogram = meter.create_counter("wire.jobs"), meter.create_histogram("wire.wait", unit="s")
    for amount in (3, 4, 5):
        counter.add(amount, {"colour": "red"})
        histogram.record(amount, {"colour": "red"})
        assert provider.force_flush()
    values = [row["value"] for row in series(gnomon, sender, "wire_jobs_total")[RED]]
    assert values == [3, 7, 12]
    assert last_values(gnomon, sender, "wire_wait_seconds_count") == {RED: 3}
    assert last_values(gnomon, sender, "wire_wait_seconds_sum") == {RED: 12}


def test_delta_exponential_histograms_add_up(gnomon: Any, sender: Sender) -> None:
    """The totals are those a cumulative sender of the same values reports; each change is there as it was sent."""
    view = View(instrument_name="wire.*", aggregation=ExponentialBucketHistogramAggregation())
    delta = sender.meters(view, preferred_temporality=DELTA).get_meter(SCOPE).create_histogram("wire.delta")
    cumulative = sender.meters(view).get_meter(SCOPE).create_histogram("wire.cumulative")
    # The SDK halves the resolution whenever the values of a report do not fit into 160 buckets.
    reports: list[list[float]] = [[1.0, 1.1, 1.2], [0.001, 0.0, 5e6, 7.0], [1.0, 2.5, 2.5]]
    for values in reports:
        for value in values:
            for histogram in (delta, cumulative):
                histogram.record(value, {"colour": "blue"})
        assert all(provider.force_flush() for provider in sender.closing)

    query = "SELECT * FROM histograms WHERE service = {service:String} AND metric = {metric:String} ORDER BY time"
    totals, expected = (
        gnomon.sql(query, service=sender.service, metric=metric) for metric in ("wire_delta", "wire_cumulative")
    )
    adds_up = ("count", "zero_count", "scale", "positive_index", "positive_count", "negative_index", "negative_count")
    assert [[row[name] for name in adds_up] for row in totals] == [[row[name] for name in adds_up] for row in expected]
    assert [row["sum"] for row in totals] == pytest.approx([row["sum"] for row in expected])
    assert [row["temporality"] for row in totals] == ["delta"] * 3
    sent = [[row["sent_count"], row["sent_sum"], row["sent_zero_count"], row["min"], row["max"]] for row in totals]
    assert sent == [[len(v), pytest.approx(sum(v)), v.count(0.0), min(v), max(v)] for v in reports]
    for row in totals:
        assert sum(row["sent_positive_count"]) + row["sent_zero_count"] == row["sent_count"]
    assert totals[2]["sent_scale"] > totals[2]["scale"] == totals[1]["sent_scale"]
    assert {row["sent_count"] for row in expected} == {None}


def test_exemplars_lead_to_their_trace(gnomon: Any, sender: Sender) -> None:
    """A measurement made inside a span carries an exemplar with the span's ids."""
    tracers, meters = sender.tracers(), sender.meters()
    histogram = meters.get_meter(SCOPE).create_histogram("wire.exemplary", unit="s")
    with tracers.get_tracer(SCOPE).start_as_current_span("measured") as span:
        histogram.record(0.7, {"colour": "red"})
    assert meters.force_flush()
    rows = gnomon.sql(
        "SELECT value, trace_id, span_id FROM exemplars WHERE service = {service:String}", service=sender.service
    )
    assert {(row["value"], row["trace_id"], row["span_id"]) for row in rows} == {(0.7, *hex_ids(span))}


BODIES: list[tuple[Any, Any]] = [
    ("plain text", "plain text"),
    ("", ""),
    (7, 7),
    (2.0, 2.0),
    (True, True),
    (["a", 1, 2.5], ["a", 1, 2.5]),
    ({"user": {"id": 7, "tags": ["x", "y"]}, "ok": False}, {"user": {"id": 7, "tags": ["x", "y"]}, "ok": False}),
    (b"\x00\x01", {"$bytes": "AAE="}),
    (None, None),
]


def test_log_bodies(gnomon: Any, sender: Sender) -> None:
    """A body of any type comes back as that type."""
    provider = sender.loggers()
    logger = provider.get_logger(SCOPE)
    for number, (body, _) in enumerate(BODIES):
        logger.emit(timestamp=time.time_ns(), body=body, attributes={"number": number})
    assert provider.force_flush()
    logs = gnomon.get("/logs", service=sender.service)["logs"]
    stored = {log["attributes"]["number"]: log["body"] for log in logs}
    assert exactly(stored) == exactly({number: read for number, (_, read) in enumerate(BODIES)})


def test_log_fields(gnomon: Any, sender: Sender) -> None:
    """Severity, event name, times to the nanosecond, attributes of every type and the trace come back."""
    tracers, provider = sender.tracers(), sender.loggers()
    stamp = time.time_ns() // 10**9 * 10**9 - 10**9 + 987_654_321
    with tracers.get_tracer(SCOPE).start_as_current_span("logged") as span:
        provider.get_logger(SCOPE).emit(
            timestamp=stamp,
            observed_timestamp=stamp + 1,
            severity_number=SeverityNumber.ERROR2,
            severity_text="grave",
            event_name="wire.event",
            body="it broke",
            attributes=SENT,
        )
    assert provider.force_flush()

    trace_id, span_id = hex_ids(span)
    (log,) = gnomon.get("/logs", trace_id=trace_id)["logs"]
    assert exactly(log["attributes"]) == exactly(READ)
    assert (log["time"], log["observed"]) == (rfc3339(stamp), rfc3339(stamp + 1))
    assert (log["severity_number"], log["severity_text"], log["severity"]) == (18, "grave", "error")
    assert (log["event"], log["body"], log["scope"]) == ("wire.event", "it broke", SCOPE)
    assert (log["service"], log["trace_id"], log["span_id"]) == (sender.service, trace_id, span_id)


def test_logging_bridge(gnomon: Any, sender: Sender) -> None:
    """A line of Python's own `logging` arrives with its level, extras and exception."""
    provider = sender.loggers()
    logger = logging.getLogger(sender.service)
    logger.propagate = False
    logger.addHandler(LoggingHandler(logger_provider=provider))
    try:
        {}["lamp"]
    except KeyError:
        logger.exception("no %s", "light", extra={"room": 5, "otel.event.name": "dark"})
    assert provider.force_flush()
    (log,) = gnomon.get("/logs", service=sender.service)["logs"]
    assert (log["body"], log["severity"], log["severity_text"], log["event"]) == ("no light", "error", "ERROR", "dark")
    assert log["attributes"]["room"] == 5
    assert log["attributes"]["exception.type"] == "KeyError"
    assert "Traceback" in log["attributes"]["exception.stacktrace"]
