"""Visitors: the same seed brings the same ones, they follow the week's shape, a slow shop does not slow them."""

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from time import monotonic
from time import time_ns as true_ns
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon_shop import ledger
from gnomon_shop.faults import truth
from gnomon_shop.faults.plan import SECOND_NS, Fault
from gnomon_shop.load import scan, street, vitals
from gnomon_shop.load.journeys import Journey, Offer, Planner
from gnomon_shop.load.street import Street
from gnomon_shop.load.time import DAY_MINUTES, WEEK_MINUTES, Calendar, candidates, factor, peak
from gnomon_shop.load.users import JOURNEYS, USERS, users
from gnomon_shop.load.visitors import REQUESTS, request
from gnomon_shop.settings import Settings

OFFER = Offer([f"p-{n}" for n in range(40)], ["tea", "lamp", "mug"])
MONDAY_NS = 4 * DAY_MINUTES * 60 * SECOND_NS  # the first one of Unix time
SEEDS = st.integers(0, 2**32)


@settings(max_examples=10, deadline=None)  # four hundred users are drawn for each
@given(SEEDS, st.integers(0, 100_000), st.floats(0, WEEK_MINUTES))
def test_journeys_repeat(seed: int, number: int, minute: float) -> None:
    """Two planners of one seed plan the same journey: user, session, products, quantities, pauses."""
    once, again = Planner(seed, OFFER), Planner(seed, OFFER)
    later = again.journey(number + 1, minute)
    assert once.journey(number, minute) == again.journey(number, minute) != later


@given(SEEDS, st.floats(0.1, 100))
def test_arrivals_repeat(seed: int, rate: float) -> None:
    """The candidates of one seed come at the same moments, ever later, wherever the start."""
    first, second = (list(islice(candidates(random.Random(seed), rate, start), 50)) for start in (0, MONDAY_NS))
    assert [(at + MONDAY_NS, die) for at, die in first] == second
    assert first == sorted(first)


def test_journeys_are_told_by_steps() -> None:
    """A journey does what its kind says, and what is bought was looked at before."""
    planner = Planner(7, OFFER)
    for number in range(500):
        journey = planner.journey(number, 600)
        actions = [step.action for step in journey.steps]
        assert set(actions) <= set(REQUESTS)
        assert actions[0] == "home"
        assert ("checkout" in actions) == (journey.kind in {"checkout", "return"})
        assert (actions[-1] == "return") == (journey.kind == "return")
        looked = [step.product for step in journey.steps if step.action == "view"]
        added = [step for step in journey.steps if step.action == "add"]
        assert [step.product for step in added if step.product not in looked] == []
        assert all(step.quantity >= 1 for step in added)


