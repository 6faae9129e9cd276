"""Metrics as a part of the whole: what is registered by itself, what answers a scrape, what is pushed."""

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics

from gnomon.components import Health
from gnomon.context import current_ids, is_default
from gnomon.errors import MetricsError
from gnomon.export.outlet import Outlet, Signal
from gnomon.metrics import host_metrics, process_metrics
from gnomon.metrics.cells import set_exemplar_source
from gnomon.metrics.classic import classic
from gnomon.metrics.collect import Deltas
from gnomon.metrics.endpoint import Endpoint
from gnomon.metrics.instruments import Counter, ObservableCounter
from gnomon.metrics.otel import MeterProvider
from gnomon.metrics.registry import Registry
from gnomon.wire.attributes import Mask
from gnomon.wire.metrics import Encoder

if TYPE_CHECKING:
    from gnomon.config.pillars import MetricSettings

log = logging.getLogger("gnomon.metrics")
# Of the resource, what a scrape does not show: it is answered for all workers, by any of them.
OF_ONE_PROCESS = ("process.pid", "service.instance.id")
RECORDS, MASKED = "gnomon.sdk.records", "gnomon.sdk.masked"


class MetricsPart:
    """The metrics of a process. A component.

    Args:
        settings: what is measured, and how it is named.
        registry: the process's own.
        meters: stands behind OpenTelemetry's API, unless the host has set another.
        outlets: of all signals: metrics go to theirs, and what became of each signal's records is measured.
        resource: who we are.
        mask: what label values pass through.
        masked: how many values were masked, by kind.
    """

    def __init__(
        self,
        settings: "MetricSettings",
        registry: Registry,
        meters: MeterProvider,
        outlets: Mapping[Signal, Outlet],
        resource: Mapping[str, Any],
        mask: Mask | None,
        masked: Callable[[], Mapping[str, int]],
    ) -> None:
        self._settings, self._registry, self._meters, self._outlets = settings, registry, meters, outlets
        self._resource, self._masked = resource, masked
        self._delta = settings.temporality != "cumulative"
        self._deltas, self._encoder = Deltas(), Encoder(mask)
        self.endpoint: Endpoint | None = None
        self.shown: Callable[[Any], object] | None = None

    def start(self) -> None:
        """Register what measures by itself, and answer scrapes."""
        settings, registry = self._settings, self._registry
        if is_default(metrics.get_meter_provider()):
            metrics.set_meter_provider(self._meters)
        registry.cap = settings.cardinality_limit
        registry.view = classic(settings.namespace) if settings.names == "classic" else None
        set_exemplar_source(_current_span if settings.exemplars else None)
        kinds = (["process"] if settings.process else []) + (["cpython"] if settings.runtime else [])
        process_metrics.register(
            registry, [one for one in process_metrics.INSTRUMENTS if one[1].split(".")[0] in kinds]
        )
        if settings.host:
            host_metrics.register(registry)
        ObservableCounter(RECORDS, self._records, "What became of the records", registry=registry)
        ObservableCounter(MASKED, self._maskings, "Values that were masked, by kind", registry=registry)
        shown = {key: value for key, value in self._resource.items() if key not in OF_ONE_PROCESS}
        self.endpoint = Endpoint(registry, resource=shown)
        if settings.port is not None:
            self._serve(self.endpoint, settings.port, settings.address)

    def shutdown(self, deadline_s: float) -> None:  # noqa: ARG002 - nothing takes time
        """Answer scrapes no more, and measure nothing by ourselves."""
        set_exemplar_source(None)
        if self.endpoint is not None:
            self.endpoint.close()
        for name in (RECORDS, MASKED):  # they ask us; whoever comes after us has its own
            self._registry.unregister(name)

    def remask(self, mask: Mask | None) -> None:
        """Another mask for label values, from the next push on."""
        self._encoder.remask(mask)

    def health(self) -> Health:
        """Well: what was dropped is in the metrics."""
        return Health()

    def push(self) -> None:
        """Collect, encode, queue."""
        families = self._registry.collect()
        if self.shown is not None:
            self.shown(families)
        outlet = self._outlets[Signal.METRICS]
        pushed = self._deltas.since(families) if self._delta else families
        for scope, records in self._encoder.encode(pushed, delta=self._delta):
            put = outlet.lane(scope).put
            for record in records:
                put(record)

    def _serve(self, endpoint: Endpoint, port: int, address: str) -> None:
        """Of several workers one has the port, and answers for all: no reason for the others not to work."""
        try:
            endpoint.serve(port, address)
        except MetricsError as error:
            if not endpoint.workers.led:
                self.shutdown(0.0)
                raise
            log.info("Another worker answers scrapes, for us too: %s", error)

    def security_counter(self) -> Callable[[str], object]:
        """Counts security events, for alerts."""
        told = "Security events that were logged"
        counter = Counter("gnomon.security.events", told, ("security_event",), registry=self._registry)
        return lambda event: counter.inc(security_event=event)

    def _records(self) -> list[tuple[float, dict[str, str]]]:
        told: list[tuple[float, dict[str, str]]] = []
        for signal, outlet in self._outlets.items():
            told.append((outlet.counts.sent, {"signal": signal.value, "outcome": "sent"}))
            told += [
                (number, {"signal": signal.value, "outcome": reason.value})
                for reason, number in list(outlet.counts.dropped.items())
                if number
            ]
        return told

    def _maskings(self) -> list[tuple[float, dict[str, str]]]:
        return [(number, {"kind": kind}) for kind, number in self._masked().items() if number]


def _current_span() -> tuple[bytes, bytes] | None:
    """The span that an exemplar points to: only one that will be there to be looked at."""
    ids = current_ids()
    return (ids[0], ids[1]) if ids is not None and ids[2] else None
