"""What our own code costs: one call in 64 is timed, all are counted.

A metered function is replaced once, when a budget is set, so that a process without one pays nothing. Timed is the CPU
time of the thread: a call that waited for the interpreter or was put aside did not cost its host more.
"""

import contextlib
import functools
import inspect
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

# A power of two. Timing costs some microseconds, so a few hundredths of one a call. The first calls are not timed: they
# pay for what the later ones find in their caches.
ONE_IN = 64
# The newest samples weigh this much; the first ones count alike.
WEIGHT = 1 / 16
KNOWN_AFTER, OUTLIER = 8, 8


class Cost:
    """One kind of calls.

    Attributes:
        calls: since the process began. Read, added to and written without a call between: no lock.
        mean_s: CPU seconds of one, without what is metered inside of it.
        timed: how many were timed.
    """

    __slots__ = ("_settled", "_settled_s", "calls", "mean_s", "timed")

    def __init__(self) -> None:
        self.calls = self.timed = self._settled = 0
        self.mean_s = self._settled_s = 0.0

    def settle(self) -> float:
        """What all calls have cost until now: each at the mean of its time."""
        calls = self.calls
        if self.timed:
            self._settled_s += (calls - self._settled) * self.mean_s
        self._settled = calls
        return self._settled_s

    def take(self, cpu_s: float) -> None:
        """One call took so long; one that met the garbage collector does not stand for 64."""
        self.timed += 1
        if self.timed > KNOWN_AFTER:
            cpu_s = min(cpu_s, OUTLIER * self.mean_s)
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

    def settle(self) -> float:
        """CPU seconds that all calls have cost until now; to be asked often, by one thread."""
        return sum(cost.settle() for cost in list(self.costs.values()))

    def relearn(self) -> None:
        """What calls cost has changed: the next samples weigh as much as first ones."""
        for cost in list(self.costs.values()):
            cost.settle()
            cost.timed = min(cost.timed, 2)

    def close(self) -> None:
        """Meter nothing any more."""
        while self._undo:
            self._undo.pop()()

    def _metered(self, original: Callable[..., Any], cost: Cost) -> Callable[..., Any]:
        """The function, made with its own parameters, as dataclasses are: `*args` would double the price of a call."""
        parameters, passed = _written(inspect.signature(original))
        source = f"""def metered({parameters}):
            cost.calls += 1
            if cost.calls & {ONE_IN - 1}:
                return original({passed})
            return timed(cost, original, {passed})"""
        defaults = {name: one.default for name, one in inspect.signature(original).parameters.items()}
        space = {"cost": cost, "original": original, "timed": self._timed, "defaults": defaults}
        exec(source, space)  # noqa: S102 - from names of our own parameters
        metered: Any = space["metered"]
        return functools.wraps(original)(metered)

    def _timed(self, cost: Cost, original: Callable[..., Any], *args: Any, **named: Any) -> Any:
        before = [(other, other.calls) for other in self.costs.values()]
        began_ns = self._cpu_ns()
        try:
            return original(*args, **named)
        finally:
            took_s = (self._cpu_ns() - began_ns) / 1e9 - self._clock_s
            within_s = sum((other.calls - calls) * other.mean_s for other, calls in before if other is not cost)
            cost.take(max(took_s - within_s, 0.0))


def _written(signature: inspect.Signature) -> tuple[str, str]:
    """Parameters as they are declared, and as they are passed on."""
    declared, passed = [], []
    for name, one in signature.parameters.items():
        if one.kind is one.KEYWORD_ONLY and "*" not in declared:
            declared.append("*")
        declared.append(name if one.default is one.empty else f"{name}=defaults[{name!r}]")
        passed.append(f"{name}={name}" if one.kind is one.KEYWORD_ONLY else name)
    return ", ".join(declared), ", ".join(passed)


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
