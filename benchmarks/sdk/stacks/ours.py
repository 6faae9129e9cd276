"""Gnomon: whole, or one pillar of it (`PILLARS`); lines as JSON on standard output too (`CONSOLE=json`)."""

import os

from fastapi import FastAPI

import gnomon
from stacks import Stack


def start(app: FastAPI, sink: str) -> Stack:
    """One call."""
    pillars = os.environ.get("PILLARS", "traces,metrics,logs").split(",")
    gnomon.instrument(
        app,
        service_name="bench",
        endpoint=sink,
        traces={"enabled": "traces" in pillars},
        metrics={"enabled": "metrics" in pillars},
        logs={"enabled": "logs" in pillars, "console": os.environ.get("CONSOLE", "off"), "stream": "stdout"},
    )
    return Stack(
        span=gnomon.span, log=gnomon.logging.create_structured_logger("bench").info, flush=gnomon.flush, access=False
    )
