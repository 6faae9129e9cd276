"""A stall: what is noted while it lasts, and what is said of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gnomon.stalls.cause import Serving
from gnomon.stalls.stack import Line, Stack

# Of a stall that lasts for minutes; the places that it spends its time at are few.
MOST_PLACES = MOST_RUNS = 256


class Kind(StrEnum):
    """What kept a loop from its work."""

    BLOCKED = "blocked"  # one callback
    BUSY = "busy"  # many callbacks, one after the other
    STARVED = "starved"  # nothing of its own: no CPU, or no interpreter


@dataclass(slots=True)
class Seen:
    """One place at which the loop was seen, and for how long in all."""

    stack: Stack
    task: Any
    serving: Serving | None
    for_s: float = 0.0


@dataclass(slots=True)
class Open:
    """A stall that lasts.

    Attributes:
        since_s: when it began, monotonic.
        cpu_s: the process's CPU time then.
        active, begun: requests in progress and begun, then.
        overslept_s: for how long the watchdog could not run either.
        told: how many times it was reported while it lasted.
        seen: by task and line, so that a task's line is found again; bounded.
        runs_s: how long each callback was seen at work, by task; bounded.
        again: those of them that were seen at two looks or more.
    """

    since_s: float
    cpu_s: float
    active: int
    begun: int
    overslept_s: float = 0.0
    sampled_s: float = 0.0
    told: int = 0
    parked_s: float = 0.0
    debugged: bool = False
    seen: dict[tuple[int, Line], Seen] = field(default_factory=dict)
    runs_s: dict[int, float] = field(default_factory=dict)
    again: set[int] = field(default_factory=set)

    def note(self, stack: Stack, task: Any, serving: Serving | None, for_s: float) -> None:
        """The loop was seen at a place, and had been for so long."""
        self.debugged = self.debugged or stack.debugged
        if stack.blamed is None:
            self.parked_s += for_s
            return
        run, key = id(task), (id(task), stack.blamed)
        if run in self.runs_s:
            self.again.add(run)
        if run in self.runs_s or len(self.runs_s) < MOST_RUNS:
            self.runs_s[run] = self.runs_s.get(run, 0.0) + for_s
        place = self.seen.get(key)
        if place is None and len(self.seen) < MOST_PLACES:
            place = self.seen[key] = Seen(stack, task, serving)  # holds the task, so that its id stays its own
        if place is not None:
            place.for_s += for_s

    def most(self) -> Seen | None:
        """The place at which most of the time went by; None: it was never seen at any."""
        return max(self.seen.values(), key=lambda place: place.for_s, default=None)

    def of_one(self) -> bool:
        """Whether one callback took at least half of it.

        Among several, one look is no proof, however long it had been since the look before: on a machine that is
        short of CPU we look seldom, and meet each of a crowd of short callbacks once.
        """
        longest = max(self.runs_s, key=self.runs_s.__getitem__, default=None)
        if longest is None or len(self.runs_s) == 1:
            return True
        return longest in self.again and self.runs_s[longest] >= sum(self.runs_s.values()) / 2


@dataclass(frozen=True, slots=True)
class Stall:
    """A stall as it is reported.

    Attributes:
        kind: what kept the loop.
        duration_s: how long; so far, while `lasting`.
        line: the line that is blamed: the application's innermost; None when the loop was starved.
        stack: from the innermost out, at most 40 lines.
        serving: the request, if it was for one.
        held_up: other requests; None: nobody counts them.
        gil_held: whether the line held the interpreter, so that no thread could run.
        why: of a loop that was starved.
    """

    kind: Kind
    duration_s: float
    line: Line | None = None
    stack: tuple[Line, ...] = ()
    serving: Serving | None = None
    held_up: int | None = None
    gil_held: bool = False
    lasting: bool = False
    why: str = ""

    @property
    def harmed(self) -> bool:
        """Whether any request was the worse for it."""
        return bool(self.held_up) or (self.serving is not None and self.serving.is_request)

    @property
    def message(self) -> str:
        """`orders.py:42 price() blocked the event loop for 532 ms during POST /orders and held up 7 other requests`."""
        took, during = _duration(self.duration_s), f" during {self.serving.name}" if self.serving is not None else ""
        if self.kind is Kind.STARVED or self.line is None:
            text = f"the event loop could not run for {took}: {self.why}"
        elif self.kind is Kind.BUSY:
            text = f"many callbacks kept the event loop busy for {took}, most of it in {self.line.shown}"
        elif self.lasting:
            text = f"{self.line.shown} has been blocking the event loop for {took}{during}"
        else:
            text = f"{self.line.shown} blocked the event loop for {took}{during}"
        if self.held_up:
            text += f" and held up {self.held_up} other request{'s' if self.held_up > 1 else ''}"
        return text

    @property
    def fields(self) -> Mapping[str, Any]:
        """The same for a log line; names of the code are OpenTelemetry's."""
        told: dict[str, Any] = {"gnomon.stall.kind": self.kind.value, "gnomon.stall.duration_s": self.duration_s}
        if self.line is not None:
            told["code.file.path"], told["code.line.number"] = self.line.file, self.line.number
            told["code.function.name"], told["gnomon.stall.source"] = self.line.function, self.line.source
            told["gnomon.stall.innermost"] = self.stack[0].shown
            told["code.stacktrace"] = "\n".join(line.shown for line in self.stack)
        if self.serving is not None:
            told["gnomon.stall.request"] = self.serving.name
        if self.held_up is not None:
            told["gnomon.stall.held_up"] = self.held_up
        if self.gil_held:
            told["gnomon.stall.gil_held"] = True
        return told


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
