"""`gnomon sql "..."`: a question to a running server."""

import http.client
import json
import sys
import urllib.error
import urllib.request
from typing import Any

import click
from rich.table import Table

from gnomon_server.cli.tables import show

_TIMEOUT_S = 300


@click.command()
@click.argument("query", required=False)
@click.option("--api", default="http://127.0.0.1:4319", envvar="GNOMON_API", show_default=True, help="The server.")
@click.option("--token", envvar="GNOMON_TOKEN", help="Bearer token (also GNOMON_TOKEN).")
@click.option("--tenant", envvar="GNOMON_TENANT", help="Tenant, if not the token's first.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="Value of a {name:Type} in the query.")
@click.option(
    "--format", "output", type=click.Choice(["table", "json", "csv", "arrow"]), default="table", show_default=True
)
def sql(
    query: str | None, api: str, token: str | None, tenant: str | None, params: tuple[str, ...], output: str
) -> None:
    """Ask a running server in SQL over the views spans, logs, metrics, series, traces, ... (docs/sql.md).

    \b
    gnomon sql "SELECT service, count() FROM spans WHERE time > now() - 300 GROUP BY service"
    """
    if query is None and sys.stdin.isatty():
        raise click.UsageError("say a query, or pipe one in; docs/sql.md lists the views")
    text = sys.stdin.read() if query is None else query
    wanted = "json" if output == "table" else output
    body = {"query": text, "params": dict(_pair(item) for item in params), "format": wanted}
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if tenant:
        headers["X-Scope-OrgID"] = tenant
    answer = _post(f"{api.rstrip('/')}/api/gnomon/v1/sql", json.dumps(body).encode(), headers)
    if output == "table":
        _show(json.loads(answer))
    else:
        sys.stdout.buffer.write(answer)


def _pair(item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals:
        raise click.BadParameter(f"{item!r} is not NAME=VALUE", param_hint="--param")
    return name, value


def _post(url: str, body: bytes, headers: dict[str, str]) -> bytes:
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter(f"{url} is not an http(s) address", param_hint="--api")
    request = urllib.request.Request(url, body, headers)  # noqa: S310  (checked above)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310  (checked above)
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        raise click.ClickException(_letter(error.read())) from error
    except (http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        raise click.ClickException(
            f"no server answers at {url}: {reason}\n  hint: start one with `gnomon up`"
        ) from error


def _letter(body: bytes) -> str:
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return body.decode("utf-8", "replace")
    lines = [error["what"]]
    lines += [f"  {name}: {error[name]}" for name in ("where", "hint") if error.get(name)]
    return "\n".join(lines)


def _show(answer: dict[str, Any]) -> None:
    table = Table(*(column["name"] for column in answer["columns"]), box=None, pad_edge=False)
    for row in answer["rows"]:
        table.add_row(*(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in row))
    show(table)
    stats = answer.get("stats", {})
    seconds = stats.get("elapsed_ns", 0) / 1e9
    click.echo(f"{len(answer['rows'])} rows; read {stats.get('rows_read', 0):,} rows in {seconds:.3f} s", err=True)
