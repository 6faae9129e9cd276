"""What tells of each fault: figures from the shop's own ledger; of a process and its clock, what the server stored."""

import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any

from tests.server import Server

from gnomon_shop import ledger
from gnomon_shop.faults.plan import SECOND_NS, Plan

Line = dict[str, Any]


@dataclass
class Run:
    """A run that has ended: its ledger, its database, and the server that took its telemetry."""

    folder: Path
    server: Server

    @cached_property
    def operations(self) -> list[Line]:
        return [line for line in ledger.read(self.folder) if "op" in line]

    @cached_property
    def by_op(self) -> dict[str, Line]:
        return {line["op"]: line for line in self.operations}

    @cached_property
    def children(self) -> dict[str, list[Line]]:
        below: dict[str, list[Line]] = {}
        for line in self.operations:
            below.setdefault(line["parent"], []).append(line)
        return below

    @cached_property
    def plan(self) -> Plan:
        return Plan.load(self.folder / "plan.json")


@dataclass(frozen=True)
class Window:
    """A part of a run, and what began in it."""

    run: Run
    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / SECOND_NS

    @cached_property
    def _begun(self) -> list[Line]:
        return [line for line in self.run.operations if self.start_ns <= line["start"] < self.end_ns]

    def of(self, service: str, kind: str, name: str = "", peer: str = "") -> list[Line]:
        """Operations of a service, by kind, name and peer where they are given."""
        return [
            line
            for line in self._begun
            if line["service"] == service
            and line["kind"] == kind
            and (not name or line["name"] == name)
            and (not peer or line["peer"] == peer)
        ]

    def samples(self, metric: str, service: str) -> list[float]:
        """Stored samples, in the order of time."""
        query = """SELECT value FROM metrics WHERE metric = {metric:String} AND service = {service:String}
            AND time BETWEEN fromUnixTimestamp64Nano({start:Int64}) AND fromUnixTimestamp64Nano({end:Int64})
            ORDER BY time"""
        times = {"start": self.start_ns, "end": self.end_ns}
        return [row["value"] for row in self.run.server.sql(query, metric=metric, service=service, **times)]


def ms(line: Line) -> float:
    """How long it took, as its own process saw it."""
    return (line["end"] - line["start"]) / 1e6


def typical(values: Iterable[float]) -> float:
    """The median; NaN of nothing, as all of these."""
    found = list(values)
    return median(found) if found else math.nan


def high(values: Iterable[float]) -> float:
    """The slowest tenth begins here."""
    found = list(values)
    return quantiles(found, n=10)[-1] if len(found) > 1 else math.nan


def average(values: Iterable[float]) -> float:
    """The mean."""
    found = list(values)
    return mean(found) if found else math.nan


def spread(values: list[float]) -> float:
    """From the lowest to the highest."""
    return max(values) - min(values) if values else math.nan


def failed(lines: list[Line]) -> float:
    """The share of those that went wrong."""
    return average(not line["ok"] for line in lines)


def own_ms(window: Window) -> Iterator[float]:
    """What checkout takes beside the calls it makes: where the wait for a connection is."""
    for line in window.of("checkout", "server", "POST /checkout"):
        yield ms(line) - sum(ms(below) for below in window.run.children.get(line["op"], ()))


def statements(window: Window, route: str) -> float:
    """Database calls below each of catalogue's requests of a route."""
    served = window.of("catalogue", "server", route)
    below = window.run.children
    return average(sum(call["peer"] == "database" for call in below.get(line["op"], ())) for line in served)


def called_per_request(window: Window) -> float:
    """The gateway's calls of catalogue over its requests that need one."""
    needed = [line for line in window.of("gateway", "server") if "/api/products" in line["name"]]
    needed += window.of("gateway", "server", "POST /api/cart")
    return len(window.of("gateway", "client", peer="catalogue")) / len(needed) if needed else math.nan


def cpu_ratio(window: Window) -> float:
    """What recommendation uses over what catalogue uses: on a busy machine neither gets as much as it could use."""
    metric = "process_cpu_utilization_ratio"
    return typical(window.samples(metric, "recommendation")) / typical(window.samples(metric, "catalogue"))


