"""Exceptions, as attributes for OTLP and as structure for a line of JSON."""

import sys
import traceback
from collections.abc import Iterator
from typing import Any

from gnomon.privacy.errors import shown

# Of one exception: the innermost frames, where it happened. Deeper than any stack but a runaway recursion's.
MOST_FRAMES = 200
# Of a chain or group.
MOST_EXCEPTIONS = 50


def given(exc_info: Any) -> BaseException | None:
    """The exception that the standard library's `exc_info` stands for: True, an exception, or a tuple."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        found = exc_info[1] if len(exc_info) > 1 else None
    else:
        found = sys.exc_info()[1] if exc_info else None
    return found if isinstance(found, BaseException) else None


def described(error: BaseException) -> dict[str, Any]:
    """What OpenTelemetry's conventions ask for; a manager puts grouped issues in its place."""
    return {
        "exception.type": _kind(error),
        "exception.message": _message(error),
        "exception.stacktrace": "".join(traceback.format_exception(error, limit=-MOST_FRAMES)),
    }


def chain(error: BaseException) -> list[dict[str, Any]]:
    """The exception, its causes and, of a group, its members, each with its frames, outermost call first.

    Returns:
        `[{"type", "message", "relation", "frames": [{"file", "line", "function"}]}]`, the exception that was raised
        last at the front; `relation`: "raised", "cause" (of the one before it), "context" or "member".
    """
    told: list[dict[str, Any]] = []
    seen: set[int] = set()
    waiting: list[tuple[BaseException, str]] = [(error, "raised")]
    while waiting and len(told) < MOST_EXCEPTIONS:
        one, relation = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        told.append({"type": _kind(one), "message": _message(one), "relation": relation, "frames": _frames(one)})
        waiting.extend(_from(one))
    return told


def _from(error: BaseException) -> Iterator[tuple[BaseException, str]]:
    """What is told of after an exception; the last is told first."""
    if error.__cause__ is not None:
        yield error.__cause__, "cause"
    elif error.__context__ is not None and not error.__suppress_context__:
        yield error.__context__, "context"
    if isinstance(error, BaseExceptionGroup):
        for member in reversed(error.exceptions):
            yield member, "member"


def _frames(error: BaseException) -> list[dict[str, Any]]:
    found = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    return [
        {"file": code.co_filename, "line": line, "function": code.co_qualname} for code, line in found[-MOST_FRAMES:]
    ]


def _kind(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    return shown(error)
