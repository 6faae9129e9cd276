"""Weeks of the shop's telemetry as a stream of export requests, in the order of time; its facts into the ledger."""

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gnomon_shop.faults.plan import Plan
from gnomon_shop.history.batches import Pieces
from gnomon_shop.history.columns import Texts
from gnomon_shop.history.day import Day
from gnomon_shop.history.gauges import Gauges
from gnomon_shop.history.instruments import COUNTED
from gnomon_shop.history.metrics import Cumulation, Late, Meters, Report
from gnomon_shop.history.outcomes import Group, Outcomes
from gnomon_shop.history.processes import Schedule
from gnomon_shop.history.sender import Body
from gnomon_shop.history.traffic import (
    ACTION,
    DAY_NS,
    HOUR_NS,
    REQUEST,
    SECOND_NS,
    Rows,
    Traffic,
    chanced,
)
from gnomon_shop.history.weather import Weather
from gnomon_shop.load.journeys import Offer
from gnomon_shop.load.users import users
from gnomon_shop.parts import effects
from gnomon_shop.services.goods import goods, words

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Of what a day comes to: where in the day it ends, a rank among equals, signal, records, body.
Part = tuple[float, int, str, int, bytes]

RECORDS = 15_000  # of a request: some megabytes, and few enough requests that commits do not matter
SLICE_NS = HOUR_NS // 4  # requests are cut at these
_SETTLE_EVERY_NS = 15 * SECOND_NS
_MAIL_MS, _QUEUED_AFTER_NS = 26.0, 90_000_000
_THRESHOLD_BITS = 16  # of the sampling


