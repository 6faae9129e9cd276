"""What the two Python services share: the stock SDK, set up from the standard `OTEL_*` variables and nothing else."""

import logging
import os
from collections.abc import Callable

from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.instrumentation.logging import LoggingInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

# The Python SDK ships one exporter class per signal and protocol; this is its whole choice.
EXPORTERS = {"grpc": (GrpcSpans, GrpcMetrics, GrpcLogs), "http/protobuf": (HttpSpans, HttpMetrics, HttpLogs)}

# Amounts of money span six orders of magnitude: no fixed buckets suit them.
AMOUNTS = View(instrument_name="*.amount", aggregation=ExponentialBucketHistogramAggregation())


def start() -> Callable[[], None]:
    """Set up the three signals; return what flushes and closes them."""
    spans, samples, records = EXPORTERS[os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]
    resource = Resource.create()

    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(spans()))
    trace.set_tracer_provider(tracers)

    meters = MeterProvider([PeriodicExportingMetricReader(samples())], resource, views=[AMOUNTS])
    metrics.set_meter_provider(meters)

    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(BatchLogRecordProcessor(records()))
    set_logger_provider(loggers)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    LoggingInstrumentor().instrument()  # from here on every log line is an OTLP record with its trace

    def stop() -> None:
        LoggingInstrumentor().uninstrument()  # what is logged after this line has nowhere to go
        for provider in (tracers, meters, loggers):
            provider.shutdown()

    return stop
