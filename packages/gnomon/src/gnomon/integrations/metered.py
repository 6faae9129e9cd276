"""What the overhead budget meters: our own functions on the way of a request."""

from collections.abc import Callable

from gnomon.budget.budget import REQUEST, Budget, Limit
from gnomon.budget.meter import Meter
from gnomon.budget.throttle import Step
from gnomon.integrations import importing
from gnomon.integrations.asgi import Exchange
from gnomon.logging.source import Source
from gnomon.metrics.registry import Registry
from gnomon.process.clock import Clock
from gnomon.tracing.provider import Tracer
from gnomon.tracing.span import Span

# Class, method, kind of cost. `REQUEST` counts requests.
METERED = (
    (Exchange, "begin", "begin"),
    (Exchange, "finish", REQUEST),
    (Tracer, "begin", "span"),
    (Span, "end", "span_end"),
    (Source, "log", "line"),
)


def metered(limit: Limit, apply: Callable[[Step], object], registry: Registry | None, clock: Clock) -> Budget:
    """A budget that knows what these functions cost. They are replaced now.

    Who holds one of them already (a middleware holds `Tracer.begin`) calls it unmetered; then its price is part of the
    price of what calls it.
    """
    meter = Meter()
    for owner, name, kind in METERED:
        meter.meter(owner, name, kind)
    importing.when_imported("grpc", lambda: _meter_calls(meter))
    return Budget(limit, meter, apply, registry, clock)


def _meter_calls(meter: Meter) -> None:
    """Calls of gRPC; those that we serve are requests."""
    from gnomon.integrations.grpc.calls import Call, ServedCall  # noqa: PLC0415 - grpc is there now

    meter.meter(Call, "__init__", "begin")
    meter.meter(ServedCall, "_write", REQUEST)  # first, for it is the other one's
    meter.meter(Call, "_write", "call")
