"""Tracing as an application uses it: `start_span`, `trace_function`, headers for calls, and the seeds' class names."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, cast, overload
from urllib.parse import urlsplit

from opentelemetry.trace import SpanKind, get_tracer_provider

from gnomon.context import SPAN_KEY, current
from gnomon.starter import instrument_app, started
from gnomon.tracing.current import CurrentSpan, traced
from gnomon.tracing.provider import Tracer

P = ParamSpec("P")
R = TypeVar("R")

# Jaeger has taken OTLP since 1.35, and dropped its own protocols with 2.0; these were their ports.
JAEGER_PORTS = {14268, 14250, 6831}


class _Spans:
    """Makes spans, and decorates functions with them."""

    def start_span(
        self, name: str, *, kind: SpanKind = SpanKind.INTERNAL, attributes: Mapping[str, Any] | None = None
    ) -> CurrentSpan:
        """A span around a block."""
        raise NotImplementedError

    @overload
    def trace_function(self, function: Callable[P, R]) -> Callable[P, R]: ...

    @overload
    def trace_function(
        self,
        function: None = None,
        *,
        name: str | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]: ...

    def trace_function(
        self,
        function: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
    ) -> Callable[..., Any]:
        """Decorate a function, coroutine or generator: each call is a span, named after it unless told otherwise."""
        if function is None:
            return functools.partial(self.trace_function, name=name, kind=kind, attributes=attributes)
        called = name or function.__qualname__
        return traced(function, lambda: self.start_span(called, kind=kind, attributes=attributes))


class TracingSystem(_Spans):
    """A service's tracing. Making the first one starts the SDK, unless `gnomon.instrument` has.

    Args:
        service_name: of the service, and of the spans that are made here.
        settings: as those of `gnomon.instrument`, used if this starts the SDK.
    """

    def __init__(self, service_name: str, **settings: Any) -> None:
        self.service_name = service_name
        self._manager = started(service_name=service_name, **settings)

    @property
    def _tracer(self) -> Tracer:
        return cast("Tracer", self._manager.tracer(self.service_name))

    def start_span(
        self, name: str, *, kind: SpanKind = SpanKind.INTERNAL, attributes: Mapping[str, Any] | None = None
    ) -> CurrentSpan:
        """A span around a `with` (or `async with`) block; an exception that leaves the block makes it an error."""
        return self._tracer.start_as_current_span(name, kind=kind, attributes=attributes)

    def get_trace_headers(self) -> dict[str, str]:
        """The headers that carry the trace to a service that is called now."""
        return cast("dict[str, str]", self._manager.propagator.headers())

    def current_span(self) -> Any:
        """The span that is current, or None."""
        return current().get(SPAN_KEY)

    def instrument_fastapi(self, app: Any) -> Any:
        """A span for each request of an application; the same as `gnomon.instrument(app)`."""
        instrument_app(app)
        return app


class DistributedTracing(TracingSystem):
    """The seeds' name. A Jaeger address of old is taken, and OTLP is sent to the same host.

    Args:
        service_name: of the service.
        jaeger_endpoint: e.g. `http://jaeger:14268/api/traces`, which becomes `http://jaeger:4318`.
        settings: as those of `gnomon.instrument`.
    """

    def __init__(self, service_name: str, jaeger_endpoint: str | None = None, **settings: Any) -> None:
        if jaeger_endpoint:
            settings.setdefault("endpoint", otlp_endpoint(jaeger_endpoint))
        super().__init__(service_name, **settings)


def otlp_endpoint(jaeger: str) -> str:
    """Where a Jaeger takes OTLP, from where it once took its own protocol; any other address as it is."""
    parts = urlsplit(jaeger if "://" in jaeger else f"http://{jaeger}")
    if parts.port in JAEGER_PORTS:
        return f"{parts.scheme}://{parts.netloc.rpartition(':')[0]}:4318"
    return jaeger


class _OfWhateverIsSet(_Spans):
    """Spans of the provider that is set, which is looked at each time: another may be set later."""

    def __init__(self) -> None:
        self._provider: Any = None
        self._tracer: Any = None

    def start_span(
        self, name: str, *, kind: SpanKind = SpanKind.INTERNAL, attributes: Mapping[str, Any] | None = None
    ) -> CurrentSpan:
        """A span around a block, of whatever provider is set: `with gnomon.span("load"): ...`."""
        provider = get_tracer_provider()
        if provider is not self._provider:
            self._provider, self._tracer = provider, provider.get_tracer("gnomon")
        return CurrentSpan(self._tracer.start_span, (name, None, kind, attributes))


_set = _OfWhateverIsSet()
start_span, trace_function = _set.start_span, _set.trace_function
