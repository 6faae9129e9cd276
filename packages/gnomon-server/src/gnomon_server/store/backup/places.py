"""Where backups lie: a folder or a bucket, seen as names and bytes."""

import contextlib
import os
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from gnomon_server.errors import GnomonError, InvalidInput, Unavailable
from gnomon_server.store.backup.s3 import S3Place, S3Settings
from gnomon_server.store.sync import sync


class Place(Protocol):
    """Names (`<backup>/<file>`) and what they hold. Calls block; they are made from a thread. Errors: GnomonError."""

    def write(self, name: str, content: bytes) -> None:
        """All or nothing, and durable when it returns."""

    def read(self, name: str) -> bytes:
        """What was written."""

    def sizes(self) -> dict[str, int]:
        """Every name, with its size in bytes."""

    def delete(self, name: str) -> None:
        """Forget a name; no error when it is not there."""

    def close(self) -> None:
        """Let go of connections."""


def open_place(where: str, s3: S3Settings) -> Place:
    """A folder (`/var/backups/gnomon`, `file:///...`) or a bucket (`s3://bucket/prefix`)."""
    scheme, separator, _ = where.partition("://")
    if not separator:
        return FolderPlace(Path(where))
    parts = urlsplit(where)
    if scheme == "file" and parts.netloc in ("", "localhost"):
        return FolderPlace(Path(unquote(parts.path)))
    if scheme == "s3" and parts.netloc:
        return S3Place(parts.netloc, parts.path.strip("/"), s3)
    raise InvalidInput(
        "place_unknown", f"{scheme}:// is no place for backups", where, "a folder, file:///folder or s3://bucket/prefix"
    )


class FolderPlace:
    """A folder on this machine, or on a disk that it has mounted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, content: bytes) -> None:
        """Under a temporary name, synced, then renamed."""
        path = self.folder / name
        half = path.with_name(path.name + ".tmp")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(half, "wb", opener=_private) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            half.rename(path)
            for folder in (path.parent, self.folder):
                sync(folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                half.unlink(missing_ok=True)
            raise _unusable(path, error) from error

    def read(self, name: str) -> bytes:
        """See Place."""
        path = self.folder / name
        try:
            return path.read_bytes()
        except OSError as error:
            raise _unusable(path, error) from error

    def sizes(self) -> dict[str, int]:
        """See Place; one level of folders, as backups make them."""
        try:
            return {
                f"{path.parent.name}/{path.name}": path.stat().st_size
                for path in self.folder.glob("*/*")
                if path.is_file()
            }
        except OSError as error:
            raise _unusable(self.folder, error) from error

    def delete(self, name: str) -> None:
        """See Place; the folder goes with its last file."""
        path = self.folder / name
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
            path.parent.rmdir()

    def close(self) -> None:
        """Nothing is held."""


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _unusable(path: Path, error: OSError) -> GnomonError:
    hint = "the server's user must be able to read and write there"
    return Unavailable("place_unusable", f"{path}: {error.strerror or error}", where=str(path), hint=hint)
