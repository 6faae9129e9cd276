"""Gnomon's own SDK: one call; applications, servers, channels and clients are instrumented by it."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx
from fastapi import FastAPI

import gnomon
from gnomon.export.outlet import Outlet
from gnomon_shop.parts.sdk import Counts
from gnomon_shop.settings import Settings

MEASURES_RPC = True  # the durations of calls are its own
STOP_S = 8.0  # then what is not delivered is lost: the runner waits for us


def start(settings: Settings, counts: Sequence[Counts]) -> Callable[[], None]:
    """Start the SDK; return what flushes and closes it."""
    manager = gnomon.instrument(
        service={"name": settings.service, "version": settings.version, "instance_id": settings.instance},
        # The part's output keeps the lines of `logging`; visitors are made up, and are to be found by their ids.
        logs={"console": "off", "access_log": False},
        privacy={"allowed_keys": "session.id"},
        # The shop makes these spans by hand, for the stock SDK has no instrumentation of what it uses there.
        integrations={"sqlalchemy": False, "redis": False},
    )
    outlets = list(manager.recorders.outlets.values())

    def count() -> None:
        for one, outlet in zip(counts, outlets, strict=True):
            _told(one, outlet)

    for one in counts:
        one.look = count

    def stop() -> None:
        manager.shutdown(STOP_S)
        count()

    return stop


def _told(counts: Counts, outlet: Outlet) -> None:
    """From the SDK's own books: what is sent and dropped is settled, the rest is on its way."""
    counts.delivered, counts.lost = outlet.counts.sent, sum(outlet.counts.dropped.values())
    counts.made = max(counts.made, counts.delivered + counts.lost + outlet.waiting)


def instrument_web(app: FastAPI) -> None:
    """A span for each request. The application has begun to start by then, so the SDK is told of it."""
    gnomon.instrument(app)


def transport(inner: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
    """The client is instrumented already."""
    return inner


def server_interceptors() -> list[Any]:
    """The server is instrumented already."""
    return []


def client_interceptors() -> list[Any]:
    """The channel is instrumented already."""
    return []
