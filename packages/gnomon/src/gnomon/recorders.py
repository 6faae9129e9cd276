"""What records, once in a process: the three queues and the providers that fill them.

OpenTelemetry's APIs take one provider a process and keep it, and code everywhere holds tracers, loggers and cells. So
these stay for as long as the process does; a manager gives them settings and a way out, and takes both away again.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gnomon.config.route import route
from gnomon.export.outlet import Outlet, Signal
from gnomon.metrics.otel import MeterProvider
from gnomon.metrics.registry import Registry, default_registry
from gnomon.tracing.adopt import AdoptedSpans
from gnomon.tracing.provider import TracerProvider

if TYPE_CHECKING:
    from gnomon.config.export import ExportSettings


@dataclass(slots=True)
class Recorders:
    """The queues, and what fills them."""

    outlets: dict[Signal, Outlet] = field(default_factory=lambda: {signal: Outlet(signal) for signal in Signal})
    tracers: TracerProvider = field(init=False)
    registry: Registry = field(default_factory=default_registry)
    meters: MeterProvider = field(init=False)
    _adopted: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.tracers = TracerProvider(self.outlets[Signal.TRACES])
        self.meters = MeterProvider(self.registry)

    def adopt(self, provider: Any) -> None:
        """Send the spans of a provider that was there before ours; it keeps us for good, so once."""
        if self._adopted is not provider:
            self._adopted = provider
            provider.add_span_processor(AdoptedSpans(self.outlets[Signal.TRACES], self.tracers.recording))

    def open(self, settings: "ExportSettings") -> None:
        """Give the queues their bounds."""
        for signal, outlet in self.outlets.items():
            way = route(settings, signal.value)
            outlet.most_records = way.queue_size
            # A third each: the setting bounds all of them together.
            outlet.most_bytes = settings.queue_bytes // len(Signal)
            outlet.batch = outlet.wake_at = min(way.batch_size, way.queue_size)

    def close(self) -> None:
        """Take nothing more: what is recorded from now on is dropped, and counted."""
        for outlet in self.outlets.values():
            outlet.most_records = outlet.most_bytes = 0


_made: list[Recorders] = []


def recorders() -> Recorders:
    """The process's own."""
    if not _made:
        _made.append(Recorders())
    return _made[0]
