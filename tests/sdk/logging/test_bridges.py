"""What is logged by other means: the standard library, structlog, loguru, servers."""

import io
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import loguru
import pytest
import structlog

from gnomon.logging import StructuredLogger, use
from gnomon.logging.bridges import loguru as loguru_bridge
from gnomon.logging.bridges import servers, stdlib
from gnomon.logging.bridges import structlog as structlog_bridge


def fail() -> None:
    """Raise."""
    raise ValueError("v")


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger of the standard library that tells nobody but our handlers."""
    made = logging.getLogger("test.bridges")
    made.setLevel("DEBUG")
    made.propagate = False
    yield made
    made.handlers = []
    made.propagate = True
    made.setLevel("NOTSET")


def test_stdlib_records_keep_everything(seen: Any, logger: logging.Logger) -> None:
    """Message, extra, category, place, exception, stack, and what is bound."""
    logger.addHandler(stdlib.Handler(seen.pipeline))
    with StructuredLogger("a", pipeline=seen.pipeline).context(user_id="u1"):
        logger.info("paid %s", "o1", extra={"order_id": "o1", "category": "business"})
    try:
        fail()
    except ValueError:
        logger.exception("failed", stack_info=True)
    logger.log(25, "between")
    logger.info(ValueError("an object"))
    logger.info("an event", extra={"otel.event.name": "paid"})
    records, lines = seen.scopes()["test.bridges"], seen.lines()
    assert (lines[0]["message"], lines[0]["category"], lines[0]["fields"]) == (
        "paid o1",
        "business",
        {"order_id": "o1"},
    )
    assert (lines[0]["context"], lines[0]["level"]) == ({"user_id": "u1"}, "INFO")
    assert records[0]["attributes"]["code.file.path"] == __file__
    assert records[0]["attributes"]["code.function.name"] == "test_stdlib_records_keep_everything"
    assert lines[1]["fields"]["exception"][0]["type"] == "ValueError"
    assert "test_bridges" in lines[1]["fields"]["code.stacktrace"]
    assert (lines[2]["level"], records[2]["severity"]) == ("INFO", (11, "INFO"))
    assert lines[3]["message"] == "an object"
    assert (records[4]["event"], lines[4]["fields"]) == ("paid", {})


def test_stdlib_records_that_do_not_fit_are_kept(seen: Any) -> None:
    """A wrong format is shown with its arguments; the host hears nothing."""
    handler = stdlib.Handler(seen.pipeline)
    handler.handle(logging.makeLogRecord({"name": "test.made", "msg": "%d", "args": ("no number",), "levelno": 20}))
    handler.handle(logging.makeLogRecord({"name": "test.made", "msg": "bare", "category": "audit", "levelno": 20}))
    assert [line["message"] for line in seen.lines()] == ["%d ('no number',)", "bare"]
    seen.pipeline.levels.timed = True
    seen.pipeline.levels.tick = None
    handler.handle(logging.makeLogRecord({"name": "test.made", "msg": "a fault of ours"}))
    assert seen.pipeline.faults == 1


def test_handlers_have_filters_and_levels(seen: Any, logger: logging.Logger) -> None:
    """As all handlers do; none has a lock that a fork could find held."""
    handler = stdlib.Handler(seen.pipeline, logging.WARNING)
    handler.addFilter(lambda record: "secret" not in record.getMessage())
    logger.addHandler(handler)
    logger.info("below")
    logger.warning("secret")
    logger.warning("heard")
    assert [line["message"] for line in seen.lines()] == ["heard"]
    assert handler.lock is None


def test_loggers_without_end_do_not_fill_the_memory(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that makes a logger for each order: its records are kept."""
    monkeypatch.setattr(stdlib, "MOST_SOURCES", 3)
    seen = make(shows=None)
    handler = stdlib.Handler(seen.pipeline)
    for number in range(10):
        handler.handle(logging.makeLogRecord({"name": f"order-{number}", "msg": "x", "levelno": 20}))
        assert len(handler._sources[1]) <= 3
    assert len(seen.records()) == 10


def test_an_exporter_that_fails_does_not_feed_itself(seen: Any, logger: logging.Logger) -> None:
    """What the export says, or libraries while they export, is shown and not shipped; the rest of ours is shipped."""
    handler = stdlib.Handler(seen.pipeline)
    for name in ("gnomon.export", "gnomon.metrics"):
        handler.handle(logging.makeLogRecord({"name": name, "msg": name, "levelno": 30}))
    logger.addHandler(handler)
    thread = threading.Thread(target=logger.warning, args=("while exporting",), name="gnomon-export")
    thread.start()
    thread.join()
    assert [line["message"] for line in seen.lines()] == ["gnomon.export", "gnomon.metrics", "while exporting"]
    assert list(seen.scopes()) == ["gnomon.metrics"]


