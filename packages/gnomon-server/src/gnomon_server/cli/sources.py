"""`gnomon sources`: who sends, and who has stopped."""

import http.client
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gnomon_server.cli.doctor.wire import NotAnAddressError, ask, target_of, trusting
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
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if tenant:
        headers["X-Scope-OrgID"] = tenant
    try:
        server = target_of("http", api, tls=False, port=4319)
    except NotAnAddressError as error:
        raise click.BadParameter(str(error), param_hint="--api") from error
    path = "/api/gnomon/v1/sources" + (f"?state={state}" if state else "")
    try:
        answer = ask(server, "GET", path, trusting(ca) if server.tls else None, headers=headers)
    except (OSError, http.client.HTTPException) as error:
        raise click.ClickException(f"no server answers at {server.url}: {error}\n  hint: gnomon doctor") from error
    if answer.status != http.HTTPStatus.OK:
        letter = answer.letter
        raise click.ClickException(
            f"{letter.what} [{letter.code}]" + (f"\n  hint: {letter.hint}" if letter.hint else "")
        )
    if as_json:
        click.echo(answer.body)
        return
    table = Table(*_COLUMNS, box=None, pad_edge=False)
    found = orjson.loads(answer.body)["sources"]
    for source in found:
        table.add_row(*(Text(printable(str(source[name]))) for name in _COLUMNS))
    console = Console()
    Console(width=console.width if console.is_terminal else 400).print(table)
    click.echo(f"{len(found)} sources of tenant {orjson.loads(answer.body)['tenant']}", err=True)
