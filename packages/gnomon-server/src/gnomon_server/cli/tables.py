"""How a verb prints a table."""

from rich.console import Console
from rich.table import Table

_IN_A_PIPE = 10_000


def show(table: Table) -> None:
    """On standard output: as wide as the terminal, and in a file or a pipe so wide that nothing is cut."""
    console = Console()
    Console(width=console.width if console.is_terminal else _IN_A_PIPE).print(table)
