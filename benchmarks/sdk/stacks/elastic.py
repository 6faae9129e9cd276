"""Elastic APM: its agent, a Prometheus registry that it reads, and lines that its shipper would collect."""

import sys

import elasticapm
from elasticapm.contrib.starlette import ElasticAPM, make_apm_client
from elasticapm.handlers.structlog import structlog_processor
from fastapi import FastAPI
from prometheus_client import Histogram

from stacks import Stack, agent_lines


def start(app: FastAPI, sink: str) -> Stack:
    """It measures no histogram of requests by itself: both are kept here."""
    client = make_apm_client({
        "SERVICE_NAME": "bench", "SERVER_URL": sink, "CENTRAL_CONFIG": False, "CLOUD_PROVIDER": False,
        "PROMETHEUS_METRICS": True, "DISABLE_INSTRUMENTATIONS": "sqlite3",
    })  # fmt: skip
    app.add_middleware(ElasticAPM, client=client)
    labels = ("method", "status")
    duration = Histogram("http_server_request_duration_seconds", "Duration", labels)
    size = Histogram("http_server_response_body_size_bytes", "Size", labels, buckets=[10**n for n in range(9)])

    def observe(seconds: float, sent: int) -> None:
        duration.labels("GET", "200").observe(seconds)
        size.labels("GET", "200").observe(sent)

    def flush() -> None:
        client._metrics.collect()  # noqa: SLF001 - it has no other way
        client._transport.flush()  # noqa: SLF001 - likewise
        sys.stdout.flush()

    return Stack(
        span=elasticapm.capture_span,
        log=agent_lines.logger(structlog_processor).info,
        flush=flush,
        observe=observe,
    )
