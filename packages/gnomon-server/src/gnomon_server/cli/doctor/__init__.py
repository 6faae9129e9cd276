"""`gnomon doctor`: what is broken between the sender's socket and the query's answer, and the cure (docs/doctor.md)."""

import json
from pathlib import Path

import click

from gnomon_server.cli.doctor.report import State
from gnomon_server.cli.doctor.rounds import Asked, examine
from gnomon_server.cli.wire import NotAnAddressError


@click.command()
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), envvar="GNOMON_CONFIG",
    help="The server's YAML file (also GNOMON_CONFIG).",
)  # fmt: skip
@click.option("--data", help="The server's data directory, if it is on this machine. [default: as configured]")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="A setting given to the server; repeatable.")
@click.option(
    "--api", envvar="GNOMON_API", metavar="URL", help="The running server. [default: found by data or config]"
)
@click.option(
    "--otlp-http", metavar="URL", help="Where applications send OTLP over HTTP. [default: as the server says]"
)
@click.option("--otlp-grpc", metavar="HOST:PORT", help="Where they send OTLP over gRPC. [default: as the server says]")
@click.option("--token", envvar="GNOMON_TOKEN", help="The application's token (also GNOMON_TOKEN).")
@click.option("--tenant", envvar="GNOMON_TENANT", help="The application's tenant, if not the token's first.")
@click.option(
    "--ca", type=click.Path(path_type=Path), envvar="OTEL_EXPORTER_OTLP_CERTIFICATE",
    help="PEM authorities that the application trusts. [default: the server's own certificate, else the system's]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
@click.option("--quiet", is_flag=True, help="Only what is broken or a warning.")
def doctor(as_json: bool, quiet: bool, **asked: object) -> None:
    """Find what is broken between an application and its picture, and say the cure.

    \b
    Sends a test span, log record and sample as an application would (service `gnomon-doctor`), follows each to the
    query's answer, and looks at settings, ports, disk, memory, clocks, certificates, tokens, and at whoever sends in
    vain. Of a server that does not start it says why. Exit code 0: nothing is broken (warnings stand apart); 1: it is.
    """
    try:
        report = examine(Asked(**asked))  # type: ignore[arg-type]  # the options above, by their names
    except NotAnAddressError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2))
    else:
        for found in report.findings:
            if not quiet or found.state in (State.BROKEN, State.WARNING):
                for line in found.lines():
                    click.echo(line)
        broken = sum(found.state is State.BROKEN for found in report.findings)
        warnings = sum(found.state is State.WARNING for found in report.findings)
        click.echo(f"\n{broken} broken, {warnings} warnings, {len(report.findings)} checks")
    if not report.healthy:
        raise SystemExit(1)
