"""What was used last, within a budget."""

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Lru(Generic[K, V]):
    """Values and what they weigh; the one that was not used longest goes first. Not thread-safe.

    Nothing above a quarter of the budget is kept: no single one turns out all others.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self.weight = 0

    def find(self, key: K) -> V | None:
        """The value, which is used now."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def keep(self, key: K, value: V, weight: int) -> None:
        """Keep it in the place of an older one."""
        if before := self._kept.pop(key, None):
            self.weight -= before[1]
        if weight > self._budget // 4:
            return
        self._kept[key] = value, weight
        self.weight += weight
        while self.weight > self._budget:
            _, (_, gone) = self._kept.popitem(last=False)
            self.weight -= gone
