"""OpenTelemetry's FastAPI instrumentation, prometheus-fastapi-instrumentator, structlog."""

import os

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from prometheus_fastapi_instrumentator import Instrumentator

from stacks import Stack, exporting


def start(app: FastAPI, sink: str) -> Stack:
    """Its spans of `receive` and `send` are left out unless `ALL_SPANS` is set."""
    tracers = exporting.traces(sink)
    logger, loggers = exporting.logs(sink)
    Instrumentator(excluded_handlers=["/metrics"]).instrument(app).expose(app)
    FastAPIInstrumentor.instrument_app(
        app, excluded_urls="/metrics", exclude_spans=None if "ALL_SPANS" in os.environ else ["receive", "send"]
    )

    def flush() -> None:
        tracers.force_flush()
        loggers.force_flush()

    return Stack(span=trace.get_tracer("bench").start_as_current_span, log=logger.info, flush=flush)
