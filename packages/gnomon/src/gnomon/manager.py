"""The composition root: `ObservabilityManager` builds every part from the settings, starts and stops them in order.

`initialize` is the list of the parts, from the bottom up. Whatever cannot be started leaves nothing behind.
"""

import contextlib
import logging
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any, Self

from opentelemetry import propagate, trace

from gnomon.budget.budget import Budget
from gnomon.budget.throttle import Throttle
from gnomon.components import ComponentRegistry, Exporter, Health, Report, State
from gnomon.config.route import route
from gnomon.console import Shown
from gnomon.errors import LifecycleError
from gnomon.export.destinations import pumps, remote_write_sender
from gnomon.export.outlet import Batch, Outlet, Signal
from gnomon.export.pump import Pump
from gnomon.integrations import importing
from gnomon.integrations.log_bridges import bridge
from gnomon.integrations.metered import metered
from gnomon.integrations.table import Integrations
from gnomon.integrations.telemetry import Telemetry
from gnomon.issues.limiter import Limiter
from gnomon.issues.recorder import Recorder
from gnomon.logging import exceptions
from gnomon.logging.bridges import servers
from gnomon.logging.categories import LogCategory
from gnomon.logging.levels import Levels
from gnomon.logging.pipeline import Pipeline, uncounted, use
from gnomon.logging.sampling import Sampling
from gnomon.logging.writer import Writer, console
from gnomon.metrics.component import MetricsPart
from gnomon.metrics.membership import Place
from gnomon.metrics.registry import Registry
from gnomon.metrics.remote_write import RemoteWrite
from gnomon.privacy.masking import HARMLESS_VALUES, Masker
from gnomon.process.clock import SYSTEM, Clock
from gnomon.process.identity import Identity
from gnomon.recorders import recorders
from gnomon.stalls.report import Reporter
from gnomon.stalls.traffic import Traffic
from gnomon.stalls.watchdog import Watchdog
from gnomon.tracing.baggage import carried
from gnomon.tracing.choice import sampler
from gnomon.tracing.propagation import Propagator
from gnomon.tracing.provider import Tracer
from gnomon.version import __version__
from gnomon.wire import envelope
from gnomon.wire.attributes import LONGEST_VALUE, Mask

if TYPE_CHECKING:
    from gnomon.config.pillars import TraceSettings
    from gnomon.config.settings import ObservabilityConfig
    from gnomon.config.sources import Sources
    from gnomon.config.units import Overhead

