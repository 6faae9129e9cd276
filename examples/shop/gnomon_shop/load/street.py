"""The street before the shop: visitors and probes arrive when they arrive, whether or not the shop keeps up."""

import asyncio
import random
from collections.abc import Coroutine, Iterator
from time import time_ns as true_ns
from typing import Any

import aiohttp

from gnomon_shop.faults.plan import Plan
from gnomon_shop.load.journeys import Offer, Planner
from gnomon_shop.load.scan import PROBES_PER_S, probe
from gnomon_shop.load.time import Calendar, candidates, peak
from gnomon_shop.load.visitors import PATIENCE_S, Visitors
from gnomon_shop.settings import Settings

INSIDE_MOST = 400  # visitors; more are turned away, and counted
SPIKE = 5.0  # times the rate, added at full strength
SAY_EVERY_S = 10


class Street:
    """Three streams of arrivals, each with a generator of its own so that none disturbs another's sequence."""

    def __init__(self, settings: Settings, offer: Offer, client: aiohttp.ClientSession) -> None:
        self._seed, self._rate = settings.seed, settings.rate
        self._calendar = Calendar(true_ns(), settings.day_minutes)
        self._plan = Plan.load(settings.dir / "plan.json")
        self._visits, self._spikes = Planner(settings.seed, offer), Planner(settings.seed, offer, "spike")
        self._visitors = Visitors(client, settings.url("gateway"), self._calendar.compression)
        self._inside: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Let them come, until cancelled."""
        async with asyncio.TaskGroup() as streams:
            streams.create_task(self._visiting())
            streams.create_task(self._spiking())
            streams.create_task(self._probing())
            streams.create_task(self._saying())

    async def close(self) -> dict[str, Any]:
        """Nobody takes another step; those who wait for an answer get it. Returns the tally."""
        self._visitors.closing.set()
        if self._inside:
            _, late = await asyncio.wait(self._inside, timeout=PATIENCE_S)
            for task in late:
                task.cancel()
        print(self._visitors.tally.line(), flush=True)
        times = {"start_ns": self._calendar.start_ns, "end_ns": true_ns()}
        return {"seed": self._seed} | times | self._visitors.tally.told()

    async def _visiting(self) -> None:
        most = self._rate * peak()
        for number, (at_ns, die) in self._candidates("visit", most):
            await _until(at_ns)
            if die < self._rate * self._calendar.factor(at_ns) / most:
                self._enter(self._visits, number, at_ns)

    async def _spiking(self) -> None:
        most = self._rate * peak() * SPIKE
        for number, (at_ns, die) in self._candidates("spike", most):
            await _until(at_ns)
            level = self._plan.level("traffic_spike", "load")
            if level and die < self._rate * self._calendar.factor(at_ns) * SPIKE * level / most:
                self._enter(self._spikes, number, at_ns)

    async def _probing(self) -> None:
        for number, (at_ns, die) in self._candidates("scan", PROBES_PER_S):
            await _until(at_ns)
            if die < self._plan.level("security_scan", "load"):
                self._begin(self._visitors.probe(probe(self._seed, number)))

    async def _saying(self) -> None:
        while True:
            await asyncio.sleep(SAY_EVERY_S)
            print(self._visitors.tally.line(), flush=True)

    def _candidates(self, stream: str, most_per_s: float) -> Iterator[tuple[int, tuple[int, float]]]:
        rng = random.Random(f"arrivals {stream} {self._seed}")
        return enumerate(candidates(rng, most_per_s, self._calendar.start_ns))

    def _enter(self, planner: Planner, number: int, at_ns: int) -> None:
        self._visitors.tally.arrived += 1
        if len(self._inside) >= INSIDE_MOST:
            self._visitors.tally.dropped += 1
            return
        self._begin(self._visitors.visit(planner.journey(number, self._calendar.minute_of_week(at_ns))))

    def _begin(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(what)
        self._inside.add(task)
        task.add_done_callback(self._inside.discard)


async def _until(at_ns: int) -> None:
    await asyncio.sleep(max(0, at_ns - true_ns()) / 1e9)
