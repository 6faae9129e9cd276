"""Which traces are recorded. The decision falls once, where a trace begins; children follow it.

A sampler says with which probability it takes traces now; the choice itself is made from the trace id, as the W3C and
OpenTelemetry define consistent probability sampling, so that two services at 10 % and 50 % keep nested sets, and a
backend can count what was left out (`ot=th:` in the trace state).
https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
"""

from dataclasses import dataclass
from typing import Protocol

from gnomon.errors import TracingError
from gnomon.process.clock import SYSTEM, Clock

_SPACE = 1 << 56


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for a new trace.

    Attributes:
        sampled: whether it is recorded.
        state: what stands in its trace state, e.g. `ot=th:c`; empty when every trace is taken or none counted.
        ratio: the share of traces that are taken now, 0 to 1.
    """

    sampled: bool
    state: str = ""
    ratio: float = 1.0


TAKEN, LEFT = Decision(sampled=True), Decision(sampled=False)


class Sampler(Protocol):
    """Decides for a trace that begins here."""

    def decide(self, trace: bytes) -> Decision:
        """Called for every root, so it must cost less than a microsecond."""


class Always:
    """Every trace."""

    def decide(self, trace: bytes) -> Decision:  # noqa: ARG002 - all are alike
        """Yes."""
        return TAKEN


class Never:
    """No trace. Ids are made and passed on all the same."""

    def decide(self, trace: bytes) -> Decision:  # noqa: ARG002 - all are alike
        """No."""
        return LEFT


class Ratio:
    """A fixed share of all traces.

    Args:
        ratio: 0 to 1.
    """

    def __init__(self, ratio: float) -> None:
        if not 0 <= ratio <= 1:
            raise TracingError(f"a sampling ratio of {ratio} is not between 0 and 1", hint="0.1 is one trace in ten")
        self.set(ratio)

    def set(self, ratio: float) -> None:
        """From now on this share."""
        self.ratio = ratio
        self._threshold = round(_SPACE * (1 - ratio))
        # Trailing zeros say nothing, and are left out by the specification.
        digits = f"{self._threshold:014x}".rstrip("0")
        self._taken = TAKEN
        if 0 < self._threshold < _SPACE:
            self._taken = Decision(sampled=True, state=f"ot=th:{digits}", ratio=ratio)

    def decide(self, trace: bytes) -> Decision:
        """By the last 56 bits of the trace id, which are random."""
        return self._taken if int.from_bytes(trace[9:], "big") >= self._threshold else LEFT


class RateLimited:
    """At most so many traces a second; a second's worth may come at once.

    Args:
        per_second: the limit, e.g. 5.
    """

    def __init__(self, per_second: float, clock: Clock = SYSTEM) -> None:
        if per_second <= 0:
            raise TracingError(f"a limit of {per_second} traces a second is not above 0")
        self.per_second, self._clock = per_second, clock
        self._tokens, self._seen_s = max(per_second, 1.0), clock.monotonic_s()

    def decide(self, trace: bytes) -> Decision:  # noqa: ARG002 - first come, first served
        """A token bucket. Threads that race take one token between them at worst, and refill it the next moment."""
        now_s = self._clock.monotonic_s()
        tokens = min(self._tokens + (now_s - self._seen_s) * self.per_second, max(self.per_second, 1.0))
        self._seen_s = now_s
        if tokens < 1:
            self._tokens = tokens
            return LEFT
        self._tokens = tokens - 1
        return TAKEN


class Adaptive:
    """A share that follows the load, so that some traces a second are kept whether ten or ten thousand begin.

    Unlike a rate limit it keeps a fair sample of every second, and its traces can be counted up again.

    Args:
        per_second: traces to keep.
        every_s: how often the share is set anew, from the load since the last time and before.
    """

    def __init__(self, per_second: float, clock: Clock = SYSTEM, every_s: float = 1.0) -> None:
        if per_second <= 0:
            raise TracingError(f"a target of {per_second} traces a second is not above 0")
        self.per_second, self._clock, self._every_s = per_second, clock, every_s
        self._ratio = Ratio(1.0)
        self._seen, self._since_s = 0, clock.monotonic_s()

    @property
    def ratio(self) -> float:
        """The share that is kept now."""
        return self._ratio.ratio

    def decide(self, trace: bytes) -> Decision:
        """Count it, and set the share anew when it is time, or when the load is far beyond what it was set for."""
        self._seen += 1
        now_s = self._clock.monotonic_s()
        past_s = now_s - self._since_s
        if past_s >= self._every_s or self._seen * self._ratio.ratio > 2 * self.per_second * self._every_s:
            # A burst is measured against a full period, not against the moment that it took.
            load = self._seen / max(past_s, self._every_s)
            self._ratio.set(min(1.0, self.per_second / load))
            self._seen, self._since_s = 0, now_s
        return self._ratio.decide(trace)
