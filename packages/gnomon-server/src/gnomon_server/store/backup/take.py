"""Taking a backup: snapshot, row hashes, bytes, and at the very end the manifest."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from gnomon_server.errors import GnomonError
from gnomon_server.selfmon.clock import Clock
from gnomon_server.store.backup.catalogue import Catalogue
from gnomon_server.store.backup.manifest import (
    MANIFEST,
    STARTED,
    Manifest,
    RowHash,
    StoredFile,
    StoredPart,
    StoredTable,
)
from gnomon_server.store.backup.packs import Packer
from gnomon_server.store.backup.places import Place
from gnomon_server.store.backup.snapshot import COPIES, Part, Snapshot, hash_rows, snapshot
from gnomon_server.store.durable_store import DurableStore

CANCELLED = "backup_cancelled"
KEPT_FILES = ("sources.json",)
"""Files of the data directory beside the tables that a restore brings back: whom the server was hearing from.

The rest is made anew (engine configuration, locks, sockets, logs, marks) or lies elsewhere (settings, certificates).
"""


@dataclass(slots=True)
class Progress:
    """How far a backup is: `looking`, `snapshot`, `hashing TABLE`, `copying TABLE`, `done`."""

    phase: str = "looking"
    total_bytes: int = 0
    done_bytes: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False)

    def advance(self, count: int) -> None:
        """Count bytes; raises when the backup has been cancelled."""
        self.done_bytes += count
        if self.cancelled.is_set():
            raise GnomonError(CANCELLED, "the backup was cancelled")


_InTurn = Callable[..., Awaitable[Any]]


async def take_backup(
    store: DurableStore, place: Place, where: str, progress: Progress, clock: Clock, version: str, *, full: bool
) -> Manifest:
    """Take one of a store with an engine of its own; what a failure leaves at the place is removed.

    An increment of the newest whole backup at the place, unless there is none or `full`.
    """
    assert store.supervisor is not None  # noqa: S101  (see above)
    # One thread for all that is done at the place: what is removed in the end is removed after the last write.
    thread = ThreadPoolExecutor(1, "backup")
    in_turn: _InTurn = partial(asyncio.get_running_loop().run_in_executor, thread)
    try:
        return await _take(store, place, where, progress, clock, version, in_turn, full=full)
    finally:
        thread.shutdown(wait=False)


async def _take(
    store: DurableStore,
    place: Place,
    where: str,
    progress: Progress,
    clock: Clock,
    version: str,
    in_turn: _InTurn,
    *,
    full: bool,
) -> Manifest:
    assert store.supervisor is not None  # noqa: S101  (see above)
    base = None if full else await in_turn(lambda: Catalogue(place, where).newest())
    now = _at(clock)
    backup = f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03}Z"
    started = orjson.dumps({"id": backup, "began": now.isoformat(), "version": version})
    packer = Packer(place, backup, _known_files(base), progress.advance)
    try:
        await in_turn(place.write, f"{backup}/{STARTED}", started)
        progress.phase = "snapshot"
        async with snapshot(store) as taken:
            tables = await _copy(store, taken, base, packer, progress, in_turn)
        files = await in_turn(_copy_files, store.supervisor.database.parent.parent, packer)
        manifest = Manifest(
            id=backup,
            began=datetime.fromtimestamp(taken.at_s, UTC).isoformat(timespec="milliseconds"),
            ended=_at(clock).isoformat(timespec="milliseconds"),
            kind="incremental" if base else "full",
            base=base.id if base else "",
            schema=store.schema_number,
            version=version,
            engine=store.supervisor.version,
            pause_s=round(taken.pause_s, 6),
            tables=tuple(tables),
            files=files,
            packs=_packs_of([file for table in tables for file in table.files] + list(files), packer, base),
        )
        await in_turn(lambda: place.write(f"{backup}/{MANIFEST}", manifest.encoded()))
    except BaseException:
        progress.cancelled.set()  # a thread that still copies ends at its next block
        await asyncio.shield(in_turn(_remove, place, backup, packer))
        raise
    progress.phase = "done"
    return manifest


def _at(clock: Clock) -> datetime:
    return datetime.fromtimestamp(clock.now_ns() / 1e9, UTC)


def _known_files(base: Manifest | None) -> dict[tuple[int, str], StoredFile]:
    files = [*base.files, *(file for table in base.tables for file in table.files)] if base else []
    return {(file.size, file.sha256): file for file in files}


async def _copy(
    store: DurableStore, taken: Snapshot, base: Manifest | None, packer: Packer, progress: Progress, in_turn: _InTurn
) -> list[StoredTable]:
    progress.total_bytes = sum(part.size for part in taken.parts)
    before = {(table.database, table.name): table for table in base.tables} if base else {}
    tables = []
    for table in taken.tables:
        stored = StoredTable(table.database, table.name, table.definition, table.holds_rows)
        if table.holds_rows:
            old = before.get((table.database, table.name))
            # The files of a part do not say which definition they are of, so a changed table is looked through anew.
            known = {part.content: part for part in old.parts} if old and old.definition == table.definition else {}
            parts = [part for part in taken.parts if part.table == table.name]
            new = [part for part in parts if part.content not in known]
            progress.phase = f"hashing {table.name}"
            hashes = await hash_rows(store, COPIES, new, lambda: progress.advance(0)) if new else {}
            progress.phase = f"copying {table.name}"
            copied = await in_turn(_copy_parts, parts, known, hashes, packer, progress)
            stored = replace(stored, parts=copied)
        tables.append(stored)
    return tables


def _copy_parts(
    parts: list[Part],
    known: Mapping[str, StoredPart],
    hashes: Mapping[str, RowHash],
    packer: Packer,
    progress: Progress,
) -> tuple[StoredPart, ...]:
    stored = []
    for part in parts:
        if old := known.get(part.content):
            stored.append(replace(old, name=part.name))
            progress.advance(part.size)
            continue
        files = tuple(packer.add(path, path.name) for path in sorted(part.folder.iterdir()))
        stored.append(StoredPart(part.name, part.content, hashes[part.name], files))
    return tuple(stored)


def _copy_files(data: Path, packer: Packer) -> tuple[StoredFile, ...]:
    files = tuple(packer.add(data / name, name) for name in KEPT_FILES if (data / name).is_file())
    packer.finish()
    return files


def _packs_of(files: list[StoredFile], packer: Packer, base: Manifest | None) -> dict[str, int]:
    sizes = {**(base.packs if base else {}), **packer.packs}
    needed = {extent.pack for file in files for extent in file.extents}
    return {name: sizes[name] for name in sorted(needed)}


def _remove(place: Place, backup: str, packer: Packer) -> None:
    # The manifest first: the store may have it although it did not say so.
    for name in (f"{backup}/{MANIFEST}", *packer.packs, f"{backup}/{STARTED}"):
        with contextlib.suppress(GnomonError):
            place.delete(name)
