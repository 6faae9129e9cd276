"""The documentation is true: its links lead somewhere, its SQL runs, its settings and commands exist."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.server import Server

from gnomon_server.cli import VERBS, main
from gnomon_server.config import keys

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/*/*.md", "ui/*.md")
    for path in ROOT.glob(pattern)
    if "node_modules" not in path.parts
]
SQL = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "sql.md").read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links(page: Path) -> None:
    """Every relative link of every page leads to a file."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("block", SQL, ids=range(len(SQL)))
def test_sql_blocks(gnomon: Server, block: str) -> None:
    """Every query of the SQL page is answered."""
    params = re.match(r"-- params: (.*)\n", block)
    gnomon.sql(block, **(json.loads(params[1]) if params else {}))


def test_settings_named_in_the_readme() -> None:
    """`--set` in the README names settings that exist."""
    named = re.findall(r"--set ([a-z_.]+)=", (ROOT / "README.md").read_text("utf-8"))
    assert named
    assert set(named) <= set(keys())


@pytest.mark.parametrize("verb", VERBS)
def test_help(verb: str) -> None:
    """Every verb explains itself."""
    result = CliRunner().invoke(main, [verb, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 3
    assert "\\" not in result.output


def test_make_verbs_named_in_the_docs() -> None:
    """`make verb` in a page is a verb of the Makefile."""
    verbs = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in PAGES:
        for verb in re.findall(r"(?:^    |`)(?:CHECK=1 )?make ([a-z]+)", page.read_text("utf-8"), re.MULTILINE):
            assert verb in verbs, f"{page.name}: make {verb}"
