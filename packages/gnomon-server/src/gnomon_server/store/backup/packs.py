"""Files into packs, and back: many small files make few objects, a large one spans several.

A pack is written once it is full, whole and synced. A file whose bytes lie in an earlier backup already (the same
SHA-256) is pointed to, not written again.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from gnomon_server.store.backup.manifest import Extent, StoredFile
from gnomon_server.store.backup.places import Place

_PACK_BYTES = 16 << 20
"""What is held in memory; small enough for one PUT, large enough that a sync each does not count."""
_BLOCK_BYTES = 1 << 20


class Packer:
    """Takes files one after another, from one thread. `finish` writes the last pack.

    `known` are files of earlier backups, by (size, SHA-256). `on_bytes` hears of all that is read; it may raise.
    """

    def __init__(
        self,
        place: Place,
        backup: str,
        known: Mapping[tuple[int, str], StoredFile],
        on_bytes: Callable[[int], None],
    ) -> None:
        self._place = place
        self._backup = backup
        self._known = known
        self._known_sizes = {size for size, _ in known}
        self._on_bytes = on_bytes
        self._pack = bytearray()
        self.packs: dict[str, int] = {}

    def add(self, path: Path, name: str) -> StoredFile:
        """The file's bytes, in a pack or in one of an earlier backup."""
        size = path.stat().st_size
        if size in self._known_sizes:
            old = self._known.get((size, _digest(path)))
            if old is not None:
                self._on_bytes(size)
                return replace(old, path=name)
        return self._write(path, name)

    def finish(self) -> None:
        """Write what waits."""
        if self._pack:
            self._flush()

    def _write(self, path: Path, name: str) -> StoredFile:
        extents: list[Extent] = []
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(min(_BLOCK_BYTES, _PACK_BYTES - len(self._pack))):
                digest.update(block)
                extent = Extent(self._name, len(self._pack), len(block))
                if extents and extents[-1].pack == extent.pack:
                    extents[-1] = Extent(extent.pack, extents[-1].offset, extents[-1].length + extent.length)
                else:
                    extents.append(extent)
                self._pack += block
                self._on_bytes(len(block))
                if len(self._pack) == _PACK_BYTES:
                    self._flush()
        return StoredFile(name, sum(extent.length for extent in extents), digest.hexdigest(), tuple(extents))

    @property
    def _name(self) -> str:
        return f"{self._backup}/{len(self.packs) + 1:06}.pack"

    def _flush(self) -> None:
        name = self._name
        self.packs[name] = len(self._pack)  # before it is written: one that failed may be there all the same
        self._place.write(name, bytes(self._pack))
        self._pack.clear()


def unpack(
    place: Place, files: Iterable[tuple[StoredFile, Path | None]], on_bytes: Callable[[int], None]
) -> list[StoredFile]:
    """Write files where they belong (None: nowhere), each pack being read once if its files come together.

    Returns those whose bytes are not what was written.
    """
    wrong = []
    reader = _Reader(place)
    for file, path in files:
        digest = hashlib.sha256()
        blocks = (reader.read(extent) for extent in file.extents)
        if path is None:
            for block in blocks:
                digest.update(block)
        else:
            with path.open("xb") as target:
                for block in blocks:
                    digest.update(block)
                    target.write(block)
        on_bytes(file.size)
        if digest.hexdigest() != file.sha256:
            wrong.append(file)
    return wrong


class _Reader:
    """Extents of packs; a pack from which several come is read whole."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._name = ""
        self._pack = b""

    def read(self, extent: Extent) -> bytes:
        if self._name != extent.pack:
            self._name, self._pack = extent.pack, self._place.read(extent.pack)
        return self._pack[extent.offset : extent.offset + extent.length]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
