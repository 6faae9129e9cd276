"""A capture: the SDK at work, with a list in the place of the network."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from gnomon.lifecycle import ensure, shutdown
from gnomon.manager import ObservabilityManager
from gnomon.process.ids import CountingIds
from gnomon.tracing.span import Span
from gnomon.wire.metrics import Family, Point

T = TypeVar("T")

BEGINNING_NS = 1_700_000_000_000_000_000
TICK_NS = 1_000_000
# Whatever the environment says, which may be that of a service.
QUIET: dict[str, Any] = {
    **{f"export.{part}protocol": "none" for part in ("", "traces.", "metrics.", "logs.")},
    "logs.console": "off",
    "disabled": False,
}


class TickingClock:
    """Time that moves by a millisecond whenever it is asked for, so that a test's times are the same in every run."""

    def __init__(self, start_ns: int = BEGINNING_NS, tick_ns: int = TICK_NS) -> None:
        self.now_ns, self._tick_ns = start_ns, tick_ns
        self._lock = threading.Lock()

    def __call__(self) -> int:
        """Unix nanoseconds, a tick later than the last time."""
        with self._lock:
            self.now_ns += self._tick_ns
            return self.now_ns


class _Lines:
    """Stands where the console is, and keeps what it is shown."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []
        self.writer = self
        self.dropped = 0

    def write(self, line: dict[str, Any], important: bool) -> None:  # noqa: ARG002 - the console's signature
        self.kept.append(line)

    def flush(self, timeout_s: float) -> bool:  # noqa: ARG002 - likewise
        return True

    def shutdown(self, timeout_s: float) -> bool:  # noqa: ARG002 - likewise
        return True


class Capture:
    """What was recorded.

    Attributes:
        spans: in the order in which they ended: `name`, `attributes`, `status`, `parent`, `trace`, `id`, ...
        logs: the JSON lines, as dictionaries: `message`, `level`, `category`, `context`, `fields`.
        clock: the time that spans and lines are stamped with.
    """

    def __init__(self, manager: ObservabilityManager, clock: TickingClock) -> None:
        self.manager, self.clock = manager, clock
        self.spans: list[Span] = []
        self._lines = _Lines()

    @property
    def logs(self) -> list[dict[str, Any]]:
        """The lines so far."""
        return self._lines.kept

    def span(self, name: str) -> Span:
        """The one span of this name; AssertionError, with what there is, if there is none or more."""
        return _only([span for span in self.spans if span.name == name], name, [span.name for span in self.spans])

    def log(self, message: str) -> dict[str, Any]:
        """The one line with this message; AssertionError likewise."""
        return _only(
            [line for line in self.logs if line["message"] == message], message, [one["message"] for one in self.logs]
        )

    def children(self, parent: Span) -> list[Span]:
        """The spans right below one."""
        return [span for span in self.spans if span.parent == parent.id and span.trace == parent.trace]

    def metrics(self) -> dict[str, Family]:
        """All metrics as they stand, by name."""
        return {family.name: family for family in self.manager.recorders.registry.collect()}

    def point(self, name: str, **labels: Any) -> Point:
        """The point of a metric whose labels contain these (dots as `__`); AssertionError when it is not one."""
        wanted = {key.replace("__", "."): value for key, value in labels.items()}
        points = self.metrics()[name].points if name in self.metrics() else ()
        found = [point for point in points if wanted.items() <= dict(point.labels).items()]
        return _only(found, f"{name}{wanted}", [dict(point.labels) for point in points])

    def clear(self) -> None:
        """Forget spans and lines. Metrics go on."""
        self.spans.clear()
        self.logs.clear()


def _only(found: list[T], wanted: str, there: list[Any]) -> T:
    if len(found) != 1:
        raise AssertionError(f"{len(found)} of {wanted!r}, not one; there are {there}")
    return found[0]


@contextmanager
def capture(**settings: Any) -> Iterator[Capture]:
    """Capture what is recorded inside the block.

    Starts the SDK with these settings (as those of `gnomon.instrument`), sending nothing, and stops it afterwards; also
    where the environment has switched it off. If it runs already, because the application under test has started it,
    that one is listened to, and goes on.
    """
    before = ObservabilityManager.running
    if before is None:
        shutdown()  # one that is switched off, too
    manager = before or ensure(**{**QUIET, **settings})
    clock = TickingClock()
    captured = Capture(manager, clock)
    tracers, pipeline = manager.recorders.tracers, manager.pipeline
    ids, time_ns = tracers.ids, tracers.recording.time_ns
    tracers.ids, tracers.recording.time_ns = CountingIds(), clock
    stop = tracers.add_ended(captured.spans.append)
    lines: Any = captured._lines  # noqa: SLF001 - our own
    if pipeline is not None:
        console, pipeline.console = pipeline.console, lines
        stamps, pipeline.time_ns = pipeline.time_ns, clock
    try:
        yield captured
    finally:
        stop()
        tracers.ids, tracers.recording.time_ns = ids, time_ns
        if pipeline is not None:
            pipeline.console, pipeline.time_ns = console, stamps
        if before is None:
            manager.shutdown()
