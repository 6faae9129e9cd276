"""Events of structlog: a processor that stands before the renderer."""

import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog
from structlog import _config

from gnomon.logging import exceptions, places
from gnomon.logging.categories import LogLevel, level_number
from gnomon.logging.pipeline import Pipeline, current

_METHODS = {"warn": LogLevel.WARNING, "exception": LogLevel.ERROR, "fatal": LogLevel.CRITICAL, "msg": LogLevel.INFO}
# What structlog's own processors add, and we say in our way.
_OURS = ("level", "level_number", "timestamp", "logger", "logger_name", "category", "exc_info")


class Processor:
    """Logs the event; when we show lines ourselves the event ends here, else the renderer has it too.

    Events whose logger is the standard library's, where we show nothing, are left to that library's bridge.

    Args:
        pipeline: where events go; None: the one in use.
    """

    def __init__(self, pipeline: Pipeline | None = None) -> None:
        self._pipeline = pipeline

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """A processor, as structlog calls it."""
        pipeline = self._pipeline or current()
        if pipeline.console is None and isinstance(logger, logging.Logger):
            return event
        try:
            self._log(pipeline, logger, method, event)
        except Exception:  # noqa: BLE001 - whatever the processors before us have made of the event
            pipeline.fault()
            return event
        if pipeline.console is None:
            return event
        raise structlog.DropEvent

    def _log(self, pipeline: Pipeline, logger: Any, method: str, event: MutableMapping[str, Any]) -> None:
        name = str(event.get("logger") or getattr(logger, "name", None) or "structlog")
        source, level = pipeline.source(name), _level(method)
        if not source.allows(level):
            return
        fields = {key: value for key, value in event.items() if key not in _OURS}
        message = fields.pop("event", "")
        error = exceptions.given(event.get("exc_info") or method == "exception")
        source.log(level, message, event.get("category"), fields, error, _place() if source.ships else b"")


def install(pipeline: Pipeline | None = None) -> Callable[[], None]:
    """Put a processor before the renderer of structlog's configuration, and of later ones; returns what undoes it."""
    processor, configure = Processor(pipeline), _config.configure
    taken_back = [_placed(processor, configure)]

    def configured(*args: Any, **options: Any) -> None:
        """The host configures, mostly after us: a program does so when it begins, and we begin before it."""
        configure(*args, **options)
        if processor not in structlog.get_config()["processors"]:
            taken_back[0] = _placed(processor, configure)

    structlog.configure = _config.configure = configured  # the second is what `configure_once` calls

    def undo() -> None:
        structlog.configure = _config.configure = configure
        taken_back[0]()

    return undo


def _placed(processor: Processor, configure: Callable[..., None]) -> Callable[[], None]:
    """Put it before the renderer; returns what takes it away."""
    before = structlog.get_config()["processors"]
    if not isinstance(before, list):
        configure(processors=[*before[:-1], processor, *before[-1:]])
        return lambda: configure(processors=before)
    before.insert(max(len(before) - 1, 0), processor)  # in place, so that loggers which are cached have it too

    def taken_back() -> None:
        if processor in before:  # else the host has taken it away
            before.remove(processor)

    return taken_back


def _level(method: str) -> int:
    return _METHODS.get(method) or level_number(method)


def _place() -> bytes:
    """Where structlog was called."""
    frame = sys._getframe(2)  # noqa: SLF001 - as structlog's own CallsiteParameterAdder
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(("structlog", __name__)):
        frame = frame.f_back
    return places.of_frame(frame)
