"""The flags that verbs share, and how they become settings."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gnomon_server.config import Loaded, load
from gnomon_server.errors import GnomonError

_FLAGS = {"data": "data", "listen": "listen", "otlp_grpc": "otlp.grpc", "otlp_http": "otlp.http"}


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--config, --data, --listen, --otlp-grpc, --otlp-http, --set."""
    for option in reversed(
        [
            click.option(
                "--config", "config_file", type=click.Path(path_type=Path), envvar="GNOMON_CONFIG",
                help="YAML file with settings (also GNOMON_CONFIG).",
            ),
            click.option("--data", help="Data directory; one server owns it. [default: gnomon-data]"),
            click.option("--listen", metavar="HOST:PORT", help="Console and APIs. [default: 127.0.0.1:4319]"),
            click.option("--otlp-grpc", metavar="HOST:PORT", help="OTLP over gRPC. [default: 127.0.0.1:4317]"),
            click.option("--otlp-http", metavar="HOST:PORT", help="OTLP over HTTP. [default: 127.0.0.1:4318]"),
            click.option(
                "--set", "pairs", multiple=True, metavar="KEY=VALUE",
                help="Any setting, as retention.traces=3d. May be repeated; see `gnomon check --print`.",
            ),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


def load_settings(config_file: Path | None, pairs: tuple[str, ...], **flags: str | None) -> Loaded:
    """Settings from flags, environment and file; a mistake ends the command with its letter."""
    given = {_FLAGS[name]: value for name, value in flags.items() if value is not None}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--set")
        given[key] = value
    try:
        return load(given, os.environ, config_file)
    except GnomonError as error:
        raise refusal(error) from error


def refusal(error: GnomonError) -> click.ClickException:
    """An error as the command's last words."""
    return click.ClickException(str(error))
