"""The commands at the head of docs/backup.md run as they stand, one after another."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.server import Server

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "backup.md").read_text("utf-8")


def test_the_commands(gnomon: Server, tmp_path: Path) -> None:
    """Against a running server, with its own folders in the place of those of the page."""
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.replace("/var/backups/gnomon", str(tmp_path / "place")).splitlines():
        words = shlex.split(line, comments=True)
        assert words[0] == "gnomon"
        ended = subprocess.run(
            [sys.executable, "-m", "gnomon_server.cli", *words[1:]],
            cwd=tmp_path, env={**os.environ, "GNOMON_API": gnomon.api}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, (line, ended.stderr)
