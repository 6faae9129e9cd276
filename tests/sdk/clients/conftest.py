"""Captured telemetry, and the servers that the clients talk to."""

from collections.abc import Iterator

import pytest
from tests.databases import postgres_server, redis_server
from tests.sdk.clients.seen import Seen
from tests.sdk.clients.servers import application, serving

from gnomon.integrations.starlette import instrument_app


@pytest.fixture
def seen() -> Seen:
    """Telemetry of the test's own."""
    return Seen()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server that is not instrumented."""
    with serving(application()) as address:
        yield address


@pytest.fixture
def traced_url(seen: Seen) -> Iterator[str]:
    """A server under our own middleware, in the same telemetry."""
    app = application()
    instrument_app(app, seen.telemetry)
    with serving(app) as address:
        yield address


@pytest.fixture(scope="module")
def redis_port() -> Iterator[int]:
    """A Redis."""
    with redis_server() as port:
        yield port


@pytest.fixture(scope="module")
def postgres_port() -> Iterator[int]:
    """A PostgreSQL."""
    with postgres_server() as port:
        yield port
