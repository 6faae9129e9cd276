"""What a sender is: it takes one encoded request and says what became of it."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from gnomon.export.outlet import Signal


class Verdict(Enum):
    """What a receiver made of a request."""

    TAKEN = auto()
    AGAIN = auto()  # later: it is away or busy
    TOO_LARGE = auto()  # in smaller pieces
    NEVER = auto()  # not in this form: trying again would not help


@dataclass(frozen=True, slots=True)
class Answer:
    """A receiver's answer.

    Attributes:
        verdict: what to do now.
        why: in words, for the log; of anything but `TAKEN`.
        after_s: how long the receiver asked us to wait (`Retry-After`), or None.
        rejected: records that it did not take although it took the rest (OTLP's partial success).
    """

    verdict: Verdict
    why: str = ""
    after_s: float | None = None
    rejected: int = 0


class Sender(Protocol):
    """Carries requests to a receiver. Used by one thread at a time."""

    def send(self, signal: Signal, body: bytes, timeout_s: float) -> Answer:
        """Send an ExportXServiceRequest; never raises, and returns within `timeout_s`."""

    def close(self) -> None:
        """Let go of connections; a later `send` opens them anew."""

    def abandon(self) -> None:
        """Forget connections without closing them: in a forked child they belong to the parent."""
