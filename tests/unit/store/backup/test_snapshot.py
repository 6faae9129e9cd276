"""The moment of a backup: what waits, what is held on to, what is left by a crash."""

import asyncio
from typing import Any

import pytest

from gnomon_server.errors import Unavailable
from gnomon_server.store.backup import snapshot as snapshots
from gnomon_server.store.backup.manifest import RowHash
from gnomon_server.store.backup.snapshot import COPIES, forget, hash_rows, read_parts, snapshot
from gnomon_server.store.durable_store import DurableStore

ROWS = (
    "INSERT INTO logs (tenant, ret, ts, body) SELECT 1, 0, now64(9) - toIntervalDay({day:UInt8}), 'x' FROM numbers(10)"
)


async def databases(store: DurableStore) -> list[str]:
    """Whether the copies are there."""
    return (await store.client.command(f"SELECT name FROM system.databases WHERE name = '{COPIES}'")).split()


async def total(store: DurableStore, database: str) -> RowHash:
    """The row hash of `logs`."""
    parts = [part for part in await read_parts(store, database) if part.table == "logs"]
    return sum((await hash_rows(store, database, parts)).values(), RowHash())


async def test_a_snapshot_stays_as_it_was(store: DurableStore) -> None:
    """Rows that come, merges and dropped partitions leave it alone; its end leaves nothing."""
    for day in (0, 0, 0, 1):
        await store.command(ROWS, {"day": day})
    before = await total(store, "gnomon")
    async with snapshot(store) as taken:
        assert sum(part.rows for part in taken.parts if part.table == "logs") == 40
        await store.command(ROWS, {"day": 2})
        await store.command("OPTIMIZE TABLE logs FINAL")
        await store.command("ALTER TABLE logs DROP PARTITION ALL")
        assert await total(store, COPIES) == before
        assert all((part.folder / "checksums.txt").exists() for part in taken.parts)
    assert not await databases(store)
    assert not [part for part in await read_parts(store, "gnomon") if part.table == "logs"]


async def test_inserts_wait_while_the_tables_are_listed(store: DurableStore) -> None:
    """None begins in the pause, all go on after it."""
    async with store.paused():
        waiting = asyncio.create_task(store.insert([]))
        await asyncio.sleep(0.05)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 5)


async def test_a_part_that_vanishes_is_listed_anew(store: DurableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition is dropped between the listing and the linking: it is tried again, and given up after some times."""
    await store.command(ROWS, {"day": 0})
    tries = 0
    link = snapshots._link

    def vanish(parts: Any) -> None:
        nonlocal tries
        tries += 1
        if tries % 5:
            raise FileNotFoundError
        link(parts)

    monkeypatch.setattr(snapshots, "_link", vanish)
    async with snapshot(store) as taken:
        assert taken.parts
    assert tries == 5
    monkeypatch.setattr(snapshots, "_TRIES", 4)
    with pytest.raises(Unavailable, match="again and again"):
        async with snapshot(store):
            pass
    assert not await databases(store)


async def test_what_a_crash_left_is_removed(store: DurableStore) -> None:
    """Copies of tables from before are no obstacle."""
    await store.client.command(f"CREATE DATABASE {COPIES}")
    await store.client.command(f"CREATE TABLE {COPIES}.logs AS gnomon.logs")
    await store.command(ROWS, {"day": 0})
    async with snapshot(store) as taken:
        assert [part.rows for part in taken.parts if part.table == "logs"] == [10]
    await forget(store)
    assert not await databases(store)
