"""What /proc says of this machine: who listens on a port, who holds a lock, what a process is and may."""

import contextlib
import itertools
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LISTENING = "0A"
_SHOWN_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its id; its files are asked when they are wanted, and may be somebody else's."""

    pid: int

    @property
    def is_alive(self) -> bool:
        """Whether it runs; a zombie does not."""
        return self.state not in ("", "Z")

    @property
    def state(self) -> str:
        """R, S, D, T (stopped), Z, ...; empty when there is none."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text("utf-8", "replace").rpartition(") ")[2][:1]
        except OSError:
            return ""

    def __str__(self) -> str:
        try:
            words = Path(f"/proc/{self.pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            words = []
        # Without its options: a password may be among them, and reports are shown around. `python -m x` is a name.
        shown = itertools.takewhile(lambda word: not word.startswith(b"-") or word == b"-m", words)
        text = b" ".join(shown).decode("utf-8", "replace").strip()
        return f"process {self.pid}" + (f" ({text[:_SHOWN_CHARACTERS]})" if text else "")

    def open_files(self) -> tuple[int, int]:
        """How many it has open, and the most it may (soft limit). OSError when it is another user's."""
        text = Path(f"/proc/{self.pid}/limits").read_text("utf-8")
        found = re.search(r"^Max open files\s+(\d+|unlimited)", text, re.MULTILINE)
        most = int(found[1]) if found and found[1] != "unlimited" else 1 << 30
        return len(os.listdir(f"/proc/{self.pid}/fd")), most  # noqa: PTH208  (only their number)

    def environment(self) -> dict[str, str]:
        """Its OTEL_ variables as it was started; empty when it is another user's."""
        try:
            entries = Path(f"/proc/{self.pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return {}
        pairs = (entry.decode("utf-8", "replace").partition("=") for entry in entries if entry.startswith(b"OTEL_"))
        return {name: value for name, _, value in pairs}


def processes() -> Iterator[Process]:
    """All that run."""
    yield from (Process(int(name)) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208  (only names)


def listener_of(port: int) -> list[Process]:
    """Who listens on a TCP port, as far as we may see; empty when nobody does."""
    inodes = set(_listening_sockets(port))
    return [process for process in processes() if inodes and inodes & set(_sockets(process))]


def is_listened_on(port: int) -> bool:
    """Whether anybody listens there, also one whose name we may not see."""
    return any(True for _ in _listening_sockets(port))


def _listening_sockets(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/net/{table}").read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _sockets(process: Process) -> Iterator[str]:
    with contextlib.suppress(OSError):  # another user's
        for name in os.listdir(f"/proc/{process.pid}/fd"):  # noqa: PTH208  (only names)
            with contextlib.suppress(OSError):  # closed meanwhile
                target = str(Path(f"/proc/{process.pid}/fd/{name}").readlink())
                if target.startswith("socket:["):
                    yield target[8:-1]


def lock_holder(file: Path) -> Process | None:
    """Who holds a lock on this file."""
    status = file.stat()
    for line in Path("/proc/locks").read_text("ascii").splitlines():
        fields = line.split()
        if fields[1] != "->" and int(fields[-3].rpartition(":")[2]) == status.st_ino:
            return Process(int(fields[-4]))
    return None


def own_addresses() -> set[str]:
    """Names and addresses under which this machine calls itself."""
    found = {"localhost", "127.0.0.1", "::1", "0.0.0.0", socket.gethostname().lower()}  # noqa: S104  (compared, not bound)
    try:
        for line in Path("/proc/net/fib_trie").read_text("ascii").splitlines():
            if "|--" in line:
                found.add(line.split()[-1])
    except OSError:
        return found
    return found
