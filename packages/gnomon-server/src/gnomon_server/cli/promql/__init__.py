"""`gnomon promql "..."`: a question in PromQL to a running server, answered as a table or as a chart."""

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from gnomon_server.cli.promql import names
from gnomon_server.cli.promql.answer import Answer, Series
from gnomon_server.cli.promql.chart import Curve, Window, draw
from gnomon_server.cli.promql.emptiness import reasons
from gnomon_server.cli.promql.server import Prometheus
from gnomon_server.cli.promql.table import as_csv, lines
from gnomon_server.cli.promql.ticks import stamp
from gnomon_server.cli.promql.times import window
from gnomon_server.selfmon.events import printable

_DEFAULT_RANGE = "1h"
_PROMPT_ROWS = 4  # what should be seen beside the chart: heading, notes, the prompt
_MOST_ROWS = 40


@click.command()
@click.argument("query", required=False)
@click.option(
    "--range", "span", is_flag=False, flag_value=_DEFAULT_RANGE, metavar="[DURATION]", help="A range, 1h by itself."
)
@click.option("--step", metavar="DURATION", help="Distance of a range's points; a round one by default.")
@click.option("--start", metavar="TIME", help="Where the range starts.")
@click.option("--end", metavar="TIME", help="Where it ends; now by default.")
@click.option("--at", metavar="TIME", help="The time of an instant query; now by default.")
@click.option("--limit", type=click.IntRange(1), help="At most so many series.")
@click.option("--tenant", envvar="GNOMON_TENANT", help="Tenant, if not the token's first.")
@click.option(
    "--format", "output", type=click.Choice(["table", "chart", "csv", "json"]),
    help="A range is a chart in a terminal, all else a table.",
)  # fmt: skip
@click.option("--api", default="http://127.0.0.1:4319", envvar="GNOMON_API", show_default=True, help="The server.")
@click.option("--token", envvar="GNOMON_TOKEN", help="Bearer token with the scope read (also GNOMON_TOKEN).")
@click.option("--ca", type=click.Path(path_type=Path), help="PEM authorities of the server's certificate.")
def promql(
    query: str | None, span: str | None, step: str | None, start: str | None, end: str | None, at: str | None,
    limit: int | None, tenant: str | None, output: str | None, api: str, token: str | None, ca: Path | None,
) -> None:  # fmt: skip
    """Ask a running server in PromQL (docs/promql.md).

    \b
    gnomon promql 'sum by (job) (up)'
    gnomon promql 'rate(http_requests_total[5m])' --range 6h

    A TIME is RFC 3339 (2026-11-21T09:21:35Z), unix seconds, or now-1h; all times shown are UTC.
    """
    if query is None and sys.stdin.isatty():
        raise click.UsageError("say a query, or pipe one in; docs/promql.md shows some")
    text = sys.stdin.read() if query is None else query
    when = window(span, start, end, step, at, time.time_ns() // 1_000_000)
    server = Prometheus(api, token, ca, tenant)
    path, parameters = _request(when)
    if limit:
        parameters["limit"] = str(limit)
    answer = server.query(text, path, parameters)
    _show(answer, when, output or ("chart" if isinstance(when, Window) and sys.stdout.isatty() else "table"))
    if output != "json":
        _tell(answer, when, text, server)


def _request(when: Window | int) -> tuple[str, dict[str, str]]:
    if isinstance(when, Window):
        return "query_range", {
            "start": _seconds(when.start_ms), "end": _seconds(when.end_ms), "step": _seconds(when.step_ms),
        }  # fmt: skip
    return "query", {"time": _seconds(when)}


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.3f}"


def _show(answer: Answer, when: Window | int, output: str) -> None:
    if output == "json":
        click.echo(answer.body)
    elif output == "csv":
        click.echo(as_csv(answer), nl=False)
    elif answer.kind in ("scalar", "string"):
        click.echo(printable(answer.text))
    elif output == "chart":
        _chart(answer.series, when if isinstance(when, Window) else _window_of(answer.series, when))
    else:
        for line in lines(answer.series, with_times=answer.kind == "matrix"):
            click.echo(line)


def _window_of(series: list[Series], at_ms: int) -> Window:
    """Of the samples of a range vector, which have times of their own; they are joined up to the lookback."""
    return Window(min((int(one.times[0]) for one in series if len(one.times)), default=at_ms), at_ms, 300_000)


def _chart(series: list[Series], when: Window) -> None:
    plain = [one for one in series if len(one.times)]
    labels = [one.labels for one in plain]
    width, height = shutil.get_terminal_size()
    console = Console(width=width, highlight=False)
    if len(plain) > 1 and (common := names.in_common(labels)):
        console.print(Text(names.full(common)), no_wrap=True, overflow="ellipsis")
    apart = names.differing(labels)
    curves = [
        Curve(names.apart(one.labels, apart) if len(plain) > 1 else names.full(one.labels), one.times, one.values)
        for one in plain
    ]
    if curves:
        for line in draw(curves, when, width=width, height=min(height, _MOST_ROWS) - _PROMPT_ROWS):
            console.print(line, no_wrap=True)
    for text in lines([_only_histograms(one) for one in series if one.histograms], with_times=True):
        click.echo(text)


def _only_histograms(one: Series) -> Series:
    return Series(one.labels, one.times[:0], one.values[:0], [], one.histograms)


def _tell(answer: Answer, when: Window | int, text: str, server: Prometheus) -> None:
    """What stands beside the answer, on standard error: how much it is, why there is none, what the server notes."""
    for line in _remarks(answer, when, text, server):
        click.echo(printable(line), err=True)


def _remarks(answer: Answer, when: Window | int, text: str, server: Prometheus) -> Iterator[str]:
    if answer.kind in ("vector", "matrix"):
        yield f"{len(answer.series)} series {_when(when)}"
        if not answer.series:
            yield from reasons(text, server)
    yield from (f"warning: {said}" for said in answer.warnings)
    yield from (f"info: {said}" for said in answer.infos)


def _when(when: Window | int) -> str:
    if isinstance(when, int):
        return f"at {stamp(when)}"
    return f"from {stamp(when.start_ms)} to {stamp(when.end_ms)}, every {when.step_ms / 1000:g} s"
