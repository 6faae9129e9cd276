"""The migration runner: numbered .sql files, each applied once, in order.

Statements are written to be repeatable, so a run that was interrupted is run again. Before a database that holds data
is changed it is kept as it was: our own engine's by store/upgrade.py, which also rolls back; the parts of a ClickHouse
server's are frozen there (hard links, no copy). A database that a newer server has migrated is refused.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from gnomon_server.errors import GnomonError, RetryableError
from gnomon_server.store.clickhouse import ClickHouse
from gnomon_server.store.ddl import Deployment, Migration, migrations, migrations_table

Report = Callable[[str, str], Any]
_SNAPSHOT = "snapshot"


async def pending(
    client: ClickHouse, deployment: Deployment, steps: list[Migration] | None = None
) -> tuple[int, list[Migration]]:
    """The schema that the database is of (0: there is none), and what it lacks. Changes nothing.

    GnomonError `schema_newer` on a downgrade.
    """
    steps = migrations(deployment) if steps is None else steps
    there = await client.command(
        f"SELECT count() FROM system.tables WHERE database = 'gnomon' AND name = '{deployment.local('migrations')}'",
        database="default",
    )
    done = await _applied(client) if int(there) else set()
    newest = steps[-1].number if steps else 0
    if done and max(done) > newest:
        raise GnomonError(
            "schema_newer",
            f"this data is of schema {max(done)}, this server knows {newest}",
            hint="start the newer server again, or restore a backup made before the upgrade",
        )
    return max(done, default=0), [step for step in steps if step.number not in done]


async def migrate(
    client: ClickHouse, deployment: Deployment, report: Report, steps: list[Migration] | None = None
) -> int:
    """Bring the database to the newest number and return it. GnomonError as `pending`, and `migration_failed`."""
    current, lacking = await pending(client, deployment, steps)
    await client.command(f"CREATE DATABASE IF NOT EXISTS gnomon {deployment.on_cluster}", database="default")
    for statement in migrations_table(deployment):
        await client.command(statement)
    if lacking and current and not deployment.embedded:
        await _snapshot(client, deployment, current, report)
    for step in lacking:
        await _apply(step, client.command)
        await _note(client, deployment, step.number, step.name)
        report("migrated", f"{step.number:04} {step.name}")
    return max(current, *(step.number for step in lacking)) if lacking else current


async def _apply(step: Migration, command: Callable[..., Awaitable[str]]) -> None:
    for statement in step.statements:
        try:
            await command(statement)
        except RetryableError:
            raise  # it is away, not at fault
        except GnomonError as error:
            raise GnomonError(
                "migration_failed",
                error.what,
                where=f"migration {step.number:04} {step.name}: {' '.join(statement.split())[:80]}",
                hint="nothing is lost; mend the cause and start again, the migration continues",
            ) from error


async def _applied(client: ClickHouse) -> set[int]:
    text = await client.command("SELECT DISTINCT number FROM migrations FORMAT TSV")
    return {int(line) for line in text.split()}


async def _snapshot(client: ClickHouse, deployment: Deployment, number: int, report: Report) -> None:
    """Freeze every table under the name of the schema it is of; the snapshot before it is given up.

    Only one is kept: what it holds stays on the disk although retention has dropped it. A finished one is noted, so
    that a migration that was interrupted does not replace it by one of a half-changed schema.
    """
    noted = await client.command(f"SELECT count() FROM migrations WHERE number = {number} AND name = '{_SNAPSHOT}'")
    if int(noted):
        return
    text = await client.command(
        "SELECT name FROM system.tables WHERE database = 'gnomon' AND engine LIKE '%MergeTree' FORMAT TSV"
    )
    for table in text.split():
        where = f"ALTER TABLE {table} {deployment.on_cluster}"
        for older in range(1, number + 1):
            await client.command(f"{where} UNFREEZE WITH NAME '{_name(older)}'")
        await client.command(f"{where} FREEZE WITH NAME '{_name(number)}'")
    await _note(client, deployment, number, _SNAPSHOT)
    report("snapshot", _name(number))


async def _note(client: ClickHouse, deployment: Deployment, number: int, name: str) -> None:
    await client.command(
        f"INSERT INTO {deployment.local('migrations')} (number, name) VALUES ({{n:UInt32}}, {{name:String}})",
        {"n": number, "name": name},
    )


def _name(number: int) -> str:
    return f"schema_{number:04}"
