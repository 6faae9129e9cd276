"""The composition root: `ObservabilityManager` builds every part from the settings, starts and stops them in order.

`initialize` is the list of the parts, from the bottom up. Whatever cannot be started leaves nothing behind.
"""

import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from opentelemetry import metrics, propagate, trace

from gnomon import __version__
from gnomon.components import Component, ComponentRegistry, Exporter, Health, Report, State
from gnomon.context import current_ids, is_default
from gnomon.errors import LifecycleError
from gnomon.export.destinations import pumps
from gnomon.export.outlet import Batch, Outlet, Signal
from gnomon.export.pump import Pump
from gnomon.integrations.log_bridges import bridged
from gnomon.integrations.table import Integrations
from gnomon.integrations.telemetry import Telemetry
from gnomon.issues.limiter import Limiter
from gnomon.issues.recorder import Recorder
from gnomon.logging import exceptions
from gnomon.logging.bridges import servers
from gnomon.logging.categories import LogCategory
from gnomon.logging.levels import Levels
from gnomon.logging.pipeline import Pipeline
from gnomon.logging.sampling import Sampling
from gnomon.logging.writer import console
from gnomon.metrics import host_metrics, process_metrics
from gnomon.metrics.cells import set_exemplar_source
from gnomon.metrics.classic import classic
from gnomon.metrics.collect import Deltas
from gnomon.metrics.endpoint import Endpoint
from gnomon.metrics.instruments import Counter, ObservableCounter
from gnomon.metrics.registry import Registry
from gnomon.privacy.masking import HARMLESS_VALUES, Masker
from gnomon.process.clock import SYSTEM, Clock
from gnomon.process.identity import Identity
from gnomon.recorders import recorders
from gnomon.tracing.baggage import carried
from gnomon.tracing.choice import sampler
from gnomon.tracing.propagation import Propagator
from gnomon.tracing.provider import Tracer
from gnomon.wire import envelope
from gnomon.wire import metrics as wire_metrics
from gnomon.wire.attributes import Mask

