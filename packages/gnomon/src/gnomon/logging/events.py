"""Seven things that every service logs, each with its fields: what dashboards and alerts may count on."""

from typing import Any

from gnomon.logging.categories import LogCategory, LogLevel
from gnomon.logging.logger import StructuredLogger

_SERVER_ERROR = 500


def log_request(
    logger: StructuredLogger, method: str, path: str, status: int, duration_ms: float, **fields: Any
) -> None:
    """A request was answered; an error when that was by a 5xx."""
    level = LogLevel.ERROR if status >= _SERVER_ERROR else LogLevel.INFO
    told = {"method": method, "path": path, "status": status, "duration_ms": duration_ms, **fields}
    logger.emit(level, f"{method} {path} {status}", told, category=LogCategory.ACCESS, stacklevel=2)


def log_error(logger: StructuredLogger, error: BaseException, message: str = "", **fields: Any) -> None:
    """An exception, with every frame and cause."""
    said = message or f"{type(error).__name__} was raised"
    logger.emit(LogLevel.ERROR, said, fields, category=LogCategory.ERROR, exc_info=error, stacklevel=2)


def log_circuit_breaker_event(
    logger: StructuredLogger, breaker: str, state: str, previous_state: str = "", **fields: Any
) -> None:
    """A circuit breaker is open, half_open or closed now."""
    level = LogLevel.WARNING if state == "open" else LogLevel.INFO
    told = {"event": "circuit_breaker", "breaker": breaker, "state": state, "previous_state": previous_state, **fields}
    _infrastructure(logger, level, f"Circuit breaker {breaker} is {state}", told)


def log_retry_event(
    logger: StructuredLogger,
    operation: str,
    attempt: int,
    most_attempts: int,
    *,
    error: BaseException | None = None,
    delay_s: float = 0.0,
    **fields: Any,
) -> None:
    """An operation failed and is tried again after `delay_s`; an error when this was the last attempt."""
    level = LogLevel.WARNING if attempt < most_attempts else LogLevel.ERROR
    told = {"event": "retry", "operation": operation, "attempt": attempt, "most_attempts": most_attempts}
    message = f"Attempt {attempt} of {most_attempts} at {operation} failed"
    _infrastructure(logger, level, message, {**told, "delay_s": delay_s, **fields}, error)


def log_recovery_action(
    logger: StructuredLogger, action: str, target: str, *, success: bool = True, **fields: Any
) -> None:
    """The service has mended something: a restart, a failover, a cache that was emptied."""
    level, how = (LogLevel.INFO, "succeeded") if success else (LogLevel.ERROR, "failed")
    told = {"event": "recovery", "action": action, "target": target, "success": success, **fields}
    _infrastructure(logger, level, f"Recovery {action} of {target} {how}", told)


def log_detection_event(
    logger: StructuredLogger, detector: str, finding: str, score: float | None = None, **fields: Any
) -> None:
    """A detector has found something out of the ordinary; `score` is its own measure."""
    told = {"event": "detection", "detector": detector, "finding": finding, **fields}
    _infrastructure(
        logger,
        LogLevel.WARNING,
        f"{detector} detected {finding}",
        told if score is None else {**told, "score": score},
    )


def log_performance(logger: StructuredLogger, operation: str, duration_ms: float, **fields: Any) -> None:
    """How long an operation took."""
    told = {"operation": operation, "duration_ms": duration_ms, **fields}
    message = f"{operation} took {duration_ms:.1f} ms"
    logger.emit(LogLevel.INFO, message, told, category=LogCategory.PERFORMANCE, stacklevel=2)


def _infrastructure(
    logger: StructuredLogger, level: int, message: str, fields: dict[str, Any], error: BaseException | None = None
) -> None:
    logger.emit(level, message, fields, category=LogCategory.INFRASTRUCTURE, exc_info=error, stacklevel=3)
