"""Logfire, which writes a log line as a span without duration."""

import logfire
from fastapi import FastAPI
from logfire import AdvancedOptions

from stacks import Stack


def start(app: FastAPI, sink: str) -> Stack:
    """Its metrics of requests are those of OpenTelemetry's instrumentation, which it builds on."""
    logfire.configure(
        service_name="bench",
        send_to_logfire=True,
        token="bench",  # noqa: S106 - our own sink takes any
        console=False,
        advanced=AdvancedOptions(base_url=sink),
    )
    logfire.instrument_fastapi(app)
    return Stack(span=logfire.span, log=logfire.info, flush=logfire.force_flush)
