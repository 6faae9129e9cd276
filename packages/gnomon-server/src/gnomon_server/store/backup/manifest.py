"""What a backup says about itself: written last, so that a backup without it is known to have been cut short.

The file is two lines: a head with the SHA-256 of the rest, then the rest as JSON. A manifest names every file of every
part and where its bytes lie; those of an increment lie partly in the packs of earlier backups at the same place.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Literal

import orjson
from pydantic import TypeAdapter, ValidationError

from gnomon_server.errors import GnomonError

FORMAT = 1
MANIFEST = "manifest.json"
STARTED = "started.json"
_MASK = (1 << 64) - 1
_PACK = re.compile(r"\w[\w.-]*/\d+\.pack")
_NAME = re.compile(r"(?!\.{1,2}$)[^/\0]+")
_DEFINITION = re.compile(r"CREATE (?:TABLE|VIEW|MATERIALIZED VIEW) ((?:gnomon|gnomon_sql)\.\w+)\s")


@dataclass(frozen=True, slots=True)
class RowHash:
    """Rows whatever their order: their number, and sum and xor of `cityHash64` over all stored columns of each."""

    rows: int = 0
    sum: int = 0
    xor: int = 0

    def __add__(self, other: "RowHash") -> "RowHash":
        return RowHash(self.rows + other.rows, (self.sum + other.sum) & _MASK, self.xor ^ other.xor)

    def __str__(self) -> str:
        return f"{self.sum:016x}{self.xor:016x}"


@dataclass(frozen=True, slots=True)
class Extent:
    """A run of bytes in a pack: `<backup id>/<number>.pack`."""

    pack: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a part, with the SHA-256 of its bytes, and where these lie, in order."""

    path: str
    size: int
    sha256: str
    extents: tuple[Extent, ...]


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part of a table. `content` is the engine's own hash of its files: equal content is stored once."""

    name: str
    content: str
    hash: RowHash
    files: tuple[StoredFile, ...]

    @property
    def size(self) -> int:
        """Its bytes."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A table or view: the statement that makes it, and its parts (none for views)."""

    database: str
    name: str
    definition: str
    holds_rows: bool
    parts: tuple[StoredPart, ...] = ()

    @property
    def files(self) -> list[StoredFile]:
        """Those of all parts."""
        return [file for part in self.parts for file in part.files]

    @property
    def hash(self) -> RowHash:
        """Of all rows in the backup."""
        return sum((part.hash for part in self.parts), RowHash())

    @property
    def size(self) -> int:
        """Bytes of its parts."""
        return sum(part.size for part in self.parts)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One finished backup. Times are RFC 3339 in UTC; `began` is when commits were paused for the snapshot."""

    id: str
    began: str
    ended: str
    kind: Literal["full", "incremental"]
    base: str
    """The backup before it, whose packs it uses; empty for a full one."""
    schema: int
    version: str
    engine: str
    pause_s: float
    """How long commits waited for the snapshot."""
    tables: tuple[StoredTable, ...]
    files: tuple[StoredFile, ...] = ()
    """What else of the data directory is worth keeping, by its path there."""
    packs: dict[str, int] = field(default_factory=dict)
    """The packs that hold its bytes, those of earlier backups among them, and their sizes in bytes."""
    format: int = FORMAT

    @property
    def total_bytes(self) -> int:
        """What a restore writes."""
        return sum(table.size for table in self.tables) + sum(file.size for file in self.files)

    @property
    def written_bytes(self) -> int:
        """What this backup added to the place."""
        return sum(size for name, size in self.packs.items() if name.startswith(f"{self.id}/"))

    @property
    def chain(self) -> list[str]:
        """The backups that must stay at the place for this one to be whole; itself last."""
        return sorted({name.partition("/")[0] for name in self.packs} | {self.id})

    def encoded(self) -> bytes:
        """The file."""
        body = orjson.dumps(self)
        head = {"gnomon_backup": FORMAT, "sha256": hashlib.sha256(body).hexdigest()}
        return orjson.dumps(head) + b"\n" + body


_READER = TypeAdapter(Manifest)


def decoded(content: bytes, where: str) -> Manifest:
    """The manifest in a file. GnomonError `backup_damaged` or `backup_newer`."""
    head, _, body = content.partition(b"\n")
    try:
        told = orjson.loads(head)
        form, digest = int(told["gnomon_backup"]), told["sha256"]
    except (ValueError, KeyError, TypeError):
        raise damaged("the manifest is not one", where) from None
    if form > FORMAT:
        raise GnomonError("backup_newer", f"format {form} of a newer server", where, "restore it with that server")
    if hashlib.sha256(body).hexdigest() != digest:
        raise damaged("the manifest's checksum is wrong", where)
    try:
        manifest = _READER.validate_json(body)
    except ValidationError as error:
        raise damaged(f"the manifest cannot be read: {error.error_count()} mistakes", where) from None
    if (strange := _strange(manifest)) is not None:
        raise damaged(f"the manifest names what no backup holds: {strange[:100]!r}", where)
    return manifest


def _strange(manifest: Manifest) -> str | None:
    """A name that leads elsewhere, or a statement that makes something else: a restore would follow it."""
    for table in manifest.tables:
        made = _DEFINITION.match(table.definition)
        if made is None or made[1] != f"{table.database}.{table.name}":
            return table.definition
    parts = [part for table in manifest.tables for part in table.parts]
    files = [*manifest.files, *(file for part in parts for file in part.files)]
    names = (*(part.name for part in parts), *(file.path for file in files))
    packs = {extent.pack for file in files for extent in file.extents}
    strange = (
        *(name for name in names if not _NAME.fullmatch(name)),
        *(name for name in manifest.packs if not _PACK.fullmatch(name)),
        *(packs - manifest.packs.keys()),
    )
    return next(iter(strange), None)


def damaged(what: str, where: str) -> GnomonError:
    """Bytes are not what was written, or are not there."""
    return GnomonError("backup_damaged", what, where, "take another backup of the list: gnomon restore --list")
