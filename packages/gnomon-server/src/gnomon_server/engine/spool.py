"""Request bodies on their way to the library: a file without a name, in memory while it is small."""

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

# Linux opens a file that has no name through /proc.
_NAMELESS = sys.platform.startswith("linux")


class Spool:
    """A file that is gone when it is closed. The library opens it by ``path``.

    On Linux it has no name at all, so nothing is left behind by a crash; elsewhere it is a temporary file.
    """

    def __init__(self, directory: Path, memory_bytes: int) -> None:
        self._directory = directory
        self._memory_bytes = memory_bytes
        self._in_memory = _NAMELESS and memory_bytes > 0
        self._file: IO[bytes] = (
            os.fdopen(os.memfd_create("body"), "w+b", buffering=0) if self._in_memory else _disk_file(directory)
        )
        self.size_bytes = 0

    @property
    def path(self) -> str:
        """The name the library reads it by."""
        return f"/proc/self/fd/{self._file.fileno()}" if _NAMELESS else str(self._file.name)

    def fill(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        """Append, moving from memory to disk when it grows above ``memory_bytes``."""
        for piece in pieces:
            if self._in_memory and self.size_bytes + len(piece) > self._memory_bytes:
                self._move_to_disk()
            view = memoryview(piece)
            while view:
                view = view[self._file.write(view) :]
            self.size_bytes += len(piece)

    def _move_to_disk(self) -> None:
        disk = _disk_file(self._directory)
        offset = 0
        while offset < self.size_bytes:
            offset += os.sendfile(disk.fileno(), self._file.fileno(), offset, self.size_bytes - offset)
        disk.seek(0, os.SEEK_END)
        self._file.close()
        self._file, self._in_memory = disk, False

    def pieces(self, size: int) -> Iterator[bytes]:
        """The content from the start, in pieces of ``size`` bytes."""
        for offset in range(0, self.size_bytes, size):
            yield os.pread(self._file.fileno(), size, offset)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _disk_file(directory: Path) -> IO[bytes]:
    make = tempfile.TemporaryFile if _NAMELESS else tempfile.NamedTemporaryFile
    return cast("IO[bytes]", make(dir=directory, buffering=0))
