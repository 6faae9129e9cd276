"""The logs of uvicorn, gunicorn and granian. Each has handlers of its own and keeps its records to itself."""

import logging
from collections.abc import Callable

ERRORS = ("uvicorn", "uvicorn.error", "gunicorn.error", "_granian")
ACCESS = ("uvicorn.access", "gunicorn.access", "granian.access")


def install(*, access_log: bool) -> Callable[[], None]:
    """Lead the servers' records to the root logger, and so to us; returns what undoes it.

    A server that configures its logging later takes them back: call it when the application starts, or again then.

    Args:
        access_log: whether we write a line for each request; then theirs are silent, for a request has one line.
    """
    names = ERRORS if access_log else ERRORS + ACCESS
    before = [(logger, logger.handlers, logger.propagate, logger.disabled) for logger in map(logging.getLogger, names)]
    for logger, _, _, _ in before:
        logger.handlers, logger.propagate = [], True
    silenced = list(map(logging.getLogger, ACCESS)) if access_log else []
    before += [(logger, logger.handlers, logger.propagate, logger.disabled) for logger in silenced]
    for logger in silenced:
        logger.disabled = True

    def undo() -> None:
        for logger, handlers, propagate, disabled in before:
            logger.handlers, logger.propagate, logger.disabled = handlers, propagate, disabled

    return undo
