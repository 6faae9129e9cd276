"""The logger: a message, a category, and fields by name."""

import sys
import weakref
from collections.abc import Mapping
from typing import Any

from gnomon.errors import LoggingError
from gnomon.logging import binding, exceptions
from gnomon.logging.categories import LogCategory, LogLevel, level_number
from gnomon.logging.pipeline import Pipeline, current, on_replaced
from gnomon.logging.places import of_frame

_getframe = sys._getframe  # noqa: SLF001 - the standard library's loggers do likewise
TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL = map(int, LogLevel)


class StructuredLogger:
    """Logs lines with fields: `logger.info("paid", order_id="o1", category=LogCategory.BUSINESS)`.

    Nothing here raises or waits. Fields may have any name but `category` and `exc_info` (and, of the typed events,
    their arguments). Positional arguments fill a message as the standard library's loggers do.

    Args:
        name: the logger's; dots make a hierarchy, for levels.
        service_name, environment: of its lines; the pipeline's when empty.
        log_level: from which level on it logs, unless a setting says otherwise; None: the pipeline's.
        pipeline: where lines go; None: the one in use, also when that is replaced.

    Raises:
        LoggingError: it has no name, or there is no such level.
    """

    __slots__ = ("__weakref__", "_described", "_source")

    def __init__(
        self,
        name: str,
        service_name: str = "",
        environment: str = "",
        log_level: int | str | None = None,
        *,
        pipeline: Pipeline | None = None,
    ) -> None:
        if not name or not isinstance(name, str):
            raise LoggingError(f"a logger named {name!r}", hint="Give it the name of its module or service")
        own_level = None if log_level is None else level_number(log_level)
        self._described = (name, service_name, environment, own_level)
        self._source = (pipeline or current()).source(*self._described)
        if pipeline is None:
            _following.add(self)

    def __reduce__(self) -> tuple[type["StructuredLogger"], tuple[Any, ...]]:
        """Pickled by name, as the standard library's loggers are; its lines go to the pipeline in use there."""
        return StructuredLogger, self._described

    @property
    def name(self) -> str:
        """The logger's name."""
        return self._described[0]

    def enabled(self, level: int | str) -> bool:
        """Whether a line of this level would be logged: for what is costly to find out."""
        return self._source.allows(_number(level))

    # By level.

    def trace(
        self, message: Any, /, *args: Any, category: str | None = None, exc_info: Any = None, **fields: Any
    ) -> None:
        """Finer than debug."""
        if self._source.level <= TRACE:
            self._log(TRACE, message, args, category, exc_info, fields)

    def debug(
        self, message: Any, /, *args: Any, category: str | None = None, exc_info: Any = None, **fields: Any
    ) -> None:
        """For those who look for a mistake."""
        if self._source.level <= DEBUG:
            self._log(DEBUG, message, args, category, exc_info, fields)

    def info(
        self, message: Any, /, *args: Any, category: str | None = None, exc_info: Any = None, **fields: Any
    ) -> None:
        """Something happened, as it should."""
        if self._source.level <= INFO:
            self._log(INFO, message, args, category, exc_info, fields)

    def warning(
        self, message: Any, /, *args: Any, category: str | None = None, exc_info: Any = None, **fields: Any
    ) -> None:
        """Something happened that should not, and was dealt with."""
        if self._source.level <= WARNING:
            self._log(WARNING, message, args, category, exc_info, fields)

    def error(
        self, message: Any, /, *args: Any, category: str | None = None, exc_info: Any = None, **fields: Any
    ) -> None:
        """Something failed."""
        if self._source.level <= ERROR:
            self._log(ERROR, message, args, category, exc_info, fields)

    def exception(
        self, message: Any, /, *args: Any, category: str | None = None, exc_info: Any = True, **fields: Any
    ) -> None:
        """Something failed with the exception that is being handled."""
        if self._source.level <= ERROR:
            self._log(ERROR, message, args, category, exc_info, fields)

    def critical(
        self, message: Any, /, *args: Any, category: str | None = None, exc_info: Any = None, **fields: Any
    ) -> None:
        """The service cannot go on."""
        if self._source.level <= CRITICAL:
            self._log(CRITICAL, message, args, category, exc_info, fields)

    def log(
        self,
        level: int | str,
        message: Any,
        /,
        *args: Any,
        category: str | None = None,
        exc_info: Any = None,
        stacklevel: int = 1,
        **fields: Any,
    ) -> None:
        """A line of any level; `stacklevel` 2 and more names a caller further out as the place."""
        number = _number(level)
        if self._source.level <= number:
            self._log(number, message, args, category, exc_info, fields, stacklevel + 1)

    def emit(
        self,
        level: int | str,
        message: Any,
        fields: Mapping[str, Any],
        *,
        category: str | None = None,
        exc_info: Any = None,
        stacklevel: int = 1,
    ) -> None:
        """As `log`, with fields that may have any name; one named `category` is the category."""
        number = _number(level)
        if self._source.level <= number:
            if "category" in fields:
                fields = dict(fields)
                category = fields.pop("category")
            self._log(number, message, (), category, exc_info, fields, stacklevel + 1)

    # By category. What is None is left out.

    def business(
        self,
        message: Any,
        /,
        event_type: str | None = None,
        amount: float | None = None,
        currency: str | None = None,
        entity_type: str | None = None,
        entity_id: str | None = None,
        **fields: Any,
    ) -> None:
        """Something that the business counts: a sale, a sign-up."""
        named = {
            "event_type": event_type,
            "amount": amount,
            "currency": currency,
            "entity_type": entity_type,
            "entity_id": entity_id,
        }
        self._typed(INFO, LogCategory.BUSINESS, message, named, fields)

    def security(
        self,
        message: Any,
        /,
        security_event: str = "unspecified",
        source_ip: str | None = None,
        user_id: str | None = None,
        **fields: Any,
    ) -> None:
        """Something that those who guard the service want to know; counted, for alerts, and never sampled."""
        named = {"security_event": security_event, "source_ip": source_ip, "user_id": user_id}
        self._typed(WARNING, LogCategory.SECURITY, message, named, fields)
        pipeline = self._source.pipeline
        try:
            pipeline.on_security(security_event)
        except Exception:  # noqa: BLE001 - the hook is another's
            pipeline.fault()

    def audit(
        self,
        message: Any,
        /,
        action: str | None = None,
        resource: str | None = None,
        user_id: str | None = None,
        success: bool | None = None,
        **fields: Any,
    ) -> None:
        """Who did what to which, and whether it was allowed; logged at any level, and never sampled."""
        named = {"action": action, "resource": resource, "user_id": user_id, "success": success}
        self._typed(INFO, LogCategory.AUDIT, message, named, fields)

    def access(
        self,
        message: Any,
        /,
        method: str | None = None,
        path: str | None = None,
        status: int | None = None,
        duration_ms: float | None = None,
        **fields: Any,
    ) -> None:
        """A request was answered."""
        named = {"method": method, "path": path, "status": status, "duration_ms": duration_ms}
        self._typed(INFO, LogCategory.ACCESS, message, named, fields)

    def performance(
        self, message: Any, /, operation: str | None = None, duration_ms: float | None = None, **fields: Any
    ) -> None:
        """How long something took, or how much it used."""
        named = {"operation": operation, "duration_ms": duration_ms}
        self._typed(INFO, LogCategory.PERFORMANCE, message, named, fields)

    # What stands in every line.

    def context(self, **fields: Any) -> binding.Binding:
        """Bind fields to all lines logged inside: `with logger.context(user_id="u1"):`, by any logger."""
        return binding.context(**fields)

    def bind(self, **fields: Any) -> None:
        """Bind fields until the task or thread ends; None takes one away."""
        binding.bind(**fields)

    def attach(self, pipeline: Pipeline) -> None:
        """Log through another pipeline from now on."""
        self._source = pipeline.source(*self._described)

    def _typed(
        self, level: int, category: LogCategory, message: Any, named: Mapping[str, Any], fields: dict[str, Any]
    ) -> None:
        exc_info, category = fields.pop("exc_info", None), fields.pop("category", category)
        told = {key: value for key, value in named.items() if value is not None}
        if self._source.level <= level or category is LogCategory.AUDIT:
            self._log(level, message, (), category, exc_info, told | fields, 3)

    def _log(
        self,
        level: int,
        message: Any,
        args: tuple[Any, ...],
        category: str | None,
        exc_info: Any,
        fields: Mapping[str, Any],
        depth: int = 2,
    ) -> None:
        source = self._source
        levels = source.pipeline.levels
        # A timer may be over, and the level what it was before.
        if levels.timed and not source.allows(level) and category is not LogCategory.AUDIT:
            return
        if args:
            message = _filled(message, args)
        try:
            place = of_frame(_getframe(depth)) if source.ships else b""
        except ValueError:  # further out than the stack is deep
            place = b""
        source.log(level, message, category, fields, exceptions.given(exc_info) if exc_info else None, place)


def _number(level: int | str) -> int:
    """A level as its number; one that there is not, while the service runs, is INFO."""
    try:
        return level_number(level)
    except LoggingError:
        return INFO


def _filled(message: Any, args: tuple[Any, ...]) -> str:
    """A message with its arguments; one that does not fit them is shown with them behind it."""
    try:
        return str(message) % (args[0] if len(args) == 1 and isinstance(args[0], Mapping) else args)
    except Exception:  # noqa: BLE001 - the host's format, the host's __str__
        return f"{message} {args!r}"


_following: weakref.WeakSet[StructuredLogger] = weakref.WeakSet()


def _follow(pipeline: Pipeline) -> None:
    for logger in list(_following):
        logger.attach(pipeline)


on_replaced(_follow)
