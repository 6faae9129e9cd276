"""The logger: levels, categories, context, exceptions, and that nothing breaks its host."""

import asyncio
import gc
import pickle
import sys
import threading
import weakref
from typing import Any

import pytest

from gnomon.errors import LoggingError
from gnomon.export.outlet import Outlet, Reason, Signal
from gnomon.logging import (
    LogCategory,
    LogLevel,
    StructuredLogger,
    bind,
    context,
    create_structured_logger,
    get_logger,
    places,
    use,
)
from gnomon.logging import pipeline as pipelines
from gnomon.logging.categories import level_name, level_of, severity
from gnomon.privacy.masking import Masker
from gnomon.tracing.provider import TracerProvider

LEVELS = ["trace", "debug", "info", "warning", "error", "critical"]


def test_every_level_says_its_name_and_number(make: Any) -> None:
    """OpenTelemetry's numbers, the standard library's names; what is below the level is not logged."""
    seen = make()
    for level in LEVELS:
        logger = StructuredLogger("orders", log_level=level, pipeline=seen.pipeline)
        for name in LEVELS:
            getattr(logger, name)(name)
        wanted = LEVELS[LEVELS.index(level) :]
        records = seen.records()
        assert [record["body"] for record in records] == wanted
        assert [record["severity"][1] for record in records] == [name.upper() for name in wanted]
    assert [record["severity"][0] for record in records] == [21]
    assert [severity(level) for level in (10, 20, 30, 40, 50, 10**6, -3)] == [5, 9, 13, 17, 21, 24, 1]
    assert all(severity(level_of(number)) == number for number in range(1, 25))
    assert [level_name(level) for level in (1, 25, 99)] == ["TRACE", "INFO", "CRITICAL"]


def test_fields_are_attributes_and_stand_under_fields(seen: Any) -> None:
    """Flat in OTLP, nested in JSON; of every type."""
    logger = StructuredLogger("orders", "shop", "production", pipeline=seen.pipeline)
    fields = {"text": "t", "whole": 3, "real": 2.5, "yes": True, "none": None, "list": [1, "a"], "map": {"k": [1]}}
    logger.info("Paid %s", "now", category=LogCategory.BUSINESS, message="a field", self="too", **fields)
    (record,), (line,) = seen.records(), seen.lines()
    place = {key: record["attributes"].pop(key) for key in list(record["attributes"]) if key.startswith("code.")}
    told = {"message": "a field", "self": "too", **fields}
    assert record["attributes"] == {"category": "business", "deployment.environment.name": "production", **told}
    assert (record["body"], record["trace"]) == ("Paid now", "")
    assert (line["message"], line["category"], line["fields"]) == ("Paid now", "business", told)
    assert (line["service_name"], line["context"]) == ("shop", {"environment": "production"})
    assert place["code.file.path"] == __file__
    assert place["code.function.name"].endswith("test_logger.test_fields_are_attributes_and_stand_under_fields")
    assert place["code.line.number"] == sys._getframe().f_lineno - 10


def test_the_place_is_that_of_the_caller(seen: Any) -> None:
    """Also through a typed event, and further out when a wrapper asks for it; deeper than the stack it is unknown."""
    logger = StructuredLogger("orders", pipeline=seen.pipeline)

    def wrapper() -> None:
        logger.log(LogLevel.INFO, "wrapped", stacklevel=2)

    first = sys._getframe().f_lineno + 1
    logger.info("here")
    logger.business("here")
    logger.audit("here")
    logger.error("here")
    wrapper()
    logger.log(LogLevel.INFO, "nowhere", stacklevel=10_000)
    lines = [record["attributes"].get("code.line.number") for record in seen.records()]
    assert lines == [*range(first, first + 5), None]


def test_categories(seen: Any) -> None:
    """Eight; in lower case; errors without one are errors; an unknown one is flagged and kept."""
    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    for category in LogCategory:
        logger.info("known", category=category)
        logger.info("known", category=category.name.capitalize())
    logger.info("none")
    logger.error("none")
    logger.error("own", category="business")
    logger.info("unknown", category="Billing")
    lines = seen.lines()
    assert [line["category"] for line in lines[:16:2]] == [line["category"] for line in lines[1:16:2]] == [*LogCategory]
    assert [line["category"] for line in lines[16:]] == ["application", "error", "business", "application"]
    assert lines[-1]["fields"] == {"unknown_category": "Billing"}
    assert seen.records()[-1]["attributes"]["unknown_category"] == "Billing"


