"""Lines on their way to the console: a bounded queue and a thread, for a pipe may be blocked and nobody may wait."""

import atexit
import contextlib
import io
import os
import select
import sys
import threading
import time
from collections import deque
from typing import IO, Any, Literal

from gnomon.logging import lines
from gnomon.process.forks import after_fork

# At 300 bytes a line the bounds are close together: 6 MB, and 3 more for what is important.
MOST_LINES = 20_000
MOST_BYTES = 6 << 20
RESERVE_RATIO = 1.5
# The thread waits so long for more before it writes: a hundred wake-ups a second are the most it costs.
LINGER_S = 0.01
# What is written in one stroke; as much as a pipe holds.
CHUNK_BYTES = 64 << 10
# At the end of the process.
LAST_CHANCE_S = 2.0

Standard = Literal["stderr", "stdout"]
"""One of the process's own streams: the one that has the name in `sys` at the moment, for hosts replace them."""


class Writer:
    """Writes lines to a stream from a thread of its own. `put` never waits and never raises.

    Args:
        stream: where lines go.

    Attributes:
        dropped: lines for which there was no room, or that the stream refused.
    """

    def __init__(
        self, stream: IO[Any] | Standard = "stderr", *, most_lines: int = MOST_LINES, most_bytes: int = MOST_BYTES
    ) -> None:
        self._stream, self.most_lines, self.most_bytes = stream, most_lines, most_bytes
        self._begin()
        after_fork(self._begin)
        atexit.register(self.flush, LAST_CHANCE_S)

    def _begin(self) -> None:
        """Begin with nothing; a forked child's parent writes what it had queued."""
        self._lines: deque[bytes] = deque()
        self.waiting_bytes = self.dropped = 0
        self._writing = False
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._some, self._hurry = threading.Event(), threading.Event()

    def __len__(self) -> int:
        return len(self._lines)

    def put(self, line: bytes, important: bool = False) -> None:
        """Queue a line, which ends with a newline.

        No lock: each `+=` stands between two calls, where CPython does not switch threads.
        """
        ratio = RESERVE_RATIO if important else 1.0
        if len(self._lines) >= self.most_lines * ratio or self.waiting_bytes >= self.most_bytes * ratio:
            self.dropped += 1
            return
        size = len(line)
        self._lines.append(line)
        self.waiting_bytes += size
        if self._thread is None:
            self._start()
        if not self._some.is_set():
            self._some.set()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all lines are written; False when that took longer."""
        end_s = time.monotonic() + timeout_s
        self._hurry.set()
        while self._lines or self._writing:
            if time.monotonic() >= end_s:
                return False
            time.sleep(0.001)
        self._hurry.clear()
        return True

    def shutdown(self, timeout_s: float) -> bool:
        """Flush, and be forgotten by the end of the process. The thread lives on, for whoever logs still."""
        atexit.unregister(self.flush)
        return self.flush(timeout_s)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._at_exit()
                thread = threading.Thread(target=self._run, name="gnomon-console", daemon=True)
                self._thread = thread
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is ending and gives no more threads: nobody is kept waiting now
                    self._thread = None
                    self._write_all()

    def _at_exit(self) -> None:
        """Children of `multiprocessing`, such as granian's workers, end without `atexit`; they have their own."""
        theirs = sys.modules.get("multiprocessing.util")
        if theirs is not None:
            theirs.Finalize(None, self.flush, (LAST_CHANCE_S,), exitpriority=0)

    def _run(self) -> None:
        while True:
            self._some.wait()
            self._hurry.wait(LINGER_S)
            self._some.clear()
            self._write_all()

    def _write_all(self) -> None:
        while self._lines:
            self._writing = True
            taken, size = [], 0
            while self._lines and size < CHUNK_BYTES:
                line = self._lines.popleft()
                taken.append(line)
                size += len(line)
            try:
                self._write(b"".join(taken))
            except Exception:  # noqa: BLE001 - a closed or broken stream: the host lives on, and we count
                self.dropped += len(taken)
            finally:
                self.waiting_bytes -= size
                self._writing = False

    def _write(self, chunk: bytes) -> None:
        """Past the stream's own buffer: its lock, held by a thread that waits, would end the interpreter badly."""
        stream = _of_now(self._stream)
        try:
            number = stream.fileno()
        except (AttributeError, OSError, io.UnsupportedOperation):  # not a file: captured, or a host's own object
            stream.write(chunk.decode())
            stream.flush()
            return
        left = memoryview(chunk)
        while left:
            try:
                left = left[os.write(number, left) :]
            except BlockingIOError:  # somebody has made it non-blocking
                select.select((), (number,), ())


class Console:
    """Where and how lines are shown.

    Args:
        form: "json", one object a line, or "text", for people.
        writer: takes the lines.
        colours: of text.
    """

    __slots__ = ("_colours", "_text", "writer")

    def __init__(self, form: Literal["json", "text"], writer: Writer, *, colours: bool = False) -> None:
        self._text, self._colours, self.writer = form == "text", colours, writer

    def write(self, line: dict[str, Any], important: bool) -> None:
        """Show a line, by and by."""
        self.writer.put(lines.as_text(line, colours=self._colours) if self._text else lines.as_json(line), important)


def console(
    form: Literal["auto", "json", "text", "off"] = "auto", stream: IO[Any] | Standard = "stderr"
) -> Console | None:
    """The console of a setting. `auto`: text on a terminal, JSON elsewhere; colours unless NO_COLOR is set."""
    if form == "off":
        return None
    terminal = False
    with contextlib.suppress(AttributeError, ValueError):  # no stream at all, or a closed one
        terminal = _of_now(stream).isatty()
    if form == "auto":
        form = "text" if terminal else "json"
    return Console(form, Writer(stream), colours=terminal and not os.environ.get("NO_COLOR"))


def _of_now(stream: IO[Any] | Standard) -> Any:
    return getattr(sys, stream) if isinstance(stream, str) else stream
