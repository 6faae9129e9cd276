"""All tables as of one moment, beside the running server: their parts under second names, in a database of their own.

A part never changes once it is written, and one that a merge has replaced stays on the disk for eight minutes
(old_parts_lifetime). So commits are paused only for the one query that lists the active parts of all tables. Their
files are linked afterwards and attached to copies of the tables, in which nothing merges: there their rows are hashed
and their bytes are taken, however long it takes and whatever happens to the tables meanwhile.
"""

import asyncio
import os
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from gnomon_server.errors import GnomonError, Unavailable
from gnomon_server.store.backup.manifest import RowHash
from gnomon_server.store.clickhouse import ClickHouse
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.interface import QueryLimits

COPIES = "gnomon_backup"
_TRIES = 5  # a partition may be dropped between the listing and the linking
_PATIENT = QueryLimits(deadline_s=6 * 3600.0)
# The engine rewrites or removes these when it attaches a part; the rest is written once.
_SMALL = (".txt", ".json")
_ROWS_AT_ONCE = 5_000_000
_PARTS_AT_ONCE = 1000  # their names stand in the address of the request
# The engine keeps tables of more than 50 GB from being dropped by mistake.
_ANY_SIZE = {"max_table_size_to_drop": "0", "max_partition_size_to_drop": "0"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view, and the statement that makes it."""

    database: str
    name: str
    definition: str
    holds_rows: bool


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a copy: `folder` holds its files until the snapshot is given up."""

    table: str
    name: str
    content: str
    rows: int
    size: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What there was at `at_s` (Unix time). `pause_s`: no commit began while one ended and the parts were listed."""

    tables: list[Table]
    parts: list[Part]
    at_s: float
    pause_s: float


@asynccontextmanager
async def snapshot(store: DurableStore) -> AsyncIterator[Snapshot]:
    """The tables as they are; given up at the end of the context."""
    await forget(store)
    try:
        yield await _take(store)
    finally:
        await asyncio.shield(forget(store))


async def forget(store: DurableStore) -> None:
    """Remove what a snapshot holds; also one that an interrupted run has left."""
    await store.command(f"DROP DATABASE IF EXISTS {COPIES} SYNC", settings=_ANY_SIZE)


async def _take(store: DurableStore) -> Snapshot:
    for _ in range(_TRIES):
        tables = await read_tables(store.client)
        homes = await _make_copies(store.client, [table for table in tables if table.holds_rows])
        began = time.perf_counter()
        async with store.paused():
            at_s = time.time()
            listed = await _rows(
                store,
                "SELECT table, name, path, rows FROM system.parts WHERE database = 'gnomon' AND active ORDER BY 1, 2",
            )
        pause_s = time.perf_counter() - began
        try:
            await asyncio.to_thread(_link, [(homes[row["table"]], Path(row["path"])) for row in listed])
        except FileNotFoundError:
            await forget(store)
            continue
        for table in sorted({row["table"] for row in listed}):
            await store.client.command(f"ALTER TABLE {COPIES}.`{table}` ATTACH PARTITION ALL")
        parts = await read_parts(store, COPIES)
        if Counter((row["table"], row["rows"]) for row in listed) != Counter((part.table, part.rows) for part in parts):
            raise GnomonError("backup_failed", f"of {len(listed)} parts {len(parts)} could be held on to, or not whole")
        return Snapshot(tables, parts, at_s, pause_s)
    raise Unavailable("backup_failed", "partitions were dropped again and again while the tables were listed")


async def _make_copies(client: ClickHouse, tables: list[Table]) -> dict[str, Path]:
    """Empty copies of the tables, without merges; where the engine looks for parts to attach, by name."""
    await client.command(f"CREATE DATABASE IF NOT EXISTS {COPIES}", database="default")
    for table in tables:
        copy = f"{COPIES}.`{table.name}`"
        await client.command(f"CREATE TABLE {copy} AS gnomon.`{table.name}`")
        await client.command(f"SYSTEM STOP MERGES {copy}")
    return await detached_folders(client, COPIES)


async def detached_folders(client: ClickHouse, database: str) -> dict[str, Path]:
    """Where parts are put that ATTACH PARTITION ALL is to take, by table."""
    text = await client.command(
        "SELECT name, data_paths[1] FROM system.tables "
        f"WHERE database = '{database}' AND engine LIKE '%MergeTree' FORMAT TSVRaw"
    )
    rows = (line.split("\t") for line in text.splitlines())
    return {name: Path(path) / "detached" for name, path in rows}


def _link(parts: Iterable[tuple[Path, Path]]) -> None:
    for home, folder in parts:
        place = home / folder.name
        place.mkdir(parents=True)
        for file in os.scandir(folder):
            if file.is_dir():
                raise GnomonError("backup_failed", "a part holds a folder (a projection), which is not known here")
            if file.name.endswith(_SMALL):
                shutil.copyfile(file.path, place / file.name)
            else:
                os.link(file.path, place / file.name)


async def read_tables(client: ClickHouse) -> list[Table]:
    """Tables of `gnomon`, then materialized views, then the views of `gnomon_sql`: the order to create them in."""
    text = await client.command(
        "SELECT database, name, replaceRegexpAll(create_table_query, ' (TO INNER )?UUID \\'[^\\']*\\'', ''), "
        "engine LIKE '%MergeTree' FROM system.tables WHERE database IN ('gnomon', 'gnomon_sql') "
        "ORDER BY engine NOT LIKE '%MergeTree', engine != 'MaterializedView', database, name FORMAT JSONCompactEachRow"
    )
    rows = [orjson.loads(line) for line in text.splitlines()]
    return [Table(database, name, definition, bool(holds)) for database, name, definition, holds in rows]


async def read_parts(store: DurableStore, database: str) -> list[Part]:
    """The parts of a database's tables."""
    rows = await _rows(
        store,
        "SELECT table, name, hash_of_all_files, rows, bytes_on_disk, path FROM system.parts "
        f"WHERE database = '{database}' AND active ORDER BY table, name",
    )
    return [
        Part(row["table"], row["name"], row["hash_of_all_files"], row["rows"], row["bytes_on_disk"], Path(row["path"]))
        for row in rows
    ]


async def hash_rows(
    store: DurableStore, database: str, parts: list[Part], go_on: Callable[[], None] = lambda: None
) -> dict[str, RowHash]:
    """The row hashes of parts of one table, by part name. `go_on` is called now and then; it may raise."""
    columns = await _rows(
        store,
        "SELECT name FROM system.columns WHERE database = {database:String} AND table = {table:String} "
        "AND default_kind NOT IN ('ALIAS', 'EPHEMERAL') ORDER BY position",
        {"database": database, "table": parts[0].table},
    )
    each = f"cityHash64({', '.join('`{}`'.format(row['name']) for row in columns)})"
    found: dict[str, RowHash] = {}
    for some in _batches(parts):
        go_on()
        rows = await _rows(
            store,
            # Aliases that are no column's name: an alias would be taken for the column within the hash.
            f"SELECT _part AS _name, count() AS _rows, sum({each}) AS _sum, groupBitXor({each}) AS _xor "
            f"FROM {database}.`{parts[0].table}` WHERE _part IN {{parts:Array(String)}} GROUP BY _part",
            {"parts": [part.name for part in some]},
        )
        found |= {str(row["_name"]): RowHash(row["_rows"], row["_sum"], row["_xor"]) for row in rows}
    missing = [part.name for part in parts if found.get(part.name, RowHash()).rows != part.rows]
    if missing:
        raise GnomonError(
            "backup_failed", f"{len(missing)} parts of {parts[0].table} cannot be read whole: {missing[0]}"
        )
    return found


def _batches(parts: list[Part]) -> Iterable[list[Part]]:
    some: list[Part] = []
    rows = 0
    for part in parts:
        some.append(part)
        rows += part.rows
        if rows >= _ROWS_AT_ONCE or len(some) == _PARTS_AT_ONCE:
            yield some
            some, rows = [], 0
    if some:
        yield some


async def _rows(store: DurableStore, sql: str, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    # One thread: a backup may take longer, but not the machine.
    found, _ = await store.query(sql, params, settings={"max_threads": 1}, limits=_PATIENT)
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows
