"""Loggers by one call."""

import os
from typing import Any

from gnomon.logging.logger import StructuredLogger
from gnomon.starter import instrument_app


def get_logger(name: str) -> StructuredLogger:
    """A logger of a module, `get_logger(__name__)`, under the service's own name and settings."""
    return StructuredLogger(name)


def create_structured_logger(
    name: str, service_name: str = "", environment: str = "", log_level: int | str | None = None
) -> StructuredLogger:
    """A logger whose service has its name, and whose environment is that of ENVIRONMENT, unless others are given.

    It starts nothing: modules make loggers when they are imported, before the program says how it is to be observed.
    """
    return StructuredLogger(name, service_name or name, environment or os.environ.get("ENVIRONMENT", ""), log_level)


def setup_fastapi_logging(app: Any, name: str) -> StructuredLogger:
    """Instrument an application, with one access line a request, and give a logger for it."""
    instrument_app(app, service_name=name)
    return create_structured_logger(name)
