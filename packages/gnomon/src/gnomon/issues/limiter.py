"""How often a group of exceptions is told in full: once a minute; the others are counted."""

from typing import Final

from gnomon.process.clock import SYSTEM, Clock
from gnomon.process.forks import after_fork

EVERY_S: Final = 60.0
GROUPS: Final = 1024


class Limiter:
    """Admits one occurrence of each group in a while.

    Two threads that meet the same new group at the same moment may both be admitted: one more, and no lock.

    Args:
        clock: for the while.
        every_s: seconds.
        groups: how many are remembered; for one more, the one that was admitted longest ago is forgotten.
    """

    __slots__ = ("__weakref__", "_admitted", "_clock", "_every_s", "_groups", "_since")

    def __init__(self, clock: Clock = SYSTEM, *, every_s: float = EVERY_S, groups: int = GROUPS) -> None:
        self._clock, self._every_s, self._groups = clock, every_s, groups
        self._admitted: dict[str, float] = {}
        self._since: dict[str, int] = {}
        after_fork(self._begin_anew)

    def admitted(self, group: str) -> int:
        """How many occurrences this one stands for, itself and those counted since the last; 0: it is counted only."""
        now = self._clock.monotonic_s()
        last = self._admitted.get(group)
        if last is not None and now - last < self._every_s:
            # Straight-line code: no other thread comes between reading the count and writing it.
            self._since[group] = self._since.get(group, 0) + 1
            return 0
        # Taken out and put in, so that the order of the dictionary is the order of admission.
        self._admitted.pop(group, None)
        self._admitted[group] = now
        occurrences = self._since.pop(group, 0) + 1
        if len(self._admitted) > self._groups:
            oldest = next(iter(self._admitted.copy()), "")  # a copy: others may be writing
            self._admitted.pop(oldest, None)
            self._since.pop(oldest, None)
        return occurrences

    def _begin_anew(self) -> None:
        self._admitted.clear()
        self._since.clear()
