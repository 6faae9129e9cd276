"""Processes of their own, and what they send."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true: Callable[[], Any], seconds: float = 15, told: Callable[[], Any] = lambda: "it never came true") -> None:
    """Wait for something that will be."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, told()
        time.sleep(0.02)


def answers(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def served(command: list[str], port: int, folder: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server, until it is told to end by SIGTERM; its output in `folder/log`."""
    log = folder / "log"
    more = environment(PYTHONPATH=str(folder), XDG_RUNTIME_DIR=str(folder), **variables)
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, env=more, start_new_session=True)
    try:
        until(lambda: answers(port) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield process
        process.terminate()
        process.wait(20)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
