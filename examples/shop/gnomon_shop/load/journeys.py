"""What a visitor does, decided beforehand: a journey is a function of the seed, its stream, its number and its hour.

Nothing that happens on the way changes what was decided: a slow or failed answer only cuts a journey short.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from gnomon_shop.load.time import drawn
from gnomon_shop.load.users import JOURNEYS, Crowd, User, popular

# Actions in which a page is shown, that is, after which a browser may send its vitals.
PAGES = ("home", "list", "search", "view", "cart")
VITALS_SHARE = 0.4
THINK_S = 12.0  # the median of what passes between two clicks
FAVOURITE_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Step:
    """One action and the time to think before it, in the user's own (simulated) seconds."""

    action: str  # home, list, search, view, similar (without a product: what the user might like), add, cart, ...
    think_s: float
    product: str = ""
    quantity: int = 0
    words: str = ""
    page: int = 1
    vitals: bool = False


@dataclass(frozen=True, slots=True)
class Journey:
    """One visit: a session of one user; it begins at home."""

    kind: str
    user: User
    session: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """What visitors know of the shop: ids of products, the popular ones first, and words that find some."""

    products: Sequence[str]
    words: Sequence[str]


class Planner:
    """Journeys of one stream (`visit`, `spike`) by number."""

    def __init__(self, seed: int, offer: Offer, stream: str = "visit") -> None:
        self.offer, self.crowd = offer, Crowd(seed, len(offer.products))
        self._seed, self._stream = seed, stream

    def journey(self, number: int, minute_of_week: float) -> Journey:
        """The journey of that number, begun at that minute."""
        rng = random.Random(f"{self._stream} {self._seed} {number}")
        user = self.crowd.drawn(rng, minute_of_week)
        kind = JOURNEYS[drawn(rng, list(user.mix))]
        steps = _Steps(rng, user, self.offer)
        getattr(steps, f"to_{kind}")()
        return Journey(kind, user, f"{self._stream}-{number:06}", tuple(steps.taken))


class _Steps:
    """The steps of a journey as they are drawn."""

    def __init__(self, rng: random.Random, user: User, offer: Offer) -> None:
        self._rng, self._user, self._offer = rng, user, offer
        self.taken: list[Step] = []

    def to_browse(self) -> None:
        self._come_in()
        for page in range(1, self._some(3) + 1):
            self._step("list", page=page)
            if self._rng.random() < 0.7:
                self._look_at(self._product())
        if self._rng.random() < 0.5:
            self._step("similar", self._product())

    def to_search(self) -> None:
        self._come_in()
        for _ in range(self._some(3)):
            self._step("search", words=self._rng.choice(self._offer.words))
            if self._rng.random() < 0.8:
                self._look_at(self._product())

    def to_cart(self) -> None:
        self._come_in()
        if self._rng.random() < 0.5:
            self._step("search", words=self._rng.choice(self._offer.words))
        for _ in range(self._some(3)):
            product = self._product()
            self._look_at(product)
            self._step("add", product, quantity=1 + int(self._rng.expovariate(1 / (self._user.quantity - 0.6))))
        self._step("cart")

    def to_checkout(self) -> None:
        self.to_cart()
        self._step("checkout")

    def to_return(self) -> None:
        """Bought, looked at again, thought better of."""
        self.to_checkout()
        self._come_in()
        self._step("return")

    def _come_in(self) -> None:
        self._step("home")
        if self._rng.random() < 0.3:
            self._step("similar")

    def _look_at(self, product: str) -> None:
        self._step("view", product)
        if self._rng.random() < 0.4:
            self._step("similar", product)

    def _product(self) -> str:
        if self._rng.random() < FAVOURITE_SHARE:
            return self._offer.products[self._rng.choice(self._user.favourites)]
        return self._offer.products[popular(self._rng, len(self._offer.products))]

    def _some(self, most: int) -> int:
        return self._rng.randint(1, most)

    def _step(self, action: str, product: str = "", quantity: int = 0, words: str = "", page: int = 1) -> None:
        think_s = THINK_S * self._user.haste * self._rng.lognormvariate(0, 0.7) if self.taken else 0.0
        vitals = self._rng.random() < VITALS_SHARE and action in PAGES
        self.taken.append(Step(action, think_s, product, quantity, words, page, vitals))
