"""What telemetry was made: spans as they end and as they are exported, metrics as they stand."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gnomon.export.outlet import Outlet, Signal
from gnomon.integrations.telemetry import Telemetry
from gnomon.metrics.registry import Registry
from gnomon.process.identity import Identity
from gnomon.tracing.propagation import Propagator
from gnomon.tracing.provider import TracerProvider
from gnomon.tracing.span import Span
from gnomon.wire import envelope


class Seen:
    """Telemetry that is captured."""

    def __init__(self, *, metrics: bool = True, formats: tuple[str, ...] = ("tracecontext", "baggage")) -> None:
        self.outlet, self.registry = Outlet(Signal.TRACES), Registry()
        self.tracers = TracerProvider(self.outlet)
        self.spans: list[Span] = []
        self.tracers.add_ended(self.spans.append)
        self.telemetry = Telemetry(self.tracers, self.registry if metrics else None, Propagator(formats))
        self.tracer = self.telemetry.tracer("tests")

    @contextmanager
    def installed(self, *modules: ModuleType) -> Iterator["Seen"]:
        """With these integrations."""
        undo = [module.install(self.telemetry) for module in modules]
        try:
            yield self
        finally:
            for back in reversed(undo):
                back()

    def of(self, kind: trace.SpanKind) -> list[Span]:
        return [span for span in self.spans if span.kind is kind]

    @property
    def clients(self) -> list[Span]:
        return self.of(trace.SpanKind.CLIENT)

    @property
    def servers(self) -> list[Span]:
        return self.of(trace.SpanKind.SERVER)

    @property
    def client(self) -> Span:
        """The one client span."""
        (span,) = self.clients
        return span

    def told(self) -> dict[str, Any]:
        """The attributes of the one client span."""
        return dict(self.client.attributes)

    def exported(self) -> bytes:
        """All spans as they leave the process; they can be read, and each of them is there once."""
        batch = self.outlet.take()
        body = envelope.request(Identity({}, "1").encoded, batch.groups if batch else [])
        read = ExportTraceServiceRequest.FromString(body)
        ids = [span.span_id for one in read.resource_spans for scope in one.scope_spans for span in scope.spans]
        assert len(ids) == len(set(ids)) == len(self.spans)
        return body

    def points(self, name: str) -> dict[tuple[tuple[str, Any], ...], Any]:
        """The points of a metric by their labels."""
        found = [family for family in self.registry.collect() if family.name == name]
        return {point.labels: point for family in found for point in family.points}

    def counts(self, name: str, *labels: str) -> dict[tuple[Any, ...], int]:
        """How much a histogram has counted, by some of its labels."""
        found: dict[tuple[Any, ...], int] = {}
        for written, point in self.points(name).items():
            key = tuple(dict(written).get(label) for label in labels)
            found[key] = found.get(key, 0) + sum(point.counts)
        return found

    def values(self, name: str, *labels: str) -> dict[tuple[Any, ...], float]:
        """The values of a sum, by some of its labels."""
        return {tuple(dict(w).get(label) for label in labels): p.value for w, p in self.points(name).items()}
