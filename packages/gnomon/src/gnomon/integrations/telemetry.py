"""What an integration is given, and what it gives back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gnomon.logging.source import Source
from gnomon.metrics.endpoint import Endpoint
from gnomon.metrics.registry import Registry
from gnomon.tracing.propagation import Propagator
from gnomon.tracing.provider import Tracer, TracerProvider
from gnomon.version import __version__


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The pillars, as integrations see them.

    Attributes:
        tracers: makes tracers. With traces switched off its spans record nothing, but pass the caller's context on.
        metrics: where instruments are registered; None: metrics are switched off.
        propagator: reads and writes the headers of calls.
        access: where a served request is logged; None: it is not.
        correlates: whether correlation ids are bound to what is logged, and sent back.
        endpoint: what a scrape is answered with; None: scrapes are not ours.
        opened: called when an application has started.
        flush: sends what waits; called when an application ends, for its process may end without another word.
        options: the integration's own settings.
    """

    tracers: TracerProvider
    metrics: Registry | None
    propagator: Propagator
    access: Source | None = None
    endpoint: Endpoint | None = None
    opened: Callable[[], object] | None = None
    flush: Callable[[], object] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    correlates: bool = False

    def tracer(self, name: str) -> Tracer:
        """The tracer of an integration; its `begin` is the fast door."""
        return self.tracers.get_tracer(name, __version__)


class Integration(Protocol):
    """A module of this package: one function."""

    def install(self, telemetry: Telemetry) -> Callable[[], None]:
        """Instrument the library, which is imported by now; returns what undoes it."""
