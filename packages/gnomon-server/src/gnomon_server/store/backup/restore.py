"""The way back: a backup into an empty data directory, checked row by row.

Everything is made in a folder `.restoring` of the directory, and takes its place by one rename at the end. So a restore
that fails or is killed leaves nothing that a server would take for data.
"""

import asyncio
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gnomon_server.errors import GnomonError, InvalidInput, Unavailable
from gnomon_server.store.backup.manifest import Manifest, RowHash, StoredFile, damaged
from gnomon_server.store.backup.packs import unpack
from gnomon_server.store.backup.places import Place
from gnomon_server.store.backup.snapshot import detached_folders, hash_rows, read_parts
from gnomon_server.store.ddl import Deployment, migrations
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.supervisor import EngineSettings
from gnomon_server.store.sync import sync

_STAGE = ".restoring"
_IGNORED = {_STAGE, "lost+found"}
Report = Callable[[str, str], Any]


def check_target(data: Path) -> None:
    """Refuse a directory that holds anything."""
    if data.exists() and not data.is_dir():
        raise InvalidInput("target_not_empty", f"{data} is a file", "--data")
    held = sorted({path.name for path in data.iterdir()} - _IGNORED) if data.exists() else []
    if held:
        hint = "name a new directory: a restore never replaces data"
        raise InvalidInput("target_not_empty", f"{data} is not empty: it holds {', '.join(held[:3])}", "--data", hint)


def check_schema(manifest: Manifest) -> None:
    """Refuse what a newer server has written."""
    newest = max(step.number for step in migrations(Deployment()))
    if manifest.schema > newest:
        hint = f"restore it with Gnomon {manifest.version} or newer"
        raise GnomonError("schema_newer", f"it is of schema {manifest.schema}, this server knows {newest}", hint=hint)


def verify(place: Place, manifest: Manifest, on_bytes: Callable[[int], None]) -> None:
    """Read every byte of the backup; `backup_damaged` when one is not what was written."""
    files = [*manifest.files, *(file for table in manifest.tables for file in table.files)]
    _refuse(unpack(place, _by_pack([(file, None) for file in files]), on_bytes), manifest)


async def restore(
    place: Place, manifest: Manifest, data: Path, memory_bytes: int, report: Report, on_bytes: Callable[[int], None]
) -> None:
    """Into `data`, which is made or empty. `report(table, words)` hears of each table's comparison.

    GnomonError `target_not_empty`, `schema_newer`, `disk_full`, `backup_damaged`, `restore_differs`; nothing is left.
    """
    check_target(data)
    check_schema(manifest)
    try:
        with _stage(data) as stage:
            _check_space(stage, manifest)
            store = DurableStore(EngineSettings(stage, memory_bytes))
            try:
                await store.open()
                await _fill(store, stage, place, manifest, on_bytes)
                await _compare(store, manifest, report)
            finally:
                await store.stop()
            await asyncio.to_thread(_take_place, stage, data, [file.path for file in manifest.files])
    except OSError as error:
        raise Unavailable("restore_failed", f"{error.filename or data}: {error.strerror}", str(data)) from error


@contextmanager
def _stage(data: Path) -> Iterator[Path]:
    """The folder that a restore works in; with it goes what it made of `data`, unless something stands there then."""
    existed = data.exists()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    stage = data / _STAGE
    with _alone(data):
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(mode=0o700)
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)
            if not existed and not any(data.iterdir()):
                data.rmdir()


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidInput("target_not_empty", f"another restore makes {data}", "--data") from None
        yield
    finally:
        os.close(descriptor)


def _take_place(stage: Path, data: Path, files: list[str]) -> None:
    check_target(data)  # a server may have been started there meanwhile
    os.sync()  # thousands of files, each of which would cost a sync of its own
    for name in (*files, "clickhouse"):
        (stage / name).rename(data / name)
    sync(data)


async def _fill(
    store: DurableStore, stage: Path, place: Place, manifest: Manifest, on_bytes: Callable[[int], None]
) -> None:
    for database in ("gnomon", "gnomon_sql"):
        await store.client.command(f"CREATE DATABASE {database}", database="default")
    for table in manifest.tables:  # tables first, then views: see snapshot.read_tables
        await store.client.command(table.definition)
    # What a merge takes out of a table (replaced rows) would be missing from its hash.
    await store.client.command("SYSTEM STOP MERGES")
    homes = await detached_folders(store.client, "gnomon")
    files: list[tuple[StoredFile, Path | None]] = [(file, stage / file.path) for file in manifest.files]
    for table in manifest.tables:
        for part in table.parts:
            (homes[table.name] / part.name).mkdir(parents=True)
            files += [(file, homes[table.name] / part.name / file.path) for file in part.files]
    _refuse(await asyncio.to_thread(unpack, place, _by_pack(files), on_bytes), manifest)
    for table in manifest.tables:
        if table.parts:
            await store.client.command(f"ALTER TABLE gnomon.`{table.name}` ATTACH PARTITION ALL")


async def _compare(store: DurableStore, manifest: Manifest, report: Report) -> None:
    parts = await read_parts(store, "gnomon")
    differing = []
    for table in manifest.tables:
        if not table.holds_rows:
            continue
        mine = [part for part in parts if part.table == table.name]
        hashes = await hash_rows(store, "gnomon", mine) if mine else {}
        found = sum(hashes.values(), RowHash())
        if found == table.hash:
            report(table.name, f"{found.rows:,} rows, hash {found}")
        else:
            differing.append(table.name)
            report(table.name, f"DIFFERS: {found.rows:,} rows, hash {found}; it was {table.hash.rows:,}, {table.hash}")
    if differing:
        raise GnomonError("restore_differs", f"rows differ from the backup's in {', '.join(differing)}", manifest.id)


def _by_pack(files: list[tuple[StoredFile, Path | None]]) -> list[tuple[StoredFile, Path | None]]:
    """In the order of their packs, so that each is read once or twice."""
    return sorted(files, key=lambda item: [(extent.pack, extent.offset) for extent in item[0].extents[:1]])


def _refuse(wrong: list[StoredFile], manifest: Manifest) -> None:
    if wrong:
        packs = sorted({extent.pack for file in wrong for extent in file.extents})
        raise damaged(f"{len(wrong)} files of backup {manifest.id} are not what was written", ", ".join(packs[:5]))


def _check_space(stage: Path, manifest: Manifest) -> None:
    free = shutil.disk_usage(stage).free
    if free < manifest.total_bytes:
        raise Unavailable("disk_full", f"{manifest.total_bytes:,} bytes are needed, {free:,} are free", str(stage))
