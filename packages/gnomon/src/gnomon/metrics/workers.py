"""One total for all worker processes of a service, whichever of them is asked; nothing to configure, no hooks.

Each worker keeps a file and a Unix socket in a private directory of its group. Who is scraped asks the others and adds
up; who does not answer in time (stopped, or gone) stands for itself with the file.
"""

import atexit
import contextlib
import os
import selectors
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gnomon.metrics import members
from gnomon.metrics.membership import Place, lives
from gnomon.metrics.merge import merge
from gnomon.metrics.said import say_once
from gnomon.process.forks import after_fork
from gnomon.wire.metrics import Family

DEADLINE_S = 1.0
SAVE_EVERY_S = 1.0
# A fork may be followed at once by another program, or by a change of user, and what is written before would be wrong.
SETTLED_AFTER_S = 0.05
LONGEST_ADDRESS = 100  # bytes; Linux takes 107, macOS 103
_PIECE = 1 << 18


_made: Counter[str] = Counter()


class Workers:
    """The group of processes that this one belongs to, if any.

    Args:
        source: what this process has to say; it is called on threads of ours, too.
        service: groups of other services are other groups, even under one leader.
    """

    def __init__(self, source: Callable[[], list[Family]], service: str = "") -> None:
        self._source = source
        # The same in every worker, for they run the same code: two endpoints of one service are two groups.
        _made[service] += 1
        self._service = f"{service}\n{_made[service]}"
        self._place = Place()
        self._started = False
        self._begin()
        after_fork(self._forked)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._socket: socket.socket | None = None
        self._saved = b""
        self._closed = threading.Event()

    def _forked(self) -> None:
        if self._socket is not None:
            self._socket.close()  # the parent's; the file remains
        closed = self._closed.is_set()
        self._begin()
        if closed:
            self._closed.set()
        elif self._started:
            threading.Thread(target=self._settle, name="gnomon-workers", daemon=True).start()

    def start(self) -> None:
        """Join the group, if there is one; the children of this process will by themselves."""
        if not self._started:
            self._started = True
            atexit.register(self.close)  # holds in forked children, too
            self._settle(0.0)

    def _settle(self, after_s: float = SETTLED_AFTER_S) -> None:
        time.sleep(after_s)
        if self._place.leader:
            try:
                self._joined()
            except OSError as error:
                self._say(error)

    @property
    def led(self) -> bool:
        """Whether another process has started us, beside others like us, to do its work."""
        return bool(self._place.leader)

    def collect(self) -> list[Family]:
        """The numbers of the whole group; of this process, if it is alone or the group's directory cannot be used."""
        try:
            path = self._joined()
            if path is None:
                return self._source()
            self.save()
            members.fold(path, self._place.me)
            replies = self._ask(path, [name for name in members.names(path) if name != self._place.me and lives(name)])
            return merge(members.read(path, replies))
        except (OSError, ValueError) as error:  # no directory, no file, or a value that has no bytes
            self._say(error)
            return self._source()

    def save(self) -> bytes:
        """Write down our numbers, and return what was written."""
        with self._lock:
            body = members.encode(self._source())
            if self._path is not None and not members.same(body, self._saved):
                members.replace(self._path / f"{self._place.me}{members.SNAPSHOT}", body, self._place.me)
                self._saved = body
            return body

    def close(self) -> None:
        """Save, and answer no more; the numbers stay counted. The process's exit does it, too."""
        if self._closed.is_set():
            return
        if self._place.leader or self._path is not None:
            with contextlib.suppress(OSError):
                self._joined()  # a worker may end before it has settled
                self.save()
        self._closed.set()
        listening, self._socket = self._socket, None
        if listening is not None:
            listening.close()

    def _joined(self) -> Path | None:
        """The group's directory, with us in it; None if there is no group."""
        with self._lock:
            if self._path is not None or self._closed.is_set():
                return self._path
            path = members.place_of(self._service, self._place.leader or self._place.me)
            if not self._place.leader and not path.is_dir():
                return None  # we lead nobody
            path.mkdir(mode=0o700, exist_ok=True)
            self._socket = _listening(path / f"{self._place.me}{members.SOCKET}")
            self._path = path
        threading.Thread(target=self._serve, args=(self._socket, path), name="gnomon-workers", daemon=True).start()
        util = sys.modules.get("multiprocessing.util")
        if util is not None:  # children of multiprocessing leave without `atexit`
            util.Finalize(None, self.close, exitpriority=0)
        return path

    def _say(self, error: Exception) -> None:
        say_once("workers", f"the numbers of the workers are not added up, each shows its own: {error}")

    def _serve(self, listening: socket.socket, path: Path) -> None:
        """Answer whoever connects, and save now and then."""
        closed = self._closed
        with contextlib.suppress(OSError):
            members.sweep()
            members.fold(path, self._place.me)
        saved_s = 0.0
        while not closed.is_set():
            try:
                listening.settimeout(max(0.01, saved_s + SAVE_EVERY_S - time.monotonic()))
                with listening.accept()[0] as asking:
                    asking.settimeout(DEADLINE_S)
                    asking.sendall(self.save())
            except TimeoutError:
                with contextlib.suppress(OSError):
                    self.save()
                saved_s = time.monotonic()
            except Exception as error:  # noqa: BLE001 - a guest's thread does not end with a traceback on its host's stderr
                if closed.wait(0.1):  # closed under our hands, or a fault that may last: do not spin
                    return
                self._say(error)

    @staticmethod
    def _ask(path: Path, asked: Iterable[str]) -> dict[str, tuple[Family, ...]]:
        """What the members say, of those who say it in time."""
        replies: dict[str, tuple[Family, ...]] = {}
        deadline_s = time.monotonic() + DEADLINE_S
        with selectors.DefaultSelector() as waiting, contextlib.ExitStack() as opened:
            for name in asked:
                talk = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
                with contextlib.suppress(OSError):  # gone, or so beset that its file must do
                    with _address(path / f"{name}{members.SOCKET}") as address:
                        talk.connect(address)
                    waiting.register(talk, selectors.EVENT_READ, (name, [], talk))
            while waiting.get_map() and (left_s := deadline_s - time.monotonic()) > 0:
                for key, _ in waiting.select(left_s):
                    _hear(waiting, key, replies)
        return replies


def _hear(waiting: selectors.BaseSelector, key: selectors.SelectorKey, replies: dict[str, tuple[Family, ...]]) -> None:
    name, pieces, talk = key.data
    try:
        piece = talk.recv(_PIECE)
        if piece:
            pieces.append(piece)
            return
        replies[name] = members.decode(b"".join(pieces))
    except (OSError, ValueError):
        pass  # it died while it spoke: its file stands for it
    waiting.unregister(talk)


def _listening(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        with _address(path) as address:
            made.bind(address)
        made.listen(64)
    except OSError:
        made.close()
        raise
    return made


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """A path as the address of a Unix socket, which may not be longer than this."""
    if len(os.fsencode(path)) <= LONGEST_ADDRESS:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
