"""Trace and span ids: random, and not the parent's random after a fork."""

import random
from collections.abc import Callable
from itertools import count

from gnomon.process.forks import after_fork


class Ids:
    """Makes ids as bytes, 16 for a trace and 8 for a span.

    `random.Random` seeded by the system costs a fifth of `os.urandom` a call, and ids are no secrets.
    """

    __slots__ = ("__weakref__", "_random", "bits")

    def __init__(self) -> None:
        self._random = random.Random()  # noqa: S311 - ids are no secrets
        self.bits: Callable[[int], int] = self._random.getrandbits
        after_fork(self.reseed)

    def reseed(self) -> None:
        """Begin a sequence of our own: in a forked child."""
        self._random.seed()

    def trace(self) -> bytes:
        """A trace id; never zero, which the standard calls invalid."""
        return (self.bits(128) or 1).to_bytes(16, "big")

    def span(self) -> bytes:
        """A span id; never zero."""
        return (self.bits(64) or 1).to_bytes(8, "big")


class CountingIds(Ids):
    """Ids that count from 1, for tests that compare whole traces."""

    __slots__ = ("_spans", "_traces")

    def __init__(self) -> None:
        super().__init__()
        self._traces, self._spans = count(1), count(1)

    def trace(self) -> bytes:
        """The next trace."""
        return next(self._traces).to_bytes(16, "big")

    def span(self) -> bytes:
        """The next span."""
        return next(self._spans).to_bytes(8, "big")