def test_what_is_bound_stands_in_every_line(seen: Any) -> None:
    """By any logger; nested; taken back; what the line itself says stands in the record once."""
    one, other = (StructuredLogger(name, pipeline=seen.pipeline) for name in ("one", "other"))
    with one.context(user_id="u1", correlation_id="abc"):
        one.info("a")
        with other.context(user_id="u2", order_id=7):
            other.info("b")
            other.info("c", user_id="u3")
        one.bind(correlation_id=None)
        one.info("d")
    one.info("e")
    contexts = [line["context"] for line in seen.lines()]
    assert contexts[:2] == [
        {"user_id": "u1", "correlation_id": "abc"},
        {"user_id": "u2", "correlation_id": "abc", "order_id": 7},
    ]
    assert contexts[2:] == [contexts[1], {"user_id": "u1"}, {}]
    with one.context(category="bound"):
        one.info("f")
    assert seen.lines()[-1]["context"] == {"category": "bound"}
    users = {record["body"]: record["attributes"].get("user_id") for record in seen.records()}
    assert users == {"a": "u1", "b": "u2", "c": "u3", "d": "u1", "e": None, "f": None}


async def test_a_thousand_tasks_never_swap_what_they_have_bound(seen: Any) -> None:
    """Interleaved at every step, also in threads that `asyncio.to_thread` starts."""
    logger = StructuredLogger("orders", pipeline=seen.pipeline)

    async def task(number: int) -> None:
        async with context(user_id=f"u{number}"):
            for _ in range(3):
                await asyncio.sleep(0)
                with logger.context(step=number):
                    await asyncio.sleep(0)
                    logger.info("inside", number=number)
            if number % 100 == 0:
                await asyncio.to_thread(logger.info, "thread", number=number)

    await asyncio.gather(*map(task, range(1000)))
    records = seen.records()
    assert len(records) == 3010
    assert all(record["attributes"]["user_id"] == f"u{record['attributes']['number']}" for record in records)


def test_a_block_that_is_left_elsewhere_is_no_error(seen: Any) -> None:
    """A generator closed from another context has nothing to set back there."""
    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    block = logger.context(user_id="u1")
    thread = threading.Thread(target=block.__enter__)
    thread.start()
    thread.join()
    block.__exit__(None, None, None)
    logger.info("after")
    assert seen.lines()[0]["context"] == {}


def test_lines_carry_the_trace_they_belong_to(seen: Any) -> None:
    """As W3C ids; the trace is the correlation, unless one is bound."""
    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    tracer = TracerProvider(Outlet(Signal.TRACES)).get_tracer("t")
    with tracer.start_as_current_span("s") as span:
        logger.info("a")
        with logger.context(correlation_id="abc"):
            logger.info("b")
    trace, identity = f"{span.get_span_context().trace_id:032x}", f"{span.get_span_context().span_id:016x}"
    first, second = seen.lines()
    assert first["context"] == {"correlation_id": trace, "trace_id": trace, "span_id": identity}
    assert second["context"]["correlation_id"] == "abc"
    assert [(record["trace"], record["span"], record["flags"]) for record in seen.records()] == [
        (trace, identity, 1)
    ] * 2


def test_loggers_follow_the_pipeline_in_use(make: Any) -> None:
    """A logger made before the SDK starts works after it; one of a pipeline of its own stays there."""
    before, after = make(), make(service_name="after")
    use(before.pipeline)
    follows, stays = get_logger("orders"), StructuredLogger("orders", pipeline=before.pipeline)
    use(after.pipeline)
    follows.info("follows")
    stays.info("stays")
    use(None)
    assert [line["message"] for line in before.lines()] == ["stays"]
    assert [line["service_name"] for line in after.lines()] == ["after"]
    gone = weakref.ref(follows)
    del follows
    gc.collect()
    assert gone() is None


