"""The files of a group of workers: each member's last snapshot, and the sum of those that are gone.

Each file has one writer and is replaced whole. A member's is written before anybody is told its numbers, so what was
shown once is never lost, however the member ends. The dead are added to `departed` by whoever holds the lock; readers
take none: a reader that sees `departed` unchanged from before to after has seen every member exactly once.
"""

import contextlib
import fcntl
import hashlib
import marshal
import os
import shutil
import stat
import struct
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from gnomon.metrics.membership import lives
from gnomon.metrics.merge import Snapshot, dump, lasting, load, merge
from gnomon.wire.metrics import Family

_TIME = struct.Struct("<Q")
SNAPSHOT, SOCKET, DEPARTED = ".snap", ".sock", "departed"
# Names of the departed are kept so that a reply which is still under way is not added to its sender's remains.
MOST_DEPARTED = 4096
# A group whose leader and members are gone is swept away, but not while its first member may still be on its way.
SWEPT_AFTER_S = 60
ROUNDS = 5


def base() -> Path:
    """The directory of all groups of our user in our PID namespace; made if need be.

    Raises:
        OSError: it cannot be made, or is not ours alone.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    root = Path(runtime) if runtime and os.access(runtime, os.W_OK) else Path(tempfile.gettempdir())
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino  # containers may share /tmp, but not process ids
    except OSError:
        namespace = 0
    path = root / f"gnomon-{os.geteuid()}-{namespace}"
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    seen = path.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid() or seen.st_mode & 0o077:
        raise PermissionError(f"{path} is not a directory of our user alone")
    return path


def place_of(service: str, leader: str) -> Path:
    """The directory of one group; short, for a socket's path has 107 bytes."""
    return base() / f"{hashlib.blake2s(service.encode(), digest_size=4).hexdigest()}-{leader}"


def sweep() -> None:
    """Remove the groups of which nobody lives any more."""
    now_s = time.time()
    for path in base().iterdir():
        leader = path.name.partition("-")[2]
        with contextlib.suppress(OSError):
            if now_s - path.stat().st_mtime > SWEPT_AFTER_S and not any(map(lives, [leader, *names(path)])):
                shutil.rmtree(path)


def names(path: Path) -> set[str]:
    """All members, living or not; one that has just begun has a socket only."""
    return {
        entry.rpartition(".")[0]
        for entry in os.listdir(path)  # noqa: PTH208 - texts, not paths
        if entry.endswith((SNAPSHOT, SOCKET))
    }


def encode(families: Iterable[Family]) -> bytes:
    """A snapshot as it stands in files and goes over sockets."""
    return _TIME.pack(time.time_ns()) + dump(families)


def decode(body: bytes) -> tuple[Family, ...]:
    """The inverse of `encode`; raises ValueError if it is none."""
    if len(body) < _TIME.size:
        raise ValueError("not a snapshot: too short")
    return load(body[_TIME.size :], *_TIME.unpack_from(body))


def same(one: bytes, other: bytes) -> bool:
    """Whether two snapshots differ in nothing but their time."""
    return one[_TIME.size :] == other[_TIME.size :]


def replace(path: Path, body: bytes, writer: str) -> None:
    """Write a file whole or not at all."""
    beside = path.with_name(f"{path.name}.{writer}.new")
    beside.write_bytes(body)
    beside.replace(path)


def read(path: Path, replies: Mapping[str, tuple[Family, ...]]) -> list[Snapshot]:
    """Every member once: its reply if it gave one, else its file; and the departed together.

    Args:
        path: the group's directory.
        replies: what members said just now, by name.
    """
    for _ in range(ROUNDS):
        body = _departed(path)
        gone, remains = _opened(body)
        found = [Snapshot("", remains)]
        for name in sorted(names(path) - gone):
            families = replies.get(name)
            if families is None:
                families = _saved(path, name)
            found.append(Snapshot(name.partition("-")[0], families if lives(name) else lasting(families)))
        if _departed(path) == body:
            break
    return found


def fold(path: Path, writer: str) -> None:
    """Add the dead to the departed and remove their files. If another process is at it, it is left to that one."""
    dead = {name for name in names(path) if not lives(name)}
    if not dead:
        return
    with (path / "lock").open("ab") as lock:
        try:
            # Never waited for: its holder may have been stopped.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        gone, remains = _opened(_departed(path))
        fresh = sorted(dead - gone)
        together = merge([Snapshot("", remains), *(Snapshot("", lasting(_saved(path, name))) for name in fresh)])
        known = [*sorted(gone - dead), *sorted(dead)][-MOST_DEPARTED:]
        replace(path / DEPARTED, marshal.dumps((known, encode(together))), writer)
        for name in dead:  # and only now: until here a reader finds them in their files
            for ending in (SNAPSHOT, SOCKET):
                (path / f"{name}{ending}").unlink(missing_ok=True)


def _saved(path: Path, name: str) -> tuple[Family, ...]:
    try:
        return decode((path / f"{name}{SNAPSHOT}").read_bytes())
    except (OSError, ValueError):  # folded meanwhile, which the reader will notice
        return ()


def _departed(path: Path) -> bytes:
    try:
        return (path / DEPARTED).read_bytes()
    except OSError:
        return b""


def _opened(body: bytes) -> tuple[set[str], tuple[Family, ...]]:
    if not body:
        return set(), ()
    known, families = marshal.loads(body)  # noqa: S302 - written by one of us, in our private directory
    return set(known), decode(families)
