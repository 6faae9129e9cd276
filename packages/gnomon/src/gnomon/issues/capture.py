"""An exception taken down: its stack, the variables in it and what caused it, as text that may leave the process."""

import json
import linecache
from collections.abc import Iterator
from dataclasses import dataclass
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType, TracebackType
from typing import Final

from gnomon.issues.fingerprint import fingerprint, qualified
from gnomon.issues.frames import followed, place, walked
from gnomon.issues.values import shown
from gnomon.privacy import errors
from gnomon.wire.attributes import Mask

_FRAMES: Final = 50
_LOCALS: Final = 30
_LINKS: Final = 16
_MESSAGE: Final = 2048
_TITLE: Final = 200
_SOURCE: Final = 200
_STACKTRACE_BYTES: Final = 16_384
_FRAMES_BYTES: Final = 16_384
# What a module's frame is full of, and nobody looks for.
_NOT_SHOWN: Final = frozenset({ModuleType, FunctionType, BuiltinFunctionType, type})


@dataclass(frozen=True, slots=True)
class Frame:
    """One call on the stack.

    Attributes:
        file: as the code object names it.
        function: qualified within its module.
        line: where it was, from 1; 0 when unknown.
        source: the text of that line, without its indent; "" when there is no source.
        in_app: whether the file is the application's.
        locals: variables, by name, as text; empty for frames of libraries.
    """

    file: str
    function: str
    line: int
    source: str
    in_app: bool
    locals: dict[str, str]


@dataclass(frozen=True, slots=True)
class Link:
    """One exception of the chain.

    Attributes:
        type: `module.Class`.
        message: masked, at most 2 KiB.
        relation: to the link before it: "" (the first), "cause", "context" or "member" of a group.
        frames: outermost first, at most 50; in the middle of longer ones a part is left out.
        left_out: how many frames are missing.
    """

    type: str
    message: str
    relation: str
    frames: tuple[Frame, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Captured:
    """An exception with all that is behind it, what was raised last first. Holds neither frames nor the exception."""

    fingerprint: str
    title: str
    links: tuple[Link, ...]


def captured(exception: BaseException, *, locals: bool = True, mask: Mask | None = None) -> Captured:  # noqa: A002 - the word for them
    """Take an exception down. Never raises.

    Args:
        exception: raised or not.
        locals: whether variables of the application's frames are written down.
        mask: what messages and variables pass through; without one they are as they are.
    """
    links = tuple(_links(exception, locals, mask))
    first = links[0]
    line = first.message.partition("\n")[0]
    title = f"{first.type}: {line}" if line else first.type
    return Captured(fingerprint(exception), title[:_TITLE], links)


def attributes(taken: Captured, *, escaped: bool = False) -> dict[str, str]:
    """The attributes of OTel's `exception` event, and ours.

    Args:
        taken: the exception.
        escaped: whether it left the span in which it is recorded.
    """
    first = taken.links[0]
    return {
        "exception.type": first.type,
        "exception.message": first.message,
        "exception.stacktrace": stacktrace(taken),
        "exception.escaped": "true" if escaped else "false",
        "gnomon.issue.fingerprint": taken.fingerprint,
        "gnomon.issue.title": taken.title,
        "gnomon.issue.frames": _frames_json(taken),
    }


_BETWEEN: Final = {
    "cause": "The above exception was the direct cause of the following exception:",
    "context": "During handling of the above exception, another exception occurred:",
}


def stacktrace(taken: Captured) -> str:
    """As Python prints it, causes first; members of a group follow it. At most 16 KiB, the end is kept."""
    blocks: list[str] = []
    for link in taken.links:
        block = _block(link)
        if link.relation in _BETWEEN:
            blocks[:0] = block, _BETWEEN[link.relation]
        else:
            blocks.append(block)
    text = "\n\n".join(blocks)
    return text if len(text) <= _STACKTRACE_BYTES else "…" + text[1 - _STACKTRACE_BYTES :]


def _block(link: Link) -> str:
    lines = ["Traceback (most recent call last):"] if link.frames else []
    half = _FRAMES // 2
    for at, frame in enumerate(link.frames):
        if link.left_out and at == half:
            lines.append(f"  … {link.left_out} frames left out")
        lines.append(f'  File "{frame.file}", line {frame.line}, in {frame.function}')
        if frame.source:
            lines.append(f"    {frame.source}")
    lines.append(f"{link.type}: {link.message}" if link.message else link.type)
    return "\n".join(lines)


def _frames_json(taken: Captured) -> str:
    """The links as JSON; innermost frames first, as many as there is room for."""
    room = _FRAMES_BYTES
    links = []
    for link in taken.links:
        frames = []
        for frame in reversed(link.frames):
            one = {
                "file": frame.file,
                "function": frame.function,
                "line": frame.line,
                "source": frame.source,
                "in_app": frame.in_app,
                "locals": frame.locals,
            }
            room -= len(json.dumps(one))
            if room < 0:
                break
            frames.append(one)
        links.append({"type": link.type, "relation": link.relation, "frames": frames})
    return json.dumps(links, separators=(",", ":"))


def _links(exception: BaseException, locals_too: bool, mask: Mask | None) -> Iterator[Link]:
    seen: set[int] = set()
    waiting: list[tuple[BaseException, str]] = [(exception, "")]
    while waiting and len(seen) < _LINKS:
        current, relation = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield _link(current, relation, locals_too, mask)
        if isinstance(current, BaseExceptionGroup):
            waiting += ((member, "member") for member in current.exceptions[:_LINKS])
        if behind := followed(current):
            waiting.insert(0, behind)


def _link(exception: BaseException, relation: str, locals_too: bool, mask: Mask | None) -> Link:
    entries = list(walked(exception.__traceback__))
    left_out = max(0, len(entries) - _FRAMES)
    if left_out:
        half = _FRAMES // 2
        entries = entries[:half] + entries[-half:]
    frames = tuple(_frame(entry, locals_too, mask) for entry in entries)
    return Link(qualified(type(exception)), message(exception, mask), relation, frames, left_out)


def message(exception: BaseException, mask: Mask | None) -> str:
    """What an exception says of itself, masked, at most 2 KiB; of a database's without the values."""
    text = errors.shown(exception)[: 2 * _MESSAGE]  # masked before it is cut: half an address would pass for none
    return (mask("exception.message", text) if mask else text)[:_MESSAGE]


def _frame(entry: TracebackType, locals_too: bool, mask: Mask | None) -> Frame:
    frame = entry.tb_frame
    where = place(frame)
    line = entry.tb_lineno or 0
    variables = _locals(frame, mask) if locals_too and where.in_app else {}
    return Frame(
        where.code.co_filename, where.code.co_qualname, line, _source(frame, line, mask), where.in_app, variables
    )


def _source(frame: FrameType, line: int, mask: Mask | None) -> str:
    """The line, masked too: what is written into a program may be somebody's, or a secret."""
    try:
        text = linecache.getline(frame.f_code.co_filename, line, frame.f_globals).strip()[: 2 * _SOURCE]
    except Exception:  # noqa: BLE001 - a loader of the host's may do anything
        return ""
    return (mask("source", text) if mask and text else text)[:_SOURCE]


def _locals(frame: FrameType, mask: Mask | None) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        variables = dict(frame.f_locals)
    except Exception:  # noqa: BLE001 - in the body of a class it is whatever `__prepare__` made
        return found
    for name, value in variables.items():
        if type(name) is not str or name.startswith("__") or type(value) in _NOT_SHOWN:
            continue
        found[name] = shown(name, value, mask)
        if len(found) == _LOCALS:
            break
    return found
