"""Where in the code a line was logged, as attributes."""

from types import FrameType
from typing import Any

from gnomon.wire.attributes import KeyValues
from gnomon.wire.logs import ATTRIBUTES

# Lines of code that log; a service has some thousands. Code made at run time could add to them without end.
REMEMBERED = 8192

_known: dict[tuple[str, int, str], bytes] = {}


def of_frame(frame: FrameType) -> bytes:
    """The place a frame is at."""
    code = frame.f_code
    known = _known.get((code.co_filename, frame.f_lineno, code.co_qualname))
    if known is None:
        module = frame.f_globals.get("__name__", "")
        known = _remembered(code.co_filename, frame.f_lineno, code.co_qualname, f"{module}.{code.co_qualname}")
    return known


def of(path: str, line: int, function: str) -> bytes:
    """The place as others have found it: a path, a line number, a function's name."""
    return _known.get((path, line, function)) or _remembered(path, line, function, function)


def _remembered(path: str, line: int, function: str, shown: str) -> bytes:
    if len(_known) >= REMEMBERED:
        _known.clear()
    told: dict[str, Any] = {"code.file.path": path, "code.line.number": line, "code.function.name": shown}
    encoded = _known[path, line, function] = KeyValues(ATTRIBUTES).encode(told)
    return encoded
