"""What our own code costs: one call in 64 is timed, all are counted.

A metered function is replaced once, when a budget is set, so that a process without one pays nothing. Timed is the CPU
time of the thread: a call that waited for the interpreter or was put aside did not cost its host more.
"""

import contextlib
import functools
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

# A power of two. Timing costs a microsecond, so a 64th of it a call.
ONE_IN = 64
# The newest samples weigh this much; the first ones count alike.
WEIGHT = 1 / 16


class Cost:
    """One kind of calls.

    Attributes:
        calls: since the process began. Read, added to and written without a call between: no lock.
        mean_s: CPU seconds of one, without what is metered inside of it.
        timed: how many were timed.
    """

    __slots__ = ("calls", "mean_s", "timed")

    def __init__(self) -> None:
        self.calls = self.timed = 0
        self.mean_s = 0.0

    def take(self, cpu_s: float) -> None:
        """One call took so long."""
        self.timed += 1
        self.mean_s += (cpu_s - self.mean_s) * max(1 / self.timed, WEIGHT)


class Meter:
    """Meters functions, by kind.

    Args:
        cpu_ns: CPU nanoseconds of the running thread.
    """

    def __init__(self, cpu_ns: Callable[[], int] = time.thread_time_ns) -> None:
        self.costs: dict[str, Cost] = {}
        self._cpu_ns, self._undo = cpu_ns, list[Callable[[], None]]()
        # What reading the clock costs is not the function's.
        self._clock_s = min(-(cpu_ns() - cpu_ns()) for _ in range(100)) / 1e9

    def cost(self, kind: str) -> Cost:
        """The costs of a kind."""
        return self.costs.setdefault(kind, Cost())

    def meter(self, owner: Any, name: str, kind: str) -> None:
        """Meter a function of a class or module from now on."""
        original, own = getattr(owner, name), name in vars(owner)
        replacement = self._metered(original, self.cost(kind))
        setattr(owner, name, replacement)

        def undo() -> None:
            if getattr(owner, name) is not replacement:
                return  # someone has wrapped it again, and calls us to the end
            if own:
                setattr(owner, name, original)
            else:
                delattr(owner, name)

        self._undo.append(undo)

    def total_s(self) -> float:
        """What all calls have cost until now."""
        return sum(cost.calls * cost.mean_s for cost in list(self.costs.values()))

    def close(self) -> None:
        """Meter nothing any more."""
        while self._undo:
            self._undo.pop()()

    def _metered(self, original: Callable[..., Any], cost: Cost) -> Callable[..., Any]:
        timed, mask = self._timed, ONE_IN - 1

        @functools.wraps(original)
        def metered(*args: Any, **named: Any) -> Any:
            cost.calls += 1
            if cost.calls & mask != 1:
                return original(*args, **named)
            return timed(cost, original, args, named)

        return metered

    def _timed(self, cost: Cost, original: Callable[..., Any], args: Any, named: Any) -> Any:
        within_s, began_ns = self.total_s(), self._cpu_ns()
        try:
            return original(*args, **named)
        finally:
            took_s = (self._cpu_ns() - began_ns) / 1e9 - self._clock_s
            cost.take(max(took_s - (self.total_s() - within_s), 0.0))


def thread_cpu_s(prefix: str = "gnomon-") -> dict[int, float]:
    """CPU seconds of our own threads, by native id; where the system does not tell, of the calling one alone."""
    found: dict[int, float] = {}
    for thread in threading.enumerate():
        if not thread.name.startswith(prefix) or thread.native_id is None:
            continue
        if thread is threading.current_thread():
            found[thread.native_id] = time.thread_time()
        elif sys.platform == "linux":
            # The kernel's clock of a thread by its id, which refuses one that is gone; pthread's would crash.
            with contextlib.suppress(OSError):
                found[thread.native_id] = time.clock_gettime(~thread.native_id << 3 | 6)
    return found
