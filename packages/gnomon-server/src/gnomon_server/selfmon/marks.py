"""What a server leaves in its data directory for whoever looks from outside: that it runs and where, why it did not.

`running` is there while the server runs; found at a start, it says that the last one did not end in order.
`start_failed.json` holds the letter of the last start that failed, until one succeeds.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from gnomon_server.errors import GnomonError

_RUNNING, _FAILED = "running", "start_failed.json"


class Marks:
    """The marks of one data directory."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def begin(self) -> bool:
        """Mark as running; returns whether the last run did not end in order."""
        file = self._data / _RUNNING
        is_unclean = file.exists()
        self._data.mkdir(parents=True, exist_ok=True)
        file.touch()
        return is_unclean

    def ready(self, addresses: Mapping[str, tuple[str, int]], *, tls: bool) -> None:
        """Say where it listens."""
        pid = os.getpid()
        content = {"pid": pid, "started": started(pid), "tls": tls, "addresses": addresses}
        with contextlib.suppress(OSError):  # a courtesy; serving matters more
            (self._data / _RUNNING).write_bytes(orjson.dumps(content))
            (self._data / _FAILED).unlink(missing_ok=True)

    def end(self) -> None:
        """It ended in order."""
        (self._data / _RUNNING).unlink(missing_ok=True)

    def fail(self, error: GnomonError, at_ns: int) -> None:
        """Keep the letter of a failed start, unless the directory is another server's."""
        if error.code != "data_dir_taken":
            with contextlib.suppress(OSError):
                (self._data / _FAILED).write_bytes(orjson.dumps({"at_ns": at_ns, **error.to_dict()["error"]}))

    def read_running(self) -> dict[str, Any]:
        """`pid`, `started`, `tls`, `addresses` of a server that runs or was killed; empty when there is none."""
        return _read(self._data / _RUNNING)

    def read_failure(self) -> dict[str, Any]:
        """`at_ns`, `code`, `what`, `where`, `hint` of the last start if it failed; else empty."""
        return _read(self._data / _FAILED)


def started(pid: int) -> int:
    """When a process began, in clock ticks since the machine did: with its id it names one for ever. 0: unknown."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(") ")[2].split()[19])
    except (OSError, IndexError):
        return 0


def _read(file: Path) -> dict[str, Any]:
    try:
        found = orjson.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
