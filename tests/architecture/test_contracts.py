"""Promises about the code itself: imports, names that are declared and used, documentation, licences."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from gnomon_server.config import keys, load
from gnomon_server.selfmon.events import EVENTS
from gnomon_server.selfmon.registry import DECLARED

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "packages" / "gnomon-server" / "src" / "gnomon_server"
FILES = [path for path in SOURCE.rglob("*.py") if "static" not in path.parts]
ALLOWED = re.compile(
    r"\b(MIT|BSD|0BSD|Apache|ISC|PSF|Python Software Foundation|Python-2\.0|MPL|Mozilla|HPND|Unlicense|Zlib|CC0)\b",
    re.IGNORECASE,
)
FORBIDDEN = re.compile(r"\b[AL]?GPL|Affero|General Public License", re.IGNORECASE)


def _first_texts(*calls: str) -> Iterator[str]:
    """The first argument, where it is a literal text, of every call of such a name."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name.lstrip("_") in calls and isinstance(node.args[0].value, str):
                    yield node.args[0].value


def test_imports_go_one_way() -> None:
    """The contracts of .importlinter hold."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=100, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_metrics_are_declared_and_used() -> None:
    """Each metric that is counted, set, read or observed is declared with its help, and each declared one is used."""
    used = {name for name in _first_texts("count", "set", "observe", "read", "total") if name.startswith("gnomon_")}
    assert used == set(DECLARED)
    assert all(help_text.endswith(".") for _, help_text in DECLARED.values())


def test_events_are_declared_and_told() -> None:
    """Each event that is told is declared with its severity and meaning, and each declared one is told."""
    either = {"ready", "not_ready"}  # chosen between in one call
    assert set(_first_texts("tell", "on_event", "report")) | either == set(EVENTS)


def _documented() -> dict[str, tuple[str, str]]:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| (?:`(.*?)`)? ?\| (.*) \|$", page, re.MULTILINE)
    return {key: (default, meaning) for key, default, meaning in rows}


def test_every_setting_is_documented() -> None:
    """docs/settings.md has each key with its default and what it means, and no other."""
    documented = _documented()
    assert set(documented) == {key for key in keys() if not key.endswith("_file")}
    defaults = {key: value for key, value, _ in load({}, {}, None).table()}
    for key, (default, meaning) in documented.items():
        assert default == defaults.get(key, ""), key
        assert meaning.endswith("."), key


def test_every_setting_is_used() -> None:
    """The last word of each key is read as an attribute somewhere: a setting without effect is a lie."""
    read = {
        node.attr
        for path in FILES
        if "engine" not in path.relative_to(SOURCE).parts  # its arguments are its own
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
    }
    names = {key.rpartition(".")[2] for key in keys() if not key.endswith("_file")}
    assert names - read == set()


def _closure(name: str, seen: set[str]) -> set[str]:
    """Installed distributions that a distribution needs at run time, without extras."""
    if name in seen:
        return seen
    seen.add(name)
    for text in metadata.requires(name) or []:
        needed = Requirement(text)
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            _closure(needed.name.lower().replace("_", "-"), seen)
    return seen


@pytest.mark.parametrize("name", sorted(_closure("gnomon-server", set())))
def test_licences_are_permissive(name: str) -> None:
    """What the server needs at run time may be used by everybody, as its metadata says."""
    found = metadata.metadata(name)
    stated = [found.get("License-Expression") or "", *(found.get_all("Classifier") or [])]
    words = " ".join([stated[0], *(one for one in stated[1:] if one.startswith("License"))]) or ""
    if not ALLOWED.search(words):
        words = (found.get("License") or "")[:200]
    assert ALLOWED.search(words), words
    assert not FORBIDDEN.search(words), words


def test_committed_files_are_clean() -> None:
    """No unfinished notes, and no registry hosts: a mirror must do."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    hosts = re.compile(r"files\.pythonhosted|pypi\.org|registry\.npmjs|registry\.yarnpkg")
    unfinished = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    for line in listed.stdout.splitlines():
        path = ROOT / line
        if path.suffix in {".png", ".ico", ".woff2", ".bin"} or not path.is_file() or path == Path(__file__):
            continue
        text = path.read_text("utf-8", "replace")
        assert not hosts.search(text), line
        assert not unfinished.search(text), line
