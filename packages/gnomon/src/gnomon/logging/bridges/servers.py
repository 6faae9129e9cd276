"""The logs of uvicorn, gunicorn and granian. Each has handlers of its own and keeps its records to itself."""

import logging
from collections.abc import Callable

from gnomon.logging.bridges.stdlib import Handler

ERRORS = ("uvicorn", "uvicorn.error", "gunicorn.error", "_granian")
ACCESS = ("uvicorn.access", "gunicorn.access", "granian.access")


def nothing() -> None:
    """What undoes an installation that found everything in place."""


def install(*, access_log: bool, shown: bool = True) -> Callable[[], None]:
    """Lead the servers' records to us; returns what undoes it, `nothing` if that was done already.

    A server that configures its logging later takes them back: call it when the application starts, or again then.

    Args:
        access_log: whether we write a line for each request; then theirs are silent, for a request has one line.
        shown: whether we show lines ourselves: then they go to the root logger, and so to us, and nowhere else; else
            the servers' own handlers stay, and ours is put beside them.
    """
    led = list(map(logging.getLogger, ERRORS if access_log else ERRORS + ACCESS))
    silent = list(map(logging.getLogger, ACCESS)) if access_log else []
    if all(_is_led(logger, shown) for logger in led) and all(logger.disabled for logger in silent):
        return nothing
    before = [(logger, logger.handlers, logger.propagate, logger.disabled) for logger in (*led, *silent)]
    for logger in led:
        if shown:
            logger.handlers, logger.propagate = [], True
        elif not _is_led(logger, shown):
            logger.handlers = [*logger.handlers, Handler()]
    for logger in silent:
        logger.disabled = True

    def undo() -> None:
        for logger, handlers, propagate, disabled in before:
            logger.handlers, logger.propagate, logger.disabled = handlers, propagate, disabled

    return undo


def _is_led(logger: logging.Logger, shown: bool) -> bool:
    """Whether a logger's records come to us; and, where we show them, to nobody else."""
    if shown:
        return logger.propagate and not logger.handlers
    return logger.propagate or any(isinstance(one, Handler) for one in logger.handlers)
