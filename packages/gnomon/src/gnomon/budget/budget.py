"""The budget: compares what we cost with what we may, once a second, and steps up or down.

    cost of a second = metered calls * their mean + CPU time of our threads

Up at once when it is too much; down only after some seconds with so much room that twice as much would fit: a step
down may double what is kept.
"""

import logging
from collections.abc import Callable
from typing import Protocol

from gnomon.budget.meter import Meter, thread_cpu_s
from gnomon.budget.throttle import STEPS, Step
from gnomon.components import Health, State
from gnomon.metrics.instruments import ObservableGauge
from gnomon.metrics.registry import Registry
from gnomon.process.clock import SYSTEM, Clock
from gnomon.process.forks import after_fork

log = logging.getLogger("gnomon.budget")

# The kind of calls that stands for a request.
REQUEST = "request"
# Below this share of a core a limit per request is not enforced: a thread that wakes once a second has a price of its
# own, which two requests a second cannot carry, and nothing that is let go would lower it.
FLOOR_RATIO = 0.002
# Room to step down: a step may double the cost, and the load varies.
ROOM_RATIO, PATIENCE = 0.4, 10
# After a step up the next one waits for so many ticks, until what the first one saves is seen.
SETTLES = 2
# Of the cost, what the newest second weighs: half of a change is seen after one, seven eighths after three.
NEWEST = 0.5
# What one second is taken for at most, in limits: metrics are pushed in one of many seconds, and no step saves that.
WORST = 4


class Limit(Protocol):
    """As `config.units.Overhead`: one of the two is set."""

    @property
    def cpu_ratio(self) -> float | None:
        """A share of one core."""

    @property
    def request_s(self) -> float | None:
        """CPU seconds of a request."""


