"""What cannot be sent waits on disk, if a directory was given: it outlives a long outage, and the process.

A request is a file, written aside and renamed, so that a file is a whole request. Several workers share a directory:
whoever takes a file renames it first, and only one of them can. What is named otherwise is not ours, and left alone.
"""

import contextlib
import itertools
import logging
import os
import re
import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

from gnomon.export.outlet import Signal

log = logging.getLogger("gnomon.export")
# A file that was taken by a worker that died is given back after this; longer than any request lasts.
TAKEN_FOR_S = 120.0
# What a file takes on disk at least; it also keeps the number of small ones within bounds.
BLOCK_BYTES = 4096
# When it was written, by whom, its number there, how many records it holds.
_NAME = re.compile(r"\d{20}-\d+-\d+-(?P<records>\d+)\.(?P<signal>traces|metrics|logs)")


@dataclass(frozen=True, slots=True)
class Taken:
    """A request from disk, which is now ours to deliver."""

    path: Path
    signal: Signal
    records: int
    body: bytes


class Spool:
    """Requests on disk, oldest first.

    Args:
        folder: made if it is not there, readable by us alone.
        most_bytes: how much it may hold; then the oldest are dropped.
        dropped: told the signal and the number of the records that were.
    """

    def __init__(self, folder: Path, most_bytes: int, dropped: Callable[[Signal, int], object]) -> None:
        self.folder, self.most_bytes, self._dropped = folder, most_bytes, dropped
        self._numbers = itertools.count()
        self._complained = False

    def put(self, signal: Signal, body: bytes, records: int) -> bool:
        """Write a request; whether it is on disk now."""
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(self._numbers)}-{records}.{signal}"
        aside = self.folder / f".{name}"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._make_room(_on_disk(len(body))):
                return False
            aside.touch(mode=0o600)
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

    def take(self, signals: Container[Signal]) -> Taken | None:
        """The oldest request of these signals; None when there is none. `done` or `back` it afterwards."""
        for path in self._waiting():
            signal, records = _told(path)
            if signal not in signals:
                continue
            ours = path.with_name(f".{path.name}.{os.getpid()}")
            with contextlib.suppress(OSError):  # another worker was faster
                path.rename(ours)
                os.utime(ours)
                return Taken(ours, signal, records, ours.read_bytes())
        return None

    def done(self, path: Path) -> None:
        """It was delivered, or never will be."""
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)

    def back(self, path: Path) -> None:
        """It was not; it keeps its place."""
        with contextlib.suppress(OSError):
            path.rename(path.with_name(path.name[1:].rpartition(".")[0]))

    def _waiting(self) -> list[Path]:
        try:
            paths = list(self.folder.iterdir())
        except OSError:
            return []
        for path in paths:
            if path.name.startswith("."):
                self._tidy(path)
        return sorted(path for path in paths if _NAME.fullmatch(path.name))

    def _tidy(self, path: Path) -> None:
        """See to what a worker that died had taken, or half written."""
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > TAKEN_FOR_S:
                if _NAME.fullmatch(path.name[1:].rpartition(".")[0]):
                    self.back(path)
                elif _NAME.fullmatch(path.name[1:]):
                    path.unlink()

    def _make_room(self, size: int) -> bool:
        """Drop the oldest until so many bytes fit; whether they can."""
        waiting = []
        for path in self._waiting():
            with contextlib.suppress(OSError):  # another worker took it
                waiting.append((path, _on_disk(path.stat().st_size)))
        held = sum(length for _, length in waiting)
        for path, length in waiting if size <= self.most_bytes else ():
            if held + size <= self.most_bytes:
                break
            held -= length
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                self._dropped(*_told(path))
        return size <= self.most_bytes


def _on_disk(size: int) -> int:
    return max(size, BLOCK_BYTES)


def _told(path: Path) -> tuple[Signal, int]:
    """What the name of a waiting request says: its signal, how many records."""
    records, signal = path.name.rpartition("-")[2].split(".")
    return Signal(signal), int(records)
