"""`gnomon backup DIR|URL`: have a running server back up everything."""

import time
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from gnomon_server.cli.client import Client, client_options
from gnomon_server.store.partitions import size

_POLL_S = 0.25


@click.command()
@click.argument("place")
@click.option("--incremental/--full", default=True, help="Add to what the place holds, or begin anew. [incremental]")
@click.option("--json", "as_json", is_flag=True, help="The server's last answer as it is.")
@client_options
def backup(place: str, incremental: bool, as_json: bool, api: str, token: str | None, ca: Path | None) -> None:
    """Back up everything to PLACE, a folder of the server's machine or s3://bucket/prefix, while the server runs.

    \b
    gnomon backup /var/backups/gnomon          # adds what is new; everything, the first time
    gnomon backup s3://backups/gnomon --full

    Keys of a bucket are the server's: its settings backup.s3.*, or AWS_* in its environment (docs/backup.md).
    """
    client = Client(api, token, ca)
    job = client.call("POST", "/backups", {"to": _whole(place), "full": not incremental})
    try:
        job = _follow(client, job)
    except KeyboardInterrupt:
        client.call("DELETE", f"/backups/{job['job']}")
        raise click.ClickException("cancelled; nothing of it is kept") from None
    if "error" in job:
        error = job["error"]
        hint = f"\n  hint: {error['hint']}" if error["hint"] else ""
        raise click.ClickException(f"{error['what']} [{error['code']}]{hint}")
    if as_json:
        click.echo(orjson.dumps(job))
    else:
        _show(job)


def _whole(place: str) -> str:
    """A folder is named to the server by its whole path: its working directory is another."""
    return place if "://" in place else str(Path(place).expanduser().absolute())


def _follow(client: Client, job: dict[str, Any]) -> dict[str, Any]:
    columns = (TextColumn("{task.description:<26}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        while job["state"] == "running":
            time.sleep(_POLL_S)
            job = client.call("GET", f"/backups/{job['job']}")
            total = job["total_bytes"] or None
            bar.update(task, description=job["phase"], completed=job["done_bytes"], total=total)
    return job


def _show(job: dict[str, Any]) -> None:
    made = job["backup"]
    table = Table("table", "rows", "bytes", "row hash", box=None, pad_edge=False)
    for one in made["tables"]:
        table.add_row(one["name"], f"{one['rows']:,}", size(one["bytes"]), one["hash"])
    Console().print(table)
    what = f"{made['kind']} backup {made['id']}" + (f", on {made['base']}" if made["base"] else "")
    bytes_ = f"{size(made['total_bytes'])}, of which {size(made['written_bytes'])} written"
    took = f"in {job['seconds']:.1f} s; commits waited {made['pause_s'] * 1e3:.0f} ms"
    click.echo(f"{what}: {bytes_}, {took}", err=True)
