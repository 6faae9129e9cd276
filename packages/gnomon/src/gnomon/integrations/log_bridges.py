"""Lines that are logged by other means come to our pipeline: the standard library, structlog, loguru, the servers."""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from opentelemetry import _logs

from gnomon.context import is_default
from gnomon.integrations import importing
from gnomon.logging import pipeline as pipelines
from gnomon.logging.bridges import servers, stdlib
from gnomon.logging.otel import LoggerProvider
from gnomon.logging.pipeline import Pipeline

if TYPE_CHECKING:
    from gnomon.config.pillars import LogSettings

Undo = Callable[[], object]


def bridge(pipeline: Pipeline, settings: "LogSettings", undo: list[Undo]) -> None:
    """Put a pipeline in use, and lead everything to it that the settings want.

    Args:
        pipeline: where lines go.
        settings: what is wanted.
        undo: what undoes it is put behind what is there; of a library that is imported later, then.
    """
    pipelines.use(pipeline)
    undo.append(lambda: pipelines.use(None))
    if settings.capture_stdlib:
        undo += [
            stdlib.install(pipeline),
            servers.install(access_log=settings.access_log, shown=pipeline.console is not None),
        ]
    for library, wanted in (("structlog", settings.capture_structlog), ("loguru", settings.capture_loguru)):
        if wanted:
            importing.when_imported(library, lambda library=library: undo.append(_installed(library, pipeline)))  # type: ignore[misc]  # bound now
    if is_default(_logs.get_logger_provider()):
        _logs.set_logger_provider(LoggerProvider())


def _installed(library: str, pipeline: Pipeline) -> Undo:
    undo: Undo = importlib.import_module(f"gnomon.logging.bridges.{library}").install(pipeline)
    return undo
