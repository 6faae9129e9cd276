"""The server's own spans: what it did, how long it took; a bounded list until they are stored."""

import secrets
from collections import deque
from dataclasses import dataclass, field

_KEPT = 2_000


@dataclass(frozen=True, slots=True)
class OwnSpan:
    """One finished piece of work, a trace of its own."""

    name: str
    start_ns: int
    duration_ns: int
    attributes: dict[str, str | int]
    error: str = ""
    trace_id: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    span_id: bytes = field(default_factory=lambda: secrets.token_bytes(8))


class OwnSpans:
    """Where finished work is recorded."""

    def __init__(self) -> None:
        self._waiting: deque[OwnSpan] = deque(maxlen=_KEPT)

    def record(self, span: OwnSpan) -> None:
        """Keep a span until it is taken; the oldest goes first when nobody takes."""
        self._waiting.append(span)

    def take(self) -> list[OwnSpan]:
        """The spans since the last call."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken
