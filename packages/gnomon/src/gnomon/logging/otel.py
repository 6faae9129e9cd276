"""The way in for OpenTelemetry's Logs API: log bridges of third parties make our records without knowing us."""

from typing import Any

from opentelemetry._logs import Logger as ApiLogger
from opentelemetry._logs import LoggerProvider as ApiLoggerProvider
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.util.types import AnyValue, Attributes

from gnomon.logging.categories import LogLevel, level_of
from gnomon.logging.pipeline import Pipeline, current
from gnomon.logging.source import Ids, Source
from gnomon.wire import logs as wire
from gnomon.wire.envelope import Scope


class Logger(ApiLogger):
    """Emits records into a pipeline."""

    def __init__(self, scope: Scope, pipeline: Pipeline | None = None) -> None:
        super().__init__(scope.name)
        self._scope, self._pipeline = scope, pipeline
        self._known: Source | None = None

    @property
    def _source(self) -> Source:
        """In the pipeline in use, which may be another one by now: libraries keep their loggers for good."""
        pipeline, known = self._pipeline or current(), self._known
        if known is None or known.pipeline is not pipeline:
            known = self._known = pipeline.source(self._scope.name, scope=self._scope)
        return known

    def emit(
        self,
        record: LogRecord | None = None,
        *,
        timestamp: int | None = None,
        observed_timestamp: int | None = None,
        context: Context | None = None,
        severity_number: SeverityNumber | None = None,
        severity_text: str | None = None,
        body: AnyValue | None = None,
        attributes: Attributes | None = None,
        event_name: str | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """Log a record, or what one would be made of."""
        try:
            made = record or LogRecord(
                timestamp=timestamp,
                observed_timestamp=observed_timestamp,
                context=context,
                severity_number=severity_number,
                severity_text=severity_text,
                body=body,
                attributes=attributes,
                event_name=event_name,
                exception=exception,
            )
            level = _level(made.severity_number)
            if self._source.allows(level):
                self._emit(made, level)
        except Exception:  # noqa: BLE001 - a third party's record: it may hold anything
            self._source.pipeline.fault()

    def enabled(
        self,
        *,
        context: Context | None = None,  # noqa: ARG002 - the API's
        severity_number: SeverityNumber | None = None,
        event_name: str | None = None,  # noqa: ARG002 - the API's
    ) -> bool:
        """Whether such a record would be logged."""
        return self._source.allows(_level(severity_number))

    def _emit(self, record: LogRecord, level: int) -> None:
        fields: dict[str, Any] = dict(record.attributes or {})
        category = fields.pop("category", None)
        time_ns = record.timestamp or record.observed_timestamp
        more = wire.observed(record.observed_timestamp)
        if record.severity_text:
            more += wire.severity_text(record.severity_text)
        if record.event_name:
            more += wire.event_name(record.event_name)
        body = "" if record.body is None else record.body
        error = getattr(record, "exception", None)  # newer than the oldest API that we run with
        self._source.log(level, body, category, fields, error, more, time_ns, _ids(record))


class LoggerProvider(ApiLoggerProvider):
    """Makes loggers that log through a pipeline; None: the one in use.

    Set it by `opentelemetry._logs.set_logger_provider`.
    """

    def __init__(self, pipeline: Pipeline | None = None) -> None:
        self._pipeline = pipeline

    def get_logger(
        self, name: str, version: str | None = None, schema_url: str | None = None, attributes: Attributes | None = None
    ) -> Logger:
        """A logger whose records stand under this instrumentation scope."""
        told = tuple((key, tuple(v) if isinstance(v, list) else v) for key, v in (attributes or {}).items())
        scope = Scope(name, version or "", schema_url or "", told)
        return Logger(scope, self._pipeline)


def _level(severity: SeverityNumber | None) -> int:
    return level_of(severity.value) if severity is not None and severity.value else LogLevel.INFO


def _ids(record: LogRecord) -> Ids | None:
    if not record.trace_id:
        return None
    sampled = bool(record.trace_flags) and bool(int(record.trace_flags or 0) & 1)
    return record.trace_id.to_bytes(16, "big"), (record.span_id or 0).to_bytes(8, "big"), sampled
