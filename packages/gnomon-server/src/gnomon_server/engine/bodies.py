"""Request bodies on their way to the library: decoded, and kept in a file without a name."""

import os
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from importlib import import_module
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from .protocol import BAD_ARGUMENTS, NOT_ENOUGH_SPACE, NOT_IMPLEMENTED, QUERY_IS_TOO_LARGE, EngineError

Piece = bytes | bytearray | memoryview

IDENTITY = "identity"
# HTTP's names to the library's and to Arrow's. Clients send lz4 and zstd too, for ClickHouse takes them.
_LIBRARY_NAMES = {"gzip": "gzip", "deflate": "deflate", "br": "br", "zstd": "zstd", "lz4": "lz4"}
_ARROW_NAMES = {"gzip": "gzip", "br": "brotli", "zstd": "zstd", "lz4": "lz4"}
_PIECE_BYTES = 1 << 18
# Linux opens a file that has no name through /proc.
_NAMELESS = sys.platform.startswith("linux")


def library_compression(encoding: str) -> str | None:
    """What the library calls a Content-Encoding; it decodes data itself, in C and as it reads."""
    if encoding == IDENTITY:
        return None
    if encoding not in _LIBRARY_NAMES:
        raise EngineError(NOT_IMPLEMENTED, f"Unknown Content-Encoding {encoding}")
    return _LIBRARY_NAMES[encoding]


def decoded(pieces: Iterator[Piece], encoding: str, limit_bytes: int) -> Iterator[Piece]:
    """The content of an encoded body, in pieces; what it inflates to is bounded while it is read."""
    if encoding == IDENTITY:
        yield from pieces
        return
    left = limit_bytes
    for piece in _inflated(pieces) if encoding == "deflate" else _arrow_decoded(pieces, encoding):
        left -= len(piece)
        if left < 0:
            raise EngineError(QUERY_IS_TOO_LARGE, f"The decoded body is larger than {limit_bytes} bytes")
        yield piece


def _inflated(pieces: Iterator[Piece]) -> Iterator[bytes]:
    decoder = zlib.decompressobj()
    try:
        for piece in pieces:
            yield decoder.decompress(piece, _PIECE_BYTES)
            while decoder.unconsumed_tail:
                yield decoder.decompress(decoder.unconsumed_tail, _PIECE_BYTES)
    except zlib.error as error:
        raise EngineError(BAD_ARGUMENTS, f"The body is not deflated: {error}") from None
    if not decoder.eof:
        raise EngineError(BAD_ARGUMENTS, "The deflated body breaks off")


def _arrow_decoded(pieces: Iterator[Piece], encoding: str) -> Iterator[bytes]:
    if encoding not in _ARROW_NAMES:
        raise EngineError(NOT_IMPLEMENTED, f"Unknown Content-Encoding {encoding}")
    # Imported when it is first needed: the store sends its bodies plain.
    arrow: Any = import_module("pyarrow")
    try:
        with arrow.CompressedInputStream(arrow.PythonFile(_Reader(pieces), "r"), _ARROW_NAMES[encoding]) as stream:
            while piece := stream.read(_PIECE_BYTES):
                yield piece
    except OSError as error:
        raise EngineError(BAD_ARGUMENTS, f"The body is not {encoding}: {error}") from None


class _Reader(RawIOBase):
    """Pieces as a file to read from."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._rest:
            self._rest = bytes(next(self._pieces, b""))
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


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

    def fill(self, pieces: Iterable[Piece]) -> None:
        """Append, moving from memory to disk when it grows above ``memory_bytes``."""
        for piece in pieces:
            if self._in_memory and self.size_bytes + len(piece) > self._memory_bytes:
                self._move_to_disk()
            view = memoryview(piece)
            try:
                while view:
                    view = view[self._file.write(view) :]
            except OSError as error:
                raise EngineError(NOT_ENOUGH_SPACE, f"The body cannot be spooled: {error}") from None
            self.size_bytes += len(piece)

    def _move_to_disk(self) -> None:
        disk = _disk_file(self._directory)
        for piece in self.pieces(_PIECE_BYTES):
            disk.write(piece)
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
