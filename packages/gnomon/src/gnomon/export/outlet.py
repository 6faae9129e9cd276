"""The queue of one signal: encoded records by instrumentation scope, bounded in number and in bytes."""

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from gnomon.process.forks import after_fork
from gnomon.wire.envelope import Scope

# What is important (errors, audit) still finds room when the rest has filled the queue.
RESERVE_RATIO = 1.25


class Signal(StrEnum):
    """What OTLP carries; the value is the last part of its HTTP path."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


class Reason(StrEnum):
    """Why records were dropped: the same word in the metric, the log line and the status."""

    QUEUE_FULL = "queue_full"  # more was recorded than could be sent
    REFUSED = "refused"  # the receiver will never take it: 4xx
    REJECTED = "rejected"  # the receiver took the rest (partial success)
    RETRIES_EXHAUSTED = "retries_exhausted"  # the receiver was away for too long
    SPOOL_FULL = "spool_full"
    SHUTDOWN = "shutdown"  # the process ended first
    OVER_BUDGET = "over_budget"  # the overhead budget said no
    FAULT = "fault"  # a mistake of ours


@dataclass(slots=True)
class Batch:
    """Records on their way, by scope; kept as records, so that a batch that is too large can be halved."""

    groups: list[tuple[Scope, list[bytes]]]
    attempts: int = 0
    first_tried_s: float = 0.0

    def __len__(self) -> int:
        return sum(len(records) for _, records in self.groups)

    def halves(self) -> tuple["Batch", "Batch"]:
        """The batch in two, each with half the records of every scope."""
        first, second = [], []
        for position, (scope, records) in enumerate(self.groups):
            # Odd ones alternate, so that scopes of one record are shared out too.
            middle = (len(records) + position % 2) // 2
            first.append((scope, records[:middle]))
            second.append((scope, records[middle:]))
        return (
            Batch([group for group in first if group[1]]),
            Batch([group for group in second if group[1]]),
        )


@dataclass(slots=True)
class Counts:
    """What became of the records of one signal, since the process began or was forked.

    Attributes:
        sent: delivered, from the queue or from disk.
        spooled: written to disk; each is sent or dropped later, and counted then by the process that does so.
        dropped: by reason.
    """

    sent: int = 0
    spooled: int = 0
    dropped: defaultdict[Reason, int] = field(default_factory=lambda: defaultdict(int))

    def drop(self, number: int, reason: Reason) -> None:
        """Count a drop. Called by all threads of the host: no `get`, for that would be a call within the addition."""
        self.dropped[reason] += number


# Tracers are named in code; whoever makes them by the thousand has what is beyond under one name.
MOST_LANES = 4096
OTHERS = Scope("gnomon.others")

# Between two looks at the size of a batch, which goes beyond its bound by so many records at most.
_AT_ONCE = 64


class Lane:
    """The part of an outlet that belongs to one scope. Tracers and loggers hold theirs."""

    __slots__ = ("_outlet", "_records", "scope")

    def __init__(self, scope: Scope, outlet: "Outlet") -> None:
        self.scope, self._outlet = scope, outlet
        self._records: deque[bytes] = deque()

    def put(self, record: bytes, important: bool = False) -> None:
        """Queue a record: encoded, with tag and length. Never waits.

        No lock: each `+=` stands between two calls, where CPython does not switch threads.
        """
        outlet, size = self._outlet, len(record)
        if (outlet.waiting >= outlet.most_records or outlet.waiting_bytes >= outlet.most_bytes) and not (
            important and outlet.has_reserve()
        ):
            outlet.counts.drop(1, Reason.QUEUE_FULL)
            return
        self._records.append(record)
        outlet.waiting += 1
        outlet.waiting_bytes += size
        if outlet.waiting == outlet.wake_at:
            outlet.wake()

    def fault(self) -> int:
        """Count a record that was lost by a mistake; how many there are now, of all lanes."""
        dropped = self._outlet.counts.dropped
        self._outlet.counts.drop(1, Reason.FAULT)
        return dropped[Reason.FAULT]

    def take(self, most: int, most_bytes: int) -> tuple[list[bytes], int]:
        """Up to so many records, in order, and their bytes."""
        taken: list[bytes] = []
        size, records = 0, self._records
        pop = records.popleft
        while records and len(taken) < most and size < most_bytes:
            # Nobody else takes from here, so as many as there are can be taken without asking each time.
            some = [pop() for _ in range(min(len(records), most - len(taken), _AT_ONCE))]
            taken += some
            size += sum(map(len, some))
        return taken, size

    def clear(self) -> None:
        """Forget what is queued."""
        self._records.clear()

    def __len__(self) -> int:
        return len(self._records)


class Outlet:
    """The queue of one signal.

    Args:
        signal: what it carries.
        most_records, most_bytes: the bounds. At an average of 400 bytes a record the default of 20,000 is 8 MB.
        batch: records in a request; when so many wait, the pump is woken.
        batch_bytes: a request is not filled much beyond this.
    """

    def __init__(
        self,
        signal: Signal,
        *,
        most_records: int = 20_000,
        most_bytes: int = 32 << 20,
        batch: int = 4096,
        batch_bytes: int = 4 << 20,
    ) -> None:
        self.signal = signal
        self.most_records, self.most_bytes = most_records, most_bytes
        self.batch, self.batch_bytes = min(batch, most_records), batch_bytes
        self.wake_at = self.batch
        self.wake: Callable[[], object] = lambda: None
        self.waiting = self.waiting_bytes = 0
        self.counts = Counts()
        self._lanes: dict[Scope, Lane] = {}
        self._first = 0  # whose turn it is to be emptied first
        after_fork(self.forget)

    def lane(self, scope: Scope) -> Lane:
        """The lane of a scope; the same one for the same scope."""
        found = self._lanes.get(scope)
        if found is None:
            known = scope if len(self._lanes) < MOST_LANES else OTHERS
            found = self._lanes.setdefault(known, Lane(known, self))
        return found

    def has_reserve(self) -> bool:
        """Whether an important record still fits."""
        return self.waiting < self.most_records * RESERVE_RATIO and self.waiting_bytes < self.most_bytes * RESERVE_RATIO

    def take(self) -> Batch | None:
        """The next batch, oldest first within a scope, or None when nothing waits.

        A scope that fills a batch is followed by the next one: it must not keep the others from their turn.
        """
        groups, room, room_bytes = [], self.batch, self.batch_bytes
        lanes = list(self._lanes.values())
        for number in [*range(self._first, len(lanes)), *range(self._first)]:
            lane = lanes[number]
            records, size = lane.take(room, room_bytes)
            if not records:
                continue
            groups.append((lane.scope, records))
            taken = len(records)
            room -= taken
            room_bytes -= size
            self.waiting -= taken
            self.waiting_bytes -= size
            if room <= 0 or room_bytes <= 0:
                self._first = (number + 1) % len(lanes)
                break
        return Batch(groups) if groups else None

    def forget(self) -> None:
        """Drop what a forked child has inherited: its parent sends it."""
        for lane in self._lanes.values():
            lane.clear()
        self.waiting = self.waiting_bytes = 0
        self.counts = Counts()
