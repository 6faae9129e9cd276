"""Log lines for an agent: structlog writes JSON to standard output, without the standard library between."""

from collections.abc import Callable
from typing import Any

import structlog


def logger(with_trace: Callable[..., Any]) -> Any:
    """A logger whose lines carry what `with_trace`, a processor of the stack, adds."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            with_trace,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("INFO"),
        cache_logger_on_first_use=True,
    )
    return structlog.get_logger("bench")
