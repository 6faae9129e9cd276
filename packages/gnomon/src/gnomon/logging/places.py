"""Where in the code a line was logged, as attributes."""

from types import CodeType, FrameType
from typing import Any

from gnomon.wire.attributes import KeyValues
from gnomon.wire.logs import ATTRIBUTES

# Lines of code that log; a service has some thousands. Code made at run time could add to them without end.
REMEMBERED = 8192

_frames: dict[tuple[int, int], tuple[bytes, CodeType]] = {}
_places: dict[tuple[str, int, str], bytes] = {}


def of_frame(frame: FrameType) -> bytes:
    """The place a frame is at."""
    code = frame.f_code
    # A code object's own hash goes over all of it. Its id is no other's, for the memory keeps it alive.
    known = _frames.get((id(code), frame.f_lasti))
    if known is not None:
        return known[0]
    if len(_frames) >= REMEMBERED:
        _frames.clear()
    function = f"{frame.f_globals.get('__name__', '')}.{code.co_qualname}"
    encoded = of(code.co_filename, frame.f_lineno, function)
    _frames[id(code), frame.f_lasti] = (encoded, code)
    return encoded


def of(path: str, line: int, function: str) -> bytes:
    """The place as others have found it: a path, a line number, a function's name."""
    known = _places.get((path, line, function))
    if known is None:
        if len(_places) >= REMEMBERED:
            _places.clear()
        told: dict[str, Any] = {"code.file.path": path, "code.line.number": line, "code.function.name": function}
        known = _places[path, line, function] = KeyValues(ATTRIBUTES).encode(told)
    return known
