"""What the overhead budget meters: our own functions on the way of a request."""

from collections.abc import Callable

from gnomon.budget.budget import Budget, Limit
from gnomon.budget.meter import Meter
from gnomon.budget.throttle import Step
from gnomon.integrations.asgi import Exchange
from gnomon.logging.source import Source
from gnomon.metrics.registry import Registry
from gnomon.process.clock import Clock
from gnomon.tracing.provider import Tracer
from gnomon.tracing.span import Span

# Class, method, kind of cost. `request` counts requests. gRPC's calls are added when grpc is imported.
METERED = (
    (Exchange, "begin", "begin"),
    (Exchange, "finish", "request"),
    (Tracer, "begin", "span"),
    (Span, "end", "span_end"),
    (Source, "log", "line"),
)


def metered(limit: Limit, apply: Callable[[Step], object], registry: Registry | None, clock: Clock) -> Budget:
    """A budget that knows what these functions cost. They are replaced now, so nothing may hold them yet."""
    meter = Meter()
    for owner, name, kind in METERED:
        meter.meter(owner, name, kind)
    return Budget(limit, meter, apply, registry, clock)
