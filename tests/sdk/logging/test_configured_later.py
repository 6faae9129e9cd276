"""Bridges that were there before the program set up its logging, as under `gnomon-run`; loggers that outlive those."""

import io
import logging
from typing import Any

import loguru
import pytest
import structlog

from gnomon.logging.bridges import loguru as loguru_bridge
from gnomon.logging.bridges import stdlib
from gnomon.logging.bridges import structlog as structlog_bridge
from gnomon.logging.otel import LoggerProvider
from gnomon.logging.pipeline import use


@pytest.mark.parametrize("processors", [list, tuple])
@pytest.mark.parametrize("way", ["configure", "configure_once"])
def test_structlog_is_configured_after_us(seen: Any, processors: Any, way: str) -> None:
    """The processor has its place before the renderer again; undone, the configuration is the program's own."""
    out = io.StringIO()
    own = processors([structlog.processors.add_log_level, structlog.processors.JSONRenderer()])
    configure = structlog.configure
    undo = structlog_bridge.install(seen.pipeline)
    if way == "configure":
        structlog.configure(processors=own, logger_factory=structlog.PrintLoggerFactory(out))
    else:
        structlog.configure_once(processors=own, logger_factory=structlog.PrintLoggerFactory(out))
    try:
        structlog.get_logger().info("paid", order_id="o1")
        structlog.configure(cache_logger_on_first_use=False)
        undo()
        structlog.get_logger().info("after")
        assert len(structlog.get_config()["processors"]) == 2
        assert structlog.configure is configure
    finally:
        structlog.reset_defaults()
    assert [(line["message"], line["fields"]) for line in seen.lines()] == [("paid", {"order_id": "o1"})]
    assert '"after"' in out.getvalue()


@pytest.mark.parametrize("number", [None, 0])
def test_a_program_removes_logurus_handlers_after_us(used: Any, number: int | None) -> None:
    """All of them, or the first one, which is gone already: it works, our sink stays, and theirs is theirs."""
    out: list[str] = []
    loguru.logger.remove()
    undo = loguru_bridge.install()
    taken = loguru_bridge._DEFAULT
    try:
        if number is None:
            loguru.logger.remove()
        else:
            with pytest.raises(ValueError, match="0"):  # it was not there when we came
                loguru.logger.remove(taken)
        theirs = loguru.logger.add(out.append, format="{message}")
        loguru.logger.info("both")
        loguru.logger.remove(theirs)
    finally:
        undo()
    loguru.logger.info("after")
    assert [line["message"] for line in used.lines()] == ["both"]
    assert out == ["both\n"]


def test_logurus_first_handler_may_be_removed_by_its_number() -> None:
    """As its documentation shows, in a program that began with us."""
    from tests.sdk.lifecycle.processes import ran  # noqa: PLC0415 - here alone

    done = ran("""
        import gnomon
        manager = gnomon.instrument(**{"export.protocol": "none", "logs.console": "json", "service_name": "late"})
        from loguru import logger
        logger.remove(0)
        logger.info("heard")
        logger.remove()
        logger.info("heard too")
        gnomon.shutdown()
        logger.info("by nobody")
    """)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count('"message":"heard') == 2
    assert "by nobody" not in done.stdout + done.stderr


def test_uvicorns_message_for_terminals_is_left_out(seen: Any) -> None:
    """It is the message once more, with colours."""
    logger = logging.Logger("uvicorn.error")  # noqa: LOG001 - one of nobody's
    logger.addHandler(stdlib.Handler(seen.pipeline))
    logger.info("Started %d", 7, extra={"color_message": "Started \x1b[36m%d\x1b[0m", "more": 1})
    (record,) = seen.records()
    assert "color_message" not in record["attributes"]
    assert (record["body"], record["attributes"]["more"]) == ("Started 7", 1)


def test_a_logger_of_opentelemetrys_follows_the_pipeline_in_use(make: Any) -> None:
    """Libraries keep their loggers; masks and levels are those of the pipeline that is there when they log."""
    first, second = make(), make()
    try:
        use(first.pipeline)
        logger = LoggerProvider().get_logger("lib")
        logger.emit(body="one")
        use(second.pipeline)
        logger.emit(body="two")
    finally:
        use(None)
    assert [record["body"] for record in first.records()] == ["one"]
    assert [record["body"] for record in second.records()] == ["two"]