@dataclass
class History:
    """One history; the same values make the same one."""

    start_ns: int
    end_ns: int
    plan: Plan
    seed: int = 7
    rate: float = 0.2  # journeys per second
    traces: int = 150_000  # about as many are sampled
    step_s: int = 60
    ledger: Path | None = None
    done: float = 0.0  # days
    sampled: int = 0  # traces
    facts: Counter[str] = field(default_factory=Counter)
    _number: int = 0
    _free_ns: int = 0  # when the consumer of the queue has done with all that came before
    _late: list[Late] = field(default_factory=list)  # measurements that fall into the next day

    def __post_init__(self) -> None:
        products = goods(self.seed)
        crowd = users(self.seed, len(products))
        self.weather = Weather(self.plan, self.seed, self.start_ns, self.end_ns)
        self._texts = Texts(crowd, [product.id for product in products], words(self.seed))
        self._traffic = Traffic(
            self.seed, self.rate, self.weather.arrivals, self.weather.probes,
            Offer([product.id for product in products], words(self.seed)),
            np.array([product.cents for product in products]),
        )  # fmt: skip
        nexts = [(fault.target, fault.start_ns, fault.end_ns) for fault in self.plan if fault.kind == "bad_deploy"]
        self.schedule = Schedule(self.seed, self.start_ns, self.end_ns, nexts)
        self._outcomes = Outcomes(self.weather)
        self._gauges = Gauges(self.weather, self.schedule, crowd)
        self._cumulation = Cumulation()
        a_second = self.rate * self._traffic.requests_a_journey + SECOND_NS / _SETTLE_EVERY_NS
        share = self.traces / (a_second * (self.end_ns - self.start_ns) / SECOND_NS)
        self._rejected = round((1 - min(share, 1)) * 2**_THRESHOLD_BITS)

    @property
    def days(self) -> list[tuple[int, int]]:
        """Start and end of each UTC day, or what of it belongs to the history."""
        edges = [self.start_ns, *range((self.start_ns // DAY_NS + 1) * DAY_NS, self.end_ns, DAY_NS), self.end_ns]
        return list(pairwise(edges))

    def bodies(self) -> Iterator[Body]:
        """All requests."""
        for number, (start_ns, end_ns) in enumerate(self.days):
            for ended, body in self._day(number, start_ns, end_ns):
                yield body
                self.done = number + ended

    def _day(self, number: int, start_ns: int, end_ns: int) -> Iterator[tuple[float, Body]]:
        rng = np.random.default_rng([self.seed, number, 0])
        rows = self._traffic.day(number, start_ns, end_ns)
        groups = self._outcomes.of(rng, rows)
        steps = (end_ns - start_ns) // (self.step_s * SECOND_NS)
        meters = Meters(start_ns, steps, self.step_s * SECOND_NS, is_last=end_ns == self.end_ns)
        for late in self._late:
            meters.add(*late)
        edges = np.append(np.arange(start_ns, end_ns, SLICE_NS), end_ns)
        soonest, queued = self._queued(rows, groups, start_ns, steps)
        day = Day(
            self.weather, self._texts, rows, self._sampled(rows), f"{self._rejected:04x}".rstrip("0"),
            Pieces(self.schedule, edges), Pieces(self.schedule, edges), meters, soonest,
        )  # fmt: skip
        for group in groups:
            day.tell(rng, group)
            self.sampled += int(day.sampled[group.places].sum())
        self._settled(rng, day, start_ns, end_ns)
        times = start_ns + (np.arange(steps) + 1) * self.step_s * SECOND_NS
        self._gauges.vitals(rng, meters, rows[rows["action"] == ACTION["vitals"]])
        self._gauges.read(rng, meters, times, queued)
        self._late = meters.late
        self._write(day)
        yield from self._cut(day, times, start_ns, end_ns)

    def _sampled(self, rows: Rows) -> NDArray[np.bool_]:
        """Consistent probability sampling: by the last 56 bits of the trace id, compared with the threshold."""
        return np.asarray(rows["trace"][:, 9].astype(int) * 256 + rows["trace"][:, 10] >= self._rejected)

    def _queued(self, rows: Rows, groups: list[Group], start_ns: int, steps: int) -> tuple[Ints, Floats]:
        """When the one consumer is free for each order's message, and how many wait as each step ends.

        It takes one at a time: with arrivals a and times to work s, end(i) = max(a(i), end(i - 1)) + s(i), which is
        S(i) + max over j <= i of (a(j) - S(j - 1)), where S are the sums of s.
        """
        soonest = np.zeros(len(rows), np.int64)
        placed = [g.places for g in groups if g.action == "checkout" and g.tree.root.status == "200"]
        times = start_ns + (np.arange(steps) + 1) * self.step_s * SECOND_NS
        if not placed:
            return soonest, np.zeros(steps)
        places = np.sort(np.concatenate(placed))
        arrives = rows["at"][places] + _QUEUED_AFTER_NS
        level = self.weather.level("queue_backlog", "notification", arrives)
        works = ((_MAIL_MS + 1000 * effects.CONSUME_S * level) * 1e6).astype(np.int64)
        total = np.cumsum(works)
        ends = total + np.maximum.accumulate(np.maximum(arrives, self._free_ns) - (total - works))
        self._free_ns = int(ends[-1])
        soonest[places] = ends - works
        waiting = np.searchsorted(arrives, times) - np.searchsorted(ends, times)
        return soonest, waiting.astype(np.float64)

    def _settled(self, rng: np.random.Generator, day: Day, start_ns: int, end_ns: int) -> None:
        """Checkout passes new orders on to the bank every quarter of a minute."""
        edges = np.arange(start_ns, end_ns, _SETTLE_EVERY_NS)
        rows = np.zeros(len(edges), REQUEST)
        rows["action"], rows["at"] = ACTION["settle"], edges + _SETTLE_EVERY_NS
        none = (np.empty(0, np.int64), np.empty(0, np.int64))
        at, cents = (np.concatenate(parts) for parts in zip(none, *day.placed, strict=True))
        slot = np.clip((at - start_ns) // _SETTLE_EVERY_NS, 0, len(edges) - 1)
        rows["quantity"] = np.bincount(slot, minlength=len(edges))
        rows["cents"] = np.bincount(slot, cents, len(edges))
        rows = chanced(rng, rows[rows["at"] < end_ns])
        counted = rows[rows["cents"] > 0]
        day.meters.add(
            ("payment", "main"),
            COUNTED["shop.payments.settled"],
            (),
            counted["at"],
            counted["cents"].astype(np.float64),
        )
        day.rows, day.sampled, day.soonest = rows, self._sampled(rows), np.zeros(len(rows), np.int64)
        for group in self._outcomes.of(rng, rows):
            day.tell(rng, group)
            self.sampled += int(day.sampled[group.places].sum())

    def _write(self, day: Day) -> None:
        for fact, count, _ in day.facts:
            self.facts[fact] += count
        if self.ledger:
            with self.ledger.open("ab") as file:
                file.writelines(lines for _, _, lines in day.facts)

    def _cut(self, day: Day, times: Ints, start_ns: int, end_ns: int) -> Iterator[tuple[float, Body]]:
        """The day's requests, by the time at which each ends."""
        streams = [self._records("traces", day.spans), self._records("logs", day.logs)]
        for process in self.schedule.during(start_ns, end_ns):
            first, last = (
                int(np.clip((at - start_ns) // (self.step_s * SECOND_NS), 0, len(times)))
                for at in (process.from_ns, process.to_ns)
            )
            skewed = times[first:last] + self.weather.skew_ns(process.track[0], times[first:last])
            report = self._cumulation.points(process, day.meters, first, last, skewed)
            streams.append(self._points(report, first, last, len(times)))
        for ended, _, signal, records, content in heapq.merge(*streams, key=lambda part: part[:2]):
            self._number += 1
            yield ended, Body(self._number, signal, records, content)

    @staticmethod
    def _records(signal: str, pieces: Pieces) -> Iterator[Part]:
        for content, records, last in pieces.bodies(RECORDS):
            yield last / (len(pieces.edges) - 1), 0, signal, records, content

    @staticmethod
    def _points(report: Report, first: int, last: int, steps: int) -> Iterator[Part]:
        width = max(1, RECORDS // max(report.series, 1))
        for begin in range(first, last, width):
            end = min(begin + width, last)
            content, points = report.body(begin, end)
            if points:
                yield end / steps, 1, "metrics", points, content
