"""Time comes in by the door: parts that stamp or wait are given a clock, so that tests can turn it."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """The two times a part may ask for."""

    time_ns: Callable[[], int] = time.time_ns
    """Nanoseconds since the Unix epoch: for stamps."""
    monotonic_s: Callable[[], float] = time.monotonic
    """Seconds that never go back: for waiting and measuring."""


SYSTEM = Clock()