def test_on_the_root_logger(used: Any, make: Any) -> None:
    """Its level is ours, its terminal handlers make room for our console; all is as before when it is undone."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    terminal, file = logging.StreamHandler(sys.stderr), logging.StreamHandler(io.StringIO())
    root.handlers += [terminal, file]
    undo = stdlib.install()
    assert (terminal in root.handlers, file in root.handlers, root.level) == (False, True, logging.INFO)
    other = make()
    use(other.pipeline)
    logging.getLogger("test.root").info("to whatever is in use")
    use(used.pipeline)
    logging.getLogger("test.root").info("and again")
    undo()
    assert root.handlers[-2:] == [file, terminal]
    root.handlers = before
    assert root.level == level
    assert [line["message"] for line in other.lines()] == ["to whatever is in use"]
    assert [line["message"] for line in used.lines()] == ["and again"]


def test_handlers_of_both_standard_streams_make_room(make: Any) -> None:
    """Whichever of the two is ours: a container's log has both. A stream that only looks like one stays."""

    class Alike(io.StringIO):
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return True

    root, seen = logging.getLogger(), make()
    before, own = list(root.handlers), [logging.StreamHandler(one) for one in (sys.stdout, sys.stderr, Alike())]
    root.handlers += own
    undo = stdlib.install(seen.pipeline)
    stayed = [one for one in own if one in root.handlers]
    undo()
    assert sorted(map(own.index, [one for one in root.handlers if one in own])) == [0, 1, 2]
    root.handlers = before
    assert stayed == own[2:]


def test_hosts_own_handlers_stay_when_we_show_nothing(make: Any) -> None:
    """The console is theirs then."""
    seen = make(shows=None)
    root, terminal = logging.getLogger(), logging.StreamHandler(sys.stderr)
    root.addHandler(terminal)
    undo = stdlib.install(seen.pipeline)
    assert terminal in root.handlers
    undo()
    root.removeHandler(terminal)


@pytest.mark.parametrize("access_log", [True, False])
def test_servers_logs(seen: Any, access_log: bool) -> None:
    """Error logs come through the root logger; access logs too, or are silent where we write our own."""
    from uvicorn.config import LOGGING_CONFIG  # noqa: PLC0415 - its configuration, as it applies it

    names = (*servers.ERRORS, *servers.ACCESS)
    loggers = [logging.getLogger(name) for name in names]
    untouched = [(one.handlers, one.propagate, one.disabled, one.level) for one in loggers]
    import logging.config as configuration  # noqa: PLC0415 - beside its use

    configuration.dictConfig(LOGGING_CONFIG)
    before = [(one.handlers, one.propagate, one.disabled) for one in loggers]
    undo_root, undo = stdlib.install(seen.pipeline), servers.install(access_log=access_log)
    for one in loggers:
        one.setLevel("INFO")
        one.info("from %s", one.name)
    heard = {line["message"].removeprefix("from ") for line in seen.lines()}
    assert heard == set(servers.ERRORS if access_log else names)
    undo()
    undo_root()
    assert [(one.handlers, one.propagate, one.disabled) for one in loggers] == before
    for one, (handlers, propagate, disabled, level) in zip(loggers, untouched, strict=True):
        one.handlers, one.propagate, one.disabled = handlers, propagate, disabled
        one.setLevel(level)


@pytest.fixture
def events() -> Iterator[io.StringIO]:
    """Structlog, printing into this, with defaults afterwards."""
    out = io.StringIO()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    yield out
    structlog.reset_defaults()


def test_structlog_events(seen: Any, events: io.StringIO) -> None:
    """Also of loggers that are cached; they end at ours, and are printed again when it is undone."""
    log = structlog.get_logger().bind(logger="orders.structlog", order_id="o1")
    log.info("before")
    undo = structlog_bridge.install(seen.pipeline)
    log.info("paid", category="business", amount=3)
    log.debug("below our level")
    try:
        fail()
    except ValueError:
        log.exception("failed")
        log.warning("info too", exc_info=True)
    undo()
    log.info("after")
    first, second, third = seen.lines()
    assert (first["message"], first["category"], first["fields"]) == (
        "paid",
        "business",
        {"order_id": "o1", "amount": 3},
    )
    assert (second["level"], second["fields"]["exception"][0]["message"]) == ("ERROR", "v")
    assert third["level"] == "WARNING"
    records = seen.scopes()["orders.structlog"]
    assert {record["attributes"]["code.file.path"] for record in records} == {__file__}
    assert [line.split('"event": "')[1][:6] for line in events.getvalue().splitlines()] == ["before", 'after"']


def test_structlog_prints_where_we_show_nothing(make: Any, events: io.StringIO) -> None:
    """Shipped by us, printed by it; processors that are no list are replaced and put back."""
    seen = make(shows=None)
    processors = tuple(structlog.get_config()["processors"])
    structlog.configure(processors=processors)
    undo = structlog_bridge.install(seen.pipeline)
    structlog.get_logger().info("both")
    undo()
    assert structlog.get_config()["processors"] is processors
    assert list(seen.scopes()) == ["structlog"]
    assert '"both"' in events.getvalue()


