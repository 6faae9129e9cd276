"""Processes of their own, and what they send."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from tests.ports import listening
from tests.waiting import until

PYTHON = sys.executable
BIN = Path(sys.executable).parent


def environment(**more: str) -> dict[str, str]:
    """Ours, without what would set up the SDK from outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "GNOMON_"))}
    return {**kept, **more}


def ran(code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A script of its own, to its end."""
    return subprocess.run(
        [PYTHON, "-W", "error", "-c", textwrap.dedent(code), *arguments],
        capture_output=True, text=True, timeout=30, check=False, env=environment(**variables),
    )  # fmt: skip


@contextlib.contextmanager
def served(command: list[str], port: int, folder: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server, until it is told to end by SIGTERM; its output in `folder/log`."""
    log = folder / "log"
    more = environment(PYTHONPATH=str(folder), XDG_RUNTIME_DIR=str(folder), **variables)
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, env=more, start_new_session=True)
    try:
        until(lambda: listening(port) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield process
        process.terminate()
        process.wait(20)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
