"""What an integration is given, and what it gives back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gnomon.metrics.registry import Registry
from gnomon.tracing.propagation import Propagator
from gnomon.tracing.provider import TracerProvider


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The pillars, as integrations see them. A pillar that is switched off is None.

    Attributes:
        tracers: makes tracers; `tracers.get_tracer("gnomon.integrations.x").begin(...)` is the fast door.
        metrics: where instruments are registered.
        propagator: reads and writes the headers of calls.
        options: the integration's own settings.
    """

    tracers: TracerProvider | None
    metrics: Registry | None
    propagator: Propagator
    options: Mapping[str, Any] = field(default_factory=dict)


class Integration(Protocol):
    """A module of this package: one function."""

    def install(self, telemetry: Telemetry) -> Callable[[], None]:
        """Instrument the library, which is imported by now; returns what undoes it."""
