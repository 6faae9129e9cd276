"""Datadog: ddtrace, DogStatsD, and lines that its agent would collect."""

import sys
from typing import Any

import ddtrace
from datadog import DogStatsd
from ddtrace.trace import tracer
from fastapi import FastAPI

from stacks import Stack, agent_lines


def start(_app: FastAPI, sink: str) -> Stack:
    """The agent is our sink (`DD_TRACE_AGENT_URL`, set by `app.py`); SQLite's own spans are left out."""
    ddtrace.patch(fastapi=True, starlette=True)
    statsd = DogStatsd(host="127.0.0.1", port=int(sink.rpartition(":")[2]))
    labels = ["method:GET", "status:200"]

    def observe(seconds: float, size: int) -> None:
        statsd.distribution("http.server.request.duration", seconds, tags=labels)
        statsd.distribution("http.server.response.body.size", size, tags=labels)

    def with_trace(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event.update(tracer.get_log_correlation_context())
        return event

    def flush() -> None:
        statsd.flush()
        tracer.flush()
        sys.stdout.flush()

    return Stack(span=tracer.trace, log=agent_lines.logger(with_trace).info, flush=flush, observe=observe)
