"""OpenTelemetry's Logs API over our pipeline."""

import logging
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.instrumentation.logging.handler import LoggingHandler

from gnomon.export.outlet import Outlet, Signal
from gnomon.logging.otel import LoggerProvider
from gnomon.tracing.provider import TracerProvider


def test_a_record_keeps_what_it_says(seen: Any) -> None:
    """Times, severity and its words, event, body, attributes, exception, and the span of its own context."""
    span = TracerProvider(Outlet(Signal.TRACES)).get_tracer("t").start_span("s")
    logger = LoggerProvider(seen.pipeline).get_logger("lib", "1.2", "https://schema", {"a": 1, "l": ["x"]})
    logger.emit(
        LogRecord(
            timestamp=5,
            observed_timestamp=7,
            context=trace.set_span_in_context(span),
            severity_number=SeverityNumber.WARN2,
            severity_text="notice",
            body={"k": [1, "two"]},
            attributes={"x": "y", "category": "infrastructure"},
            event_name="happened",
            exception=ValueError("v"),
        )
    )
    (record,) = seen.records()
    assert (record["time"], record["observed"], record["severity"]) == (5, 7, (14, "notice"))
    assert (record["body"], record["event"], record["flags"]) == ({"k": [1, "two"]}, "happened", 1)
    assert record["trace"] == f"{span.get_span_context().trace_id:032x}"
    assert (record["attributes"]["x"], record["attributes"]["exception.type"]) == ("y", "ValueError")
    assert seen.lines()[0]["category"] == "infrastructure"


def test_a_record_may_be_given_in_parts(seen: Any) -> None:
    """As keywords; what is not said is of now, INFO, and of no span."""
    logger = LoggerProvider(seen.pipeline).get_logger("lib")
    logger.emit(body="b", severity_number=SeverityNumber.ERROR, event_name="e")
    logger.emit()
    first, second = seen.records()
    assert (first["body"], first["severity"], first["event"]) == ("b", (17, "ERROR"), "e")
    assert (second["severity"], second["trace"], second["time"] > 0) == ((9, "INFO"), "", True)


def test_levels_and_names_are_those_of_the_pipeline(seen: Any) -> None:
    """Scopes are kept apart by version; what is below the level is not enabled and not logged."""
    provider = LoggerProvider(seen.pipeline)
    seen.pipeline.levels.set_level("lib", "ERROR")
    logger = provider.get_logger("lib")
    logger.emit(body="unheard", severity_number=SeverityNumber.INFO)
    assert not logger.enabled(severity_number=SeverityNumber.WARN4)
    assert logger.enabled(severity_number=SeverityNumber.ERROR)
    seen.pipeline.levels.reset("lib")
    assert logger.enabled()
    provider.get_logger("lib", "1").emit(body="a")
    provider.get_logger("lib", "2").emit(body="b")
    assert len(seen.outlet._lanes) == 4  # lib, lib 1, lib 2, and the audit lines of the levels


def test_a_bridge_of_a_third_party_works(seen: Any) -> None:
    """OpenTelemetry's own handler for the standard library, as it is."""
    logger = logging.getLogger("test.otel.bridge")
    handler = LoggingHandler(logger_provider=LoggerProvider(seen.pipeline))
    logger.addHandler(handler)
    try:
        logger.warning("paid %s", "o1", extra={"order_id": "o1"})
    finally:
        logger.removeHandler(handler)
    (record,) = seen.records()
    assert (record["body"], record["severity"][0], record["attributes"]["order_id"]) == ("paid o1", 13, "o1")


def test_a_record_that_cannot_be_read_costs_itself(seen: Any) -> None:
    """It is counted as a fault."""
    LoggerProvider(seen.pipeline).get_logger("lib").emit(object())  # type: ignore[arg-type]
    assert seen.pipeline.faults == 1
