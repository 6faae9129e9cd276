"""Records of loguru: a sink."""

import contextlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from loguru import logger

from gnomon.logging import exceptions, places
from gnomon.logging.pipeline import Pipeline, current

if TYPE_CHECKING:
    from loguru import Message

_DEFAULT = 0  # the handler that loguru begins with; it writes to stderr
_present = [_DEFAULT]  # its number now: that of ours, once it was taken away and given back


class Sink:
    """Logs loguru's messages: what is bound or contextualised there becomes fields.

    Args:
        pipeline: where messages go; None: the one in use.
    """

    def __init__(self, pipeline: Pipeline | None = None) -> None:
        self._pipeline = pipeline

    def __call__(self, message: "Message") -> None:
        """A sink, as loguru calls it."""
        pipeline = self._pipeline or current()
        try:
            self._log(pipeline, message.record)
        except Exception:  # noqa: BLE001 - whatever the host's patchers have made of the record
            pipeline.fault()

    def _log(self, pipeline: Pipeline, record: Any) -> None:
        source, level = pipeline.source(record["name"] or "loguru"), record["level"].no
        if not source.allows(level):
            return
        fields = dict(record["extra"])
        category = fields.pop("category", None)
        error = exceptions.given(tuple(record["exception"])) if record["exception"] else None
        more = places.of(record["file"].path, record["line"], record["function"]) if source.ships else b""
        time_ns = int(record["time"].timestamp() * 1e9)
        source.log(level, record["message"], category, fields, error, more, time_ns)


def install(pipeline: Pipeline | None = None) -> Callable[[], None]:
    """Add a sink; when we show lines ourselves loguru's first one goes for so long. Returns what undoes it.

    Most programs begin with `logger.remove()` or `logger.remove(0)`, after us: neither takes our sink away, and the
    second finds what it looks for.
    """
    kind: Any = type(logger)
    remove, sink, taken = kind.remove, Sink(pipeline), False
    if (pipeline or current()).console is not None:
        with contextlib.suppress(ValueError):  # the host has removed it
            logger.remove(_present[0])
            taken = True
    number = _added(sink)

    def removed(self: Any, handler_id: int | None = None) -> None:
        nonlocal number, taken
        if taken and handler_id == _DEFAULT:
            taken = False
            return
        remove(self, handler_id)
        if handler_id is None:
            number, taken = _added(sink), False

    kind.remove = removed

    def undo() -> None:
        kind.remove = remove
        with contextlib.suppress(ValueError):  # the host has removed ours by its number
            logger.remove(number)
        if taken:
            _present[0] = logger.add(_print)

    return undo


def _added(sink: Sink) -> int:
    return logger.add(sink, format="{message}", level=0, backtrace=False, diagnose=False)


def _print(message: str) -> None:
    """Where loguru prints by itself: to what is standard error now, which need not be what it was."""
    sys.stderr.write(message)
