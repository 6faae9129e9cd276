"""Backups that end early leave nothing; what they and restores write is for their owner alone."""

import asyncio
import fcntl
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from gnomon_server.errors import InvalidInput, Unavailable
from gnomon_server.selfmon.clock import SystemClock
from gnomon_server.store.backup.manifest import MANIFEST
from gnomon_server.store.backup.places import FolderPlace
from gnomon_server.store.backup.restore import restore
from gnomon_server.store.backup.service import Backups, BackupSettings
from gnomon_server.store.backup.take import Progress, take_backup
from gnomon_server.store.durable_store import DurableStore


async def test_a_full_target_is_a_failure(store: DurableStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a cancellation: the job says what failed, and what was written is removed."""
    write = FolderPlace.write

    def full(place: FolderPlace, name: str, content: bytes) -> None:
        if name.endswith(".pack"):
            raise Unavailable("place_unusable", "No space left on device")
        write(place, name, content)

    monkeypatch.setattr(FolderPlace, "write", full)
    ended = asyncio.Event()

    def hear(name: str, _: str) -> None:
        if name == "backup_failed":
            ended.set()

    backups = Backups(store, BackupSettings(), tmp_path / "data", SystemClock(), "1", hear)
    job = backups.begin(str(tmp_path / "place"), full=False)
    await asyncio.wait_for(ended.wait(), 60)
    assert job.error is not None
    assert (job.state, job.error.code) == ("failed", "place_unusable")
    assert not list((tmp_path / "place").iterdir())
    await backups.stop()


async def test_a_stop_while_the_manifest_is_written(store: DurableStore, tmp_path: Path) -> None:
    """The write ends first, then all of it is removed: no manifest stays without its packs."""
    writing, go_on, written = threading.Event(), threading.Event(), threading.Event()

    class Slow(FolderPlace):
        def write(self, name: str, content: bytes) -> None:
            if name.endswith(MANIFEST):
                writing.set()
                go_on.wait(30)
            super().write(name, content)
            if name.endswith(MANIFEST):
                written.set()

    place = Slow(tmp_path / "place")
    task = asyncio.create_task(take_backup(store, place, "", Progress(), SystemClock(), "1", full=True))
    assert await asyncio.to_thread(writing.wait, 30)
    task.cancel()
    asyncio.get_running_loop().call_later(0.3, go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(written.wait, 30)
    assert not list((tmp_path / "place").iterdir())


async def test_for_the_owner_alone(store: DurableStore) -> None:
    """Files of a backup and the directory that a restore makes; two restores into one directory are refused."""
    await store.command("INSERT INTO logs (tenant, ret, ts, body) SELECT 1, 0, now64(9), 'secret'")
    before = os.umask(0o022)
    # A short path, for the socket of the restore's engine.
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        try:
            place, data = FolderPlace(Path(folder) / "place"), Path(folder) / "data"
            made = await take_backup(store, place, "", Progress(), SystemClock(), "1", full=True)
            assert {path.stat().st_mode & 0o777 for path in place.folder.glob("*/*")} == {0o600}
            compared: list[Any] = []
            await restore(place, made, data, 0, lambda *told: compared.append(told), lambda _: None)
            assert len(compared) == sum(table.holds_rows for table in made.tables)
            assert data.stat().st_mode & 0o777 == 0o700
            other = Path(folder) / "other"
            (other / ".restoring").mkdir(parents=True)
            (other / ".restoring" / "half").write_text("of the first", "utf-8")
            descriptor = os.open(other, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with pytest.raises(InvalidInput, match="another restore"):
                await restore(place, made, other, 0, lambda *_: None, lambda _: None)
            os.close(descriptor)
            assert (other / ".restoring" / "half").exists()
        finally:
            os.umask(before)