def test_habits() -> None:
    """Users keep their habits: a few come often, each likes some things; regulars differ by hour and not by number."""
    crowd = users(7, 40)
    assert crowd == users(7, 40) != users(8, 40)
    activity = sorted((user.activity for user in crowd), reverse=True)
    assert sum(activity[: USERS // 5]) > 0.4 * sum(activity)
    planner = Planner(7, OFFER)
    noon, night = (Counter(planner.journey(n, minute).user.id for n in range(1500)) for minute in (750, 1410))
    assert (noon - night).total() > 0.2 * noon.total()


def test_mix_and_funnel() -> None:
    """All journeys occur, most do not buy, and popular products are bought far more often than others."""
    planner = Planner(7, OFFER)
    journeys = [planner.journey(number, 750) for number in range(1500)]
    kinds = Counter(journey.kind for journey in journeys)
    assert set(kinds) == set(JOURNEYS)
    assert 0.1 < (kinds["checkout"] + kinds["return"]) / kinds.total() < 0.45
    bought = Counter(step.product for journey in journeys for step in journey.steps if step.action == "add")
    assert bought["p-0"] > 3 * bought["p-39"]


def test_shape_of_the_week() -> None:
    """The mean is 1; evenings of workdays peak, nights are quiet, the weekend has another shape."""
    week = [factor(minute) for minute in range(WEEK_MINUTES)]
    assert sum(week) / len(week) == pytest.approx(1)
    assert peak() == max(week)
    monday, saturday = week[:DAY_MINUTES], week[5 * DAY_MINUTES : 6 * DAY_MINUTES]
    assert 19 * 60 < monday.index(max(monday)) < 21 * 60
    assert 14 * 60 < saturday.index(max(saturday)) < 16 * 60
    assert sum(saturday) > 1.2 * sum(monday)
    assert max(monday) > 5 * min(monday)


@given(st.floats(0.5, 600), st.integers(0, 10**18), st.floats(0, 14))
def test_compressed_time(day_minutes: float, start: int, days: float) -> None:
    """A compressed week has the shape of a real one, begun on Monday at ten."""
    compressed, real = Calendar(start, day_minutes), Calendar(MONDAY_NS)
    minute = compressed.minute_of_week(start + int(days * day_minutes * 60 * SECOND_NS))
    expected = real.minute_of_week(MONDAY_NS + int((10 / 24 + days) * DAY_MINUTES * 60 * SECOND_NS))
    apart = abs(minute - expected)
    assert min(apart, WEEK_MINUTES - apart) < 0.01


def test_thinned_arrivals_follow_the_shape() -> None:
    """Over a compressed day the arrivals of each hour are in proportion to the shape."""
    calendar, most = Calendar(0, 10), 20 * peak()
    hours = Counter[int]()
    for at_ns, die in candidates(random.Random(7), most, 0):
        if at_ns > 600 * SECOND_NS:
            break
        if die * most < 20 * calendar.factor(at_ns):
            hours[int(calendar.minute_of_week(at_ns)) // 60 % 24] += 1
    # 25 s an hour; the run begins on Monday at ten and ends on Tuesday, so only Monday's hours are compared.
    for hour in range(10, 24):
        expected = 20 * 25 * sum(factor(hour * 60 + minute) for minute in range(60)) / 60
        assert hours[hour] == pytest.approx(expected, abs=5 * expected**0.5)


def test_vitals_follow_the_answer() -> None:
    """A slower answer shows in the first byte and in what comes after it, and ratings follow the limits."""
    user = users(7, 40)[0]
    quick, slow = (vitals.measured(random.Random(1), user, seconds) for seconds in (0.02, 3.02))
    for name in ("TTFB", "FCP", "LCP"):
        assert slow[name] == pytest.approx(quick[name] + 3000, abs=1)
    assert quick["INP"] == slow["INP"]
    assert [vitals.rating("LCP", value) for value in (2500, 4000, 4001)] == ["good", "needs-improvement", "poor"]
    body = vitals.beacon(random.Random(1), user, "home", 3.02)
    assert {metric["name"]: metric["rating"] for metric in body["metrics"]}["TTFB"] == "poor"


def test_probes_repeat() -> None:
    """A scan is the same each time, and holds paths, injections and logins."""
    probes = [scan.probe(7, number) for number in range(200)]
    assert probes == [scan.probe(7, number) for number in range(200)]
    assert {probe.method for probe in probes} == {"GET", "POST"}
    assert any("/.env" in probe.path for probe in probes)
    assert any("%27" in probe.path for probe in probes)


class Shop:
    """A shop that answers 200 after a while, or as told, and remembers what it was asked."""

    def __init__(self, wait_s: float = 0.0, status: Callable[[str], int] = lambda _: 200) -> None:
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self._wait_s, self._status = wait_s, status

    async def answer(self, asked: web.Request) -> web.Response:
        self.asked.append((asked.method, asked.path_qs, dict(asked.headers), await asked.read()))
        await asyncio.sleep(self._wait_s)
        return web.json_response({"order": "o-1"}, status=self._status(asked.path))

    @asynccontextmanager
    async def open(self, folder: Path, **more: Any) -> AsyncIterator[Street]:
        """The street before this shop, with a day compressed to nothing, so that nobody thinks for long."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address = "{}:{}".format(*runner.addresses[0])
        own = Settings(folder, "load", day_minutes=0.5, addresses={"gateway": address}, **more)
        ledger.open(own)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
            yield Street(own, OFFER, client)
        await runner.cleanup()
        os.close(ledger._book.file)

    def paths(self) -> Counter[str]:
        return Counter(path for _, path, _, _ in self.asked)


async def for_a_while(opened: Street, seconds: float) -> dict[str, Any]:
    """Let visitors come for so long; the tally."""
    coming = asyncio.create_task(opened.open())
    await asyncio.sleep(seconds)
    coming.cancel()
    return await opened.close()


async def test_visits_over_the_wire(tmp_path: Path) -> None:
    """Each request carries user, session and operation, and stands in the ledger as a root operation of its own."""
    shop = Shop()
    async with shop.open(tmp_path, rate=20) as opened:
        tally = await for_a_while(opened, 2)
    assert tally["arrived"] > 10
    assert (tally["dropped"], tally["cut_short"]) == (0, 0)
    operations = {line["op"]: line for line in ledger.read(tmp_path)}
    assert len(operations) == len(shop.asked) == sum(tally["requests"].values())
    for _, _, headers, _ in shop.asked:
        request_id, op = headers["x-shop-op"].split("-")
        assert request_id == op
        assert operations[op]["parent"] == ""
        assert (operations[op]["kind"], operations[op]["peer"], operations[op]["status"]) == (
            "client",
            "gateway",
            "200",
        )
        assert headers["x-user"].startswith("u-")
        assert headers["x-session"].startswith("visit-")
        assert "traceparent" not in headers
    routes = {f"{method} {route}" for method, route, _, _ in REQUESTS.values()}
    assert {line["name"] for line in operations.values()} <= {*routes, "POST /vitals"}


async def test_same_seed_same_requests(tmp_path: Path) -> None:
    """Two runs of one seed ask for the same things; a journey that both finished is the same, request by request."""

    async def asked(seed: int, wait_s: float) -> dict[str, list[tuple[str, str, bytes]]]:
        shop = Shop(wait_s)
        async with shop.open(tmp_path, rate=30, seed=seed) as opened:
            await for_a_while(opened, 1)
        sessions: dict[str, list[tuple[str, str, bytes]]] = {}
        for method, path, headers, body in shop.asked:
            if path != "/vitals":  # measured, and so another each time
                sessions.setdefault(headers["x-session"], []).append((method, path, body))
        return sessions

    once, again, other = await asked(7, 0), await asked(7, 0.05), await asked(8, 0)
    both = set(once) & set(again)
    assert len(both) > 10
    for session in both:
        assert all(first == second for first, second in zip(once[session], again[session], strict=False))
    assert once != other


async def test_arrivals_do_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many arrive at a shop that does not answer as planned; beyond the bound they are dropped and counted."""
    monkeypatch.setattr(street, "INSIDE_MOST", 20)
    shop = Shop(wait_s=60)
    async with shop.open(tmp_path, rate=40, seed=3) as opened:
        opened._visitors._client._timeout = aiohttp.ClientTimeout(1.5)
        started = monotonic()
        tally = await for_a_while(opened, 1)
    planned = sum(
        die * 40 * peak() < 40 * opened._calendar.factor(at_ns)
        for at_ns, die in islice(
            candidates(random.Random("arrivals visit 3"), 40 * peak(), opened._calendar.start_ns), 400
        )
        if at_ns < tally["start_ns"] + 0.9 * SECOND_NS
    )
    assert tally["arrived"] >= planned > 20
    assert tally["dropped"] == tally["arrived"] - 20
    assert len(shop.asked) == 20
    assert set(tally["requests"]) <= {"home none", "search none"}
    assert monotonic() - started < 60


async def test_a_failed_visitor_leaves(tmp_path: Path) -> None:
    """After a 500 nobody goes on; after a 402 the order is not there to be returned."""
    shop = Shop(status=lambda path: {"/api/cart": 500, "/api/checkout": 402}.get(path, 200))
    async with shop.open(tmp_path, rate=20) as opened:
        tally = await for_a_while(opened, 2)
    assert tally["cut_short"] > 0
    assert shop.paths()["/api/checkout"] == shop.paths()["/api/returns"] == 0
    failed = [line for line in ledger.read(tmp_path) if not line["ok"]]
    assert {line["name"] for line in failed} == {"POST /api/cart"}


async def test_faults_of_the_load(tmp_path: Path) -> None:
    """A spike adds visits of a stream of its own, a scan adds requests of nobody; both within their window only."""
    now = true_ns()
    kinds = ("traffic_spike", "security_scan")
    truth.plant(tmp_path, [Fault(kind, "load", now + SECOND_NS, now + 3 * SECOND_NS) for kind in kinds])
    shop = Shop()
    async with shop.open(tmp_path, rate=5) as opened:
        await for_a_while(opened, 4)
    operations = {line["op"]: line for line in ledger.read(tmp_path)}
    begun: dict[str, dict[str, int]] = {"visit": {}, "spike": {}, "": {}}  # of each visit, and of each probe
    for _, _, headers, _ in shop.asked:
        session, op = headers.get("x-session", ""), headers["x-shop-op"].split("-")[1]
        begun[session.partition("-")[0]].setdefault(session or op, operations[op]["start"])
    assert len(begun["visit"]) > 5
    for stream in ("spike", ""):
        times = begun[stream].values()
        assert len(times) > 5
        assert now + SECOND_NS <= min(times) <= max(times) < now + 3.5 * SECOND_NS


def test_requests_of_steps() -> None:
    """Every action has a request; the return names the order."""
    journey: Journey = next(
        planned for n in range(1000) if (planned := Planner(7, OFFER).journey(n, 600)).kind == "return"
    )
    asked = [request(step, "o-9") for step in journey.steps]
    assert asked[-1] == ("POST", "/api/returns", "/api/returns", {"order": "o-9"})
    added = next(step for step in journey.steps if step.action == "add")
    assert request(added, "")[3] == {"product": added.product, "quantity": added.quantity}
    assert json.dumps(asked)
