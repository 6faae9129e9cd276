"""Upgrades of our own engine's data: what fails is undone, by itself, and queries are right again."""

import asyncio
import errno
import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from click.testing import CliRunner

from gnomon_server.cli import main
from gnomon_server.errors import GnomonError
from gnomon_server.store import ddl, upgrade
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.supervisor import EngineSettings

NEXT = "0900_next.sql"
GOOD = "ALTER TABLE logs$local $on_cluster ADD COLUMN IF NOT EXISTS colour String DEFAULT 'blue';\n"
BROKEN = {
    "a statement that fails after one that worked": GOOD + "ALTER TABLE nowhere ADD COLUMN x UInt8;\n",
    "rows that vanish": "TRUNCATE TABLE logs;\n",
    "a table that vanishes": "DROP TABLE gnomon.logs;\n",
    "a view that no longer answers": "ALTER TABLE logs RENAME COLUMN body TO text;\n",
    "a view that is gone": "DROP VIEW gnomon_sql.logs;\n",
    "a statement that throws": "SELECT throwIf(1);\n",
}


@pytest.fixture
def sql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The migrations in a folder where another can be put beside them."""
    folder = tmp_path / "sql"
    shutil.copytree(str(resources.files("gnomon_server.store") / "sql"), folder)
    monkeypatch.setattr(ddl, "FOLDER", folder)
    return folder


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory of today's schema with a log record and a trace in it; to be copied."""

    async def fill(folder: Path) -> None:
        store = DurableStore(EngineSettings(folder))
        await store.start()
        await store.command("INSERT INTO logs (tenant, ret, ts, body) SELECT 1, 0, now64(9), 'kept' FROM numbers(100)")
        await store.command("INSERT INTO spans (tenant, ret, ts, service, name) SELECT 1, 0, now64(9), 'shop', 'GET /'")
        await store.stop()

    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        asyncio.run(fill(Path(folder)))
        yield Path(folder)


@pytest.fixture
def data(filled: Path) -> Iterator[Path]:
    """A copy of it."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        shutil.copytree(filled, Path(folder) / "data", symlinks=True)
        yield Path(folder) / "data"


async def answers(data: Path) -> tuple[int, int, list[str]]:
    """Log records, traces, and the columns of `logs`, asked of the data as the server asks."""
    store = DurableStore(EngineSettings(data))
    await store.start()
    try:
        logs, _ = await store.query("SELECT count() AS n FROM gnomon_sql.logs WHERE body = 'kept'")
        traces, _ = await store.query("SELECT sum(spans) AS n FROM gnomon_sql.traces WHERE root_name = 'GET /'")
        columns, _ = await store.query("SELECT name FROM system.columns WHERE database = 'gnomon' AND table = 'logs'")
        return logs["n"][0].as_py(), traces["n"][0].as_py(), columns["name"].to_pylist()
    finally:
        await store.stop()


def left(data: Path) -> set[str]:
    """What stands beside the engine's database."""
    return {path.name for path in (data / "clickhouse").iterdir() if path.name.startswith("db")}


async def test_an_upgrade_migrates_and_keeps_nothing(data: Path, sql: Path) -> None:
    """The migration is applied, the rows are there, what was kept meanwhile is gone."""
    (sql / NEXT).write_text(GOOD, "utf-8")
    told: list[str] = []
    store = DurableStore(EngineSettings(data), on_event=lambda name, _: told.append(name))
    await store.start()
    await store.stop()
    assert [name for name in told if name != "engine_started"] == ["snapshot", "migrated"]
    assert store.schema_number == 900
    logs, traces, columns = await answers(data)
    assert (logs, traces) == (100, 1)
    assert "colour" in columns
    assert left(data) == {"db"}


@pytest.mark.parametrize("how", BROKEN)
async def test_a_migration_that_fails_is_undone(data: Path, sql: Path, how: str) -> None:
    """Whatever breaks: the start is refused with the reason, and the version before it answers as before."""
    (sql / NEXT).write_text(BROKEN[how], "utf-8")
    told: list[str] = []
    store = DurableStore(EngineSettings(data), on_event=lambda name, _: told.append(name))
    with pytest.raises(GnomonError) as failed:
        await store.start()
    await store.stop()
    assert failed.value.code in ("migration_failed", "upgrade_check_failed")
    assert "the data is as it was" in failed.value.hint
    assert told[-1] == "rolled_back"
    assert left(data) == {"db"}
    (sql / NEXT).unlink()
    logs, traces, columns = await answers(data)
    assert (logs, traces) == (100, 1)
    assert "colour" not in columns
    assert "body" in columns


