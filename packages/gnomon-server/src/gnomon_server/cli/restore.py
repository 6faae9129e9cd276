"""`gnomon restore SOURCE`: look at backups, check one, or make a data directory of it. Needs no server."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from gnomon_server.cli.settings import load_settings, refusal
from gnomon_server.cli.tables import show
from gnomon_server.errors import GnomonError
from gnomon_server.store.backup.catalogue import Catalogue
from gnomon_server.store.backup.manifest import Manifest
from gnomon_server.store.backup.places import Place, open_place
from gnomon_server.store.backup.restore import check_schema, check_target, verify
from gnomon_server.store.backup.restore import restore as restore_backup
from gnomon_server.store.partitions import size


@click.command()
@click.argument("source")
@click.option("--data", type=click.Path(path_type=Path), help="The data directory to make; new, or empty.")
@click.option(
    "--list", "only_list", is_flag=True, help="Show the backups that SOURCE holds, and whether they are whole."
)
@click.option("--verify", "verify_first", is_flag=True, help="Read every byte and compare checksums before all else.")
@click.option("--backup", "wanted", default="", metavar="ID", help="Which one. [default: the newest]")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    envvar="GNOMON_CONFIG",
    help="YAML file with settings (backup.s3.*, engine.memory_bytes).",
)
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Any setting, as backup.s3.region=eu-west-1.")
def restore(
    source: str, data: Path | None, only_list: bool, verify_first: bool, wanted: str, config_file: Path | None,
    pairs: tuple[str, ...],
) -> None:  # fmt: skip
    """Make a data directory of a backup in SOURCE (a folder, or s3://bucket/prefix), and compare every table's rows.

    \b
    gnomon restore /var/backups/gnomon --list
    gnomon restore /var/backups/gnomon --verify             # is it whole? restores nothing
    gnomon restore /var/backups/gnomon --data gnomon-data   # then: gnomon up --data gnomon-data
    """
    if data is None and not (only_list or verify_first):
        raise click.UsageError("--data names the directory to make; --list and --verify restore nothing")
    settings = load_settings(config_file, pairs).settings
    try:
        with contextlib.closing(open_place(source, settings.backup.s3)) as place:
            catalogue = Catalogue(place, source)
            if only_list:
                _show(catalogue)
                return
            manifest = catalogue.choose(wanted)
            if data is not None:
                check_target(data)
                check_schema(manifest)
            if verify_first:
                with _progress("checking", manifest) as on_bytes:
                    verify(place, manifest, on_bytes)
                click.echo(f"✓ backup {manifest.id}: {size(manifest.total_bytes)}, every checksum right", err=True)
            if data is not None:
                _restore(place, manifest, data, settings.engine.memory_bytes)
    except GnomonError as error:
        raise refusal(error) from error


def _restore(place: Place, manifest: Manifest, data: Path, memory_bytes: int) -> None:
    compared: list[tuple[str, str]] = []
    try:
        with _progress("restoring", manifest) as on_bytes:
            asyncio.run(
                restore_backup(
                    place, manifest, data, memory_bytes, lambda table, words: compared.append((table, words)), on_bytes
                )
            )
    finally:
        for table, words in compared:
            click.echo(f"{'✗' if words.startswith('DIFFERS') else '✓'} {table:<20} {words}")
    click.echo(f"restored {manifest.id} of {manifest.began}: gnomon up --data {data}", err=True)


@contextlib.contextmanager
def _progress(what: str, manifest: Manifest) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=manifest.total_bytes)
        yield lambda count: bar.advance(task, count)


def _show(catalogue: Catalogue) -> None:
    table = Table("backup", "began", "kind", "needs", "adds", "restores", "rows", "", box=None, pad_edge=False)
    for entry in catalogue.entries():
        made = entry.manifest
        if made is None:
            table.add_row(entry.id, "", "", "", size(entry.stored_bytes), "", "", f"✗ {entry.fault}")
            continue
        rows = sum(one.hash.rows for one in made.tables)
        needs = ", ".join(made.chain[:-1]) if len(made.chain) < 4 else f"{made.chain[0]} … ({len(made.chain) - 1})"  # noqa: PLR2004  (as many as fit)
        table.add_row(
            made.id, made.began, made.kind, needs, size(made.written_bytes), size(made.total_bytes), f"{rows:,}",
            f"✗ {entry.fault}" if entry.fault else "✓",
        )  # fmt: skip
    if not table.row_count:
        raise click.ClickException("there is no backup here")
    show(table)
