"""How each kind of fault shows in what the server stored: one statistic, and how far it moves at full strength.

The statistics are simple on purpose: they do not find faults, they tell whether one that was planted can be found.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from statistics import mean, median
from typing import Any, NamedTuple

from gnomon_shop.stored import Span, Stored

SECOND_NS = 1_000_000_000
SAMPLES = 2  # enough of metrics, which come every few seconds
Spell = list[tuple[int, int]]  # stretches of time, each from a ns up to another


class Seen(NamedTuple):
    """A statistic's value, and how many observations it rests on."""

    value: float
    observations: int


Statistic = Callable[[Stored, Spell], Seen]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What to look at, and the least change that counts at strength 1; `relative` to the quiet time's value."""

    what: str
    statistic: Statistic
    change: float
    relative: bool = False
    fewest: int = 3  # observations that it may rest on

    def moved(self, quiet: float, seen: float, strength: float) -> bool:
        """Whether the statistic is as far from its quiet value as a fault of this strength takes it."""
        least = self.change * strength * (abs(quiet) if self.relative else 1)
        return seen - quiet >= least if self.change > 0 else seen - quiet <= least


def within(spell: Spell, at: int) -> bool:
    """Whether the time is in one of the stretches."""
    return any(start <= at < end for start, end in spell)


def without(spell: Spell, gaps: Spell) -> Spell:
    """What is left of the stretches."""
    for gap_start, gap_end in gaps:
        cut = [piece for start, end in spell for piece in ((start, min(end, gap_start)), (max(start, gap_end), end))]
        spell = [(start, end) for start, end in cut if start < end]
    return spell


def _spans(stored: Stored, spell: Spell, service: str, kind: str) -> list[Span]:
    return [
        each
        for each in stored.spans.values()
        if (each.service, each.kind) == (service, kind) and within(spell, each.start)
    ]


def _seen(values: Iterable[float], reduced: Callable[[list[float]], float]) -> Seen:
    found = list(values)
    return Seen(reduced(found) if found else 0.0, len(found))


def duration_ms(service: str, kind: str, reduced: Callable[[list[float]], float] = median, name: str = "") -> Statistic:
    """The median duration of a service's spans of a kind, or of those with a name alone."""
    return lambda stored, spell: _seen(
        (each.duration_ns / 1e6 for each in _spans(stored, spell, service, kind) if name in ("", each.name)), reduced
    )


