"""`gnomon sources`: who sends, and who has stopped."""

from pathlib import Path

import click
import orjson
from rich.table import Table
from rich.text import Text

from gnomon_server.cli.client import Client
from gnomon_server.cli.tables import show
from gnomon_server.selfmon.events import printable

_COLUMNS = ("state", "service", "instance", "signal", "silent_for_s", "typical_interval_s", "records", "last_seen")


@click.command()
@click.option("--api", default="http://127.0.0.1:4319", envvar="GNOMON_API", show_default=True, help="The server.")
@click.option("--token", envvar="GNOMON_TOKEN", help="Bearer token (also GNOMON_TOKEN).")
@click.option("--tenant", envvar="GNOMON_TENANT", help="Tenant, if not the token's first.")
@click.option("--state", type=click.Choice(["sending", "late", "silent", "replaced"]), help="Only these.")
@click.option("--ca", type=click.Path(path_type=Path), help="PEM authorities of the server's certificate.")
@click.option("--json", "as_json", is_flag=True, help="The server's answer as it is.")
def sources(api: str, token: str | None, tenant: str | None, state: str | None, ca: Path | None, as_json: bool) -> None:
    """List every service instance and signal that sends or was sending, and how long it has been quiet.

    A source is silent when nothing came for thrice its longest recent pause (sources.silent_s at least); it is replaced
    when a new instance of the same service began as it stopped.
    """
    answer = Client(api, token, ca, tenant).call("GET", "/sources" + (f"?state={state}" if state else ""))
    if as_json:
        click.echo(orjson.dumps(answer))
        return
    table = Table(*_COLUMNS, box=None, pad_edge=False)
    for source in answer["sources"]:
        table.add_row(*(Text(printable(str(source[name]))) for name in _COLUMNS))
    show(table)
    click.echo(f"{len(answer['sources'])} sources of tenant {answer['tenant']}", err=True)
