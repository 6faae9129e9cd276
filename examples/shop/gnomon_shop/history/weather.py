"""What the past was like at each moment: how many came, how busy every service was, and what the plan's faults did.

The faults act where `parts/effects.py` makes them act in the live shop, with its strengths.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gnomon_shop.faults.plan import Plan
from gnomon_shop.history.calls import Node, Tree
from gnomon_shop.history.traffic import MINUTE_NS
from gnomon_shop.load.scan import PROBES_PER_S
from gnomon_shop.load.time import WEEK_MINUTES, Calendar, factor
from gnomon_shop.parts import effects
from gnomon_shop.parts.database import HOLD_S

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Cost = Callable[[np.random.Generator, Floats, Floats], Floats]

SPIKE = 5.0  # arrivals come on top: rate x level x this
_SPREAD = 0.32  # of a node's own time around its median, as the sigma of a log-normal
_BUSY = 0.12  # a service's times rise by this share for each multiple of the mean load
_STARVED = 5.0  # times slower at full strength
_BANK_HANGS, _BANK_HANGS_MS = 0.004, (500, 1200)  # see services/outside.py
_NOISE_MINUTES = 12


@dataclass
class Weather:
    """The conditions of the whole history."""

    plan: Plan
    seed: int
    start_ns: int
    end_ns: int
    _moods: dict[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._week = np.array([factor(minute) for minute in range(WEEK_MINUTES)])

    def level(self, kind: str, target: str, at: Ints) -> Floats:
        """As `Plan.level`, for many moments."""
        strongest = np.zeros(len(at))
        for fault in self.plan:
            if (fault.kind, fault.target) == (kind, target):
                inside = (at >= fault.start_ns) & (at < fault.end_ns)
                risen = 2 * (at - fault.start_ns) / (fault.end_ns - fault.start_ns)
                level = fault.strength * (np.minimum(risen, 1) if fault.onset == "gradual" else 1)
                strongest = np.maximum(strongest, np.where(inside, level, 0))
        return strongest

    def planned(self, kind: str, target: str) -> bool:
        """Whether the plan has such a fault at all."""
        return any((fault.kind, fault.target) == (kind, target) for fault in self.plan)

    def arrivals(self, at: Ints) -> Floats:
        """Visitors over their mean."""
        minute = (at // MINUTE_NS + Calendar(0).minute_of_week(0)).astype(np.int64) % WEEK_MINUTES
        return self._week[minute] * (1 + SPIKE * self.level("traffic_spike", "load", at))

    def probes(self, at: Ints) -> Floats:
        """Probing requests per second."""
        return PROBES_PER_S * self.level("security_scan", "load", at)

    def own_ms(self, rng: np.random.Generator, tree: Tree, at: Ints, is_next: Flags) -> Floats:
        """What each node spends in itself; float64[n, nodes]."""
        medians = np.array([node.own_ms for node in tree.nodes])
        spent = medians * np.exp(_SPREAD * rng.standard_normal((len(at), len(medians))))
        load = 1 + _BUSY * (self.arrivals(at) - 1)
        slow = {service: load * self._mood(service, at) for service in {node.service for node in tree.nodes}}
        for place, node in enumerate(tree.nodes):
            spent[:, place] *= slow[node.service]
            if node.peer == "outside" and node.own_ms > 20:
                hangs = rng.random(len(at)) < _BANK_HANGS
                spent[hangs, place] += rng.uniform(*_BANK_HANGS_MS, hangs.sum())
            self._afflict(rng, node, spent[:, place], at, is_next)
        return spent

    def _afflict(self, rng: np.random.Generator, node: Node, spent: Floats, at: Ints, is_next: Flags) -> None:
        """Add to `spent` what faults do to this node's own time; ms."""
        for kind, applies, cost_ms in _AFFLICTIONS:
            if self.planned(kind, node.service) and applies(node):
                level = self.level(kind, node.service, at)
                if level.any():
                    added = cost_ms(rng, level, spent)
                    spent += np.where(is_next, added, 0) if kind == "bad_deploy" else added

    def failures(
        self, rng: np.random.Generator, tree: Tree, at: Ints, is_next: Flags
    ) -> tuple[Ints, list[tuple[str, str]]]:
        """Where each request fails by a planned error: a node's place or -1; and status and reason of every place."""
        failed = np.full(len(at), -1)
        reasons = [("500", "")] * len(tree.nodes)
        for place, node in enumerate(tree.nodes):
            if node.kind != "server":
                continue
            share = np.zeros(len(at))
            status = "500" if node.protocol == "http" else "INTERNAL"
            if self.planned("errors", node.service):
                share = effects.ERRORS_RATIO * self.level("errors", node.service, at)
                reasons[place] = status, "index out of step with the data"
            if node.service == "checkout" and is_next.any():
                share = effects.DEPLOY_ERRORS_RATIO * self.level("bad_deploy", "checkout", at) * is_next
                reasons[place] = status, "unexpected None where a voucher was expected"
            if share.any():
                failed[(failed < 0) & (rng.random(len(at)) < share)] = place
        return failed, reasons

    def skew_ns(self, service: str, at: Ints) -> Ints:
        """How far a process's clock is ahead."""
        if not self.planned("clock_skew", service):
            return np.zeros(len(at), np.int64)
        return (self.level("clock_skew", service, at) * effects.SKEW_S * 1e9).astype(np.int64)

    def certificate_days(self, at: Ints) -> Floats:
        """As `Effects.certificate_days` of payment."""
        left = np.full(len(at), effects.CERTIFICATE_DAYS)
        for fault in self.plan:
            if fault.kind == "certificate_expiry":
                level = np.array([fault.level(int(moment)) for moment in at])
                left = np.minimum(left, effects.CERTIFICATE_DAYS * (1 - level / fault.strength))
        return left

    def _mood(self, service: str, at: Ints) -> Floats:
        """A slow drift of a service's speed, some per cent up and down, that all its times share."""
        if service not in self._moods:
            rng = np.random.default_rng([self.seed, sum(service.encode()), 4])
            minutes = (self.end_ns - self.start_ns) // MINUTE_NS + 2
            raw = rng.standard_normal(minutes + _NOISE_MINUTES)
            drift = np.convolve(raw, np.full(_NOISE_MINUTES, _NOISE_MINUTES**-0.5), "valid")
            self._moods[service] = np.exp(0.06 * drift)
        moods = self._moods[service]
        return moods[np.clip((at - self.start_ns) // MINUTE_NS, 0, len(moods) - 1)]


def waits_ms(rng: np.random.Generator, level: Floats, _: Floats | None = None) -> Floats:
    """For a connection of a pool that is empty for `level` of every second."""
    return np.where(rng.random(len(level)) < level, 1000 * HOLD_S * level * rng.random(len(level)), 0)


def _depends(node: Node) -> bool:
    """Whether it waits for what `Effects.dependency` makes slow."""
    looks_up = any(name == "shop.cache.lookups" for name, _, _ in node.counts)
    return looks_up or (node.kind == "client" and node.protocol in ("http", "sql") and node.begins == "in turn")


def _serves(node: Node) -> bool:
    return node.kind == "server"


def _spread(seconds: float, low: float, high: float) -> Cost:
    """So many seconds at full strength, times a random factor."""
    return lambda rng, level, _: 1000 * seconds * level * rng.uniform(low, high, len(level))


def _starved(rng: np.random.Generator, level: Floats, spent: Floats) -> Floats:
    return spent * _STARVED * level + 1000 * effects.BURN_SLICE_S * level * rng.uniform(0, 0.5, len(level))


# Of each kind of fault that makes slow: which nodes it acts upon, and what it costs them in ms.
_AFFLICTIONS: tuple[tuple[str, Callable[[Node], bool], Cost], ...] = (
    ("latency", _depends, _spread(effects.LATENCY_S, 1, 1.2)),
    ("slow_disk", lambda node: node.operation == "COMMIT", _spread(effects.COMMIT_S, 1, 4 / 3)),
    ("queue_backlog", lambda node: node.kind == "consumer", _spread(effects.CONSUME_S, 1, 1)),
    ("cpu_starvation", lambda _: True, _starved),
    ("lock_contention", _serves, _spread(effects.LOCK_S, 0, 1)),
    ("pool_exhaustion", _serves, waits_ms),
    ("bad_deploy", _serves, _spread(effects.DEPLOY_LATENCY_S, 0.5, 1.5)),
)
