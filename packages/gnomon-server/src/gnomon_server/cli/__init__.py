"""The command `gnomon`: one file a verb, each loaded when it is asked for (the server's parts take 1 s to import)."""

from importlib import import_module

import click

from gnomon_server import __version__

VERBS = {
    "up": "Run the server.",
    "demo": "Run the server with real telemetry: a shop of seven services.",
    "check": "Check settings, ports, data directory and certificates.",
    "doctor": "Find what is broken between an application and its picture.",
    "sources": "List every service instance that sends or was silent.",
    "promql": "Ask a running server in PromQL, with a chart.",
    "sql": "Ask a running server in SQL.",
    "backup": "Back up everything to a folder or to S3.",
    "restore": "Make a data directory of a backup.",
    "upgrade": "Apply pending migrations to a data directory.",
    "disk": "Show what tables, days and tenants hold.",
    "version": "Print the versions of the server and its parts.",
}
"""Each is the function of its name in the module of its name; and what the list of verbs says of it."""


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  (click's signature)
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="gnomon")
def main() -> None:
    """Full observability for Python services: one command, nothing held back.

    \b
    Start with:  gnomon demo      a shop of seven services that send, and the picture of it
                 gnomon up        the server: OTLP on 4317 (gRPC) and 4318 (HTTP), everything else on 4319
    """
