"""The composition root: `ObservabilityManager` builds every part from the settings, starts and stops them in order.

`initialize` is the list of the parts, from the bottom up. Whatever cannot be started leaves nothing behind.
"""

import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from opentelemetry import metrics, propagate, trace

from gnomon import __version__
from gnomon.components import ComponentRegistry, Exporter, Health, Report, State
from gnomon.errors import LifecycleError
from gnomon.export.destinations import pumps
from gnomon.export.outlet import Batch, Outlet, Signal
from gnomon.export.pump import Pump
from gnomon.integrations.table import Integrations
from gnomon.integrations.telemetry import Telemetry
from gnomon.metrics.collect import Deltas
from gnomon.process.clock import SYSTEM, Clock
from gnomon.process.identity import Identity
from gnomon.recorders import Recorders, recorders
from gnomon.tracing.adopt import AdoptedSpans
from gnomon.tracing.choice import sampler
from gnomon.tracing.propagation import Propagator
from gnomon.tracing.provider import Tracer
from gnomon.wire import envelope
from gnomon.wire import metrics as wire_metrics

if TYPE_CHECKING:
    from gnomon.config.settings import ObservabilityConfig
    from gnomon.config.sources import Sources

log = logging.getLogger("gnomon")
SCHEMA_URL = "https://opentelemetry.io/schemas/1.38.0"


class _Part:
    """A component from three functions."""

    def __init__(
        self,
        start: Callable[[], object],
        stop: Callable[[float], object] = lambda _: None,
        health: Callable[[], Health] = Health,
    ) -> None:
        self._start, self._stop, self._health = start, stop, health

    def start(self) -> None:
        self._start()

    def shutdown(self, deadline_s: float) -> None:
        self._stop(deadline_s)

    def health(self) -> Health:
        return self._health()


class ObservabilityManager:
    """The SDK of this process, from settings. `gnomon.instrument` makes and keeps one.

    Args:
        config: the settings; None: read from the environment and the file it names.
        components: further parts, of third parties: started after ours, stopped before them. An `Exporter` among them
            is handed every request that was delivered.
        sources: where the settings came from; their file is read again when it changes.
        clock: where the parts take time from.
    """

    running: "ObservabilityManager | None" = None

    def __init__(
        self,
        config: "ObservabilityConfig | None" = None,
        *,
        components: ComponentRegistry | None = None,
        sources: "Sources | None" = None,
        clock: Clock = SYSTEM,
    ) -> None:
        if config is None:
            from gnomon.config.sources import load  # noqa: PLC0415 - pydantic is loaded when there is something to do

            config = load()
        self.config, self._sources, self._clock = config, sources, clock
        self.components = ComponentRegistry() if components is None else components
        self._parts = ComponentRegistry()
        self._pumps: list[Pump] = []
        self.recorders: Recorders | None = None
        self.propagator = Propagator(config.traces.propagators)
        self.telemetry: Telemetry | None = None

    def initialize(self) -> Self:
        """Start everything, in order.

        Raises:
            LifecycleError: another manager runs, or a part cannot start; those before it were stopped again.
            ExportError: an address or certificate of the settings cannot be used.
        """
        if ObservabilityManager.running is not None:
            raise LifecycleError(
                "the SDK runs already in this process",
                hint="Call gnomon.shutdown() before starting it with other settings",
            )
        config = self.config
        for remark in config.remarks:
            log.warning("%s", remark)
        self.recorders = made = recorders()
        identity = Identity(_resource(config), __version__)
        made.open(config.export)
        self._pumps = pumps(config.export, made.outlets, _encoder(identity), self._hand_over, self._clock)
        self.telemetry = Telemetry(
            made.tracers, made.registry if config.metrics.enabled else None, self.propagator, _options(config)
        )
        parts = self._parts
        parts.register("traces", _Part(self._start_traces))
        if config.metrics.enabled:
            parts.register("metrics", _Part(self._start_metrics))
        for number, pump in enumerate(self._pumps):
            parts.register(f"export{number or ''}", _exporting(pump))
        integrations = Integrations(self.telemetry, config.integrations)
        parts.register("integrations", _Part(integrations.install, lambda _: integrations.uninstall()))
        parts.start()
        try:
            self.components.start()
        except LifecycleError:
            self._stop(config.export.shutdown_timeout_s)
            raise
        ObservabilityManager.running = self
        return self

    def shutdown(self, timeout_s: float | None = None) -> dict[str, str]:
        """Send what waits and stop everything, in reverse, within a deadline.

        Args:
            timeout_s: for all of it; None: the setting `export.shutdown_timeout_s`.

        Returns:
            Parts that could not be stopped in time, and why; mostly empty.
        """
        if ObservabilityManager.running is not self:
            return {}
        ObservabilityManager.running = None
        return self._stop(self.config.export.shutdown_timeout_s if timeout_s is None else timeout_s)

    def _stop(self, timeout_s: float) -> dict[str, str]:
        ends_s = self._clock.monotonic_s() + timeout_s
        unstopped = self.components.shutdown(timeout_s)
        unstopped |= self._parts.shutdown(max(ends_s - self._clock.monotonic_s(), 0.0))
        if self.recorders is not None:
            self.recorders.close()
        return unstopped

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Send what waits now; whether all of it left in time."""
        ends_s = self._clock.monotonic_s() + timeout_s
        return all([pump.flush(max(ends_s - self._clock.monotonic_s(), 0.0)) for pump in self._pumps])

    def status(self) -> Report:
        """The state of every part and of the whole; the worst decides."""
        ours, others = self._parts.health(), self.components.health()
        return Report(max(ours.state, others.state), {**ours.parts, **others.parts})

    def tracer(self, name: str) -> Tracer:
        """A tracer of our provider, also where the host has set another one."""
        return recorders().tracers.get_tracer(name)

    def _start_traces(self) -> None:
        assert self.recorders is not None  # noqa: S101 - set before the parts are started
        tracers, settings = self.recorders.tracers, self.config.traces
        tracers.sampler, tracers.parent_based = sampler(settings)
        tracers.recording.keep = settings.enabled and (settings.keep_errors or settings.keep_slower_than_s is not None)
        if settings.keep_slower_than_s is not None:
            tracers.recording.slower_than_ns = int(settings.keep_slower_than_s * 1e9)
        propagate.set_global_textmap(self.propagator)
        present: Any = trace.get_tracer_provider()
        if present is tracers:
            return
        if hasattr(present, "add_span_processor"):
            present.add_span_processor(AdoptedSpans(self.recorders.outlets[Signal.TRACES], tracers.recording))
        else:
            trace.set_tracer_provider(tracers)

    def _start_metrics(self) -> None:
        assert self.recorders is not None  # noqa: S101 - as above
        settings, registry = self.config.metrics, self.recorders.registry
        if not hasattr(metrics.get_meter_provider(), "force_flush"):  # what the API's proxies lack
            metrics.set_meter_provider(self.recorders.meters)
        outlet = self.recorders.outlets[Signal.METRICS]
        deltas = None if settings.temporality == "cumulative" else Deltas()

        def push() -> None:
            families = registry.collect()
            for scope, records in wire_metrics.encode(families if deltas is None else deltas.since(families)):
                put = outlet.lane(scope).put
                for record in records:
                    put(record)

        next(pump for pump in self._pumps if outlet in pump.outlets).every(settings.interval_s, push)

    def _hand_over(self, signal: Signal, body: bytes) -> None:
        for exporter in self.components.of(Exporter).values():
            with contextlib.suppress(Exception):  # its own health() says how it is
                exporter.export(signal.value, body)


def _exporting(pump: Pump) -> _Part:
    def health() -> Health:
        failing = "; ".join(f"{signal}: {why}" for signal, why in pump.failing.items())
        return Health(State.DEGRADED, failing) if failing else Health()

    return _Part(pump.start, pump.shutdown, health)


def _encoder(identity: Identity) -> Callable[[Outlet, Batch], bytes]:
    return lambda _, batch: envelope.request(identity.encoded, batch.groups, SCHEMA_URL)


def _resource(config: "ObservabilityConfig") -> dict[str, Any]:
    """The service, by the names of the semantic conventions; what is not set is not said."""
    service = config.service
    told = {
        "service.name": service.name,
        "service.version": service.version,
        "service.namespace": service.namespace,
        "deployment.environment.name": service.environment,
        "service.instance.id": service.instance_id,
    }
    return {**service.resource_attributes, **{key: value for key, value in told.items() if value}}


def _options(config: "ObservabilityConfig") -> dict[str, Any]:
    return {"excluded_urls": config.traces.excluded_urls}
