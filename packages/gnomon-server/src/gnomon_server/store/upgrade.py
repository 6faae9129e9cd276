"""Upgrading our own engine's data: kept as it is under second names, migrated, checked, and put back if that fails.

The engine is stopped while `db` is doubled as `db.before`: the files of parts, which never change, as hard links,
everything else as copies. No row is taken before the check has passed, so going back loses nothing; an upgrade that was
killed on its way is undone at the next start (`recover`) and begun again.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnomon_server.errors import DeadlineExceeded, GnomonError, TooLarge
from gnomon_server.store.clickhouse import ClickHouse
from gnomon_server.store.ddl import Deployment, Migration
from gnomon_server.store.interface import QueryLimits, Settings
from gnomon_server.store.migrations import migrate
from gnomon_server.store.supervisor import Supervisor
from gnomon_server.store.sync import sync

Report = Callable[[str, str], Any]

_PART_DEPTH = 4  # store/xyz/<uuid of the table>/<part>
_SMALL = (".txt", ".json")  # the engine may rewrite these in place
# Whether a view answers shows in its first rows; one that groups would read a whole store for them.
_A_FEW_ROWS: Settings = {"max_rows_to_read": 100_000, "read_overflow_mode": "break"}
_CHECK = QueryLimits(deadline_s=60.0)


@dataclass(frozen=True, slots=True)
class State:
    """What a database answers: rows and engine of each table; of each view why it does not answer, '' if it does."""

    tables: Mapping[str, tuple[int, str]]
    views: Mapping[str, str]


async def upgrade(
    supervisor: Supervisor,
    client: ClickHouse,
    deployment: Deployment,
    current: int,
    steps: Sequence[Migration],
    report: Report,
) -> None:
    """Apply `steps` to a database of schema `current`; its engine runs before and after.

    GnomonError of what failed (`migration_failed`, `upgrade_check_failed`, ...): all is as it was, the engine stopped.
    """
    database = supervisor.database
    before = await read_state(client)
    await supervisor.stop()
    await asyncio.to_thread(keep, database)
    report("snapshot", f"schema {current:04} is kept in {_kept(database)}")
    try:
        await _run(supervisor)
        await migrate(client, deployment, report, list(steps))
        await check(client, before)
    except GnomonError as error:
        await supervisor.stop()
        await asyncio.to_thread(put_back, database)
        await _run(supervisor)
        await check(client, before)
        await supervisor.stop()
        report("rolled_back", f"to schema {current:04}, whose rows and views answer as before")
        hint = f"the data is as it was, of schema {current}: start the version before this one, and report this"
        raise GnomonError(error.code, error.what, error.where, hint) from error
    await asyncio.to_thread(let_go, database)


async def _run(supervisor: Supervisor) -> None:
    Path(supervisor.socket).parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # it went with the last stop
    await supervisor.start()


# -- what is checked --------------------------------------------------------------------------------------------------


async def read_state(client: ClickHouse) -> State:
    """Count the tables' rows, ask each view."""
    text = await client.command(
        "SELECT name, total_rows, engine FROM system.tables "
        "WHERE database = 'gnomon' AND engine LIKE '%MergeTree' AND name != 'migrations' FORMAT TSV"
    )
    rows = (line.split("\t") for line in text.splitlines())
    tables = {name: (int(count), engine) for name, count, engine in rows}
    views = await client.command("SELECT name FROM system.tables WHERE database = 'gnomon_sql' FORMAT TSV")
    return State(tables, {view: await _fault(client, view) for view in views.split()})


async def _fault(client: ClickHouse, view: str) -> str:
    try:
        await client.query(f"SELECT * FROM `{view}` LIMIT 1", None, "gnomon_sql", _A_FEW_ROWS, _CHECK)
    except (DeadlineExceeded, TooLarge):
        return ""  # it is understood; that it is large is no fault
    except GnomonError as error:
        return error.what
    return ""


