"""What an integration is given, and what it gives back."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gnomon.logging.source import Source
from gnomon.metrics.endpoint import Endpoint
from gnomon.metrics.instruments import Histogram, UpDownCounter
from gnomon.metrics.registry import Registry
from gnomon.tracing.propagation import Propagator
from gnomon.tracing.provider import Tracer, TracerProvider
from gnomon.version import __version__

Measure = Callable[[float], object]
"""Takes a measurement."""


def _nothing(_: float) -> None:
    """Metrics are switched off."""


def _unmeasured(**_: Any) -> Measure:
    return _nothing


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

    def histogram(
        self, name: str, description: str, labels: Iterable[str] | None = None, **settings: Any
    ) -> Callable[..., Measure]:
        """What gives, for a label set, the function that takes its measurements; one that does nothing without metrics.

        The arguments are those of `metrics.Histogram`.
        """
        if self.metrics is None:
            return _unmeasured
        made = Histogram(name, description, labels, registry=self.metrics, **settings)
        return lambda **labelled: made.labels(**labelled).observe

    def up_down_counter(
        self, name: str, description: str, labels: Iterable[str] | None = None, **settings: Any
    ) -> Callable[..., Measure]:
        """As `histogram`: what gives the function that adds to a label set."""
        if self.metrics is None:
            return _unmeasured
        made = UpDownCounter(name, description, labels, registry=self.metrics, **settings)
        return lambda **labelled: made.labels(**labelled).add


@dataclass(frozen=True, slots=True)
class Known:
    """All that repeats of one kind of operation, worked out once.

    Attributes:
        block: the span's attributes, encoded, and what they are.
        observe: takes the duration in seconds.
    """

    block: tuple[bytes, Mapping[str, Any]]
    observe: Measure


class Integration(Protocol):
    """A module of this package: one function."""

    def install(self, telemetry: Telemetry) -> Callable[[], None]:
        """Instrument the library, which is imported by now; returns what undoes it."""
