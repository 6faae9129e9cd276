"""Logs: one line, one object, with the trace it belongs to; shipped as OTLP and shown on the console.

    logger = create_structured_logger("orders")
    with logger.context(user_id="u1"):
        logger.info("Order placed", category=LogCategory.BUSINESS, order_id="o1")

The JSON lines are described by `log-schema.json` beside this file.
"""

from gnomon.logging.binding import bind, context
from gnomon.logging.categories import LogCategory, LogLevel
from gnomon.logging.events import (
    log_circuit_breaker_event,
    log_detection_event,
    log_error,
    log_performance,
    log_recovery_action,
    log_request,
    log_retry_event,
)
from gnomon.logging.logger import StructuredLogger
from gnomon.logging.pipeline import Pipeline, current, use
from gnomon.logging.setup import create_structured_logger, get_logger, setup_fastapi_logging

__all__ = [
    "LogCategory",
    "LogLevel",
    "Pipeline",
    "StructuredLogger",
    "bind",
    "context",
    "create_structured_logger",
    "current",
    "get_logger",
    "log_circuit_breaker_event",
    "log_detection_event",
    "log_error",
    "log_performance",
    "log_recovery_action",
    "log_request",
    "log_retry_event",
    "setup_fastapi_logging",
    "use",
]
