"""`gnomon check`: would the server start with these settings?"""

import socket
from pathlib import Path

import click
from rich.table import Table

from gnomon_server.access.bind import check_bind
from gnomon_server.access.tokens import Tokens
from gnomon_server.cli.settings import load_settings, server_options
from gnomon_server.cli.tables import show
from gnomon_server.config import Settings
from gnomon_server.errors import GnomonError
from gnomon_server.transport.tls import server_context


@click.command()
@click.option("--print", "print_all", is_flag=True, help="List each setting, its value and where it comes from.")
@server_options
def check(print_all: bool, config_file: Path | None, pairs: tuple[str, ...], **flags: str | None) -> None:
    """Check settings, ports, data directory and certificates without starting anything.

    Exit code 1 when something is wrong, which is then named.
    """
    loaded = load_settings(config_file, pairs, **flags)
    if print_all:
        table = Table("setting", "value", "origin", box=None, pad_edge=False)
        for row in loaded.table():
            table.add_row(*row)
        show(table)
    problems = _problems(loaded.settings)
    for problem in problems:
        click.echo(f"✗ {problem}", err=True)
    if problems:
        raise SystemExit(1)
    click.echo("✓ settings, addresses, data directory and certificates are fine", err=True)


def _problems(settings: Settings) -> list[str]:
    problems = []
    tokens = Tokens.of(settings.access.tokens)
    for key, listen in (
        ("listen", settings.listen),
        ("otlp.grpc", settings.otlp.grpc),
        ("otlp.http", settings.otlp.http),
    ):
        if not listen:
            continue
        try:
            warning = check_bind((listen.host, listen.port), tokens, tls=settings.tls is not None)
            if warning:
                click.echo(f"! {key}: {warning}", err=True)
            _bindable(listen.host, listen.port)
        except (GnomonError, OSError) as error:
            problems.append(f"{key}: {error}")
    if settings.tls is not None:
        try:
            server_context(settings.tls)
        except GnomonError as error:
            problems.append(f"tls: {error}")
    problems += _data_problems(settings.data)
    return problems


def _bindable(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error


def _data_problems(data: Path) -> list[str]:
    existing = next(folder for folder in (data.absolute(), *data.absolute().parents) if folder.exists())
    try:
        probe = existing / ".gnomon-check"
        probe.touch()
        probe.unlink()
    except OSError as error:
        return [f"data: {existing} cannot be written: {error.strerror}"]
    return []
