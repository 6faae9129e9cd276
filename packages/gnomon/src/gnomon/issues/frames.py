"""Frames of a traceback: which are the application's, and what a group of exceptions is told by."""

import os
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Final, NamedTuple

_REMEMBERED: Final = 4096
# A recursion of a million frames is walked no further than this; its ends say the same.
LONGEST_WALK: Final = 1000

_LIBRARIES: Final = tuple(
    path + os.sep
    for path in {
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        str(Path(__file__).parents[1]),  # this SDK
    }
)
_ELSEWHERE: Final = re.compile(r"[\\/](?:site|dist)-packages[\\/]|^<frozen |^<string>$|[\\/]bin[\\/][^\\/]+$")


class Place(NamedTuple):
    """What is remembered of a code object.

    Attributes:
        code: held, so that no other code object can have its id.
        name: `module:function`, without line, address or path.
        in_app: neither the standard library, nor an installed package, nor this SDK.
    """

    code: CodeType
    name: str
    in_app: bool


# By id: hashing a code object costs as much as its bytecode is long.
_places: dict[int, Place] = {}


def place(frame: FrameType) -> Place:
    """Where a frame is; looked up once for each function of the program."""
    code = frame.f_code
    known = _places.get(id(code))
    if known is not None:
        return known
    if len(_places) >= _REMEMBERED:
        _places.clear()
    module = frame.f_globals.get("__name__")
    name = f"{module if module.__class__ is str else ''}:{code.co_qualname}"
    _places[id(code)] = found = Place(code, name, in_app(code.co_filename))
    return found


def in_app(file: str) -> bool:
    """Whether a file is the application's."""
    return not file.startswith(_LIBRARIES) and _ELSEWHERE.search(file) is None


def walked(traceback: TracebackType | None) -> Iterator[TracebackType]:
    """The entries of a traceback, outermost first, at most `LONGEST_WALK`."""
    left = LONGEST_WALK
    while traceback is not None and left:
        yield traceback
        traceback, left = traceback.tb_next, left - 1


def followed(exception: BaseException) -> tuple[BaseException, str] | None:
    """The exception behind this one, as Python prints it: with "cause" or "context"; None when there is none."""
    if exception.__cause__ is not None:
        return exception.__cause__, "cause"
    if exception.__context__ is not None and not exception.__suppress_context__:
        return exception.__context__, "context"
    return None
