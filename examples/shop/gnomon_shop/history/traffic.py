"""Who comes and what they do, a day at a time: the load's own journeys, many at once, every request a row.

Some hundred journeys are planned by `load/journeys.py` for every hour of the day; an arrival is one of its hour's. A
day's rows depend on the seed, the day and what earlier days left over (journeys past midnight), so that the same call
brings the same rows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gnomon_shop.load.journeys import Offer, Planner

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Rows = NDArray[np.void]  # of REQUEST

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS

# What a visitor does, as `Rows["action"]`; the first nine are the steps of `load/journeys.py`.
ACTIONS = (
    "home",
    "list",
    "search",
    "view",
    "similar",
    "add",
    "cart",
    "checkout",
    "return",
    "vitals",
    "probe",
    "settle",
)
ACTION = {action: number for number, action in enumerate(ACTIONS)}
DICE = 8

REQUEST = np.dtype(
    [
        ("at", "i8"),  # ns, when the gateway receives it
        ("action", "u1"),
        ("user", "u4"),  # position among the load's users
        ("session", "u4"),  # numbered through the whole history
        ("product", "u2"),  # position among the products
        ("quantity", "u2"),
        ("items", "u2"),  # in the cart by then
        ("lines", "u2"),  # and how many different ones
        ("cart", "i8"),  # what that costs, in cents
        ("cents", "i8"),  # what is due for an order
        ("order", "u8"),  # id of the order of this visit, should there be one; 48 bits
        ("page", "u1"),  # ACTION of the page whose vitals these are
        ("dice", "f8", DICE),  # chance for others to use, each for one thing
        ("trace", "u1", 16),
        ("request", "u1", 8),
    ]
)

_JOURNEYS_AN_HOUR = 200


@dataclass
class _Hour:
    """The journeys of one hour of the day: steps of all, one after the other."""

    steps: Rows
    first: Ints  # position of each journey's first step
    length: Ints
    elapsed_ns: Ints  # of each step since its journey began


@dataclass
class Traffic:
    """The stream of requests of one history; `day` is to be called in the order of time."""

    seed: int
    rate: float  # journeys per second at the week's mean
    shape: Callable[[Ints], Floats]  # how many times the mean at these moments (ns), faults included
    probes: Callable[[Ints], Floats]  # probing requests per second at these moments
    offer: Offer
    prices: Ints  # in cents, by product
    _late: list[Rows] = field(default_factory=list)
    _sessions: int = 0

    def __post_init__(self) -> None:
        planner = Planner(self.seed, self.offer)
        products = {name: position for position, name in enumerate(self.offer.products)}
        users = {user.id: position for position, user in enumerate(planner.crowd.users)}
        self._hours = [_planned(planner, hour, products, users, self.prices) for hour in range(24)]

    @property
    def requests_a_journey(self) -> float:
        """In the mean, over all hours alike."""
        return sum(len(hour.steps) for hour in self._hours) / sum(len(hour.first) for hour in self._hours)

    def day(self, number: int, start_ns: int, end_ns: int) -> Rows:
        """The requests from `start_ns` up to `end_ns`, sorted by time; both whole minutes of one UTC day."""
        rng = np.random.default_rng([self.seed, number, 1])
        rows = np.concatenate([*self._late, self._visits(rng, start_ns, end_ns), self._probing(rng, start_ns, end_ns)])
        self._late = [rows[rows["at"] >= end_ns]]
        rows = rows[rows["at"] < end_ns]
        return rows[np.argsort(rows["at"], kind="stable")]

    def _arrivals(self, rng: np.random.Generator, rate: Floats, minutes: Ints) -> Ints:
        counts = rng.poisson(rate * 60)
        return np.sort(np.repeat(minutes, counts) + rng.integers(0, MINUTE_NS, counts.sum()))

    def _visits(self, rng: np.random.Generator, start_ns: int, end_ns: int) -> Rows:
        minutes = np.arange(start_ns, end_ns, MINUTE_NS)
        starts = self._arrivals(rng, self.rate * self.shape(minutes), minutes)
        hours = starts % DAY_NS // HOUR_NS
        parts = [self._hour(rng, starts[hours == hour], journeys) for hour, journeys in enumerate(self._hours)]
        return np.concatenate(parts)

    def _hour(self, rng: np.random.Generator, starts: Ints, journeys: _Hour) -> Rows:
        chosen = rng.integers(0, len(journeys.first), len(starts))
        lengths = journeys.length[chosen]
        visit = np.repeat(np.arange(len(starts)), lengths)
        within = np.arange(len(visit)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        source = journeys.first[chosen][visit] + within
        rows = journeys.steps[source]
        haste = rng.lognormal(0, 0.3, len(starts))  # or the same journey would be the same to the nanosecond
        rows["at"] = starts[visit] + (journeys.elapsed_ns[source] * haste[visit]).astype(np.int64)
        rows["session"] = self._sessions + visit
        rows["order"] = rng.integers(0, 1 << 48, len(starts), np.uint64)[visit]
        self._sessions += len(starts)
        return chanced(rng, rows)

    def _probing(self, rng: np.random.Generator, start_ns: int, end_ns: int) -> Rows:
        minutes = np.arange(start_ns, end_ns, MINUTE_NS)
        at = self._arrivals(rng, self.probes(minutes), minutes)
        rows = np.zeros(len(at), REQUEST)
        rows["action"], rows["at"] = ACTION["probe"], at
        return chanced(rng, rows)


def chanced(rng: np.random.Generator, rows: Rows) -> Rows:
    """Fill in what is a matter of chance in every request."""
    rows["dice"] = rng.random((len(rows), DICE))
    rows["trace"] = rng.integers(0, 256, (len(rows), 16), np.uint8)
    rows["request"] = rng.integers(0, 256, (len(rows), 8), np.uint8)
    return rows


def _planned(planner: Planner, hour: int, products: dict[str, int], users: dict[str, int], prices: Ints) -> _Hour:
    """The journeys that begin in this hour of the day, with what lies in the cart at each step."""
    steps: list[tuple[int, ...]] = []
    elapsed, first, length = [], [], []
    for number in range(hour * _JOURNEYS_AN_HOUR, (hour + 1) * _JOURNEYS_AN_HOUR):
        journey, gone_s, items, lines, cents = planner.journey(number, hour * 60 + 30), 0.0, 0, 0, 0
        first.append(len(steps))
        for step in journey.steps:
            gone_s += step.think_s
            product = products.get(step.product, 0)
            if step.action == "add":
                items, lines = items + step.quantity, lines + 1
                cents += step.quantity * int(prices[product])
            cart = (product, step.quantity, items, lines, cents)
            steps.append((users[journey.user.id], ACTION[step.action], 0, *cart))
            elapsed.append(gone_s)
            if step.vitals:
                steps.append((users[journey.user.id], ACTION["vitals"], ACTION[step.action], *cart))
                elapsed.append(gone_s + 1)
        length.append(len(steps) - first[-1])
    rows = np.zeros(len(steps), REQUEST)
    for name, column in zip(
        ("user", "action", "page", "product", "quantity", "items", "lines", "cart"),
        zip(*steps, strict=True),
        strict=True,
    ):
        rows[name] = column
    return _Hour(rows, np.array(first), np.array(length), (np.array(elapsed) * SECOND_NS).astype(np.int64))
