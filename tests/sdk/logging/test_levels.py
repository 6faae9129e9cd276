"""Levels that are changed at run time."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from gnomon.errors import LoggingError
from gnomon.logging import StructuredLogger
from gnomon.logging.bridges import stdlib
from gnomon.logging.levels import MOST, Levels
from gnomon.process.clock import Clock


class Hands:
    """A clock that is turned by hand."""

    now_s = 100.0

    def clock(self) -> Clock:
        return Clock(monotonic_s=lambda: self.now_s)


@pytest.fixture
def hands() -> Hands:
    """The clock of the test."""
    return Hands()


@pytest.fixture
def levels(hands: Hands) -> Iterator[Levels]:
    """Levels whose traces in the standard library are wiped off."""
    made = Levels("INFO", {"noisy": "ERROR", "noisy.but.not": "DEBUG"}, clock=hands.clock())
    yield made
    made.lead(stdlib=False)


def test_the_nearest_name_counts(levels: Levels) -> None:
    """Its own, then those above it, then everybody's; what code asked for comes after any setting for its name."""
    assert [levels.of(name) for name in ("orders", "noisy", "noisy.but", "noisy.but.not.so", "noisyish")] == [
        20,
        40,
        40,
        10,
        20,
    ]
    assert [levels.of("orders", 30), levels.of("noisy.db", 10)] == [30, 40]
    levels.set_level("root", "WARNING")
    assert [levels.of("orders", 10), levels.of("noisy")] == [30, 40]


def test_debug_for_a_while(make: Any, levels: Levels, hands: Hands) -> None:
    """On at once for one module, off by the timer at the next line; both are audited."""
    seen = make(levels=levels)
    orders, others = (StructuredLogger(name, pipeline=seen.pipeline) for name in ("orders.db", "others"))
    levels.set_level("orders", "DEBUG", for_s=300)
    assert levels.timed
    orders.debug("heard")
    others.debug("unheard")
    hands.now_s += 299
    orders.debug("heard still")
    hands.now_s += 1
    orders.debug("unheard")
    assert not levels.timed
    orders.debug("unheard")
    lines = seen.lines()
    assert [(line["message"], line["category"]) for line in lines] == [
        ("Log level changed", "audit"),
        ("heard", "application"),
        ("heard still", "application"),
        ("Log level reset", "audit"),
    ]
    assert lines[0]["fields"] == {"logger": "orders", "before": "INFO", "after": "DEBUG", "by": "code", "for_s": 300}
    assert lines[3]["fields"] == {"logger": "orders", "before": "DEBUG", "after": "INFO", "by": "timer"}


def test_a_timer_returns_to_what_was_set_for_good(levels: Levels, hands: Hands) -> None:
    """Also where that was set while it ran; without a line being logged, by whoever ticks."""
    levels.set_level("noisy", "DEBUG", for_s=10)
    levels.set_level("other", "DEBUG", for_s=10)
    levels.set_level("other", "WARNING")
    hands.now_s += 10
    assert levels.of("noisy") == 10
    assert levels.tick()
    assert not levels.tick()
    assert (levels.of("noisy"), levels.of("other")) == (40, 30)


def test_loggers_of_the_standard_library_follow(make: Any, levels: Levels, hands: Hands) -> None:
    """And are as they were when the timer is over, at their first record after it."""
    seen = make(levels=levels)
    logger = logging.getLogger("test.levels.follow")
    logger.setLevel("WARNING")
    handler = stdlib.Handler(seen.pipeline)
    logger.addHandler(handler)
    root_level = logging.getLogger().level
    levels.set_level("test.levels", "CRITICAL")
    assert logging.getLogger("test.levels").level == logging.NOTSET
    levels.lead(stdlib=True)
    assert logging.getLogger("test.levels").level == logging.CRITICAL
    assert (logging.getLogger("noisy").level, logging.getLogger().level) == (logging.ERROR, logging.INFO)
    levels.set_level("test.levels.follow", "DEBUG", for_s=60)
    logger.debug("heard")
    hands.now_s += 60
    logger.debug("unheard")
    logger.info("unheard")
    logger.warning("heard too")
    logger.removeHandler(handler)
    assert logger.level == logging.WARNING
    levels.reset("test.levels")
    assert logging.getLogger("test.levels").level == logging.NOTSET
    levels.lead(stdlib=False)
    assert (logging.getLogger("noisy").level, logging.getLogger().level) == (logging.NOTSET, root_level)
    heard = [record["body"] for record in seen.scopes()["test.levels.follow"]]
    assert heard == ["heard", "heard too"]


def test_settings_are_read_anew(make: Any, levels: Levels) -> None:
    """At once, for loggers that exist; each change is audited; a mistake changes nothing."""
    seen = make(levels=levels)
    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    levels.lead(stdlib=True)
    with pytest.raises(LoggingError):
        levels.configure("DEBUG", {"orders": "LOUD"})
    assert levels.of("noisy") == 40
    levels.configure("WARNING", {"orders": "DEBUG", "noisy.but.not": "DEBUG"})
    logger.debug("heard")
    assert (levels.of("noisy"), logging.getLogger("noisy").level, logging.getLogger().level) == (30, 0, 30)
    changes = [line["fields"] for line in seen.lines()[:-1]]
    assert [(told["logger"], told["before"], told["after"]) for told in changes] == [
        ("root", "INFO", "WARNING"),
        ("noisy", "ERROR", "WARNING"),
        ("orders", "INFO", "DEBUG"),
    ]
    assert {told["by"] for told in changes} == {"settings"}


def test_asked_over_http(levels: Levels) -> None:
    """GET shows, PUT sets, null takes back; what is wrong is answered with words."""

    def put(**wish: Any) -> tuple[int, Any]:
        status, body = levels.handle("PUT", json.dumps(wish).encode())
        return status, json.loads(body)

    status, body = levels.handle("GET", b"")
    both = {"noisy": {"level": "ERROR"}, "noisy.but.not": {"level": "DEBUG"}}
    assert (status, json.loads(body)) == (200, {"default": "INFO", "loggers": both})
    assert put(logger="orders", level="debug", for_s=300)[1]["loggers"]["orders"] == {"level": "DEBUG", "for_s": 300}
    assert "for_s" not in put(logger="orders", level="debug")[1]["loggers"]["orders"]
    assert "orders" not in put(logger="orders", level=None)[1]["loggers"]
    assert put(logger="orders", level=None)[0] == 200
    assert levels.handle("POST", b"")[0] == 405
    for wrong in (b"", b"[]", b'{"logger":3,"level":"INFO"}', b'{"logger":"a"}', b'{"logger":"a","level":"LOUD"}'):
        status, body = levels.handle("PUT", wrong)
        assert (status, "for_s" in json.loads(body)["hint"]) == (400, True)
    for for_s in (0, -1, 86401, "soon"):
        assert put(logger="a", level="INFO", for_s=for_s)[0] == 400
    assert levels.handle("PUT", b'{"logger":"a","level":"INFO","for_s":NaN}')[0] == 400


def test_names_are_bounded(levels: Levels) -> None:
    """Whoever asks over HTTP cannot fill the memory; those that are set can still be changed."""
    for number in range(MOST - 2):
        levels.set_level(f"test.many.{number}", "DEBUG")
    with pytest.raises(LoggingError, match="name one above them"):
        levels.set_level("test.one.more", "DEBUG")
    levels.set_level("test.many.0", "INFO")
    assert levels.of("test.many.0") == 20
    levels.reset("test.many.0")
    levels.reset("test.never.set")
    levels.set_level("test.one.more", "DEBUG")
