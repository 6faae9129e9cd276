"""What lies at a place: finished backups, those that were cut short, and how they hang together."""

from dataclasses import dataclass

from gnomon_server.errors import GnomonError, NotFound
from gnomon_server.store.backup.manifest import MANIFEST, STARTED, Manifest, damaged, decoded
from gnomon_server.store.backup.places import Place


@dataclass(frozen=True, slots=True)
class Entry:
    """A backup at a place. `fault` says why it cannot be restored: cut short, damaged, packs missing."""

    id: str
    stored_bytes: int
    manifest: Manifest | None
    fault: str = ""


class Catalogue:
    """The backups at a place, by names and sizes. Calls block."""

    def __init__(self, place: Place, where: str) -> None:
        self._place = place
        self._where = where
        self._sizes = place.sizes()
        ends = (f"/{MANIFEST}", f"/{STARTED}", ".pack")
        self._ids = sorted({name.partition("/")[0] for name in self._sizes if name.endswith(ends)})

    def entries(self) -> list[Entry]:
        """All of them, oldest first."""
        return [self._entry(name) for name in self._ids]

    def newest(self) -> Manifest | None:
        """The newest that is whole."""
        found = (self._entry(name) for name in reversed(self._ids))
        return next((entry.manifest for entry in found if not entry.fault), None)

    def choose(self, wanted: str) -> Manifest:
        """The backup of that id, or the newest. One that cannot be restored is refused, not passed over."""
        if wanted not in ("", *self._ids) or not self._ids:
            what = f"there is no backup {wanted!r}" if wanted else "there is no backup"
            raise NotFound("backup_not_found", what, self._where, "gnomon restore --list SOURCE")
        entry = self._entry(wanted or self._ids[-1])
        if entry.manifest is not None and not entry.fault:
            return entry.manifest
        newest = self.newest()
        hint = f"--backup {newest.id} is the newest that is whole" if newest else "there is no whole backup here"
        code = "backup_damaged" if f"{entry.id}/{MANIFEST}" in self._sizes else "backup_incomplete"
        raise GnomonError(code, f"backup {entry.id} cannot be restored: {entry.fault}", self._where, hint)

    def _entry(self, name: str) -> Entry:
        stored = sum(size for path, size in self._sizes.items() if path.startswith(f"{name}/"))
        file = f"{name}/{MANIFEST}"
        if file not in self._sizes:
            return Entry(name, stored, None, "it was cut short, or is still running: it has no manifest")
        try:
            manifest = decoded(self._place.read(file), file)
            if manifest.id != name:
                raise damaged(f"the manifest is that of backup {manifest.id}", name)
        except GnomonError as error:
            return Entry(name, stored, None, error.what)
        return Entry(name, stored, manifest, self._missing(manifest))

    def _missing(self, manifest: Manifest) -> str:
        for pack, size in sorted(manifest.packs.items()):
            if pack not in self._sizes:
                return f"{pack} is missing"
            if self._sizes[pack] != size:
                return f"{pack} has {self._sizes[pack]} bytes, it had {size}"
        return ""
