"""The built console's files, read once: pure data, so that a request touches no disk and no path leads out of it."""

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
"""Where the machine's own table of types is known to differ."""


@dataclass(frozen=True)
class Asset:
    """One file: its bytes, the same gzipped when the build left them, and the headers they go out with."""

    body: bytes
    gzipped: bytes | None
    media_type: str
    etag: str
    hashed: bool
    """The build put a hash of the content into the name: it can be kept for ever."""


def read(directory: Path) -> dict[str, Asset]:
    """Every file below `directory` by its URL path (`/index.html`); empty when there is no such directory."""
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path.suffix != ".gz")
    return {f"/{path.relative_to(directory).as_posix()}": _asset(path, directory) for path in files}


def _asset(path: Path, directory: Path) -> Asset:
    body = path.read_bytes()
    gzipped = path.with_name(path.name + ".gz")
    return Asset(
        body=body,
        gzipped=gzipped.read_bytes() if gzipped.is_file() else None,
        media_type=_TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        hashed=path.is_relative_to(directory / "assets"),
    )