def slowest_ms(values: list[float]) -> float:
    """The slowest tenth begins here."""
    return sorted(values)[len(values) * 9 // 10]


def error_ratio(service: str, kind: str, peer: str = "") -> Statistic:
    """The share of spans with status error; of calls of a peer alone, where one is named."""
    return lambda stored, spell: _seen(
        (each.status == "error" for each in _spans(stored, spell, service, kind) if peer in ("", each.peer)), mean
    )


def version_ratio(service: str, version: str) -> Statistic:
    """The share of server spans of a version."""
    return lambda stored, spell: _seen(
        (stored.versions.get(each.resource) == version for each in _spans(stored, spell, service, "server")), mean
    )


def per_s(service: str, refused: bool = False) -> Statistic:
    """Server spans a second; of those `refused`, the ones that were answered 4xx."""

    def rate(stored: Stored, spell: Spell) -> Seen:
        found = _spans(stored, spell, service, "server")
        counted = [each for each in found if not refused or _http_status(each).startswith("4")]
        seconds = sum(end - start for start, end in spell) / SECOND_NS
        return Seen(len(counted) / seconds if seconds else 0.0, len(found))

    return rate


def statements_per_request(service: str) -> Statistic:
    """Database calls for each request served."""

    def ratio(stored: Stored, spell: Spell) -> Seen:
        requests = len(_spans(stored, spell, service, "server"))
        calls = [each for each in _spans(stored, spell, service, "client") if each.peer == "database"]
        return Seen(len(calls) / requests if requests else 0.0, requests)

    return ratio


def sent_to_taken_ms(service: str) -> Statistic:
    """The median time from a message's producer span to its consumer span."""

    def gap(stored: Stored, spell: Spell) -> Seen:
        consumed = _spans(stored, spell, service, "consumer")
        sent = ((each, stored.spans.get((each.trace, each.parent))) for each in consumed)
        return _seen(((each.start - parent.start) / 1e6 for each, parent in sent if parent), median)

    return gap


def order_cents(stored: Stored, spell: Spell) -> Seen:
    """What an order brings, on average."""
    spans = [each for each in stored.spans.values() if "shop.order.cents" in each.attributes]
    return _seen((int(each.attributes["shop.order.cents"]) for each in spans if within(spell, each.start)), mean)


def highest(metric: str, service: str) -> Statistic:
    """The highest sample."""
    return lambda stored, spell: _seen(
        (value for at, value in stored.points(metric, service) if within(spell, at)), max
    )


def growth(metric: str, service: str) -> Statistic:
    """From the first sample to the last, for each request served."""

    def slope(stored: Stored, spell: Spell) -> Seen:
        values = [value for at, value in stored.points(metric, service) if within(spell, at)]
        requests = len(_spans(stored, spell, service, "server"))
        return Seen((values[-1] - values[0]) / max(requests, 1) if values else 0.0, len(values))

    return slope


def _http_status(span: Span) -> str:
    return span.attributes.get("http.response.status_code", "")


EVIDENCE: dict[str, Evidence] = {
    "latency": Evidence("payment's calls of the bank, median ms", duration_ms("payment", "client"), 200),
    "errors": Evidence("errors among catalogue's answers", error_ratio("catalogue", "server"), 0.3),
    "pool_exhaustion": Evidence(
        "slowest tenth of checkout's answers, ms", duration_ms("checkout", "server", slowest_ms), 200
    ),
    "n_plus_one": Evidence("statements per request of catalogue", statements_per_request("catalogue"), 1),
    "memory_growth": Evidence(
        "memory of recommendation, bytes more per request",
        growth("process_memory_usage_bytes", "recommendation"),
        5e5,
        fewest=SAMPLES,
    ),
    "lock_contention": Evidence("cart's answers, median ms", duration_ms("cart", "server"), 100),
    "cpu_starvation": Evidence(
        "cores in use by recommendation, most",
        highest("process_cpu_utilization_ratio", "recommendation"),
        0.1,
        fewest=SAMPLES,
    ),
    "bad_deploy": Evidence("share of checkout's answers by 1.5.0", version_ratio("checkout", "1.5.0"), 0.1),
    "traffic_spike": Evidence("requests of the gateway per second", per_s("gateway"), 0.7, relative=True),
    "slow_disk": Evidence("checkout's commits, median ms", duration_ms("checkout", "client", name="COMMIT"), 150),
    "queue_backlog": Evidence("notification's messages, median ms", duration_ms("notification", "consumer"), 1000),
    "certificate_expiry": Evidence("errors among payment's calls of the bank", error_ratio("payment", "client"), 0.3),
    "cache_stampede": Evidence("statements per request of catalogue", statements_per_request("catalogue"), 1),
    "retry_storm": Evidence(
        "the gateway's calls of catalogue that failed", error_ratio("gateway", "client", "catalogue"), 0.1
    ),
    "clock_skew": Evidence("from sending a message to taking it, median ms", sent_to_taken_ms("notification"), 2500),
    "revenue_drop": Evidence("cents an order", order_cents, -0.2, relative=True),
    "security_scan": Evidence("refused requests of the gateway per second", per_s("gateway", refused=True), 1),
}


def judged(stored: Stored, began_ns: int, fault: dict[str, Any], planted: list[dict[str, Any]]) -> tuple[bool, str]:
    """Whether a fault of `truth.json` shows while it lasts and not just before, and the figures.

    The quiet time is that from the run's beginning to the fault's, less all other faults.
    """
    kind, (start, end) = EVIDENCE[fault["kind"]], _window(fault)
    quiet = without([(began_ns, start)], [_window(each) for each in planted if each is not fault])
    just_before = without(quiet, [(0, start - (end - start))])
    full = (start + end) // 2 if fault["onset"] == "gradual" else start
    before, close, during = (kind.statistic(stored, spell) for spell in (quiet, just_before, [(full, end)]))
    words = f"{kind.what}: {before.value:.4g} before, {during.value:.4g} while it lasts"
    if min(before.observations, during.observations) < kind.fewest:
        return False, f"{words} (too few observations)"
    if close.observations >= kind.fewest and kind.moved(before.value, close.value, fault["strength"]):
        return False, f"{words}, and {close.value:.4g} just before"
    return kind.moved(before.value, during.value, fault["strength"]), words


def _window(fault: dict[str, Any]) -> tuple[int, int]:
    return _ns(fault["start"]), _ns(fault["end"])


def _ns(text: str) -> int:
    """Nanoseconds since the epoch of `2026-11-21T09:21:35.123456789Z`."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(f"{whole}+00:00").timestamp()) * SECOND_NS + int(fraction.ljust(9, "0"))
