"""Loggers by one call."""

import importlib
import os
from typing import Any

from gnomon.logging.logger import StructuredLogger


def create_structured_logger(
    name: str, service_name: str = "", environment: str = "", log_level: int | str | None = None
) -> StructuredLogger:
    """A logger whose service has its name, and whose environment is that of ENVIRONMENT, unless others are given."""
    return StructuredLogger(name, service_name or name, environment or os.environ.get("ENVIRONMENT", ""), log_level)


def setup_fastapi_logging(app: Any, name: str) -> StructuredLogger:
    """Instrument an application, with one access line a request, and give a logger for it."""
    # By name, for it stands above us: what starts everything imports everything.
    importlib.import_module("gnomon.instrument").instrument_app(app, service_name=name)
    return create_structured_logger(name)
