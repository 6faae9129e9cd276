"""The command `gnomon`: one file a verb, each loaded when it is asked for (the server's parts take 1 s to import)."""

from importlib import import_module

import click

from gnomon_server import __version__

VERBS = ("up", "demo", "check", "doctor", "sources", "promql", "sql", "backup", "restore", "upgrade", "disk", "version")
"""Each is the function of its name in the module of its name."""


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  (click's signature)
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{cmd_name}"), cmd_name)
        return command


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="gnomon")
def main() -> None:
    """Full observability for Python services: one command, nothing held back.

    \b
    Start with:  gnomon demo      a shop of seven services that send, and the picture of it
                 gnomon up        the server: OTLP on 4317 (gRPC) and 4318 (HTTP), everything else on 4319
    """