def test_until_a_pipeline_is_used_lines_go_to_the_console(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nowhere else; a service has the name OpenTelemetry's variable gives it."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "named")
    monkeypatch.setenv("ENVIRONMENT", "staging")
    use(None)
    StructuredLogger("orders").info("shown")
    create_structured_logger("mine").info("created")
    assert pipelines.current().flush(10)
    pipelines.current().shutdown(10)
    first, second = capsys.readouterr().err.splitlines()
    assert '"service_name":"named"' in first.replace(": ", ":")
    assert '"service_name":"mine"' in second.replace(": ", ":")
    assert '"environment":"staging"' in second.replace(": ", ":")
    use(None)


def test_a_service_of_another_name_says_so(seen: Any) -> None:
    """OTLP's resource names the process's service; a logger of another service says which."""
    StructuredLogger("a", "billing", pipeline=seen.pipeline).info("x")
    StructuredLogger("b", "shop", pipeline=seen.pipeline).info("x")
    assert [record["attributes"].get("service.name") for record in seen.records()] == ["billing", None]


def test_nothing_that_is_logged_breaks_the_host(seen: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Formats that do not fit, values that cannot be shown, categories that cannot be hashed: told of once at most."""

    class Rude:
        def __str__(self) -> str:
            raise RuntimeError

    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    logger.info("%d and %d", "one")  # noqa: PLE1206 - the mistake is the test
    logger.info("%(name)s", {"name": "by name"})
    logger.info(
        "value", rude=Rude(), big=1 << 80, not_a_number=float("nan"), surrogate="\ud800", deep=[[[[[[[[[[1]]]]]]]]]]
    )
    logger.info(Rude())
    logger.info("category", category=["unhashable"])
    messages = [line["message"] for line in seen.lines()]
    assert messages == ["%d and %d ('one',)", "by name", "value"]
    assert seen.pipeline.faults == 2
    assert [record.message for record in caplog.records] == ["a log line was lost; further ones are counted only"]
    assert seen.pipeline.health().why == "lost 2 lines by faults"


def test_more_fields_than_fit_are_cut_and_counted(seen: Any) -> None:
    """128, the number of the standard."""
    StructuredLogger("orders", pipeline=seen.pipeline).info("many", **{f"f{number}": number for number in range(130)})
    (record,) = seen.records()
    assert (record["dropped"], record["attributes"]["f127"]) == (2, 127)
    assert "f128" not in record["attributes"]


def test_masks(make: Any) -> None:
    """Every text passes one, in OTLP and on the console; a category may keep its values in full."""

    def mask(key: str, text: str) -> str:
        return f"<{key}>" if "secret" in text else text

    seen = make(mask=mask, masks={"security": None})
    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    with logger.context(token="secret 1"):
        try:
            int("secret 2")
        except ValueError:
            logger.exception("secret 3", password="secret 4", nested={"inner": ["secret 5"]})
            logger.security("secret 6", source_ip="secret 7")
    first, second = seen.records()
    assert "secret" not in str(first)
    assert first["attributes"]["nested"] == {"inner": ["<inner>"]}
    assert (second["body"], second["attributes"]["source_ip"]) == ("secret 6", "secret 7")
    lines = seen.lines()
    assert "secret" not in str(lines[0])
    assert lines[0]["context"] == {"token": "<token>"}
    assert lines[1]["context"] == {"token": "secret 1"}


def test_masks_can_be_changed(seen: Any) -> None:
    """For loggers that exist and what is bound already, from the next line on."""
    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    with logger.context(user_id="u1"):
        logger.info("a", k="v")
        seen.pipeline.remask(lambda key, _: f"<{key}>")
        logger.info("a", k="v")
    first, second = seen.records()
    assert (first["body"], first["attributes"]["k"], first["attributes"]["user_id"]) == ("a", "v", "u1")
    assert (second["body"], second["attributes"]["k"], second["attributes"]["user_id"]) == (
        "<body>",
        "<k>",
        "<user_id>",
    )


def test_the_mask_of_the_sdk(make: Any) -> None:
    """Personal data does not leave; the security category may keep ids and addresses, and never a secret."""
    masker = Masker(b"0123456789abcdef", policies={"client_ip": "truncate"})
    seen = make(mask=masker, masks={"security": masker.keeping("id", "client_ip")})
    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    with logger.context(user_id="user123"):
        logger.info("mail to jane@example.com", password="hunter2", source_ip="192.0.2.77")
        logger.security("Failed login", source_ip="192.0.2.77", user_id="user123", password="hunter2")
    masked, kept = seen.lines()
    assert masked["message"].startswith("mail to <email:")
    assert masked["context"]["user_id"].startswith("<id:")
    assert masked["fields"] == {"password": "<secret>", "source_ip": "192.0.2.0"}
    assert kept["context"] == {"user_id": "user123"}
    assert (kept["fields"]["source_ip"], kept["fields"]["user_id"]) == ("192.0.2.77", "user123")
    assert "hunter2" not in str(seen.records() + seen.lines())


def _failing() -> None:
    try:
        {}["missing"]
    except KeyError as error:
        raise ValueError("chained") from error


def test_a_chained_exception_keeps_every_frame_and_cause(seen: Any) -> None:
    """As the conventions have it in OTLP, as structure on one line of JSON."""
    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    try:
        _failing()
    except ValueError:
        logger.exception("failed")
    (record,), (line,) = seen.records(), seen.lines()
    assert record["attributes"]["exception.type"] == "ValueError"
    assert record["attributes"]["exception.message"] == "chained"
    assert "KeyError: 'missing'" in record["attributes"]["exception.stacktrace"]
    raised, cause = line["fields"]["exception"]
    assert [(one["type"], one["relation"]) for one in (raised, cause)] == [
        ("ValueError", "raised"),
        ("KeyError", "cause"),
    ]
    assert [frame["function"] for frame in raised["frames"]] == [
        "test_a_chained_exception_keeps_every_frame_and_cause",
        "_failing",
    ]
    assert line["category"] == "error"


def test_groups_contexts_and_circles_of_exceptions(seen: Any) -> None:
    """All members and contexts are told of, each once; a rude exception costs its message alone."""

    class RudeError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    circle, rude = ValueError("circle"), RudeError()
    rude.__context__, circle.__context__ = circle, rude
    logger.error("group", exc_info=ExceptionGroup("g", [rude, KeyError("k")]))
    told = seen.lines()[0]["fields"]["exception"]
    assert [(one["relation"], one["message"]) for one in told] == [
        ("raised", "g (2 sub-exceptions)"),
        ("member", "<str() failed>"),
        ("context", "circle"),
        ("member", "'k'"),
    ]


@pytest.mark.parametrize("nothing", [None, False, (), (None, None, None), True, "text"])
def test_without_an_exception_there_is_none(seen: Any, nothing: Any) -> None:
    """Whatever is given as `exc_info` where none is handled."""
    StructuredLogger("orders", pipeline=seen.pipeline).error("x", exc_info=nothing)
    assert "exception" not in seen.lines()[0]["fields"]


def test_a_describer_stands_in_for_ours(make: Any) -> None:
    """What it finds beyond the conventions is on the console too; one that fails costs the line, not the host."""
    seen = make(describe=lambda error: {"exception.type": type(error).__name__, "issue": "i1"})
    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    logger.error("x", exc_info=ValueError("v"))
    assert seen.records()[0]["attributes"]["issue"] == seen.lines()[0]["fields"]["issue"] == "i1"
    seen.pipeline.describe = lambda error: {}[error]
    logger.error("y", exc_info=ValueError("v"))
    assert seen.pipeline.faults == 1


def test_loggers_are_pickled_by_name(used: Any) -> None:
    """As the standard library's are: objects that hold one go to other processes."""
    logger = pickle.loads(pickle.dumps(StructuredLogger("orders", "billing", log_level="ERROR")))  # noqa: S301 - ours
    logger.info("unheard")
    logger.error("heard")
    (line,) = used.lines()
    assert (line["message"], line["service_name"]) == ("heard", "billing")


def test_loggers_that_cannot_be(seen: Any) -> None:
    """They are refused where they are made, with words."""
    for name in ("", 3):
        with pytest.raises(LoggingError, match="Give it the name"):
            StructuredLogger(name, pipeline=seen.pipeline)  # type: ignore[arg-type]
    with pytest.raises(LoggingError, match=r"'LOUD' is unknown\. Levels are TRACE, DEBUG"):
        StructuredLogger("a", log_level="LOUD", pipeline=seen.pipeline)
    with pytest.raises(LoggingError, match="neither a name nor a number"):
        StructuredLogger("a", log_level=True, pipeline=seen.pipeline)


def test_names_without_end_share_one(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that makes a logger for each order does not fill our memory; its lines are kept."""
    monkeypatch.setattr(pipelines, "MOST_SOURCES", 3)
    seen = make(shows=None)
    for number in range(10):
        StructuredLogger(f"order-{number}", pipeline=seen.pipeline).info("x")
    scopes = seen.scopes()
    assert {name: len(records) for name, records in scopes.items()} == {
        "order-0": 1,
        "order-1": 1,
        "order-2": 1,
        "gnomon.others": 7,
    }


def test_unknown_categories_without_end_are_not_remembered(make: Any) -> None:
    """What all lines of a category have in common is kept for so many."""
    seen = make(shows=None)
    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    for number in range(1000):
        logger.info("x", category=f"c{number}")
    assert len(logger._source._heads) == 256
    assert {record["attributes"]["unknown_category"] for record in seen.records()} == {f"c{n}" for n in range(1000)}


def test_places_without_end_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that is made at run time has as many as it likes; each is told rightly all the same."""
    monkeypatch.setattr(places, "_frames", {})
    monkeypatch.setattr(places, "_places", {})
    monkeypatch.setattr(places, "REMEMBERED", 10)
    for number in range(50):
        names = {"of_frame": places.of_frame, "sys": sys, "__name__": "made"}
        exec(compile(f"\ndef f{number}():\n    return of_frame(sys._getframe())", f"{number}.py", "exec"), names)  # noqa: S102 - what is made here is ours
        place = names[f"f{number}"]()
        assert f"{number}.py".encode() in place
        assert f"made.f{number}".encode() in place
        assert max(len(places._frames), len(places._places)) <= 10


def test_threads_lose_nothing(make: Any) -> None:
    """Eight threads log at once through one logger: every line arrives, whole, and the outlet's account is right."""
    seen = make(shows=None)
    logger = StructuredLogger("orders", pipeline=seen.pipeline)

    def work(number: int) -> None:
        bind(thread=number)
        for at in range(500):
            logger.info("line", at=at, number=number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (seen.outlet.waiting, seen.outlet.counts.dropped) == (4000, {})
    records = seen.records()
    assert {(record["attributes"]["thread"], record["attributes"]["at"]) for record in records} == {
        (number, at) for number in range(8) for at in range(500)
    }
    assert all(record["attributes"]["thread"] == record["attributes"]["number"] for record in records)


def test_errors_find_room_in_a_full_queue(make: Any) -> None:
    """Also audit and security: they are what the reserve is for."""
    seen = make(shows=None, outlet=Outlet(Signal.LOGS, most_records=100))
    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    for _ in range(150):
        logger.info("full")
    logger.error("error")
    logger.audit("audit")
    logger.security("security")
    assert [record["body"] for record in seen.records()][100:] == ["error", "audit", "security"]
    assert seen.outlet.counts.dropped == {Reason.QUEUE_FULL: 50}


def test_whether_it_is_worth_finding_out(seen: Any) -> None:
    """`enabled` says whether a line would be logged; a pipeline without console is always flushed."""
    logger = StructuredLogger("orders", log_level="WARNING", pipeline=seen.pipeline)
    assert (logger.enabled("info"), logger.enabled(LogLevel.ERROR), logger.name) == (False, True, "orders")
    logger.emit(LogLevel.INFO, "unheard", {})
    logger.log(LogLevel.INFO, "unheard")
    logger.log("LOUD", "unheard: no level is INFO")
    logger.business("unheard")
    seen.pipeline.start()
    assert seen.lines() == []
    seen.pipeline.console = None
    assert seen.pipeline.flush(0)
    seen.pipeline.shutdown(0)
