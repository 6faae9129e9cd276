"""`gnomon disk`: where the bytes are, and how long the disk lasts."""

from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table

from gnomon_server.cli.client import Client, client_options
from gnomon_server.store.partitions import size

_BAR = 24
_DAYS = 14
_TENANTS = 10


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The server's answer as it is.")
@client_options
def disk(as_json: bool, api: str, token: str | None, ca: Path | None) -> None:
    """Show what tables, days and tenants hold, how much a day adds, and when the disk budget is reached.

    Retention is taken into account: "never" means that old days go before the budget is reached.
    """
    answer = Client(api, token, ca).call("GET", "/disk")
    if as_json:
        click.echo(orjson.dumps(answer))
        return
    console = Console()
    console.print(_tables(answer["tables"]))
    console.print(_totals("day", answer["days"][-_DAYS:]))
    by_weight = sorted(answer["tenants"], key=lambda row: -_sum(row))
    console.print(_totals("tenant", by_weight[:_TENANTS]))
    for line in _words(answer):
        click.echo(line)


def _tables(rows: list[dict[str, Any]]) -> Table:
    table = Table("table", "signal", "", "bytes", "rows", "a row", "columns ÷", box=None, pad_edge=False)
    most = max((row["bytes"] for row in rows), default=1)
    for row in rows:
        table.add_row(
            row["table"], row["signal"], _bar(row["bytes"], most), size(row["bytes"]), f"{row['rows']:,}",
            f"{row['bytes_a_row']:.1f} B", f"{row['compression_ratio']:.1f}",
        )  # fmt: skip
    return table


def _totals(name: str, rows: list[dict[str, Any]]) -> Table:
    signals = sorted({key for row in rows for key in row} - {name})
    table = Table(name, "", "bytes", *signals, box=None, pad_edge=False)
    most = max((_sum(row) for row in rows), default=1)
    for row in rows:
        table.add_row(
            row[name], _bar(_sum(row), most), size(_sum(row)), *(size(row.get(signal, 0)) for signal in signals)
        )
    return table


def _sum(row: dict[str, Any]) -> int:
    return sum(value for value in row.values() if isinstance(value, int))


def _bar(value: float, most: float) -> str:
    return "█" * max(1, round(_BAR * value / most)) if value and most else ""


def _words(answer: dict[str, Any]) -> list[str]:
    held, budget, days = answer["held_bytes"], answer["budget_bytes"], answer["days_left"]
    free, growth = size(answer["free_bytes"]), size(answer["growth_bytes_a_day"])
    lines = [f"{size(held)} of a budget of {size(budget)}; {free} free on the disk; a day adds {growth}"]
    if days is None:
        lines.append(f"days left: never reached; retention keeps it below {size(answer['peak_bytes'])}")
    else:
        lines.append(f"days left: {days}")
    if answer["first_dropped"]:
        parts = ", ".join(f"{part['table']} {size(part['bytes'])}" for part in answer["first_dropped"])
        lines.append(f"dropped first: {answer['first_dropped'][0]['day']} ({parts})")
    return lines
