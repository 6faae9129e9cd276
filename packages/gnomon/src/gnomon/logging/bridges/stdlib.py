"""Records of the standard library's `logging`, which most libraries and all Python servers use."""

import logging
import sys
from collections.abc import Callable
from typing import Any

from gnomon.logging import exceptions, places
from gnomon.logging.pipeline import MOST_SOURCES, Pipeline, current
from gnomon.logging.source import Source
from gnomon.wire import logs as wire

# What every record has; the rest is what the host gave as `extra`. Three are set by others' formatters; uvicorn's
# `color_message` is its message once more, for terminals.
_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"taskName", "message", "asctime", "color_message"}
_FEWEST = len(logging.makeLogRecord({}).__dict__)
# What makes a record an event; OpenTelemetry's own handler takes the name from here, too.
_EVENT = "otel.event.name"
# A failing exporter tells of it; that must not be one more thing to export.
_EXPORT = "gnomon.export"


class Handler(logging.Handler):
    """Hands records to a pipeline. `extra` becomes fields, `extra={"category": "business"}` the category.

    It has no lock, for it needs none: it holds up nobody, and there is none to be held across a fork.

    Args:
        pipeline: where records go; None: the one in use.
        level: below it records are passed over.
    """

    def __init__(self, pipeline: Pipeline | None = None, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._pipeline = pipeline
        self._sources: tuple[Pipeline | None, dict[str, Source]] = (None, {})

    def createLock(self) -> None:  # noqa: N802 - the standard library's name
        """None is needed."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """As the standard library does it, without the lock."""
        kept: Any = self.filter(record) if self.filters else record
        if kept:
            self.emit(record if kept is True else kept)  # from Python 3.12 on a filter may give another record
        return bool(kept)

    def emit(self, record: logging.LogRecord) -> None:
        """Log it. Never raises."""
        pipeline = self._pipeline or current()
        try:
            if pipeline.levels.timed and pipeline.levels.tick() and not _still(record):
                return
            known, sources = self._sources
            if known is not pipeline:  # first use, or another pipeline is in use
                sources = {}
                self._sources = (pipeline, sources)
            name, thread = record.name, record.threadName
            source = sources.get(name)
            if source is None:
                if len(sources) >= MOST_SOURCES:
                    sources.clear()
                source = sources[name] = pipeline.source(name, ships=not name.startswith(_EXPORT))
            if thread is not None and thread.startswith("gnomon-export"):  # what libraries say while they export for us
                source = pipeline.source(name, ships=False)
            self._log(source, record)
        except Exception:  # noqa: BLE001 - arguments that do not fit, an `extra` that cannot be read
            pipeline.fault()

    def _log(self, source: Source, record: logging.LogRecord) -> None:
        message: Any = record.msg
        fields: dict[str, Any] = {}
        if message.__class__ is dict:  # structlog's ProcessorFormatter.wrap_for_formatter
            fields = dict(message)
            message = fields.pop("event", "")
        elif record.args or message.__class__ is not str:
            message = _filled(record)
        told = record.__dict__
        if len(told) > _FEWEST:
            fields.update({key: value for key, value in told.items() if key not in _OWN})
        category = fields.pop("category", None)
        if record.stack_info:
            fields["code.stacktrace"] = record.stack_info
        error = exceptions.given(record.exc_info) if record.exc_info else None
        more = places.of(record.pathname, record.lineno, record.funcName or "") if source.ships else b""
        if (event := fields.pop(_EVENT, None)) is not None:
            more += wire.event_name(str(event))
        source.log(record.levelno, message, category, fields, error, more, int(record.created * 1e9))


def _filled(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - the host's format, the host's __str__
        return f"{record.msg} {record.args!r}"


def _still(record: logging.LogRecord) -> bool:
    """Whether the record would be made now, that a timer is over."""
    return logging.getLogger(record.name).isEnabledFor(record.levelno)


def install(pipeline: Pipeline | None = None) -> Callable[[], None]:
    """Put a handler on the root logger, and loggers under the pipeline's levels; returns what undoes it.

    When the pipeline shows lines itself, handlers that write to the standard output or error are taken away for so
    long, whichever of the two is ours: a terminal and a container's log show both, and a line is to be there once.
    """
    root, used = logging.getLogger(), pipeline or current()
    handler = Handler(pipeline)
    taken = [one for one in root.handlers if used.console is not None and _is_standard(one)]
    for one in taken:
        root.removeHandler(one)
    root.addHandler(handler)
    used.levels.lead(stdlib=True)

    def undo() -> None:
        root.removeHandler(handler)
        used.levels.lead(stdlib=False)
        for one in taken:
            root.addHandler(one)

    return undo


def _is_standard(handler: logging.Handler) -> bool:
    standard = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return type(handler) is logging.StreamHandler and any(handler.stream is one for one in standard)