def waited_s(window: Window) -> Iterator[float]:
    """From sending a message to the beginning of its work; what was never taken has waited to the end of the run."""
    end_ns = max(line["end"] for line in window.run.operations)
    for line in window.of("checkout", "producer"):
        taken = [below["start"] for below in window.run.children.get(line["op"], ()) if below["kind"] == "consumer"]
        yield (min(taken, default=end_ns) - line["start"]) / SECOND_NS


def refused_per_s(window: Window) -> float:
    """Requests of the load that were answered 4xx, a second."""
    return sum(line["status"].startswith("4") for line in window.of("load", "client")) / window.seconds


def ahead_s(window: Window) -> float:
    """How far the stored spans of notification are ahead of the ledger."""
    true = {line["span"]: line["start"] for line in window.of("notification", "consumer")}
    query = """SELECT span_id, toUnixTimestamp64Nano(time) AS at FROM spans
        WHERE service = 'notification' AND span_id IN {spans:Array(String)}"""
    rows = window.run.server.sql(query, spans=sorted(true))
    return typical((int(row["at"]) - true[row["span_id"]]) / SECOND_NS for row in rows)


def paid_ratio(window: Window) -> float:
    """What the orders brought over what was in the carts: 0.9 when only the due discount is taken off."""
    with sqlite3.connect(f"file:{window.run.folder / 'checkout.db'}?mode=ro", uri=True) as database:
        rows = database.execute(
            """SELECT cents, (SELECT sum(cents * quantity) FROM order_items WHERE order_id = orders.id) FROM orders
            WHERE placed_ns BETWEEN ? AND ?""",
            (window.start_ns, window.end_ns),
        ).fetchall()
    return sum(paid for paid, _ in rows) / sum(due for _, due in rows) if rows else math.nan


@dataclass(frozen=True)
class Measure:
    """What tells that a fault is there; `least` is by how much it must differ at full strength from quiet times."""

    what: str
    value: Callable[[Window], float]
    least: float


MEASURES: dict[str, Measure] = {
    "latency": Measure(
        "bank's answer, median ms", lambda at: typical(map(ms, at.of("payment", "client", peer="outside"))), 200
    ),
    "errors": Measure("catalogue's failures", lambda at: failed(at.of("catalogue", "server")), 0.3),
    "pool_exhaustion": Measure("checkout's own time, p90 ms", lambda at: high(own_ms(at)), 300),
    "n_plus_one": Measure("statements per list", lambda at: statements(at, "GET /products"), 5),
    "memory_growth": Measure(
        "recommendation's growth, MiB",
        lambda at: spread(at.samples("process_memory_usage_bytes", "recommendation")) / 2**20,
        6,
    ),
    "lock_contention": Measure("cart's answer, median ms", lambda at: typical(map(ms, at.of("cart", "server"))), 40),
    "cpu_starvation": Measure("recommendation's CPU over catalogue's", cpu_ratio, 1.5),
    "bad_deploy": Measure("checkout's failures", lambda at: failed(at.of("checkout", "server", "POST /checkout")), 0.1),
    "traffic_spike": Measure("visits per s", lambda at: len(at.of("gateway", "server", "GET /")) / at.seconds, 5),
    "slow_disk": Measure(
        "commit, median ms", lambda at: typical(map(ms, at.of("checkout", "client", "COMMIT", "database"))), 200
    ),
    "queue_backlog": Measure("longest wait of a message, s", lambda at: max(waited_s(at), default=math.nan), 5),
    "certificate_expiry": Measure(
        "failed calls of the bank", lambda at: failed(at.of("payment", "client", peer="outside")), 0.5
    ),
    "cache_stampede": Measure("statements per product", lambda at: statements(at, "GET /products/{id}"), 1.5),
    "retry_storm": Measure(
        "gateway's calls of catalogue per request",
        called_per_request,
        0.5,
    ),
    "clock_skew": Measure("notification's spans ahead, s", ahead_s, 4),
    "revenue_drop": Measure("paid over due", paid_ratio, -0.4),
    "security_scan": Measure(
        "4xx answers per s",
        refused_per_s,
        8,
    ),
}
