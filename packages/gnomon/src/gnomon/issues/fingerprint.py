"""Fingerprints: the same mistake has the same one, on every machine and after every deploy that did not touch it."""

import hashlib
from typing import Final

from gnomon.issues.frames import LONGEST_WALK, Place, followed, place

_FRAMES: Final = 8
_CHAIN: Final = 8
_MEMBERS: Final = 32
_DEPTH: Final = 4


def fingerprint(exception: BaseException) -> str:
    """The group an exception belongs to: 16 hexadecimal digits. Never raises, and keeps nothing of the exception.

    Grouped are exceptions of one type, raised through the same innermost functions of the application, with the same
    causes. Not looked at: messages, lines, addresses, and the frames of libraries, unless there are no others.
    """
    parts: list[str] = []
    _describe(exception, parts, 0)
    return hashlib.blake2b("\n".join(parts).encode("utf-8", "replace"), digest_size=8).hexdigest()


def qualified(kind: type[BaseException]) -> str:
    """`module.Class`, and only `Class` for those that are built in."""
    module = kind.__module__
    return kind.__qualname__ if module in {"builtins", "__main__"} else f"{module}.{kind.__qualname__}"


def _describe(exception: BaseException, parts: list[str], depth: int) -> None:
    seen: set[int] = set()
    left = _CHAIN
    current: BaseException | None = exception
    while current is not None and left and id(current) not in seen:
        seen.add(id(current))
        left -= 1
        parts.append(qualified(current.__class__))
        parts += _through(current)
        if isinstance(current, BaseExceptionGroup) and depth < _DEPTH:
            members = set()
            for member in current.exceptions[:_MEMBERS]:
                described: list[str] = []
                _describe(member, described, depth + 1)
                members.add("\n".join(described))
            parts += ("(", *sorted(members), ")")  # a hundred tasks that fail alike are one
        behind = followed(current)
        current, relation = behind or (None, "")
        parts.append(relation)


def _through(exception: BaseException) -> list[str]:
    """The innermost functions, outermost first; a recursion counts as one round of it."""
    every: list[Place] = []
    entry, left = exception.__traceback__, LONGEST_WALK
    while entry is not None and left:
        every.append(place(entry.tb_frame))
        entry, left = entry.tb_next, left - 1
    names = [one.name for one in every if one.in_app] or [one.name for one in every]
    if len(names) == len(set(names)):
        return names[-_FRAMES:]
    return _without_rounds(names)[-_FRAMES:]


def _without_rounds(names: list[str]) -> list[str]:
    """Each function once, where it stands first: `a b a b a` and `a b a` are `a b`."""
    return list(dict.fromkeys(names))
