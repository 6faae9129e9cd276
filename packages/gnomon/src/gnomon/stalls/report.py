"""Telling of stalls: a log line, metrics, attributes of the request's span."""

from collections.abc import Mapping
from typing import Any

from gnomon.issues.limiter import Limiter
from gnomon.logging.categories import LogCategory, LogLevel
from gnomon.logging.source import Source
from gnomon.metrics.instruments import Counter, Histogram
from gnomon.metrics.registry import Registry
from gnomon.process.clock import SYSTEM, Clock
from gnomon.stalls.stall import Open, Stall

EVERY_S = 10.0
MOST_FUNCTIONS = 100
LAG_BOUNDS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
STALL_BOUNDS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
FUNCTION = "code.function.name"
_none: Mapping[str, Any] = {}


class Reporter:
    """Tells of stalls.

    Args:
        source: where lines are logged; None: none are.
        registry: of the metrics; None: there are none.
        clock: for the limit: a line of code is told of at most once in ten seconds, the others are counted.
    """

    def __init__(self, source: Source | None, registry: Registry | None, clock: Clock = SYSTEM) -> None:
        self._source, self._limiter = source, Limiter(clock, every_s=EVERY_S)
        self.lag = self._stalls = self._durations = None
        if registry is not None:
            lag = Histogram(
                "gnomon.event_loop.lag", "How long a callback waits for its turn.", (), unit="s", bounds=LAG_BOUNDS_S,
                registry=registry,
            )  # fmt: skip
            self.lag = lag.labels()
            self._stalls = Counter(
                "gnomon.event_loop.stalls", "Stalls of the event loop.", ("gnomon.stall.kind", FUNCTION),
                unit="{stall}", cap=MOST_FUNCTIONS, registry=registry,
            )  # fmt: skip
            self._durations = Histogram(
                "gnomon.event_loop.stall.duration", "How long stalls lasted.", (FUNCTION,), unit="s",
                bounds=STALL_BOUNDS_S, cap=MOST_FUNCTIONS, registry=registry,
            )  # fmt: skip

    def tell(self, stall: Stall) -> None:
        """Report one, from the watchdog's thread."""
        function = stall.line.function if stall.line is not None else ""
        if not stall.lasting and self._stalls is not None and self._durations is not None:
            self._stalls.inc(**{"gnomon.stall.kind": stall.kind.value, FUNCTION: function})
            self._durations.observe(stall.duration_s, **{FUNCTION: function})
        if self._source is None:
            return
        place = f"{stall.line.file}:{stall.line.number}" if stall.line is not None else stall.why
        stands_for = self._limiter.admitted(f"{place} {stall.duration_s:.0f}" if stall.lasting else place)
        if not stands_for:
            return
        level = LogLevel.WARNING if stall.harmed or stall.lasting else LogLevel.INFO
        if level >= self._source.level:
            fields = {**stall.fields, "gnomon.stall.occurrences": stands_for} if stands_for > 1 else stall.fields
            ids = stall.serving.ids if stall.serving is not None else None
            self._source.log(level, stall.message, LogCategory.PERFORMANCE, fields, ids=ids)


def mark(stall: Open, lasted_s: float) -> None:
    """Say it on the spans of the requests that were being served, while they still record.

    A span may end in the very callback that blocks, so it is marked while it is blocked: what it says is at least so.
    """
    for place in stall.seen.values():
        span = place.serving.span if place.serving is not None else None
        if span is None or place.stack.blamed is None or not span.is_recording():
            continue
        told = {"gnomon.stall.duration_s": round(lasted_s, 3), "gnomon.stall.line": place.stack.blamed.shown}
        # Its thread may be setting attributes. No call stands between the look and the change: nothing gets lost.
        if hasattr(span, "_attributes"):
            span._attributes = {**(span._attributes or _none), **told}  # noqa: SLF001 - set_attributes is its thread's
