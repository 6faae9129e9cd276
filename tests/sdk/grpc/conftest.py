"""Installed telemetry, and servers of both libraries."""

from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from tests.sdk.grpc.services import Asyncio, Blocking, Seen, aio_serving, serving

from gnomon.integrations import grpc as integration


@pytest.fixture
def seen() -> Iterator[Seen]:
    """Telemetry, installed before servers and channels are made."""
    seen = Seen()
    undo = integration.install(seen.telemetry)
    yield seen
    undo()


@pytest.fixture
def blocking(seen: Seen) -> Iterator[tuple[Blocking, grpc.Channel]]:
    """A blocking service and a channel to it."""
    service = Blocking()
    server, address = serving(service)
    with grpc.insecure_channel(address) as channel:
        yield service, channel
    service.released.set()
    server.stop(0).wait()


@pytest.fixture
async def asyncio_pair(seen: Seen) -> AsyncIterator[tuple[Asyncio, grpc.aio.Channel]]:
    """An asyncio service and a channel to it."""
    service = Asyncio()
    server, address = await aio_serving(service)
    async with grpc.aio.insecure_channel(address) as channel:
        yield service, channel
    await server.stop(0)