async def check(client: ClickHouse, before: State) -> None:
    """GnomonError `upgrade_check_failed` when rows are missing, or a view does not answer that did."""
    after = await read_state(client)
    for table, (rows, engine) in before.tables.items():
        now, _ = after.tables.get(table, (0, ""))
        # The other engines drop replaced rows when they merge, so theirs only must not be gone.
        if now < (rows if engine == "MergeTree" else min(rows, 1)):
            raise GnomonError(
                "upgrade_check_failed", f"{table} holds {now:,} rows, it held {rows:,}", f"gnomon.{table}"
            )
    for view in {**before.views, **after.views}:
        fault = after.views.get(view, "it is gone")
        if fault and not before.views.get(view):
            raise GnomonError("upgrade_check_failed", fault, f"view {view}")


# -- the files --------------------------------------------------------------------------------------------------------


def keep(database: Path) -> None:
    """Double the database; the engine must be stopped."""
    with _owned(database):
        half = database.with_name("db.before.tmp")
        shutil.rmtree(half, ignore_errors=True)
        try:
            shutil.copytree(database, half, symlinks=True, copy_function=_link_or_copy(database))
        except OSError as error:
            shutil.rmtree(half, ignore_errors=True)
            # shutil.Error holds a list: source, target and reason of each file.
            why = error.args[0][0][2] if isinstance(error, shutil.Error) else error
            hint = "nothing is changed; make room (gnomon upgrade --dry-run tells how much), then start again"
            raise GnomonError("upgrade_not_begun", f"the data cannot be kept: {why}", str(half), hint) from error
        os.sync()
        half.rename(_kept(database))
        sync(database.parent)


def put_back(database: Path) -> None:
    """Make the double the database again; the engine must be stopped."""
    with _owned(database):
        _put_back(database)


def _put_back(database: Path) -> None:
    failed = database.with_name("db.failed")
    if database.exists():
        shutil.rmtree(failed, ignore_errors=True)
        database.rename(failed)
    _kept(database).rename(database)
    sync(database.parent)
    shutil.rmtree(failed, ignore_errors=True)


def let_go(database: Path) -> None:
    """Give up the double: from here on there is no way back."""
    done = database.with_name("db.done")
    os.sync()  # what the migration wrote, before what it replaces goes
    _kept(database).rename(done)
    sync(database.parent)
    shutil.rmtree(done, ignore_errors=True)


def recover(database: Path, report: Report) -> None:
    """Undo an upgrade that was killed, and remove what one has left. Before the engine is started.

    GnomonError `data_dir_taken` when it is another process's, which still works on it.
    """
    left = [database.with_name(name) for name in ("db.before.tmp", "db.failed", "db.done")]
    if not any(path.exists() for path in (_kept(database), *left)):
        return
    with _owned(database):
        if _kept(database).exists():
            _put_back(database)
            report("rolled_back", "an upgrade was interrupted; the data is as it was before")
        for path in left:
            shutil.rmtree(path, ignore_errors=True)


def kept_bytes(database: Path) -> tuple[int, int]:
    """What keeping the database costs: bytes to copy, and bytes that get a second name only."""
    copied = linked = 0
    for folder, _, names in os.walk(database):
        for name in names:
            path = Path(folder, name)
            try:
                size = path.lstat().st_size
            except FileNotFoundError:  # the engine runs, and merges
                continue
            if _is_of_a_part(path, database):
                linked += size
            else:
                copied += size
    return copied, linked


def _kept(database: Path) -> Path:
    return database.with_name("db.before")


def _is_of_a_part(path: Path, database: Path) -> bool:
    where = path.relative_to(database).parts
    return where[0] == "store" and len(where) > _PART_DEPTH and not path.name.endswith(_SMALL)


def _link_or_copy(database: Path) -> Callable[[str, str], Any]:
    def put(source: str, target: str) -> None:
        if _is_of_a_part(Path(source), database):
            os.link(source, target)
        else:
            shutil.copy2(source, target)

    return put


@contextlib.contextmanager
def _owned(database: Path) -> Iterator[None]:
    """Hold the engine's own lock, so that no engine runs on the files meanwhile."""
    with (database.parent / "engine.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise GnomonError(
                "data_dir_taken", "another server owns this data directory", str(database.parent.parent), "stop it"
            ) from None
        yield