if TYPE_CHECKING:
    from gnomon.config.pillars import TraceSettings
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
        self.recorders = recorders()
        self.identity = Identity(_resource(config), __version__)
        self.propagator = Propagator(config.traces.propagators)
        self.mask = _masker(config)
        self.issues = Recorder(self.mask, Limiter(clock), locals=config.issues.locals)
        self.pipeline: Pipeline | None = None
        self.endpoint: Endpoint | None = None
        self._undo: list[Callable[[], object]] = []

    def initialize(self) -> Self:
        """Start everything, in order.

        Raises:
            LifecycleError: another manager runs, or a part cannot start; those before it were stopped again.
            ExportError: an address or certificate of the settings cannot be used.
        """
        if ObservabilityManager.running is not None:
            raise LifecycleError(
                "the SDK runs already in this process", hint="Call gnomon.shutdown() before starting it anew"
            )
        config = self.config
        for remark in config.remarks:
            log.warning("%s", remark)
        self.recorders.open(config.export)
        outlets = self.recorders.outlets
        self._pumps = pumps(config.export, outlets, _encoder(self.identity), self._hand_over, self._clock)
        parts = self._parts
        parts.register("privacy", _Part(self._start_privacy))
        parts.register("traces", _Part(self._start_traces))
        parts.register("metrics", _Part(self._start_metrics, self._stop_metrics))
        parts.register("logs", self._logs())
        for number, pump in enumerate(self._pumps):
            parts.register(f"export{number or ''}", _exporting(pump))
        parts.register("integrations", _Part(self._start_integrations, self._stop_integrations))
        parts.register("reload", _Part(self._watch))
        ObservabilityManager.running = self
        try:
            parts.start()
            self.components.start()
        except LifecycleError:
            self.shutdown()
            raise
        return self

    def switch_off(self) -> Self:
        """Start nothing and record nothing; contexts still travel through spans that are made."""
        self._sample(self.config.traces.model_copy(update={"enabled": False}))
        self.recorders.close()
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
        timeout_s = self.config.export.shutdown_timeout_s if timeout_s is None else timeout_s
        ends_s = self._clock.monotonic_s() + timeout_s
        unstopped = self.components.shutdown(timeout_s)
        unstopped |= self._parts.shutdown(max(ends_s - self._clock.monotonic_s(), 0.0))
        self.recorders.close()
        return unstopped

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Send what waits now; whether all of it left in time."""
        ends_s = self._clock.monotonic_s() + timeout_s
        left = [pump for pump in self._pumps if not pump.flush(max(ends_s - self._clock.monotonic_s(), 0.0))]
        return not left

    def status(self) -> Report:
        """The state of every part and of the whole; the worst decides."""
        ours, others = self._parts.health(), self.components.health()
        return Report(max(ours.state, others.state), {**ours.parts, **others.parts})

    def tracer(self, name: str) -> Tracer:
        """A tracer of our provider, also where the host has set another one."""
        return self.recorders.tracers.get_tracer(name)

    @property
    def telemetry(self) -> Telemetry:
        """What integrations are given."""
        config = self.config
        access = None
        if self.pipeline is not None and config.logs.access_log:
            access = self.pipeline.source("gnomon.access")
        return Telemetry(
            self.recorders.tracers,
            self.recorders.registry if config.metrics.enabled else None,
            self.propagator,
            access,
            self.endpoint,
            self._opened,
            self._last_words,
            {"excluded_urls": config.traces.excluded_urls, "metrics_path": config.metrics.path},
            correlates=self.pipeline is not None,
        )

    def _opened(self) -> None:
        """An application starts: by now its server has set up its own logging."""
        if self.config.logs.capture_stdlib:
            self._undo.append(servers.install(access_log=self.config.logs.access_log))

    def _last_words(self) -> None:
        self.flush(self.config.export.shutdown_timeout_s)
        if self.endpoint is not None:
            self.endpoint.workers.save()

    # The parts, in the order in which they start.

    def _start_privacy(self) -> None:
        recording = self.recorders.tracers.recording
        for encoder in (recording.attributes, recording.events, recording.links):
            encoder.mask = self.mask
            encoder.forget()

    def _start_traces(self) -> None:
        tracers, settings = self.recorders.tracers, self.config.traces
        recording = tracers.recording
        self._sample(settings)
        if self.config.issues.enabled:
            recording.describe = self.issues.attributes
        if settings.baggage_as_attributes:
            tracers.baggage_as_attributes = carried(settings.baggage_as_attributes)
        propagate.set_global_textmap(self.propagator)
        present: Any = trace.get_tracer_provider()
        if present is tracers:
            return
        if hasattr(present, "add_span_processor"):
            if settings.enabled:
                self.recorders.adopt(present)
        else:
            trace.set_tracer_provider(tracers)

    def _sample(self, settings: "TraceSettings") -> None:
        tracers = self.recorders.tracers
        tracers.sampler, tracers.parent_based = sampler(settings)
        slower_s = settings.keep_slower_than_s
        tracers.recording.keep = settings.enabled and (settings.keep_errors or slower_s is not None)
        tracers.recording.keep_errors = settings.keep_errors
        tracers.recording.slower_than_ns = None if slower_s is None else int(slower_s * 1e9)

    def _start_metrics(self) -> None:
        settings, registry = self.config.metrics, self.recorders.registry
        if not settings.enabled:
            return
        if is_default(metrics.get_meter_provider()):
            metrics.set_meter_provider(self.recorders.meters)
        registry.cap = settings.cardinality_limit
        registry.view = classic(settings.namespace) if settings.names == "classic" else None
        set_exemplar_source(_current_span if settings.exemplars and self.config.traces.enabled else None)
        if settings.process:
            process_metrics.register(registry)
        if settings.host:
            host_metrics.register(registry)
        self._report(registry)
        self.endpoint = Endpoint(registry, resource=self.identity.attributes)
        if settings.port is not None:
            self.endpoint.serve(settings.port)
        outlet = self.recorders.outlets[Signal.METRICS]
        delta = settings.temporality != "cumulative"
        deltas, encoder = Deltas(), wire_metrics.Encoder(self.mask)

        def push() -> None:
            families = registry.collect()
            for scope, records in encoder.encode(deltas.since(families) if delta else families, delta=delta):
                put = outlet.lane(scope).put
                for record in records:
                    put(record)

        next(pump for pump in self._pumps if outlet in pump.outlets).every(settings.interval_s, push)

    def _stop_metrics(self, _: float) -> None:
        set_exemplar_source(None)
        if self.endpoint is not None:
            self.endpoint.close()

    def _report(self, registry: Registry) -> None:
        """What became of what was recorded, as metrics of its own."""

        def records() -> list[tuple[float, dict[str, str]]]:
            told: list[tuple[float, dict[str, str]]] = []
            for signal, outlet in self.recorders.outlets.items():
                told.append((outlet.counts.sent, {"signal": signal.value, "outcome": "sent"}))
                for reason, number in outlet.counts.dropped.items():
                    told.append((number, {"signal": signal.value, "outcome": reason.value}))
            return told

        def masked() -> list[tuple[float, dict[str, str]]]:
            counts = self.mask.counts if self.mask is not None else {}
            return [(number, {"kind": kind}) for kind, number in counts.items() if number]

        ObservableCounter("gnomon.sdk.records", records, "What became of the records", registry=registry)
        ObservableCounter("gnomon.sdk.masked", masked, "Values that were masked, by kind", registry=registry)

    def _logs(self) -> Component:
        settings, service = self.config.logs, self.config.service
        if not settings.enabled:
            return _Part(lambda: None)
        self.pipeline = Pipeline(
            self.recorders.outlets[Signal.LOGS] if settings.ship else None,
            service.name,
            environment=service.environment,
            shows=console(settings.console),
            levels=Levels(settings.level, settings.levels),
            sampling=Sampling(settings.sampling),
            mask=self.mask,
            masks=_masks(self.mask),
            describe=self.issues.attributes if self.config.issues.enabled else exceptions.described,
            on_security=self._security_counter(),
        )
        self._pumps[0].every(1.0, self.pipeline.levels.tick)
        return self.pipeline

    def _security_counter(self) -> Callable[[str], object]:
        """Counts security events, for alerts."""
        if not self.config.metrics.enabled:
            return lambda _: None
        registry, told = self.recorders.registry, "Security events that were logged"
        counter = Counter("gnomon.security.events", told, ("security_event",), registry=registry)
        return lambda event: counter.inc(security_event=event)

    def _start_integrations(self) -> None:
        if self.pipeline is not None:
            self._undo += bridged(self.pipeline, self.config.logs)
        integrations = Integrations(self.telemetry, self.config.integrations)
        integrations.install()
        self._undo.append(integrations.uninstall)

    def _stop_integrations(self, _: float) -> None:
        while self._undo:
            self._undo.pop()()

    def _watch(self) -> None:
        if self._sources is None or self._sources.file is None:
            return
        from gnomon.config.reload import POLL_S, Watcher  # noqa: PLC0415 - there is a file to watch

        watcher = Watcher(self._sources, self.config, self._apply)
        self._pumps[0].every(POLL_S, watcher.tick)

    def _apply(self, config: "ObservabilityConfig") -> None:
        """Settings that changed in the file and may change while we run."""
        self.config = config
        self._sample(config.traces)
        self.mask = _masker(config)
        self._start_privacy()
        if self.pipeline is not None:
            self.pipeline.levels.configure(config.logs.level, config.logs.levels)
            self.pipeline.resample(Sampling(config.logs.sampling))
            self.pipeline.remask(self.mask, _masks(self.mask))

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


def _masker(config: "ObservabilityConfig") -> Masker | None:
    privacy = config.privacy
    if not privacy.enabled:
        return None
    key = privacy.pseudonym_key.get_secret_value().encode() if privacy.pseudonym_key else b""
    return Masker(
        key,
        policies=privacy.policies,
        allowed_keys=privacy.allowed_keys,
        allowed_values=(*HARMLESS_VALUES, *privacy.allowed_values),
        allowed_patterns=privacy.allowed_patterns,
        secret_keys=privacy.secret_keys,
    )


def _masks(mask: Masker | None) -> dict[str, Mask | None]:
    """Who guards the service needs to see from where it is attacked, and as whom."""
    return {LogCategory.SECURITY: mask.keeping("ip", "client_ip", "id")} if mask else {}


def _current_span() -> tuple[bytes, bytes] | None:
    """The span that an exemplar points to: only one that will be there to be looked at."""
    ids = current_ids()
    return (ids[0], ids[1]) if ids is not None and ids[2] else None
