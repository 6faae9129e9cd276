"""Orders, revenue and the funnel, in cents and counts. Money is never a float."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from gnomon_shop.truth.records import Fact, Ledger

FUNNEL = ("visit", "view", "cart", "checkout", "order")
HOUR_NS = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Sales:
    """Orders and what they brought in, before and after what came back."""

    orders: int = 0
    revenue_cents: int = 0
    returns: int = 0
    returned_cents: int = 0

    @property
    def net_cents(self) -> int:
        """What stays with the shop."""
        return self.revenue_cents - self.returned_cents


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the funnel: how often it was taken, in how many sessions, and in how many by way of all before it.

    The ratios are of the last kind: who searches for something at once has not come in by the door.
    """

    step: str
    facts: int
    sessions: int
    through: int
    of_previous: float
    of_first: float


def sales(facts: Iterable[Fact]) -> Sales:
    """Added up."""
    orders, returns = [], []
    for each in facts:
        if each.fact == "order":
            orders.append(each.cents)
        elif each.fact == "return":
            returns.append(each.cents)
    return Sales(len(orders), sum(orders), len(returns), sum(returns))


def by_hour(ledger: Ledger) -> dict[str, Sales]:
    """By the hour of UTC in which they fell, as `2026-11-21T09:00Z`."""
    return _by(ledger.facts, lambda fact: f"{datetime.fromtimestamp(fact.at // HOUR_NS * 3600, UTC):%Y-%m-%dT%H:%MZ}")


def by_version(ledger: Ledger) -> dict[str, Sales]:
    """By the version of the checkout that took the order."""
    versions = {
        each.request: each.version for each in ledger.operations if each.service == "checkout" and each.kind == "server"
    }
    return _by(ledger.facts, lambda fact: versions.get(fact.request, "unknown"))


def by_segment(ledger: Ledger) -> dict[str, Sales]:
    """Of users who buy for the first time in this ledger, and of those who come again."""
    first: dict[str, str] = {}
    for each in ledger.facts:
        if each.fact == "order":
            first.setdefault(each.user, each.order)
    return _by(ledger.facts, lambda fact: "first order" if first.get(fact.user) == fact.order else "came again")


def funnel(facts: Iterable[Fact]) -> list[Step]:
    """A session has come through to a step when it has facts of all steps up to there, in their order."""
    taken: defaultdict[str, list[str]] = defaultdict(list)
    depth: defaultdict[str, int] = defaultdict(int)
    for each in sorted(facts, key=lambda fact: fact.at):
        taken[each.fact].append(each.session)
        if depth[each.session] < len(FUNNEL) and each.fact == FUNNEL[depth[each.session]]:
            depth[each.session] += 1
    reached = [sum(deep > index for deep in depth.values()) for index in range(len(FUNNEL))]
    return [
        Step(step, len(taken[step]), len(set(taken[step])), here, _ratio(here, before), _ratio(here, reached[0]))
        for step, here, before in zip(FUNNEL, reached, (reached[0], *reached), strict=False)
    ]


def _by(facts: Iterable[Fact], key: Callable[[Fact], str]) -> dict[str, Sales]:
    """Sales of each group, the groups in order."""
    groups = defaultdict(list)
    for each in facts:
        if each.fact in ("order", "return"):
            groups[key(each)].append(each)
    return {name: sales(group) for name, group in sorted(groups.items())}


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
