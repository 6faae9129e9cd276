"""A service on a real server and loop, and a watchdog that keeps what it told."""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette

from gnomon.export.outlet import Outlet, Signal
from gnomon.integrations.asgi import Middleware
from gnomon.integrations.starlette import _own, route
from gnomon.integrations.telemetry import Telemetry
from gnomon.logging.pipeline import Pipeline
from gnomon.metrics.registry import Registry
from gnomon.stalls.report import Reporter
from gnomon.stalls.traffic import Traffic
from gnomon.stalls.watchdog import Watchdog
from gnomon.tracing.propagation import Propagator
from gnomon.tracing.provider import TracerProvider


class Kept(Reporter):
    """A reporter that also keeps what it tells."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.stalls = []

    def tell(self, stall: Any) -> None:
        """Keep, and tell."""
        self.stalls.append(stall)
        super().tell(stall)


@dataclass
class Service:
    """An application that is served, and what watches it."""

    loop: str
    registry: Registry = field(default_factory=Registry)
    spans: Outlet = field(default_factory=lambda: Outlet(Signal.TRACES))
    lines: Outlet = field(default_factory=lambda: Outlet(Signal.LOGS))
    ended: list = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> Any:
        self.tracers = TracerProvider(self.spans)
        self.tracers.add_ended(self.ended.append)
        self.telemetry = Telemetry(self.tracers, self.registry, Propagator(("tracecontext",)))
        self.reporter = Kept(Pipeline(self.lines).source("gnomon.stalls"), self.registry)
        self.watchdog = Watchdog(self.reporter, Traffic(self.registry))

    @contextlib.contextmanager
    def served(self, app: Any) -> Any:
        """Serve until the block ends."""
        self.watchdog.start()
        if self.loop == "uvloop":
            import uvloop  # noqa: F401, PLC0415 - the server would import it later than we look

            self.watchdog.follow_uvloop()
        if isinstance(app, Starlette):
            _own(app)  # or FastAPI makes spans of its own, where another test has set a provider
        config = uvicorn.Config(
            Middleware(app, self.telemetry, route), port=0, loop=self.loop, log_level="error", lifespan="off"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            wait_for(lambda: server.started and any(one.known for one in self.watchdog._watched))
            self.port = server.servers[0].sockets[0].getsockname()[1]
            self.ask("/quick")  # what is imported and compiled with the first request takes its time
            time.sleep(0.3)
            self.reporter.stalls.clear()
            self.ended.clear()
            yield self
        finally:
            server.should_exit = True
            thread.join(10)
            self.watchdog.shutdown(5)

    def ask(self, path: Any, method: Any = "GET") -> Any:
        """One request on a connection of its own; the status."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def ask_beside(self, path: Any, others: Any, method: Any = "POST", after_s: Any = 0.1) -> None:
        """One request, and once it is in progress a number of others; all answered."""
        with ThreadPoolExecutor(others + 1) as callers:
            first = callers.submit(self.ask, path, method)
            time.sleep(after_s)
            rest = [callers.submit(self.ask, "/quick") for _ in range(others)]
            assert [one.result() for one in (first, *rest)] == [200] * (others + 1)

    def until(self, done: Any) -> Any:
        """Wait until something is so."""
        return wait_for(done)

    def stall(self) -> Any:
        """The one stall that was told."""
        wait_for(lambda: self.reporter.stalls)
        (told,) = self.reporter.stalls
        return told

    def logged(self) -> Any:
        """All that was logged, as bytes."""
        batch = self.lines.take()
        return b"".join(record for _, records in batch.groups for record in records) if batch else b""


def wait_for(done: Any, most_s: Any = 10.0) -> Any:
    """Wait until something is so."""
    ends_s = time.monotonic() + most_s
    while not (found := done()):
        assert time.monotonic() < ends_s, "it did not come about"
        time.sleep(0.01)
    return found


@pytest.fixture(params=["asyncio", "uvloop"])
def service(request: Any) -> Any:
    """A service on each of the loops."""
    return Service(request.param)


@pytest.fixture
def asyncio_service() -> Any:
    """A service on asyncio's own loop."""
    return Service("asyncio")
