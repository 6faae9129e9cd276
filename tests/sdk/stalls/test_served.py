"""Stalls of real servers: the line, the request, and the others."""

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI

HERE = "test_served.py"


def line_of(words: Any) -> Any:
    """The number of the line of this file that holds the words."""
    source = Path(__file__).read_text().splitlines()
    (number,) = [number for number, line in enumerate(source, 1) if line.endswith("# " + words)]
    return number


def price() -> None:
    """Blocks in a call of its own."""
    time.sleep(0.5)  # it sleeps


def spin() -> Any:
    """Blocks, and computes."""
    ends = time.monotonic() + 0.4
    number = 0
    while time.monotonic() < ends:  # it spins
        number += 1
    return number


def rows() -> Any:
    """Blocks between its rows."""
    for number in range(4):
        time.sleep(0.1)  # it yields late
        yield number


async def depended_on() -> None:
    """Blocks before the endpoint."""
    time.sleep(0.4)  # noqa: ASYNC251 - planted  # a dependency


async def child() -> None:
    """Blocks in another task."""
    time.sleep(0.4)  # noqa: ASYNC251 - planted  # a child


def query() -> None:
    """Blocks inside of a driver, which calls back."""
    database = sqlite3.connect(":memory:")
    database.create_function("slowly", 0, lambda: time.sleep(0.4))  # it answers
    database.execute("select slowly()").fetchall()
    database.close()


app = FastAPI()


@app.post("/sleep/{number}")
async def sleeps(number: int) -> None:
    """Blocks by sleeping."""
    price()


@app.post("/spin")
async def spins() -> None:
    """Blocks by counting."""
    spin()


@app.post("/rows")
async def iterates() -> Any:
    """Blocks in a generator."""
    return list(rows())


@app.post("/dependency", dependencies=[Depends(depended_on)])
async def depends() -> None:
    """Blocks before it is called."""


@app.post("/child")
async def waits() -> None:
    """Blocks in a task of its own."""
    await asyncio.create_task(child())


@app.post("/query")
async def asks() -> None:
    """Blocks in a database's driver."""
    query()


@app.get("/quick")
async def quick() -> None:
    """Does nothing."""


@app.get("/slow")
async def slow() -> None:
    """Waits, and blocks nobody."""
    await asyncio.sleep(0.7)


@pytest.mark.parametrize(
    ("path", "words", "name"),
    [
        ("/sleep/7", "it sleeps", "POST /sleep/{number}"),
        ("/spin", "it spins", "POST /spin"),
        ("/rows", "it yields late", "POST /rows"),
        ("/dependency", "a dependency", "POST /dependency"),
        ("/child", "a child", "POST /child"),
        ("/query", "it answers", "POST /query"),
    ],
)
def test_the_line_the_request_and_the_others_are_named(service: Any, path: Any, words: Any, name: Any) -> None:
    """Whatever blocks, on either loop: the line that did it, for whom, and how many others waited."""
    with service.served(app):
        service.ask_beside(path, 7)
        told = service.stall()
    assert told.kind == "blocked"
    assert abs(told.line.number - line_of(words)) <= (2 if words == "it spins" else 0)
    assert Path(told.line.file).name == HERE
    assert told.serving.name == name
    assert told.serving.is_request
    assert told.held_up == 7
    assert told.message.endswith(f"during {name} and held up 7 other requests")


def test_those_in_progress_are_held_up_too(service: Any) -> None:
    """A request that waits for something else cannot go on either."""
    with service.served(app):
        with ThreadPoolExecutor(5) as callers:
            waiting = [callers.submit(service.ask, "/slow") for _ in range(4)]
            time.sleep(0.2)
            assert service.ask("/sleep/2", "POST") == 200
            assert [one.result() for one in waiting] == [200] * 4
        assert service.stall().held_up == 4


def test_the_duration_is_that_of_the_block(service: Any) -> None:
    """Measured from the request's arrival, so not from when the watchdog came by."""
    with service.served(app):
        service.ask("/sleep/1", "POST")
        assert 0.45 < service.stall().duration_s < 0.75


def test_the_span_carries_the_line(service: Any) -> None:
    """It ended in the callback that blocked, and was marked before."""
    with service.served(app):
        service.ask("/sleep/1", "POST")
        service.stall()
    (span,) = service.ended
    assert span.attributes["gnomon.stall.duration_s"] > 0.2
    assert span.attributes["gnomon.stall.line"].endswith(f"{HERE}:{line_of('it sleeps')} price()")


def test_a_line_is_told_of_once_in_ten_seconds(service: Any) -> None:
    """The second time it is counted only."""
    with service.served(app):
        service.ask("/sleep/1", "POST")
        service.ask("/sleep/1", "POST")
        service.until(lambda: len(service.reporter.stalls) == 2)
    assert service.logged().count(b"price() blocked the event loop") == 1
    (cell,) = service.registry.get("gnomon.event_loop.stalls")._cells.values()
    assert cell.value == 2


def test_one_after_another_are_all_seen(service: Any) -> None:
    """What waited while one blocked begins right after it and blocks too: no time is lost between them.

    How many stalls these are is the loop's matter: asyncio runs callbacks that wait together in one turn.
    """
    with service.served(app):
        with ThreadPoolExecutor(3) as callers:
            assert list(callers.map(lambda _: service.ask("/sleep/1", "POST"), range(3))) == [200] * 3
        told = service.reporter.stalls
        service.until(lambda: sum(stall.duration_s for stall in told) > 3 * 0.5 * 0.9)
        assert all(stall.line.function == "price" for stall in told)


def test_nothing_is_told_of_a_service_that_waits_well(service: Any) -> None:
    """Slow is not blocked."""
    with service.served(app):
        service.ask_beside("/slow", 5, method="GET")
        assert service.reporter.stalls == []
    (lag,) = service.registry.get("gnomon.event_loop.lag")._cells.values()
    assert sum(lag.counts) > 0
