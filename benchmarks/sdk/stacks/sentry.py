"""Sentry: transactions with spans, logs, and metrics."""

from typing import Any

import sentry_sdk
from fastapi import FastAPI

from stacks import Stack


def start(_app: FastAPI, sink: str) -> Stack:
    """FastAPI is found by itself. Histograms are `distribution`s, each value of which is sent.

    With its usual queue of 100 transactions it loses some at these rates, and the run would not be valid.
    """
    dsn = sink.replace("//", "//bench@") + "/1"
    sentry_sdk.init(dsn=dsn, traces_sample_rate=1.0, enable_logs=True, transport_queue_size=100_000)
    distribution = sentry_sdk.metrics.distribution
    labels = {"http.request.method": "GET", "http.response.status_code": 200}

    def observe(seconds: float, size: int) -> None:
        distribution("http.server.request.duration", seconds, unit="second", attributes=labels)
        distribution("http.server.response.body.size", size, unit="byte", attributes=labels)

    def log(message: str, **fields: Any) -> None:
        sentry_sdk.logger.info(message, attributes=fields)

    return Stack(
        span=lambda name: sentry_sdk.start_span(op="bench", name=name),
        log=log,
        flush=lambda: sentry_sdk.flush(20),
        observe=observe,
    )
