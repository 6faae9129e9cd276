"""A service with all three pillars, in this process, and a budget that watches it.

Seconds and CPU time come in by the door: what a machine that is busy with other things needs is no matter here.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from gnomon.budget.budget import REQUEST, Budget
from gnomon.budget.meter import Meter
from gnomon.budget.throttle import Throttle
from gnomon.config.units import read_overhead
from gnomon.export.outlet import Outlet, Signal
from gnomon.integrations.asgi import Exchange, Middleware
from gnomon.integrations.telemetry import Telemetry
from gnomon.logging.categories import LogCategory
from gnomon.logging.logger import StructuredLogger
from gnomon.logging.pipeline import Pipeline
from gnomon.logging.source import Source
from gnomon.metrics.instruments import Counter
from gnomon.metrics.registry import Registry
from gnomon.process.clock import Clock
from gnomon.process.ids import Ids
from gnomon.tracing.propagation import Propagator
from gnomon.tracing.provider import Tracer, TracerProvider
from gnomon.tracing.span import Span

CALL_NS, RECORD_NS = 20_000, 100_000
"""Of CPU: what a call of ours costs its caller, and what a span or line costs that is kept."""


@dataclass
class Service:
    """What a manager would put together.

    Attributes:
        limit: of the budget.
        cpu_ns: CPU time of the running thread; None: as much as calls and records cost.
        now_s: a clock that is turned.
        threads: CPU seconds of our threads, by id.
    """

    limit: str | None
    cpu_ns: Callable[[], int] | None = None
    now_s: float = 0.0
    threads: dict[int, float] = field(default_factory=dict)
    registry: Registry = field(default_factory=Registry)
    spans: Outlet = field(default_factory=lambda: Outlet(Signal.TRACES, most_records=10**6))
    lines: Outlet = field(default_factory=lambda: Outlet(Signal.LOGS, most_records=10**6))
    served: int = 0

    def __post_init__(self) -> Any:
        ids = Ids()
        ids._random.seed(1)  # which requests are kept does not depend on luck
        self.tracers, self.pipeline = TracerProvider(self.spans, ids=ids), Pipeline(self.lines)
        self.tracers.recording.keep = self.tracers.recording.keep_errors = True
        self.logger = StructuredLogger("shop", pipeline=self.pipeline)
        self.orders = Counter("shop.orders", registry=self.registry)
        access = self.pipeline.source("gnomon.access")
        telemetry = Telemetry(self.tracers, self.registry, Propagator(("tracecontext",)), access)
        self.app = Middleware(self.handle, telemetry, lambda _: "/orders")
        self.tracer = self.tracers.get_tracer("shop")
        self.costs: dict[str, Any] = {}
        self.meter = Meter(self.cpu_ns or self.used_ns)
        self.costs = self.meter.costs
        for owner, name, kind in (
            (Exchange, "begin", "begin"),
            (Exchange, "finish", REQUEST),
            (Tracer, "begin", "span"),
            (Span, "end", "span_end"),
            (Source, "log", "line"),
        ):
            self.meter.meter(owner, name, kind)
        self.throttle = Throttle(self.tracers, self.pipeline)
        limit = None if self.limit is None else read_overhead(self.limit)
        clock = Clock(monotonic_s=lambda: self.now_s)
        self.budget = Budget(limit, self.meter, self.throttle.to, self.registry, clock, self.threads.copy)

    def used_ns(self) -> int:
        """CPU time, as it is modelled."""
        calls = sum(cost.calls for cost in self.costs.values())
        return CALL_NS * calls + RECORD_NS * (self.spans.waiting + self.lines.waiting)

    async def handle(self, _scope: Any, _receive: Any, send: Any) -> None:
        """An order: two spans, four lines, and now and then an error."""
        self.orders.inc()
        with self.tracer.start_as_current_span("price") as span:
            span.set_attribute("shop.items", 3)
            self.logger.debug("priced", items=3)
        with self.tracer.start_as_current_span("store"):
            self.logger.info("stored", order="o1", total=12.5)
        if self.served % 50 == 0:
            self.logger.error("refused", order="o1")
            self.logger.info("seen by", category=LogCategory.AUDIT)
        self.served += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    def work(self, requests: Any) -> None:
        """Serve so many."""

        async def nothing(*_: Any) -> Any:
            return {}

        async def serve() -> None:
            for _ in range(requests):
                scope = {"type": "http", "method": "POST", "path": "/orders", "headers": [], "scheme": "http"}
                await self.app(scope, nothing, nothing)

        asyncio.run(serve())

    def seconds(self, number: Any, requests: Any) -> Any:
        """So many seconds of load, each with its tick; the cost that each was found to have, and the step after it."""
        found = []
        for _ in range(number):
            self.work(requests)
            self.now_s += 1
            self.budget.tick()
            found.append((self.budget.spent, self.budget.step))
        return found

    def close(self) -> None:
        """Let go of what was metered."""
        self.budget.shutdown(1)


@pytest.fixture
def service(request: Any) -> Any:
    """A service with the budget of the test's parameter."""
    made = Service(request.param)
    logging.getLogger("gnomon").setLevel(logging.INFO)
    yield made
    made.close()
