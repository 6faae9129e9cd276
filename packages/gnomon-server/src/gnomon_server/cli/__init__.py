"""The command `gnomon`: one file a verb."""

import click

from gnomon_server import __version__
from gnomon_server.cli.check import check
from gnomon_server.cli.demo import demo
from gnomon_server.cli.sql import sql
from gnomon_server.cli.up import up
from gnomon_server.cli.version import version


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="gnomon")
def main() -> None:
    r"""Full observability for Python services: one command, nothing held back.

    \b
    Start with:  gnomon demo      a small system that sends, and the picture of it
                 gnomon up        the server: OTLP on 4317 (gRPC) and 4318 (HTTP), everything else on 4319
    """


for _verb in (up, demo, check, sql, version):
    main.add_command(_verb)
