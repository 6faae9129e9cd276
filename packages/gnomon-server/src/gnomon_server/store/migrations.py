"""The migration runner: numbered .sql files, each applied once, in order.

Statements are written to be repeatable, so a run that was interrupted is run again. Before a database that holds data is
changed, its parts are frozen (hard links, no copy). A database that a newer server has migrated is refused.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from gnomon_server.errors import GnomonError
from gnomon_server.store.clickhouse import ClickHouse
from gnomon_server.store.ddl import Deployment, Migration, migrations

Report = Callable[[str, str], Any]
_KEPT_SNAPSHOTS = 2


async def migrate(client: ClickHouse, deployment: Deployment, report: Report, steps: list[Migration] | None = None) -> int:
    """Bring the database to the newest number and return it. GnomonError `schema_newer` on a downgrade."""
    on_cluster = deployment.macros()["on_cluster"]
    await client.command(f"CREATE DATABASE IF NOT EXISTS gnomon {on_cluster}", database="default")
    await client.command(
        f"CREATE TABLE IF NOT EXISTS migrations {on_cluster} (number UInt32, name String, at DateTime DEFAULT now()) "
        f"ENGINE = {deployment.macros()['replicated']}MergeTree ORDER BY number "
        "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
    )
    steps = migrations(deployment) if steps is None else steps
    done = await _applied(client)
    newest = steps[-1].number if steps else 0
    if done and max(done) > newest:
        raise GnomonError(
            "schema_newer", f"this data is of schema {max(done)}, this server knows {newest}",
            hint="start the newer server again, or restore a backup made before the upgrade",
        )
    pending = [step for step in steps if step.number not in done]
    if pending and done:
        await _snapshot(client, max(done), report)
    for step in pending:
        await _apply(step, client.command)
        await client.command("INSERT INTO migrations (number, name) VALUES ({n:UInt32}, {name:String})",
                             {"n": step.number, "name": step.name})
        report("migrated", f"{step.number:04} {step.name}")
    return newest


async def _apply(step: Migration, command: Callable[..., Awaitable[str]]) -> None:
    for statement in step.statements:
        try:
            await command(statement)
        except GnomonError as error:
            raise GnomonError(
                "migration_failed", error.what, where=f"migration {step.number:04} {step.name}: {statement[:80]}...",
                hint="nothing is lost; mend the cause and start again, the migration continues",
            ) from error


async def _applied(client: ClickHouse) -> set[int]:
    text = await client.command("SELECT DISTINCT number FROM migrations FORMAT TSV")
    return {int(line) for line in text.split()}


async def _snapshot(client: ClickHouse, number: int, report: Report) -> None:
    """Freeze every table that has rows, under the name of the schema it is of; older snapshots are dropped."""
    text = await client.command(
        "SELECT name FROM system.tables WHERE database = 'gnomon' AND engine LIKE '%MergeTree' FORMAT TSV"
    )
    name = f"schema_{number:04}"
    for table in text.split():
        await client.command(f"ALTER TABLE {table} FREEZE WITH NAME {{name:String}}", {"name": name})
        if number > _KEPT_SNAPSHOTS:
            await client.command(f"ALTER TABLE {table} UNFREEZE WITH NAME 'schema_{number - _KEPT_SNAPSHOTS:04}'")
    report("snapshot", name)
