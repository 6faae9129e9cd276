"""The stock OpenTelemetry SDK, set up from the standard `OTEL_*` variables, with the stock instrumentations."""

import importlib
import os
import resource
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import httpx
from fastapi import FastAPI
from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.grpc import aio_client_interceptors, aio_server_interceptor
from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport
from opentelemetry.instrumentation.logging import LoggingInstrumentor
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import (
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    View,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from gnomon_shop.parts.sdk import Counts
from gnomon_shop.settings import Settings

# One exporter class per signal and protocol; only those of the protocol spoken are imported, for gRPC takes its time.
EXPORTERS = {
    "grpc": (
        "opentelemetry.exporter.otlp.proto.grpc.trace_exporter:OTLPSpanExporter",
        "opentelemetry.exporter.otlp.proto.grpc.metric_exporter:OTLPMetricExporter",
        "opentelemetry.exporter.otlp.proto.grpc._log_exporter:OTLPLogExporter",
    ),
    "http/protobuf": (
        "opentelemetry.exporter.otlp.proto.http.trace_exporter:OTLPSpanExporter",
        "opentelemetry.exporter.otlp.proto.http.metric_exporter:OTLPMetricExporter",
        "opentelemetry.exporter.otlp.proto.http._log_exporter:OTLPLogExporter",
    ),
}
MEASURES_RPC = False  # its gRPC instrumentation makes spans only
STOP_S = 8.0  # then what is not delivered is lost: the runner waits for us

# Amounts of money span orders of magnitude: no fixed buckets suit them.
AMOUNTS = View(instrument_name="*.amount", aggregation=ExponentialBucketHistogramAggregation())
# The SDK's default buckets are for milliseconds; these are the ones that the conventions give for HTTP.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
DURATIONS = View(
    instrument_type=metrics.Histogram, instrument_unit="s", aggregation=ExplicitBucketHistogramAggregation(SECONDS)
)


class CountedExporter:
    """An exporter whose answers are counted; in all else the exporter itself."""

    def __init__(self, exporter: Any, counts: Counts, size: Callable[[Any], int]) -> None:
        self._exporter, self._counts, self._size = exporter, counts, size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exporter, name)

    def export(self, batch: Any, *args: Any, **options: Any) -> Any:
        """Export, then count by the answer."""
        size = self._size(batch)
        if self._size is points:  # metrics have no queue: they are made when they are read
            self._counts.made += size
        result = None
        try:
            result = self._exporter.export(batch, *args, **options)
        finally:
            if result is not None and result.name == "SUCCESS":
                self._counts.delivered += size
            else:
                self._counts.lost += size
        return result

    def shutdown(self, timeout_millis: float = 30_000, **options: Any) -> None:
        """As the exporter's; those of metrics are told a time, the others not."""
        if self._size is points:
            options["timeout_millis"] = timeout_millis
        self._exporter.shutdown(**options)


