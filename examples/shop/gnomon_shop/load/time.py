"""The shape of a day and of a week, in time that can be compressed; and arrivals that follow it.

With h the hour of the simulated day and g(h; m, s) = exp(-d(h, m)^2 / 2 s^2), where d is the distance around the clock:

    workday(h) = 0.15 + 0.8 g(h; 12.5, 2.0) + 1.4 g(h; 20, 2.2)        lunch break, long evening, quiet night
    weekend(h) = 0.15 + 1.2 g(h; 15, 4.0)                              late to rise, one broad afternoon
    factor(t)  = DAYS[weekday] x (workday or weekend)(h) / mean over the week

so that the mean of `factor` over a week is 1, and `rate x factor(t)` are the arrivals per second. The lowest value is
about 0.2, the highest about 2.5. A compressed day has the same shape, run through in `day_minutes`; its week begins
with the run, on a Monday at ten in the morning. A day of 1440 minutes is real time: hour and weekday are UTC's.
"""

import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import exp

DAYS = (1.0, 0.95, 0.95, 1.0, 1.1, 1.3, 1.2)  # Monday first
SATURDAY = 5
HOUR_MINUTES, DAY_MINUTES, WEEK_MINUTES = 60, 24 * 60, 7 * 24 * 60
BEGIN_MINUTES = 10 * HOUR_MINUTES
EPOCH_MINUTES = 3 * DAY_MINUTES  # the Unix epoch was a Thursday
MINUTE_NS = 60_000_000_000


@dataclass(frozen=True)
class Calendar:
    """Real time to simulated time."""

    start_ns: int
    day_minutes: float = DAY_MINUTES

    def minute_of_week(self, at_ns: int) -> float:
        """Simulated minutes since Monday, midnight; 0 to 10,080."""
        if self.day_minutes == DAY_MINUTES:
            return (EPOCH_MINUTES + at_ns / MINUTE_NS) % WEEK_MINUTES
        return (BEGIN_MINUTES + (at_ns - self.start_ns) / MINUTE_NS * self.compression) % WEEK_MINUTES

    @property
    def compression(self) -> float:
        """How many simulated minutes pass in a real one."""
        return DAY_MINUTES / self.day_minutes

    def factor(self, at_ns: int) -> float:
        """Arrivals at this moment over their mean."""
        return factor(self.minute_of_week(at_ns))


def factor(minute_of_week: float) -> float:
    """Arrivals at this minute of the week over their mean."""
    return _week()[int(minute_of_week) % WEEK_MINUTES]


def peak() -> float:
    """The highest factor of the week."""
    return max(_week())


@cache
def _week() -> list[float]:
    """The factor of each minute; float[10,080]."""
    raw = [
        DAYS[day] * (_weekend if day >= SATURDAY else _workday)(minute / HOUR_MINUTES)
        for day in range(7)
        for minute in range(DAY_MINUTES)
    ]
    mean = sum(raw) / len(raw)
    return [value / mean for value in raw]


def _workday(hour: float) -> float:
    return 0.15 + 0.8 * _bump(hour, 12.5, 2.0) + 1.4 * _bump(hour, 20, 2.2)


def _weekend(hour: float) -> float:
    return 0.15 + 1.2 * _bump(hour, 15, 4.0)


def _bump(hour: float, middle: float, width: float) -> float:
    away = abs(hour - middle)
    return exp(-(min(away, 24 - away) ** 2) / (2 * width**2))


def candidates(rng: random.Random, most_per_s: float, start_ns: int) -> Iterator[tuple[int, float]]:
    """A Poisson process at the highest rate, as (time, die); the die is between 0 and 1.

    It is thinned by keeping those whose die is below rate(time) / most_per_s. Who decides only when the time has come
    can follow a rate that is not known beforehand.
    """
    at_s = 0.0
    while True:
        at_s += rng.expovariate(most_per_s)
        yield start_ns + int(at_s * 1e9), rng.random()


def drawn(rng: random.Random, cumulated: list[float]) -> int:
    """A position in a list of cumulated weights, drawn in proportion to the weights."""
    return min(bisect_right(cumulated, rng.random() * cumulated[-1]), len(cumulated) - 1)
