"""FastAPI's own telemetry, with OpenTelemetry's SDK behind it, and structlog."""

from fastapi import FastAPI
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from stacks import Stack, exporting


def start(app: FastAPI, sink: str) -> Stack:
    """Without its spans of dependencies, endpoint and serialisation; it has one histogram, so one more is kept here."""
    tracers = exporting.traces(sink)
    logger, loggers = exporting.logs(sink)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{sink}/v1/metrics"))
    meters = MeterProvider([reader], resource=exporting.RESOURCE)
    metrics.set_meter_provider(meters)
    app._telemetry["operation_spans"] = False  # noqa: SLF001 - as FastAPI(telemetry={...}) has it, which was made before us
    sizes = metrics.get_meter("bench").create_histogram("http.server.response.body.size", "By")
    labels = {"http.request.method": "GET", "http.response.status_code": 200}

    def flush() -> None:
        for provider in (tracers, loggers, meters):
            provider.force_flush()

    return Stack(
        span=trace.get_tracer("bench").start_as_current_span,
        log=logger.info,
        flush=flush,
        observe=lambda _seconds, size: sizes.record(size, labels),
    )