class Budget:
    """Keeps what we cost within a limit. A component; `tick` is to be called about once a second, by the pump.

    Args:
        limit: what we may cost; None: no limit, and nothing happens. May be changed at any time.
        meter: knows what our code costs; its kind `request` counts requests.
        apply: puts a step into effect.
        registry: of the metrics; None: there are none.
        clock: seconds.
        threads_s: CPU seconds of our threads, by id.

    Attributes:
        spent: what we cost lately: a share of a core, or CPU seconds a request, as the limit is.
    """

    def __init__(
        self,
        limit: Limit | None,
        meter: Meter,
        apply: Callable[[Step], object],
        registry: Registry | None = None,
        clock: Clock = SYSTEM,
        threads_s: Callable[[], dict[int, float]] = thread_cpu_s,
    ) -> None:
        self.limit, self.meter, self._apply, self._clock, self._threads_s = limit, meter, apply, clock, threads_s
        self.spent, self._calm, self._number, self._warned, self._settling = 0.0, 0, 0, False, 0
        self._at_s = self._used = self._threads = 0.0
        self._lately = 0.0  # as `spent`, without what a single second has more than others
        self._served, self._seen = 0, dict[int, float]()
        self._begin_anew()
        after_fork(self._begin_anew)
        self._registry, self._shown = registry, limit
        self._show()

    @property
    def step(self) -> Step:
        """What is kept now."""
        return STEPS[self._number]

    def start(self) -> None:
        """Nothing runs before the first tick."""

    def shutdown(self, deadline_s: float) -> None:  # noqa: ARG002 - nothing takes time
        """Keep everything, meter nothing, and show nothing."""
        self.meter.close()
        self._number = 0
        self._apply(STEPS[0])
        self._hide()

    def health(self) -> Health:
        """Degraded while telemetry is thinned: the host is well, but what it tells is not all."""
        if not self._number:
            return Health()
        return Health(State.DEGRADED, f"over budget: {self._account()}; {self.step.name}")

    def again(self) -> None:
        """Settings have changed, which may have undone the step; the limit may be another one, or none."""
        if self.limit is None:
            self._number = self._calm = 0
        if _per_request(self.limit) != _per_request(self._shown):
            self._hide()
            self.spent, self._lately, self._shown = 0.0, 0.0, self.limit
            self._show()
        self._apply(self.step)

    def tick(self) -> None:
        """Compare, and take a step if there is need."""
        now_s, used_s, requests = self._clock.monotonic_s(), self._used_s(), self.meter.cost(REQUEST).calls
        past_s, cost_s, served = now_s - self._at_s, used_s - self._used, requests - self._served
        limit = self.limit
        if past_s < 0.1 or limit is None:  # noqa: PLR2004 - a hurried pump; the next tick has more to go by
            return
        self._at_s, self._used, self._served = now_s, used_s, requests
        if limit.request_s is not None:
            allowed, now = limit.request_s, cost_s / served if served else 0.0
            if cost_s < FLOOR_RATIO * past_s:
                now = min(now, allowed * ROOM_RATIO / 2)  # well within the room: who was thinned comes back
        else:
            allowed, now = limit.cpu_ratio or 1.0, cost_s / past_s
        self.spent += (now - self.spent) * NEWEST
        self._decide(allowed, now)

    def _show(self) -> None:
        """Register the metrics; what is spent is a share of a core, or seconds of a request."""
        if self._registry is None:
            return
        unit = "s" if _per_request(self._shown) else "1"
        for name, value, told, one in (
            ("gnomon.sdk.overhead", lambda: self.spent, "What this SDK costs.", unit),
            ("gnomon.sdk.throttle", lambda: self.step.share, "Share of requests that keep spans and INFO lines.", "1"),
        ):
            ObservableGauge(name, value, told, unit=one, registry=self._registry)

    def _hide(self) -> None:
        """Register them no more: whoever comes after us has its own."""
        if self._registry is not None:
            self._registry.unregister("gnomon.sdk.overhead")
            self._registry.unregister("gnomon.sdk.throttle")

    def _decide(self, allowed: float, now: float) -> None:
        before = self._lately
        self._lately += (min(now, WORST * max(allowed, before)) - before) * NEWEST
        self._settling = max(self._settling - 1, 0)
        # Over only when both say so: one bad second is no reason, and neither is one that is over already.
        if min(before, now) > allowed:
            self._calm = 0
            if self._settling:
                return
            # Far over, two steps: each halves what is kept, if not the cost.
            self._to(self._number + (2 if now > 2 * allowed else 1))
        elif max(self._lately, now) < allowed * ROOM_RATIO:
            self._calm += 1
            if self._calm >= PATIENCE and self._number:
                self._calm = 0
                self._to(self._number - 1)
        elif min(before, now) > allowed * ROOM_RATIO:
            self._calm = 0

    def _to(self, number: int) -> None:
        number = min(number, len(STEPS) - 1)
        if number == self._number:
            if not self._warned:
                self._warned = True
                log.warning("The overhead budget cannot be kept: %s; %s", self._account(), self.step.name)
            return
        self._number, self._warned, self._settling = number, False, SETTLES + 1
        self.meter.relearn()
        self._apply(self.step)
        log.warning("The overhead budget: %s; from now on %s", self._account(), self.step.name)

    def _account(self) -> str:
        """What is spent of what, in words."""
        limit = self.limit
        if limit is not None and limit.request_s is not None:
            return f"{self.spent * 1e6:.0f} us of CPU a request of {limit.request_s * 1e6:g} us"
        allowed = limit.cpu_ratio if limit is not None and limit.cpu_ratio is not None else 1.0
        return f"{self.spent:.2%} of a core of {allowed:.2%}"

    def _used_s(self) -> float:
        """CPU seconds that we have used in this process; grows, also when a thread of ours ends."""
        seen = self._threads_s()
        for thread, used_s in seen.items():
            self._threads += max(used_s - self._seen.get(thread, 0.0), 0.0)
        self._seen = seen
        return self._threads + self.meter.settle()

    def _begin_anew(self) -> None:
        """At start, and in a forked child, whose threads and times are its own."""
        self._threads, self._seen = 0.0, self._threads_s()
        self._at_s = self._clock.monotonic_s()
        self._served, self._used = self.meter.cost(REQUEST).calls, self.meter.settle()


def _per_request(limit: Limit | None) -> bool:
    return limit is not None and limit.request_s is not None