def test_structlog_over_the_standard_library_is_logged_once(make: Any, logger: logging.Logger) -> None:
    """By that library's bridge; an event that is handed over unrendered keeps its fields."""
    seen = make(shows=None)
    logger.addHandler(stdlib.Handler(seen.pipeline))
    wrapped = structlog.wrap_logger(
        logger,
        processors=[
            structlog_bridge.Processor(seen.pipeline),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    wrapped.info("paid", order_id="o1")
    (record,) = seen.records()
    assert (record["body"], record["attributes"]["order_id"]) == ("paid", "o1")


def test_a_structlog_event_that_we_cannot_log_goes_on(used: Any) -> None:
    """To its renderer; the fault is counted."""
    processor = structlog_bridge.Processor()
    assert processor(None, "shout", {"event": "x"}) == {"event": "x"}
    assert used.pipeline.faults == 1


def test_structlog_levels_return_by_timer(used: Any) -> None:
    """A processor counts the time as loggers do."""
    now_s = [0.0]
    used.pipeline.levels._clock = type("Turned", (), {"monotonic_s": staticmethod(lambda: now_s[0])})()
    used.pipeline.levels.set_level("test.timed", "DEBUG", for_s=1)
    processor = structlog_bridge.Processor()
    for now_s[0] in (0.5, 1.0):
        with pytest.raises(structlog.DropEvent):
            processor(None, "debug", {"event": "x", "logger": "test.timed"})
        loguru_bridge.Sink()._log(used.pipeline, {"name": "test.timed", "level": _Level(10)} | _record())
    assert [line["message"] for line in used.lines() if line["category"] != "audit"] == ["x", "by loguru"]


class _Level:
    def __init__(self, number: int) -> None:
        self.no = number


def _record() -> dict[str, Any]:
    """What the sink reads of loguru's record."""
    read: list[Any] = []
    number = loguru.logger.add(lambda message: read.append(message.record), format="{message}")
    loguru.logger.info("by loguru")
    loguru.logger.remove(number)
    return {key: value for key, value in read[0].items() if key not in {"name", "level"}}


def test_loguru_records(used: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """What is bound or contextualised becomes fields; its own printing makes room."""
    undo = loguru_bridge.install()
    with loguru.logger.contextualize(request_id="r1"):
        loguru.logger.bind(category="business", order_id="o1").success("paid {}", 3)
    try:
        fail()
    except ValueError:
        loguru.logger.exception("failed")
    loguru.logger.debug("below our level")
    undo()
    first, second = used.lines()
    assert (first["message"], first["category"], first["level"]) == ("paid 3", "business", "INFO")
    assert first["fields"] == {"request_id": "r1", "order_id": "o1"}
    assert second["fields"]["exception"][0]["frames"][-1]["function"] == "fail"
    assert used.records()[0]["attributes"]["code.file.path"] == __file__
    assert capsys.readouterr().err == ""
    loguru_bridge.install(used.pipeline)()  # the host has removed loguru's first handler: that is no error


def test_loguru_prints_where_we_show_nothing(make: Any) -> None:
    """And a record that we cannot log costs itself."""
    seen = make(shows=None)
    out: list[str] = []
    number = loguru.logger.add(out.append, format="{message}")
    undo = loguru_bridge.install(seen.pipeline)
    loguru.logger.info("both")
    loguru.logger.patch(lambda record: record.update(extra=3)).info("wrong")  # type: ignore[call-arg]
    undo()
    loguru.logger.remove(number)
    assert [record["body"] for record in seen.records()] == ["both"]
    assert out == ["both\n", "wrong\n"]
    assert seen.pipeline.faults == 1


def test_importing_logging_imports_no_other_library() -> None:
    """What is optional is loaded by whoever asks for its bridge."""
    import subprocess  # noqa: PLC0415 - beside its use

    code = (
        "import sys, gnomon.logging\n"
        "heavy = {'structlog', 'loguru', 'pydantic', 'fastapi', 'grpc'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "[]\n"


def test_servers_keep_their_handlers_where_we_show_nothing(make: Any) -> None:
    """Their lines stand where they stood, and are shipped, once."""
    seen, logger = make(shows=None), logging.getLogger("uvicorn")
    before = (logger.handlers, logger.propagate, logger.level)
    use(seen.pipeline)
    own = logging.NullHandler()
    logger.handlers, logger.propagate = [own], False
    logger.setLevel("INFO")
    logging.getLogger("uvicorn.error").setLevel("NOTSET")  # a server in another test has set it
    try:
        undo = servers.install(access_log=False, shown=False)
        assert servers.install(access_log=False, shown=False) is servers.nothing
        logging.getLogger("uvicorn.error").info("started")
        assert own in logger.handlers
        undo()
        assert logger.handlers == [own]
    finally:
        use(None)
        logger.handlers, logger.propagate = before[:2]
        logger.setLevel(before[2])
    assert [record["body"] for record in seen.records()] == ["started"]
