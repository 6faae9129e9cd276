"""`gnomon upgrade`: bring a data directory to this version's schema, or say what that would take."""

import asyncio
from pathlib import Path

import click

from gnomon_server.cli.settings import load_settings, refusal, server_options
from gnomon_server.config import Settings
from gnomon_server.errors import GnomonError
from gnomon_server.store.clickhouse import Address
from gnomon_server.store.ddl import Deployment
from gnomon_server.store.disk import read_usage
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.migrations import pending
from gnomon_server.store.partitions import size
from gnomon_server.store.supervisor import EngineSettings
from gnomon_server.store.upgrade import kept_bytes


@click.command()
@click.option("--dry-run", is_flag=True, help="Say which migrations are pending and what they cost; change nothing.")
@server_options
def upgrade(dry_run: bool, config_file: Path | None, pairs: tuple[str, ...], **flags: str | None) -> None:
    """Apply the pending migrations to a data directory that no server uses; `gnomon up` does the same by itself.

    The data is kept as it was until the result has been checked, and put back when a migration or the check fails.
    """
    settings = load_settings(config_file, pairs, **flags).settings
    try:
        asyncio.run(_upgrade(settings, dry_run=dry_run))
    except GnomonError as error:
        raise refusal(error) from error


async def _upgrade(settings: Settings, *, dry_run: bool) -> None:
    if not settings.store.url and not (settings.data / "clickhouse").exists():
        raise click.ClickException(f"there is no data in {settings.data}: `gnomon up` makes it")
    store = _store(settings)
    try:
        if dry_run:
            await store.open()
            await _tell(store, settings)
        else:
            await store.start()
            click.echo(f"the data is of schema {store.schema_number}, as this version needs it")
    finally:
        await store.stop()


def _store(settings: Settings) -> DurableStore:
    def tell(name: str, detail: str) -> None:
        click.echo(f"{name} {detail}", err=True)

    if not settings.store.url:
        return DurableStore(EngineSettings(settings.data, settings.engine.memory_bytes), on_event=tell)
    password = settings.store.password.get_secret_value()
    return DurableStore(
        address=Address(settings.store.url, "", settings.store.user, password),
        deployment=Deployment(settings.store.cluster, embedded=False),
        on_event=tell,
    )


async def _tell(store: DurableStore, settings: Settings) -> None:
    deployment = Deployment(settings.store.cluster, embedded=not settings.store.url)
    current, lacking = await pending(store.client, deployment)
    click.echo(f"the data is of schema {current}; " + ("nothing is pending" if not lacking else "pending:"))
    for step in lacking:
        click.echo(f"  {step.number:04} {step.name}: {len(step.statements)} statements")
    if not lacking:
        return
    usage = await read_usage(store, deployment)
    if store.supervisor is None:
        click.echo("  kept meanwhile: the parts are frozen on the ClickHouse server (ALTER TABLE ... FREEZE)")
    else:
        copied, linked = kept_bytes(store.supervisor.database)
        click.echo(f"  kept meanwhile: {size(copied)} copied; {size(linked)} get a second name and cost nothing")
    click.echo(f"  at most, were every row rewritten: {size(usage.held_bytes)}; free: {size(usage.free_bytes)}")
