"""`gnomon version`."""

import platform
from importlib import metadata

import click

from gnomon_server import __version__


@click.command()
def version() -> None:
    """Print the versions of the server and of what it stands on."""
    click.echo(f"gnomon-server {__version__}")
    click.echo(f"python {platform.python_version()} on {platform.system().lower()} {platform.machine()}")
    for name in ("chdb", "pyarrow", "protobuf", "grpcio", "numpy"):
        click.echo(f"{name} {metadata.version(name)}")
