"""Some hundred users, each with habits that stay: how often they come, at what hours, on what, for what."""

import random
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

from gnomon_shop.load.time import DAY_MINUTES, HOUR_MINUTES, drawn

USERS = 400
JOURNEYS = ("browse", "search", "cart", "checkout", "return")
# The mix over all users; each leans towards what they like, most of the way from looking to buying is lost.
MIX = (0.34, 0.25, 0.15, 0.22, 0.04)
# Name, share of users, added milliseconds to the server's first byte, times slower to render than a desktop.
DEVICES = (("desktop", 0.45, 20, 1.0), ("mobile", 0.45, 90, 2.2), ("tablet", 0.10, 60, 1.6))
AGENTS = {
    "desktop": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "mobile": "Mozilla/5.0 (Linux; Android 16; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile",
    "tablet": "Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6",
}
FAVOURITES = 12


@dataclass(frozen=True, slots=True)
class User:
    """One user; the same seed gives the same habits."""

    id: str
    activity: float  # how often they come, relative; a few come daily, most now and then
    hour: float  # when they like to come best
    mix: tuple[float, ...]  # cumulated weights of JOURNEYS
    favourites: tuple[int, ...]  # positions in the list of products, dearest first
    quantity: float  # mean number of each thing bought
    haste: float  # factor on the time to think
    device: str
    address: str  # where their requests come from; of a network set aside for such things (RFC 2544)
    network_ms: float  # to the first byte, beside the server's own time
    render: float  # how much longer than a fast desktop the device takes


def users(seed: int, products: int) -> tuple[User, ...]:
    """All users of a shop with that many products."""
    return tuple(_user(random.Random(f"user {seed} {n}"), n, products) for n in range(USERS))


def _user(rng: random.Random, number: int, products: int) -> User:
    mix = [weight * rng.lognormvariate(0, 0.6) for weight in MIX]
    name, _, network_ms, render = rng.choices(DEVICES, [share for _, share, _, _ in DEVICES])[0]
    return User(
        id=f"u-{number:03}",
        activity=rng.lognormvariate(0, 1),
        hour=rng.choices((12.5, 16.0, 20.0, 23.5), (2, 2, 5, 1))[0] + rng.uniform(-1.5, 1.5),
        mix=tuple(accumulate(mix)),
        favourites=tuple(popular(rng, products) for _ in range(FAVOURITES)),
        quantity=rng.choice((1.0, 1.0, 1.2, 1.5, 2.5)),
        haste=rng.lognormvariate(0, 0.4),
        device=name,
        address=f"198.18.{number // 250}.{number % 250 + 1}",
        network_ms=network_ms * rng.lognormvariate(0, 0.3),
        render=render * rng.lognormvariate(0, 0.2),
    )


def popular(rng: random.Random, products: int) -> int:
    """A product's position, the first ones far more often: the k-th in proportion to 1 / (k + 3)."""
    return drawn(rng, _popularity(products))


@cache
def _popularity(products: int) -> list[float]:
    return list(accumulate(1 / (position + 3) for position in range(products)))


class Crowd:
    """Who comes at what hour: regulars more often, everyone rather at their own time."""

    def __init__(self, seed: int, products: int) -> None:
        self.users = users(seed, products)
        self._by_hour = [list(accumulate(_likely(user, hour) for user in self.users)) for hour in range(24)]

    def drawn(self, rng: random.Random, minute_of_week: float) -> User:
        """The next visitor."""
        hour = int(minute_of_week % DAY_MINUTES) // HOUR_MINUTES
        return self.users[drawn(rng, self._by_hour[hour])]


def _likely(user: User, hour: int) -> float:
    away = abs(hour + 0.5 - user.hour) % 24
    return user.activity * (0.15 + max(0.0, 1 - min(away, 24 - away) / 6))
