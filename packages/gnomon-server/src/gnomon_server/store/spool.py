"""What a remote ClickHouse cannot take for a while, on our own disk: a queue of synced files before the store.

An insert that the store is away for is written as one file (tables and tokens, rows as Arrow streams, a checksum),
synced with its directory, and then acknowledged. While files wait, what comes after waits behind them, so that rows
stay in order. A file is deleted when the store has taken it; one that was taken just before we died is inserted again
with the same tokens, which the store ignores. What waits is not seen by queries, nor by intake when it asks for
repeated samples and spans: a sender who repeats itself while the store is away has them stored twice.
"""

import asyncio
import contextlib
import json
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from gnomon_server.errors import GnomonError, RetryableError, Unavailable
from gnomon_server.store.clickhouse import arrow_stream
from gnomon_server.store.interface import Insert, Params, QueryLimits, QueryStats, Settings, Store
from gnomon_server.store.sync import sync

_MAGIC = b"GNOMONSPOOL1"
_HEAD = struct.Struct("<12sI")  # magic, length of the JSON that says which streams follow
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 15.0


class SpooledStore:
    """A Store that acknowledges inserts although `inner` is away, up to `max_bytes` of them. Queries go to `inner`.

    `on_event` hears `spool_started` (the store is away), `spool_drained`, and `spool_set_aside`: a file that the store
    refuses for good, or that the disk has damaged, is renamed and kept for a person to look at.
    """

    outlasts_absence = True

    def __init__(
        self,
        inner: Store,
        folder: Path,
        max_bytes: int,
        on_event: Callable[[str, str], Any] = lambda _name, _detail: None,
    ) -> None:
        self._inner = inner
        self._folder = folder
        self._max_bytes = max_bytes
        self._on_event = on_event
        self._order = asyncio.Lock()
        self._waiting: dict[Path, int] = {}  # oldest first, with sizes
        self._next = 0
        self._wake = asyncio.Event()
        self._drainer: asyncio.Task[None] | None = None

    @property
    def waiting_bytes(self) -> int:
        """What waits for the store."""
        return sum(self._waiting.values())

    async def start(self) -> None:
        """Start the store, then drain what an earlier run has left."""
        await asyncio.to_thread(self._open)
        await self._inner.start()
        if self._waiting:
            self._wake.set()
        self._drainer = asyncio.create_task(self._drain(), name="spool-drainer")

    async def stop(self) -> None:
        """Stop draining; what waits is there at the next start."""
        if self._drainer:
            self._drainer.cancel()
            await asyncio.gather(self._drainer, return_exceptions=True)
        await self._inner.stop()

    async def insert(self, inserts: Sequence[Insert]) -> None:
        """Into the store, or behind what waits for it. `Unavailable` `spool_full` when that is too much."""
        async with self._order:
            if not self._waiting:
                try:
                    await self._inner.insert(inserts)
                except Unavailable as error:
                    self._on_event("spool_started", f"{error.what} [{error.code}]")
                else:
                    return
            # Shielded: a file that is written is counted, whoever has left meanwhile.
            await asyncio.shield(self._keep(inserts))

    async def query(
        self,
        sql: str,
        params: Params | None = None,
        *,
        database: str = "gnomon",
        settings: Settings | None = None,
        limits: QueryLimits | None = None,
    ) -> tuple[pa.Table, QueryStats]:
        """Run one read-only statement; it does not see what waits."""
        return await self._inner.query(sql, params, database=database, settings=settings, limits=limits)

    async def command(self, sql: str, params: Params | None = None, *, settings: Settings | None = None) -> None:
        """Run one statement that returns nothing."""
        await self._inner.command(sql, params, settings=settings)

    # -- in -----------------------------------------------------------------------------------------------------------

    async def _keep(self, inserts: Sequence[Insert]) -> None:
        content = await asyncio.to_thread(_packed, inserts)
        if self.waiting_bytes + len(content) > self._max_bytes:
            raise Unavailable(
                "spool_full",
                f"the store is away, and {self.waiting_bytes} bytes wait for it; {self._max_bytes} may",
                hint="bring ClickHouse back, or raise store.spool_bytes",
                retry_after_s=10,
            )
        path = self._folder / f"{self._next:016}.spool"
        self._next += 1
        try:
            await asyncio.to_thread(_write, path, content)
        except OSError as error:
            raise Unavailable(
                "disk_full", f"the store is away, and the spool cannot be written: {error.strerror}", where=str(path)
            ) from error
        self._waiting[path] = len(content)
        self._wake.set()

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for half_written in self._folder.glob("*.tmp"):  # never acknowledged
            half_written.unlink()
        found = sorted(self._folder.glob("*.spool"))
        self._waiting = {path: path.stat().st_size for path in found}
        self._next = int(found[-1].stem) + 1 if found else 0

    # -- out ----------------------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        pause_s = _PAUSE_S
        while True:
            await self._wake.wait()
            path = next(iter(self._waiting))
            try:
                await self._inner.insert(await asyncio.to_thread(_unpacked, path))
            except RetryableError:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            except (GnomonError, OSError, ValueError) as error:
                self._on_event("spool_set_aside", f"{path}: {error}")
                await asyncio.to_thread(_set_aside, path)
            else:
                await asyncio.to_thread(_remove, path)
            pause_s = _PAUSE_S
            del self._waiting[path]
            if not self._waiting:
                self._wake.clear()
                self._on_event("spool_drained", "the store has taken all that waited")


def _packed(inserts: Sequence[Insert]) -> bytes:
    streams = [arrow_stream(insert.rows) for insert in inserts]
    says = [
        {"table": insert.table, "token": insert.token, "bytes": len(stream)}
        for insert, stream in zip(inserts, streams, strict=True)
    ]
    described = json.dumps(says).encode()
    content = b"".join([_HEAD.pack(_MAGIC, len(described)), described, *streams])
    return content + xxhash.xxh3_128_digest(content)


def _unpacked(path: Path) -> list[Insert]:
    """The inserts of a file. ValueError when it is not what was written."""
    whole = path.read_bytes()
    content, checksum = whole[:-16], whole[-16:]
    if xxhash.xxh3_128_digest(content) != checksum:
        raise ValueError("the checksum is wrong")
    magic, length = _HEAD.unpack_from(content)
    if magic != _MAGIC:
        raise ValueError("it is of another version")
    at = _HEAD.size + length
    inserts = []
    for says in json.loads(content[_HEAD.size : at]):
        with pa.ipc.open_stream(pa.py_buffer(content[at : at + says["bytes"]])) as reader:
            inserts.append(Insert(says["table"], reader.read_all(), says["token"]))
        at += says["bytes"]
    return inserts


def _write(path: Path, content: bytes) -> None:
    """All or nothing, and synced: the file, then its name."""
    half = path.with_suffix(".tmp")
    try:
        with half.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        half.rename(path)
        sync(path.parent)
    except OSError:
        for left in (half, path):  # not acknowledged, so it must not be there after a restart
            with contextlib.suppress(OSError):
                left.unlink(missing_ok=True)
        raise


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    sync(path.parent)


def _set_aside(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.rename(path.with_suffix(".refused"))
        sync(path.parent)
