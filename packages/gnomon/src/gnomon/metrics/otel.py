"""The OpenTelemetry Metrics API over our registry: libraries instrumented for OTel measure into the same `/metrics`.

from opentelemetry import metrics
metrics.set_meter_provider(MeterProvider())
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, TypeVar

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, CallbackT, Observation
from opentelemetry.util.types import Attributes

from gnomon.errors import MetricsError
from gnomon.metrics import instruments
from gnomon.metrics.instruments import DURATION_BOUNDS_S, Observable
from gnomon.metrics.labelled import Direct, Instrument
from gnomon.metrics.registry import Registry, default_registry
from gnomon.metrics.said import say_once
from gnomon.wire.envelope import Scope

# What the OTel SDK uses for histograms that advise nothing.
DEFAULT_BOUNDS = (0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)

I = TypeVar("I", bound=Instrument)  # noqa: E741 - instrument


class MeterProvider(metrics.MeterProvider):
    """Gives meters that measure into a registry; the process's own if None."""

    def __init__(self, registry: Registry | None = None) -> None:
        self._registry = registry or default_registry()

    def get_meter(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes | None = None,
    ) -> "Meter":
        """A meter for the library of this name."""
        return Meter(self._registry, name, version, schema_url, attributes)


class Meter(metrics.Meter):
    """Makes instruments of one library. What we refuse becomes an instrument that does nothing, and is said once."""

    def __init__(
        self,
        registry: Registry,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes | None = None,
    ) -> None:
        super().__init__(name, version, schema_url)
        self._registry = registry
        self._scope = Scope(
            name or "unknown", version or "", schema_url or "", tuple(sorted((attributes or {}).items()))
        )

    def create_counter(self, name: str, unit: str = "", description: str = "") -> metrics.Counter:
        """A sum that only grows."""
        made = self._made(instruments.Counter, name, description, unit=unit)
        return Counter(made) if made else metrics.NoOpCounter(name)

    def create_up_down_counter(self, name: str, unit: str = "", description: str = "") -> metrics.UpDownCounter:
        """A sum that also falls."""
        made = self._made(instruments.UpDownCounter, name, description, unit=unit)
        return UpDownCounter(made) if made else metrics.NoOpUpDownCounter(name)

    def create_gauge(
        self, name: str, unit: str = "", description: str = ""
    ) -> Any:  # the API exports its class privately
        """The last value of something."""
        made = self._made(instruments.Gauge, name, description, unit=unit)
        return Gauge(made) if made else metrics.NoOpMeter("refused").create_gauge(name)

    def create_histogram(
        self,
        name: str,
        unit: str = "",
        description: str = "",
        *,
        explicit_bucket_boundaries_advisory: Sequence[float] | None = None,
    ) -> metrics.Histogram:
        """Counts by the advised bounds; for seconds, our own; else what the OTel SDK takes."""
        bounds = explicit_bucket_boundaries_advisory or (DURATION_BOUNDS_S if unit == "s" else DEFAULT_BOUNDS)
        made = self._made(instruments.Histogram, name, description, unit=unit, bounds=bounds)
        return Histogram(made) if made else metrics.NoOpHistogram(name)

    def create_observable_counter(
        self, name: str, callbacks: Sequence[CallbackT] | None = None, unit: str = "", description: str = ""
    ) -> metrics.ObservableCounter:
        """A sum that is kept elsewhere."""
        self._observed(instruments.ObservableCounter, name, callbacks, description, unit)
        return metrics.NoOpObservableCounter(name)

    def create_observable_up_down_counter(
        self, name: str, callbacks: Sequence[CallbackT] | None = None, unit: str = "", description: str = ""
    ) -> metrics.ObservableUpDownCounter:
        """A sum that is kept elsewhere, and also falls."""
        self._observed(instruments.ObservableUpDownCounter, name, callbacks, description, unit)
        return metrics.NoOpObservableUpDownCounter(name)

    def create_observable_gauge(
        self, name: str, callbacks: Sequence[CallbackT] | None = None, unit: str = "", description: str = ""
    ) -> metrics.ObservableGauge:
        """A value that is looked up when read."""
        self._observed(instruments.ObservableGauge, name, callbacks, description, unit)
        return metrics.NoOpObservableGauge(name)

    def _made(self, kind: type[I], name: str, description: str, **settings: Any) -> I | None:
        known = self._registry.get(name, self._scope)
        if type(known) is kind and known.unit == settings["unit"]:
            return known  # advice does not make another instrument
        try:
            return kind(name, description=description, scope=self._scope, registry=self._registry, **settings)
        except MetricsError as error:
            say_once(f"otel {self._scope.name} {name}", f"an OpenTelemetry instrument measures nothing: {error}")
            return None

    def _observed(
        self, kind: type[Observable], name: str, callbacks: Sequence[CallbackT] | None, description: str, unit: str
    ) -> None:
        made = self._made(kind, name, description, unit=unit, callback=_Callbacks())
        if made is not None and isinstance(made.callback, _Callbacks):
            made.callback.add(name, callbacks or ())


class _Callbacks:
    """All callbacks of an observable instrument: functions, or generators that yield at each reading."""

    def __init__(self) -> None:
        self._ask: list[tuple[str, Callable[[CallbackOptions], Iterable[Observation]]]] = []

    def add(self, name: str, callbacks: Sequence[CallbackT]) -> None:
        for callback in callbacks:
            if isinstance(callback, Generator):
                next(callback)
                self._ask.append((name, callback.send))
            else:
                self._ask.append((name, callback))

    def __call__(self) -> list[tuple[float, Any]]:
        found: list[tuple[float, Any]] = []
        for name, ask in list(self._ask):
            try:
                found.extend((seen.value, seen.attributes or {}) for seen in ask(CallbackOptions()))
            except Exception as error:  # noqa: BLE001 - one library's callback must not silence another's
                say_once(f"callback {name}", f"a callback of {name} failed: {error!r}")
        return found


class _Wrapped:
    """An instrument of ours, as the API calls it; the API's constructors ask for what ours knows already."""

    def __init__(self, instrument: Direct[Any]) -> None:
        self._instrument = instrument

    def _cell(self, attributes: Attributes | None) -> Any:
        return self._instrument.labels(**attributes) if attributes else self._instrument.labels()


class Counter(_Wrapped, metrics.Counter):
    """The API's counter."""

    def add(self, amount: float, attributes: Attributes | None = None, context: Any = None) -> None:  # noqa: ARG002 - exemplars ask for the current one
        """Count."""
        self._cell(attributes).add(amount)


class UpDownCounter(_Wrapped, metrics.UpDownCounter):
    """The API's up-down counter."""

    def add(self, amount: float, attributes: Attributes | None = None, context: Any = None) -> None:  # noqa: ARG002 - exemplars ask for the current one
        """Add, or take away."""
        self._cell(attributes).add(amount)


class Histogram(_Wrapped, metrics.Histogram):
    """The API's histogram."""

    def record(self, amount: float, attributes: Attributes | None = None, context: Any = None) -> None:  # noqa: ARG002 - exemplars ask for the current one
        """Count into the value's bucket."""
        self._cell(attributes).observe(amount)


class Gauge(_Wrapped, metrics._Gauge):  # noqa: SLF001 - the API exports it under this name only
    """The API's gauge."""

    def set(self, amount: float, attributes: Attributes | None = None, context: Any = None) -> None:  # noqa: ARG002 - exemplars ask for the current one
        """The value from now on."""
        self._cell(attributes).set(amount)