async def test_an_upgrade_that_was_killed_is_undone(data: Path, sql: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is gone after the migration and before the check: the next start of the old version is right."""
    (sql / NEXT).write_text(GOOD, "utf-8")

    async def die(*_: object) -> None:
        assert store.supervisor is not None
        os.kill(store.supervisor.pid, signal.SIGKILL)
        raise KeyboardInterrupt

    store = DurableStore(EngineSettings(data))
    with monkeypatch.context() as patch:
        patch.setattr(upgrade, "check", die)
        with pytest.raises(KeyboardInterrupt):
            await store.start()
    await store.stop()
    assert left(data) == {"db", "db.before"}
    (sql / NEXT).unlink()
    logs, traces, columns = await answers(data)
    assert (logs, traces) == (100, 1)
    assert "colour" not in columns
    assert left(data) == {"db"}


def test_the_command(data: Path, sql: Path) -> None:
    """--dry-run names what is pending and its cost and changes nothing; then a broken one, then a good one."""
    told = CliRunner().invoke(main, ["upgrade", "--data", str(data), "--dry-run"])
    assert (told.exit_code, "nothing is pending" in told.output) == (0, True)
    (sql / NEXT).write_text(BROKEN["rows that vanish"], "utf-8")
    told = CliRunner().invoke(main, ["upgrade", "--data", str(data), "--dry-run"])
    assert told.exit_code == 0
    assert "0900 next: 1 statements" in told.output
    assert "second name" in told.output
    failed = CliRunner().invoke(main, ["upgrade", "--data", str(data)])
    assert failed.exit_code == 1
    assert "logs holds 0 rows, it held 100" in failed.output
    assert "the data is as it was" in failed.output
    (sql / NEXT).write_text(GOOD, "utf-8")
    done = CliRunner().invoke(main, ["upgrade", "--data", str(data)])
    assert (done.exit_code, "of schema 900" in done.output) == (0, True)
    nothing = CliRunner().invoke(main, ["upgrade", "--data", str(data / "elsewhere")])
    assert nothing.exit_code == 1
    assert "there is no data" in nothing.output


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A database of one file of a part."""
    part = tmp_path / "clickhouse" / "db" / "store" / "abc" / "abcdef" / "all_1_1_0"
    part.mkdir(parents=True)
    (part / "data.bin").write_bytes(b"rows")
    return tmp_path / "clickhouse" / "db"


def test_a_second_process_leaves_what_the_first_keeps(bare: Path) -> None:
    """While an upgrade doubles the database, a server that starts must not remove the half of it."""
    half = bare.with_name("db.before.tmp")
    half.mkdir()
    with (bare.parent / "engine.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(GnomonError) as refused:
            upgrade.recover(bare, lambda *_: None)
    assert refused.value.code == "data_dir_taken"
    assert half.exists()
    upgrade.recover(bare, lambda *_: None)
    assert not half.exists()


def test_no_room_to_keep_the_data(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, nothing is changed, and the half that was kept gives its space back."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(GnomonError, match="No space left") as refused:
        upgrade.keep(bare)
    assert refused.value.code == "upgrade_not_begun"
    assert [path.name for path in bare.parent.iterdir() if path.is_dir()] == ["db"]


@pytest.mark.parametrize(
    "killed_at",
    [{"db", "db.before.tmp"}, {"db", "db.before"}, {"db.failed", "db.before"}, {"db", "db.failed"}, {"db", "db.done"}],
    ids=lambda there: "+".join(sorted(there)),
)
def test_killed_at_every_step(bare: Path, killed_at: set[str]) -> None:
    """Whatever stands there, afterwards the database does, and alone: the kept one where there is one."""
    shutil.rmtree(bare)
    for name in killed_at:
        bare.with_name(name).mkdir()
        (bare.with_name(name) / "which").write_text(name, "utf-8")
    upgrade.recover(bare, lambda *_: None)
    assert [path.name for path in bare.parent.iterdir() if path.is_dir()] == ["db"]
    assert (bare / "which").read_text("utf-8") == ("db.before" if "db.before" in killed_at else "db")