class CountedSpans(SpanProcessor):
    """Counts spans as they are handed to the queue."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def on_end(self, span: ReadableSpan) -> None:
        """Sampled ones only: the others are not meant to arrive."""
        if span.context and span.context.trace_flags.sampled:
            self._counts.made += 1


class CountedLogs(LogRecordProcessor):
    """Counts log records as they are handed to the queue."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def on_emit(self, log_record: Any) -> None:  # noqa: ARG002 - the SDK's signature
        """Every record."""
        self._counts.made += 1

    def shutdown(self) -> None:
        """Nothing to close."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - likewise
        """Nothing is held."""
        return True


def points(data: MetricsData) -> int:
    """Data points in an export."""
    return sum(
        len(metric.data.data_points)
        for resource_metrics in data.resource_metrics
        for scope_metrics in resource_metrics.scope_metrics
        for metric in scope_metrics.metrics
    )


def start(settings: Settings, counts: Sequence[Counts]) -> Callable[[], None]:
    """Set up the three signals; return what flushes and closes them."""
    sizes = (len, points, len)
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    exporters = [
        CountedExporter(_loaded(name)(), count, size)
        for name, count, size in zip(EXPORTERS[protocol], counts, sizes, strict=True)
    ]
    providers = _provided(settings, exporters, counts)
    LoggingInstrumentor().instrument()  # every log line an OTLP record with its trace
    _process_metrics()

    def stop() -> None:
        LoggingInstrumentor().uninstrument()  # what is logged after this line has nowhere to go
        _shut_down(providers, exporters)

    return stop


def instrument_web(app: FastAPI) -> None:
    """A span for each request."""
    FastAPIInstrumentor.instrument_app(app, exclude_spans=["receive", "send"], excluded_urls="healthz")
    app.middleware_stack = app.build_middleware_stack()  # it had been built: the application is starting


def transport(inner: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
    """A span for each attempt that goes through a transport."""
    return AsyncOpenTelemetryTransport(inner)


def server_interceptors() -> list[Any]:
    """A span for each call that is served."""
    return [aio_server_interceptor()]


def client_interceptors() -> list[Any]:
    """A span for each call that is made."""
    return list(aio_client_interceptors())


def _loaded(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _provided(settings: Settings, exporters: Sequence[Any], counts: Sequence[Counts]) -> list[Any]:
    """The three providers, made the process's own."""
    described = Resource.create(
        {
            "service.name": settings.service,
            "service.version": settings.version,
            "service.instance.id": settings.instance,
        }
    )
    spans, samples, records = exporters
    tracers = TracerProvider(resource=described)
    tracers.add_span_processor(CountedSpans(counts[0]))
    tracers.add_span_processor(BatchSpanProcessor(spans))
    trace.set_tracer_provider(tracers)
    meters = MeterProvider([PeriodicExportingMetricReader(samples)], described, views=[AMOUNTS, DURATIONS])
    metrics.set_meter_provider(meters)
    loggers = LoggerProvider(resource=described)
    loggers.add_log_record_processor(CountedLogs(counts[2]))
    loggers.add_log_record_processor(BatchLogRecordProcessor(records))
    set_logger_provider(loggers)
    return [tracers, meters, loggers]


def _process_metrics() -> None:
    """What this process takes of the machine."""
    meter = metrics.get_meter("shop.process")
    page = os.sysconf("SC_PAGE_SIZE")
    last = [monotonic(), 0.0]

    def memory(_: CallbackOptions) -> list[Observation]:
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - read every few seconds
            return [Observation(int(statm.read().split()[1]) * page)]

    def cpu_time(_: CallbackOptions) -> list[Observation]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return [
            Observation(used.ru_utime, {"cpu.mode": "user"}),
            Observation(used.ru_stime, {"cpu.mode": "system"}),
        ]

    def utilization(_: CallbackOptions) -> list[Observation]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        now, spent = monotonic(), used.ru_utime + used.ru_stime
        ratio = (spent - last[1]) / max(now - last[0], 1e-3)
        last[:] = now, spent
        return [Observation(ratio)]

    def threads(_: CallbackOptions) -> list[Observation]:
        return [Observation(threading.active_count())]

    meter.create_observable_up_down_counter("process.memory.usage", [memory], "By", "Physical memory in use")
    meter.create_observable_counter("process.cpu.time", [cpu_time], "s", "CPU time by mode")
    meter.create_observable_gauge("process.cpu.utilization", [utilization], "1", "Cores in use since the last reading")
    meter.create_observable_up_down_counter("process.thread.count", [threads], "{thread}", "Threads")


def _shut_down(providers: Sequence[Any], exporters: Sequence[Any]) -> None:
    """All three side by side; should the backend be away, their retries are cut short after `STOP_S`."""
    threads = [threading.Thread(target=provider.shutdown, daemon=True) for provider in providers]
    deadline = monotonic() + STOP_S
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(deadline - monotonic(), 0))
    for thread, exporter in zip(threads, exporters, strict=True):
        if thread.is_alive():
            exporter.shutdown()
    for thread in threads:
        thread.join(1)
