"""The moment of a backup: what waits, what is held on to, what is left by a crash."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest

from gnomon_server.errors import GnomonError, Unavailable
from gnomon_server.model.tables import TABLES
from gnomon_server.store.backup import snapshot as snapshots
from gnomon_server.store.backup.manifest import RowHash
from gnomon_server.store.backup.snapshot import COPIES, forget, hash_rows, read_parts, snapshot
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.supervisor import EngineSettings

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


async def test_a_part_that_is_not_held_is_noticed(store: DurableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the copies hold is counted against what was listed: a backup of less is none."""
    for day in (0, 1):
        await store.command(ROWS, {"day": day})
    link = snapshots._link
    monkeypatch.setattr(snapshots, "_link", lambda parts: link(parts[1:]))
    with pytest.raises(GnomonError, match="could be held on to"):
        async with snapshot(store):
            pass
    assert not await databases(store)


async def test_parts_are_hashed_some_at_a_time(store: DurableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """By number, not by rows alone: their names go into one request each; in between it may be cancelled."""
    for day in (0, 1, 2):
        await store.command(ROWS, {"day": day})
    parts = [part for part in await read_parts(store, "gnomon") if part.table == "logs"]
    at_once = await hash_rows(store, "gnomon", parts)
    monkeypatch.setattr(snapshots, "_PARTS_AT_ONCE", 2)
    asked: list[int] = []
    assert await hash_rows(store, "gnomon", parts, lambda: asked.append(1)) == at_once
    assert len(asked) == 2


async def test_copies_of_large_tables_can_be_dropped() -> None:
    """The engine refuses to drop tables above a size, 50 GB by itself; the copies hold nothing that would be lost."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        config = Path(folder) / "engine.xml"
        config.write_text("<clickhouse><max_table_size_to_drop>10</max_table_size_to_drop></clickhouse>", "utf-8")
        store = DurableStore(EngineSettings(Path(folder) / "data", extra=("--config-file", str(config))))
        await store.start()
        try:
            await store.command(ROWS, {"day": 0})
            with pytest.raises(GnomonError, match="size_to_drop"):
                await store.command("DROP TABLE gnomon.logs")
            async with snapshot(store):
                pass
            assert not await databases(store)
        finally:
            await store.stop()


async def test_every_table_can_be_hashed(store: DurableStore) -> None:
    """Whatever its columns are called: native_histograms has one named `sum`."""
    for table in TABLES:
        owner = "" if table == "metric_meta" else ", ret"
        zero = "" if table == "metric_meta" else ", 0"
        await store.command(f"INSERT INTO {table} (tenant{owner}) SELECT 1{zero} FROM numbers(3)")
        parts = [part for part in await read_parts(store, "gnomon") if part.table == table]
        hashes = sum((await hash_rows(store, "gnomon", parts)).values(), RowHash())
        assert hashes.rows == sum(part.rows for part in parts) > 0, table