log = logging.getLogger("gnomon")
SCHEMA_URL = "https://opentelemetry.io/schemas/1.38.0"
# For a receiver that an application's end has waited for in vain already: one more attempt.
_LAST_TRY_S = 1.0


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
        self._waited_s = 0.0
        self.recorders = recorders()
        self.identity = Identity(_resource(config), __version__, one_of_many=bool(Place().leader))
        self.propagator = Propagator(config.traces.propagators)
        self.mask = _masker(config)
        self.issues = Recorder(self._masked if self.mask else None, Limiter(clock), locals=config.issues.locals)
        self.pipeline: Pipeline | None = None
        self.metrics: MetricsPart | None = None
        self._remote_write: RemoteWrite | None = None
        self._budget: Budget | None = None
        self._watchdog: Watchdog | None = None
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
        outlets = self.recorders.outlets
        self._pumps = pumps(config.export, outlets, _encoder(self.identity), self._hand_over, self._clock)
        self._remote_write = self._writing()
        parts = self._parts = ComponentRegistry()  # a manager that was stopped may be started again
        parts.register("privacy", _Part(self._start_privacy))
        parts.register("traces", _Part(self._start_traces))
        if config.metrics.enabled:
            self.metrics = self._metrics()
            parts.register("metrics", self.metrics)
        if config.logs.enabled:
            self.pipeline = self._logs()
            parts.register("logs", self.pipeline)
        shown = {signal for signal in Signal if route(config.export, signal.value).protocol == "console"}
        if shown & {Signal.TRACES, Signal.METRICS}:
            parts.register("console", self._shown(shown))
        self._register_exports(parts)
        if config.budget.max_overhead is not None:
            self._budget = self._metered(config.budget.max_overhead)
            parts.register("budget", self._budget)
        parts.register("integrations", _Part(self._start_integrations, self._stop_integrations))
        if config.stalls.enabled:
            self._watchdog = self._watching(config.stalls.threshold_s)
            parts.register("stalls", self._watchdog)
        parts.register("reload", _Part(self._watch))
        self.recorders.open(config.export)
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
        if timeout_s is None:
            whole_s = self.config.export.shutdown_timeout_s
            timeout_s = max(whole_s - self._waited_s, min(whole_s, _LAST_TRY_S))
        ends_s = self._clock.monotonic_s() + timeout_s
        if self.components.of(Exporter):  # they stop before ours, and are to be handed what is delivered until then
            self.flush(timeout_s)
        self._hurry(self._pumps)
        unstopped = self.components.shutdown(max(ends_s - self._clock.monotonic_s(), 0.0))
        unstopped |= self._parts.shutdown(max(ends_s - self._clock.monotonic_s(), 0.0))
        if self._budget is not None:  # it meters from the moment it is made, started or not
            self._budget.shutdown(0.0)
        self.recorders.close()
        return unstopped

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Send what waits now; whether all of it left in time."""
        ends_s = self._clock.monotonic_s() + timeout_s
        self._hurry(self._pumps[1:])
        left = [pump for pump in self._pumps if not pump.flush(max(ends_s - self._clock.monotonic_s(), 0.0))]
        return not left

    @staticmethod
    def _hurry(asked: list[Pump]) -> None:
        """All destinations at once: one that is away must not take the time of the others."""
        for pump in asked:
            pump.flush(0)

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
            self._registry,
            self.propagator,
            access,
            self.metrics.endpoint if self.metrics is not None else None,
            self._opened,
            self._last_words,
            {"excluded_urls": config.traces.excluded_urls, "metrics_path": config.metrics.path},
            correlates=self.pipeline is not None,
        )

    def _opened(self) -> None:
        """An application starts: by now its server has set up its own logging."""
        if self.pipeline is None or not self.config.logs.capture_stdlib:
            return
        shown = self.pipeline.console is not None
        undo = servers.install(access_log=self.config.logs.access_log, shown=shown)
        if undo is not servers.nothing:
            self._undo.append(undo)

    def _last_words(self) -> None:
        # What was waited for in vain here is not waited for again when the process ends.
        timeout_s = self.config.export.shutdown_timeout_s
        self._waited_s = 0.0 if self.flush(timeout_s) else timeout_s
        if self.metrics is not None and self.metrics.endpoint is not None:
            self.metrics.endpoint.workers.save()

    # The parts, in the order in which they start.

    def _start_privacy(self) -> None:
        recording = self.recorders.tracers.recording
        for encoder in (recording.attributes, recording.events, recording.links):
            encoder.mask, encoder.longest = self.mask, self.config.traces.attribute_value_chars or LONGEST_VALUE
            encoder.forget()

    def _start_traces(self) -> None:
        tracers, settings = self.recorders.tracers, self.config.traces
        recording = tracers.recording
        self._sample(settings)
        recording.most_attributes = settings.attribute_count
        recording.most_events, recording.most_links = settings.event_count, settings.link_count
        if self.config.issues.enabled:
            recording.describe = self.issues.attributes
        if settings.baggage_as_attributes:
            tracers.baggage_as_attributes = carried(settings.baggage_as_attributes)
        present: Any = trace.get_tracer_provider()
        if hasattr(present, "add_span_processor"):  # the host's; and so is how the contexts of its spans travel
            if settings.enabled:
                self.recorders.adopt(present)
            return
        propagate.set_global_textmap(self.propagator)
        if present is not tracers:
            trace.set_tracer_provider(tracers)

    def _sample(self, settings: "TraceSettings") -> None:
        tracers = self.recorders.tracers
        tracers.sampler, tracers.parent_based = sampler(settings)
        slower_s = settings.keep_slower_than_s
        tracers.recording.keep = settings.enabled and (settings.keep_errors or slower_s is not None)
        tracers.recording.keep_errors = settings.keep_errors
        tracers.recording.slower_than_ns = None if slower_s is None else int(slower_s * 1e9)

    @property
    def _registry(self) -> Registry | None:
        """Where parts register their metrics; None when metrics are switched off."""
        return self.recorders.registry if self.config.metrics.enabled else None

    def _metrics(self) -> MetricsPart:
        part = MetricsPart(
            self.config.metrics,
            self.recorders.registry,
            self.recorders.meters,
            self.recorders.outlets,
            self.identity.attributes,
            self.mask,
            lambda: self.mask.counts if self.mask is not None else {},
        )
        outlet = self.recorders.outlets[Signal.METRICS]
        next(pump for pump in self._pumps if outlet in pump.outlets).every(self.config.metrics.interval_s, part.push)
        return part

    def _writing(self) -> RemoteWrite | None:
        settings, way = self.config.metrics.remote_write, route(self.config.export, "metrics")
        if not self.config.metrics.enabled or settings.url is None:
            return None
        return RemoteWrite(
            settings,
            self.recorders.registry,
            self.identity,
            remote_write_sender(settings.url, settings, way),
            self.mask,
            timeout_s=way.timeout_s,
            clock=self._clock,
        )

    def _register_exports(self, parts: ComponentRegistry) -> None:
        for number, pump in enumerate(self._pumps):
            parts.register(f"export{number or ''}", _exporting(pump))
        if self._remote_write is not None:
            parts.register("remote_write", self._remote_write)
            self._pumps.append(self._remote_write.pump)

    def _logs(self) -> Pipeline:
        settings, service = self.config.logs, self.config.service
        pipeline = Pipeline(
            self.recorders.outlets[Signal.LOGS] if settings.ship else None,
            service.name,
            environment=service.environment,
            shows=console(settings.console, settings.stream),
            levels=Levels(settings.level, settings.levels),
            sampling=Sampling(settings.sampling),
            mask=self.mask,
            masks=_masks(self.mask),
            describe=self.issues.attributes if self.config.issues.enabled else exceptions.described,
            most_fields=settings.attribute_count,
            longest=settings.attribute_value_chars or LONGEST_VALUE,
            on_security=self.metrics.security_counter() if self.metrics is not None else uncounted,
        )
        self._pumps[0].every(1.0, pipeline.levels.tick)
        return pipeline

    def _shown(self, signals: Container[Signal]) -> Shown:
        tracers = self.recorders.tracers if Signal.TRACES in signals else None
        metrics = self.metrics if Signal.METRICS in signals else None
        return Shown(tracers, metrics, self._masked, Writer(self.config.logs.stream))

    def _masked(self, key: str, text: str) -> str:
        """The mask of the moment, for parts that keep theirs."""
        return text if self.mask is None else self.mask(key, text)

    def _metered(self, limit: "Overhead") -> Budget:
        """What we cost is metered from now on: before anything holds the functions on a request's way."""
        throttle = Throttle(self.recorders.tracers, self.pipeline)
        budget = metered(limit, throttle.to, self._registry, self._clock)
        self._pumps[0].every(1.0, budget.tick)
        return budget

    def _watching(self, threshold_s: float) -> Watchdog:
        source = self.pipeline.source("gnomon.stalls") if self.pipeline is not None else None
        return Watchdog(Reporter(source, self._registry), Traffic(self._registry), threshold_s)

    def _start_integrations(self) -> None:
        if self.pipeline is not None:
            bridge(self.pipeline, self.config.logs, self._undo)
        else:  # switched off: our loggers are silent, and everybody else's are left alone
            use(Pipeline())
            self._undo.append(lambda: use(None))
        integrations = Integrations(self.telemetry, self.config.integrations)
        integrations.install()
        self._undo.append(integrations.uninstall)
        if self._watchdog is not None:
            importing.when_imported("uvloop", self._watchdog.follow_uvloop)

    def _stop_integrations(self, _: float) -> None:
        while self._undo:
            try:
                self._undo.pop()()
            except Exception:  # what the host has changed meanwhile cannot be put back; the rest can
                log.warning("An integration could not be taken back", exc_info=True)

    def _watch(self) -> None:
        if self._sources is None or self._sources.file is None:
            return
        from gnomon.config.reload import POLL_S, Watcher  # noqa: PLC0415 - there is a file to watch

        watcher = Watcher(self._sources, self.config, self._apply)
        self._pumps[0].every(POLL_S, watcher.tick)

    def _apply(self, config: "ObservabilityConfig") -> None:
        """Settings that changed in the file and may change while we run."""
        mask, sampling = _masker(config), Sampling(config.logs.sampling)  # either may refuse: then nothing has changed
        before, self.mask, self.config = self.mask, mask, config
        self._sample(config.traces)
        if before is not None and self.mask is not None:
            self.mask.counts = before.counts  # a total does not go back
        self._start_privacy()
        if self.metrics is not None:
            self.metrics.remask(mask)
        if self._remote_write is not None:
            self._remote_write.remask(mask)
        if self.pipeline is not None:
            self.pipeline.levels.configure(config.logs.level, config.logs.levels)
            self.pipeline.resample(sampling)
            self.pipeline.remask(self.mask, _masks(self.mask))
        if self._watchdog is not None:
            self._watchdog.threshold_s = config.stalls.threshold_s
        self._limit(config.budget.max_overhead)

    def _limit(self, limit: "Overhead | None") -> None:
        """Another budget, or the first one."""
        if self._budget is not None:
            self._budget.limit = limit
            self._budget.again()
        elif limit is not None:
            self._budget = self._metered(limit)
            self._parts.register("budget", self._budget)
            self._parts.start()

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
