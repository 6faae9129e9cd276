"""Which processes are workers of one service: found out, without a hook in any server.

A group is named by its leader, the process that started the workers. It matters only that all of them name the same.
"""

import os
import sys
from pathlib import Path

from gnomon.process.forks import after_fork


def started(pid: int) -> str:
    """When a process was started, in ticks since boot: with the pid, its name for ever. Empty if it is gone.

    Without /proc (macOS) it is "0" for every living process.
    """
    try:
        # After the name in brackets, which may hold anything; the state is field 3, the start field 22.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except FileNotFoundError:
        return "" if sys.platform == "linux" or not _alive(pid) else "0"
    except OSError:
        return ""
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it lives, under another user
        return True
    return True


def name_of(pid: int) -> str:
    """`pid-start` of a living process, as files and groups call it."""
    return f"{pid}-{started(pid)}"


def lives(name: str) -> bool:
    """Whether the process of this name is still there."""
    pid, _, start = name.partition("-")
    return pid.isdigit() and bool(start) and started(int(pid)) == start


class Place:
    """Where this process stands: what it is called, and who leads it."""

    def __init__(self) -> None:
        self.me = name_of(os.getpid())
        # Looked up at once: in a child it could no more be told who led its parent.
        self.leader = _found()
        """The name of the process that leads our group, empty if we are alone."""
        after_fork(self._forked)

    def _forked(self) -> None:
        # Seen with our own eyes: the parent leads, or who led it.
        self.leader = self.leader or self.me
        self.me = name_of(os.getpid())


def _found() -> str:
    loaded = sys.modules.get("multiprocessing.process")
    parent = loaded.parent_process() if loaded else None
    if parent is not None and parent.pid is not None:  # uvicorn --workers, granian
        return name_of(parent.pid)
    if _same_program(os.getppid()):  # gunicorn without --preload, and all else that forked before we were imported
        return name_of(os.getppid())
    return ""


def _same_program(pid: int) -> bool:
    ours, theirs = Path("/proc/self"), Path(f"/proc/{pid}")
    try:
        if (ours / "exe").readlink() != (theirs / "exe").readlink():
            return False
        words, their_words = (ours / "cmdline").read_bytes(), (theirs / "cmdline").read_bytes()
    except OSError:
        # No /proc, or not ours to read. Where gunicorn is at work its master is our parent, or we are the master and
        # name our own parent, which does for a name as well.
        return "gunicorn.arbiter" in sys.modules
    # gunicorn calls itself "gunicorn: master [app]" where setproctitle is installed.
    return words == their_words or (
        their_words.startswith(b"gunicorn: master") and words.startswith(b"gunicorn: worker")
    )
