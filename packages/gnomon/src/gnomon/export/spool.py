"""What cannot be sent waits on disk, if a directory was given: it outlives a long outage, and the process.

A request is a file, written aside and renamed, so that a file is a whole request. Several workers share a directory:
whoever takes a file renames it first, and only one of them can.
"""

import contextlib
import itertools
import logging
import os
import time
from pathlib import Path

from gnomon.export.outlet import Outlet, Signal

log = logging.getLogger("gnomon.export")
# A file that was taken by a worker that died is given back after this; longer than any request lasts.
TAKEN_FOR_S = 120.0


class Spool:
    """Requests on disk, oldest first.

    Args:
        folder: made if it is not there, readable by us alone.
        most_bytes: how much it may hold; then the oldest are dropped and counted.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder, self.most_bytes = folder, most_bytes
        self.dropped = 0
        self._numbers = itertools.count()
        self._complained = False

    def put(self, outlet: Outlet, body: bytes) -> bool:
        """Write a request; whether it is on disk now."""
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(self._numbers)}.{outlet.signal}"
        aside = self.folder / f".{name}"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room(len(body))
            aside.write_bytes(body)
            aside.rename(self.folder / name)
        except OSError as error:
            if not self._complained:
                self._complained = True
                log.warning("%s cannot be used to keep what cannot be sent: %s", self.folder, error)
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
            return False
        return True

    def take(self) -> tuple[Path, Signal, bytes] | None:
        """The oldest request, now ours; None when there is none. `done` or `back` it afterwards."""
        for path in self._waiting():
            ours = path.with_name(f".{path.name}.{os.getpid()}")
            try:
                path.rename(ours)
                os.utime(ours)
                return ours, Signal(path.suffix[1:]), ours.read_bytes()
            except (OSError, ValueError):
                continue  # another worker was faster, or it is no file of ours
        return None

    def done(self, path: Path) -> None:
        """It was delivered."""
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)

    def back(self, path: Path) -> None:
        """It was not; it keeps its place."""
        with contextlib.suppress(OSError):
            path.rename(path.with_name(path.name[1:].rpartition(".")[0]))

    def _waiting(self) -> list[Path]:
        with contextlib.suppress(OSError):
            names = list(self.folder.iterdir())
            for path in names:
                if path.name.startswith(".") and path.name.rpartition(".")[2].isdigit():
                    self._given_up(path)
            return sorted(path for path in names if not path.name.startswith("."))
        return []

    def _given_up(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > TAKEN_FOR_S:
                self.back(path)

    def _make_room(self, size: int) -> None:
        waiting = [(path, path.stat().st_size) for path in self._waiting()]
        held = sum(length for _, length in waiting)
        while waiting and held + size > self.most_bytes:
            path, length = waiting.pop(0)
            path.unlink(missing_ok=True)
            held -= length
            self.dropped += 1
