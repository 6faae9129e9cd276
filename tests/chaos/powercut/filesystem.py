"""What a disk holds after a power cut: the shim's journal replayed into files and directories, synced or not.

The strict model, which POSIX allows and no file system undercuts: a file's bytes survive if the file was synced after
they were written; a name (created, renamed, removed) survives if its directory was synced after the change. A cut may
also let any part of the rest survive: `Survival` says which.
"""

import os
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_RECORD = struct.Struct("<QQqII")
Survival = Callable[[], bool]
"""Asked for each unsynced write and each unsynced change of a name, in their order: does it survive?"""


def nothing() -> bool:
    """The strict cut: what is not synced is gone."""
    return False


def everything() -> bool:
    """No cut at all: what the processes themselves see."""
    return True


def some(chance: random.Random) -> Survival:
    """A cut in the midst of the disk's own writing back, in any order."""
    return lambda: chance.random() < 0.5


@dataclass(frozen=True, slots=True)
class Record:
    """One operation. `time_ns` (CLOCK_MONOTONIC) is after it and before its caller went on."""

    time_ns: int
    inode: int
    offset: int
    op: str
    data: bytes

    @property
    def path(self) -> str:
        return os.fsdecode(self.data)

    @property
    def paths(self) -> tuple[str, str]:
        return os.fsdecode(self.data[: self.offset - 1]), os.fsdecode(self.data[self.offset :])


def read(journal: Path) -> Iterator[Record]:
    """The records of a journal, in order of time; a torn last one (its process was killed) is left out."""
    content = journal.read_bytes()
    at, found = 0, []
    while at + _RECORD.size <= len(content):
        time_ns, inode, offset, size, op = _RECORD.unpack_from(content, at)
        at += _RECORD.size
        if at + size > len(content):
            break
        found.append(Record(time_ns, inode, offset, chr(op), content[at : at + size]))
        at += size
    return iter(found)


@dataclass(slots=True, eq=False)
class File:
    """Bytes as synced, and the writes since: (offset, data), or (size, None) for a truncation."""

    synced: bytes = b""
    since: list[tuple[int, bytes | None]] = field(default_factory=list)

    def sync(self) -> None:
        self.synced, self.since = self.content(everything), []

    def content(self, survives: Survival) -> bytes:
        content = bytearray(self.synced)
        for offset, data in self.since:
            if not survives():
                continue
            if data is None:
                content[offset:] = b"\0" * max(0, offset - len(content))
            else:
                content.extend(b"\0" * (offset - len(content)))
                content[offset : offset + len(data)] = data
        return bytes(content)


@dataclass(slots=True, eq=False)
class Link:
    """A symbolic link."""

    target: str


@dataclass(slots=True, eq=False)
class Folder:
    """Names as they are, as synced, and the changes since: one operation may change two names at once."""

    now: dict[str, "Node"] = field(default_factory=dict)
    synced: dict[str, "Node"] = field(default_factory=dict)
    since: list[dict[str, "Node | None"]] = field(default_factory=list)

    def change(self, names: dict[str, "Node | None"]) -> None:
        _apply(self.now, names)
        self.since.append(names)

    def sync(self) -> None:
        self.synced, self.since = dict(self.now), []

    def entries(self, survives: Survival) -> dict[str, "Node"]:
        entries = dict(self.synced)
        for names in self.since:
            if survives():
                _apply(entries, names)
        return entries


Node = File | Folder | Link


def _apply(entries: dict[str, Node], names: dict[str, Node | None]) -> None:
    for name, node in names.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


class UnmodelledError(Exception):
    """The program did what the model does not know: its verdicts would mean nothing."""


class Disk:
    """The state after the records played so far."""

    def __init__(self) -> None:
        self.root = Folder()
        self._by_inode: dict[int, Node] = {}

    def play(self, record: Record) -> None:
        match record.op:
            case "R":
                self._by_inode.setdefault(record.inode, self.root)
            case "c" | "d":
                node = File() if record.op == "c" else Folder()
                self._by_inode[record.inode] = node
                self._name(record.path, node)
            case "y":
                path, target = record.paths
                self._name(path, Link(target))
            case "w" | "t":
                file = self._by_inode.get(record.inode)
                if not isinstance(file, File):
                    raise UnmodelledError(f"{record.op} of inode {record.inode}, which is {type(file).__name__}")
                file.since.append((record.offset, record.data if record.op == "w" else None))
            case "r" | "e":
                self._rename(*record.paths, exchange=record.op == "e")
            case "l":
                old, new = record.paths
                self._name(new, self._find(old))
            case "u":
                self._name(record.path, None)
            case "s":
                node = self._by_inode.get(record.inode)
                if isinstance(node, File | Folder):
                    node.sync()
            case "S":
                self._sync_all(self.root)
            case _:
                raise UnmodelledError(record.path)

    def write(self, target: Path, survives: Survival) -> None:
        """Make a directory of what is left."""
        _write(self.root, target, survives)

    def _parent(self, path: str) -> tuple[Folder, str]:
        *folders, name = path.split("/")
        folder: Node = self.root
        for step in folders:
            assert isinstance(folder, Folder)
            folder = folder.now[step]
        assert isinstance(folder, Folder)
        return folder, name

    def _find(self, path: str) -> Node:
        folder, name = self._parent(path)
        return folder.now[name]

    def _name(self, path: str, node: Node | None) -> None:
        folder, name = self._parent(path)
        folder.change({name: node})

    def _rename(self, old: str, new: str, *, exchange: bool) -> None:
        (from_folder, from_name), (to_folder, to_name) = self._parent(old), self._parent(new)
        node = from_folder.now[from_name]
        other = to_folder.now[to_name] if exchange else None
        if from_folder is to_folder:
            from_folder.change({from_name: other, to_name: node})
        else:
            # The new name first: a file that moves between directories may be found twice, never lost by one sync.
            to_folder.change({to_name: node})
            from_folder.change({from_name: other})

    def _sync_all(self, folder: Folder) -> None:
        folder.sync()
        for node in folder.now.values():
            if isinstance(node, Folder):
                self._sync_all(node)
            elif isinstance(node, File):
                node.sync()


def _write(folder: Folder, target: Path, survives: Survival) -> None:
    target.mkdir(exist_ok=True)
    for name, node in folder.entries(survives).items():
        path = target / name
        if isinstance(node, Folder):
            _write(node, path, survives)
        elif isinstance(node, Link):
            path.symlink_to(node.target)
        else:
            path.write_bytes(node.content(survives))
