"""Real databases of a test's own, in processes that end with it; what is not installed is skipped."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.ports import free_port, listening
from tests.waiting import until

POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))


@contextmanager
def started(
    command: Sequence[str | Path], log: Path, ready: Callable[[], Any], **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A program, until the end of the block; its own words (in `log`) when it does not start."""
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, **options) as process:
        try:
            until(lambda: process.poll() is not None or ready(), lambda: log.read_text(errors="replace"))
            assert process.poll() is None, log.read_text(errors="replace")
            yield process
        finally:
            process.terminate()


@contextmanager
def redis_server(*settings: str) -> Iterator[int]:
    """A Redis; gives its port."""
    program = shutil.which("redis-server")
    if not program:
        pytest.skip("redis-server is not installed")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="gnomon-redis-") as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder, *settings]
        with started(command, Path(folder) / "log", lambda: listening(port)):
            yield port


@contextmanager
def postgres_server() -> Iterator[int]:
    """A PostgreSQL whose user is `shop`; gives its port. It refuses root, and runs as its package's user then."""
    if not POSTGRES:
        pytest.skip("PostgreSQL is not installed")
    bin_, port = POSTGRES[-1].parent, free_port()
    user = "postgres" if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="gnomon-postgres-") as folder:
        if user:
            shutil.chown(folder, user)
        make = [bin_ / "initdb", "-D", f"{folder}/data", "-U", "shop", "-A", "trust", "--no-sync"]
        subprocess.run(make, user=user, check=True, capture_output=True, cwd="/")
        command = [bin_ / "postgres", "-D", f"{folder}/data", "-p", str(port), "-h", "127.0.0.1", "-k", folder]
        # It listens before it answers: at first it says that it is starting up.
        asked = [bin_ / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        with started(
            [*command, "-c", "fsync=off"], Path(folder) / "log",
            lambda: not subprocess.run(asked, check=False).returncode, user=user, cwd="/",
        ):  # fmt: skip
            yield port
