"""An embedded engine, the ordinary writer in front of it, and a server over what they stored."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from unittest import mock

from tests.promqltest.door import DoorAsker, RememberingAsker
from tests.promqltest.run import Scene, load
from tests.server import Server

from gnomon_server.intake.writer import Intake, IntakeLimits
from gnomon_server.query.promql import values
from gnomon_server.query.promql.context import Options
from gnomon_server.query.promql.door import PromqlDoor
from gnomon_server.query.promql.memory import Memory
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.supervisor import EngineSettings
from gnomon_server.store.tenants import TenantNumbers


class _NoMeter:
    """Nobody reads the counts of a test's writer."""

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        """Not counted."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Not observed."""


@asynccontextmanager
async def writing(store: DurableStore, tenants: TenantNumbers) -> AsyncIterator[Intake]:
    """The ordinary writer, keeping everything for ever."""
    intake = Intake(store, tenants, lambda *_: 0, _NoMeter(), IntakeLimits(commit_interval_s=0))
    await intake.start()
    try:
        yield intake
    finally:
        await intake.stop()


@asynccontextmanager
async def engine(folder: Path | None = None) -> AsyncIterator[tuple[DurableStore, TenantNumbers]]:
    """A started store in this folder, or in one that goes with it, and its tenants."""
    # Unix socket paths are limited to some hundred bytes.
    with tempfile.TemporaryDirectory(prefix="gnomon-") as own:
        store = DurableStore(EngineSettings(folder or Path(own)))
        await store.start()
        try:
            tenants = TenantNumbers(store)
            await tenants.load()
            yield store, tenants
        finally:
            await store.stop()


@asynccontextmanager
async def remembering(store: DurableStore, tenants: TenantNumbers) -> AsyncIterator[RememberingAsker]:
    """A door that keeps samples in memory, and evaluates a handful of them at a time."""
    looks: Counter[tuple[str, bool]] = Counter()
    memory = Memory(samples_bytes=1 << 28, on_look=lambda cache, found: looks.update([(cache, found)]))
    door = PromqlDoor(store, tenants, memory=memory)
    with mock.patch.object(values, "BLOCK", 7):
        yield RememberingAsker(DoorAsker(door, Options()))
    await door.close()
    assert looks["samples", True] > looks["samples", False] / 3, looks


@asynccontextmanager
async def served(loaded: Sequence[Scene], *arguments: str) -> AsyncIterator[Server]:
    """A server of its own process, with these arguments, over the data of these scenes."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        # The scripts begin in 1970.
        arguments = ("--set", "retention.metrics=off", *arguments)
        async with engine(Path(folder) / "data") as (store, tenants), writing(store, tenants) as intake:
            await load(loaded, intake)
        server = Server(Path(folder), arguments)
        await asyncio.to_thread(server.start)
        try:
            yield server
        finally:
            await asyncio.to_thread(server.stop)
