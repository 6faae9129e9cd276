"""A look at what a thread is doing: its frames, from the innermost out."""

import asyncio
import linecache
import os
from asyncio import base_events, events
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

from gnomon.issues.frames import in_app

RUN_ONCE: CodeType = base_events.BaseEventLoop._run_once.__code__  # type: ignore[attr-defined]  # noqa: SLF001 - recognised, not called
HANDLE_RUN: CodeType = events.Handle._run.__code__  # noqa: SLF001 - likewise
DEEPEST = 200
SHOWN = 40
_DEBUGGERS = ("pdb.py", "bdb.py", "pydevd.py")


class Line(NamedTuple):
    """A line of code that was being executed."""

    file: str
    number: int
    function: str

    @property
    def shown(self) -> str:
        """`app/orders.py:42 price()`: the file from the working directory on, else its last two parts."""
        path = Path(self.file)
        here = Path.cwd()
        short = path.relative_to(here) if path.is_relative_to(here) else Path(*path.parts[-2:])
        return f"{short}:{self.number} {self.function}()"

    @property
    def source(self) -> str:
        """The line itself; "" when there is no file to read it from."""
        return linecache.getline(self.file, self.number).strip()


class Stack(NamedTuple):
    """Lines from the innermost out, no further than to the loop that called them.

    Attributes:
        lines: at most `SHOWN`.
        blamed: the innermost line of the application; of anyone, where the application has none. None: no line at all.
    """

    lines: tuple[Line, ...]
    blamed: Line | None

    @property
    def debugged(self) -> bool:
        """Whether somebody sits at a breakpoint."""
        return any(os.path.basename(line.file) in _DEBUGGERS for line in self.lines)  # noqa: PTH119 - a text, many times


def frames(innermost: FrameType | None, base: CodeType | None) -> Iterator[FrameType]:
    """The frames of what the loop is running: up to the loop itself, at most `DEEPEST`.

    Args:
        innermost: where the thread is.
        base: the code that runs a loop which has no frames of its own (uvloop).
    """
    left = DEEPEST
    while innermost is not None and left and innermost.f_code is not base and innermost.f_code is not HANDLE_RUN:
        yield innermost
        innermost, left = innermost.f_back, left - 1


def parked(frame: FrameType, base: CodeType | None) -> bool:
    """Whether a loop's thread waits for events: nothing of a callback stands on its stack."""
    if frame.f_code is base:
        return True
    back = frame.f_back
    return back is not None and back.f_code is RUN_ONCE and frame.f_code is not HANDLE_RUN


def seen(innermost: FrameType, base: CodeType | None) -> Stack:
    """The lines that stand on a thread's stack now."""
    lines: list[Line] = []
    blamed: Line | None = None
    for frame in frames(innermost, base):
        code = frame.f_code
        if blamed is None and in_app(code.co_filename):
            blamed = Line(code.co_filename, frame.f_lineno or 0, code.co_qualname)
        if len(lines) < SHOWN:
            lines.append(Line(code.co_filename, frame.f_lineno or 0, code.co_qualname))
        elif blamed is not None:
            break
    return Stack(tuple(lines), blamed or (lines[0] if lines else None))


def running_task(loop: asyncio.AbstractEventLoop) -> "asyncio.Task[object] | None":
    """The task that a loop of another thread is in."""
    try:
        return asyncio.current_task(loop)
    except Exception:  # noqa: BLE001 - a loop of another make
        return None
