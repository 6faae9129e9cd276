"""Fixtures that many tests share: a real store on a real engine, in a temporary directory."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.supervisor import EngineSettings


@pytest.fixture
async def store() -> AsyncIterator[DurableStore]:
    """A started store with all migrations applied; its engine ends with the test."""
    # Unix socket paths are limited to some hundred bytes, pytest's own temporary paths are long.
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        started = DurableStore(EngineSettings(Path(folder)))
        await started.start()
        try:
            yield started
        finally:
            await started.stop()
