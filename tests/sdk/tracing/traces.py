"""Spans as a receiver would read them: made by our provider, parsed by the generated classes."""

from collections.abc import Callable
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from gnomon.export.outlet import Outlet, Signal
from gnomon.tracing.provider import TracerProvider
from gnomon.wire import envelope


class Traces:
    """A provider of the test's own."""

    def __init__(self, **options: Any) -> None:
        self.outlet = Outlet(Signal.TRACES)
        self.provider = TracerProvider(self.outlet, **options)
        self.tracer = self.provider.get_tracer("tests")
        self.scopes: list[ScopeSpans] = []

    @property
    def spans(self) -> list[Any]:
        """All that were let out so far."""
        while batch := self.outlet.take():
            body = envelope.request(b"", batch.groups, "")
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.scopes += resource.scope_spans
        return [span for scope in self.scopes for span in scope.spans]

    def span(self, name: str) -> Any:
        """The one of this name."""
        [found] = [span for span in self.spans if span.name == name]
        return found

    @property
    def names(self) -> list[str]:
        """In the order in which they ended."""
        return [span.name for span in self.spans]


class Turned:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic_s(self) -> float:
        """Seconds."""
        return self.now_s

    time_ns: Callable[[], int] = staticmethod(lambda: 1)
