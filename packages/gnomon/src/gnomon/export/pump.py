"""The one thread that empties the outlets, and does what else has to be done now and then.

It is the only place of the SDK that waits: for the network, for a receiver that is away, for time to pass.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType

from gnomon.export.outlet import Batch, Counts, Outlet, Reason
from gnomon.export.retry import backoff_s
from gnomon.export.sender import Answer, Sender, Verdict
from gnomon.export.spool import Spool
from gnomon.process.clock import SYSTEM, Clock
from gnomon.process.forks import after_fork

log = logging.getLogger("gnomon.export")
WARN_AGAIN_S = 60.0
_MOMENT_S = 0.05


@dataclass(slots=True)
class _Way:
    """One signal's way through the pump: what is being tried, and when it may be tried again."""

    outlet: Outlet
    trying: Batch | None = None
    rest: list[Batch] = field(default_factory=list)  # pieces of a batch that was too large
    behind: bool = False  # whether something that waited when the last round began still does
    not_before_s: float = 0.0
    failing: str = ""
    warned_s: float = float("-inf")


@dataclass(slots=True)
class _Task:
    every_s: float
    run: Callable[[], object]
    due_s: float
    failing: bool = False


@dataclass(slots=True, weakref_slot=True)
class Pump:
    """Empties outlets into one sender.

    Args:
        outlets: of the signals that go to this sender's host.
        encode: an outlet and a batch to the bytes of a request: the envelope is the caller's.
        sender: carries them.
        schedule_s: how long a record waits at most before it is sent; a full batch goes at once.
        timeout_s: of one request.
        retry_s: how long one batch is tried before it is dropped. While it is tried the queue fills, and then drops.
        spool: where batches go that cannot be sent now. None: they wait in memory.
    """

    outlets: Sequence[Outlet]
    encode: Callable[[Outlet, Batch], bytes]
    sender: Sender
    schedule_s: float = 1.0
    timeout_s: float = 10.0
    retry_s: float = 300.0
    clock: Clock = SYSTEM
    spool: Spool | None = None
    _ways: list[_Way] = field(init=False)
    _tasks: list[_Task] = field(init=False, default_factory=list)
    _awake: threading.Event = field(init=False, default_factory=threading.Event)
    _idle: threading.Condition = field(init=False, default_factory=threading.Condition)
    _thread: threading.Thread | None = field(init=False, default=None)
    _ending: bool = field(init=False, default=False)
    _deadline_s: float | None = field(init=False, default=None)
    _left: bool = field(init=False, default=False)  # the queues may be another pump's by now
    # How often somebody asked to have everything sent at once, and up to which of these it was done.
    _asked: int = field(init=False, default=0)
    _done: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._ways = [_Way(outlet) for outlet in self.outlets]
        for outlet in self.outlets:
            outlet.wake = self._awake.set
        after_fork(self._reborn)

    def every(self, seconds: float, run: Callable[[], object], *, first_s: float | None = None) -> None:
        """Call something from the pump's thread every so many seconds: collecting metrics, watching a file."""
        self._tasks.append(_Task(seconds, run, self.clock.monotonic_s() + (seconds if first_s is None else first_s)))

    def start(self) -> None:
        """Start the thread; again does nothing."""
        if self._thread is None:
            # Not in the thread: a fork in the midst of an import leaves half a module to the child.
            from opentelemetry import context  # noqa: PLC0415 - nothing is imported before there is a thread

            self._thread = threading.Thread(target=self._run, args=(context,), name="gnomon-export", daemon=True)
            self._thread.start()

    def flush(self, timeout_s: float) -> bool:
        """Send what waits now; whether all of it was sent, or dropped, in time."""
        if self._thread is None:
            return not any(outlet.waiting for outlet in self.outlets)
        deadline_s = self.clock.monotonic_s() + timeout_s
        with self._idle:
            self._asked = asked = self._asked + 1
            self._awake.set()
            return self._idle.wait_for(
                lambda: self._done >= asked and not any(way.trying or way.rest or way.behind for way in self._ways),
                max(deadline_s - self.clock.monotonic_s(), 0),
            )

    def shutdown(self, timeout_s: float) -> bool:
        """Send what waits, end the thread, close the sender; what is left is counted as dropped.

        Returns:
            Whether the thread has ended. It has, in time, unless a receiver holds the last request open; then it ends
            with that request, and leaves the queues to whoever comes after it.
        """
        if self._thread is None:
            return True
        self._deadline_s = self.clock.monotonic_s() + timeout_s
        with self._idle:
            self._asked += 1
        self._ending = True
        self._awake.set()
        # A little longer than its own deadline: it ends by itself, and that is cleaner.
        self._thread.join(timeout_s + 0.5)
        ended = not self._thread.is_alive()
        self._left, self._thread = not ended, None
        return ended

    @property
    def failing(self) -> dict[str, str]:
        """Signals that cannot be delivered now, with the last reason."""
        return {way.outlet.signal: way.failing for way in self._ways if way.failing}

    @property
    def _hurry(self) -> bool:
        return self._asked > self._done

    def _empty(self) -> bool:
        return not any(way.outlet.waiting or way.trying or way.rest for way in self._ways)

    def _reborn(self) -> None:
        """Begin anew in a forked child: no thread came along, and what was being sent is the parent's."""
        running = self._thread is not None
        self._awake, self._idle, self._thread = threading.Event(), threading.Condition(), None
        self._asked = self._done = 0
        for way in self._ways:
            way.trying, way.rest, way.behind, way.not_before_s, way.failing = None, [], False, 0.0, ""
            way.outlet.wake = self._awake.set
        self.sender.abandon()
        if running and not self._ending:
            self.start()

    def _run(self, context: ModuleType) -> None:
        # No instrumentation of this process may trace our own requests.
        context.attach(context.set_value("suppress_instrumentation", True))  # noqa: FBT003 - the API's form
        context.attach(context.set_value(context._SUPPRESS_INSTRUMENTATION_KEY, True))  # noqa: FBT003, SLF001 - likewise
        while not (self._ending and self._finished()):
            try:
                self._round()
            except Exception:
                log.exception("The export thread met a mistake of ours; it goes on")
                self._awake.clear()
                self._awake.wait(_MOMENT_S if self._ending else self.schedule_s)
        self.sender.close()

    def _finished(self) -> bool:
        """Whether there is nothing left to do, or no time to do it; then what is left is given up."""
        if self._empty() and not self._hurry:  # in a hurry there is something to do once more: a last look at metrics
            return True
        if self._deadline_s is None or self.clock.monotonic_s() < self._deadline_s:
            return False
        for way in self._ways:
            while batch := self._next(way):
                if not self._spooled(way, batch):
                    self._give_up(way, batch, Reason.SHUTDOWN)
        return True

    def _round(self) -> None:
        """Run what is due, send what can be sent, sleep until something is due."""
        asked, hurried, now_s = self._asked, self._hurry, self.clock.monotonic_s()
        for task in self._tasks:
            if now_s >= task.due_s or hurried:
                task.due_s = now_s + task.every_s
                _do(task)
        for way in self._ways:
            if hurried:
                way.not_before_s = 0.0
            self._empty_out(way)
        with self._idle:
            self._done = asked
            self._idle.notify_all()
        self._sleep()

    def _empty_out(self, way: _Way) -> None:
        """Send what waits now. What comes meanwhile waits for its turn: a busy service would be sent one by one."""
        left = way.outlet.waiting
        while self.clock.monotonic_s() >= way.not_before_s:
            begun = way.trying is not None or bool(way.rest)
            batch = self._next(way) if begun or left > 0 else None
            if batch is None:
                left = 0
                break
            left -= 0 if begun else len(batch)
            self._try(way, batch)
        way.behind = left > 0

    def _sleep(self) -> None:
        """Until something is due; not at all when another full batch is there, or nothing but the end is left."""
        self._awake.clear()
        if self._ending:
            if not self._empty():
                self._awake.wait(min(_MOMENT_S, self._pause_s()))
        elif not self._hurry and not any(
            way.outlet.waiting >= way.outlet.wake_at and not way.failing for way in self._ways
        ):
            self._awake.wait(self._pause_s())

    def _pause_s(self) -> float:
        now_s = self.clock.monotonic_s()
        until = [task.due_s for task in self._tasks]
        until += [way.not_before_s for way in self._ways if way.trying or way.rest]
        return max(min([self.schedule_s, *(moment - now_s for moment in until)]), 0.01)

    def _next(self, way: _Way) -> Batch | None:
        if way.trying is None:
            if way.rest:
                way.trying = way.rest.pop()
            elif not self._left:
                way.trying = way.outlet.take()
        return way.trying

    def _try(self, way: _Way, batch: Batch) -> None:
        now_s = self.clock.monotonic_s()
        if not batch.attempts:
            batch.first_tried_s = now_s
        batch.attempts += 1
        timeout_s = self.timeout_s if self._deadline_s is None else min(self.timeout_s, self._deadline_s - now_s)
        try:
            body = self.encode(way.outlet, batch)
            answer = self.sender.send(way.outlet.signal, body, max(timeout_s, _MOMENT_S))
        except Exception as error:  # noqa: BLE001 - a mistake of ours: told below, and not tried for ever
            self._give_up(way, batch, Reason.FAULT)
            self._warn(way, f"a batch could not be encoded or sent: {type(error).__name__}: {error}", fault=True)
            return
        self._settle(way, batch, body, answer)

    def _settle(self, way: _Way, batch: Batch, body: bytes, answer: Answer) -> None:
        counts = way.outlet.counts
        if answer.verdict is Verdict.TAKEN:
            _count_taken(counts, len(batch), answer)
            if answer.rejected:
                self._warn(way, f"{answer.rejected} records were rejected: {answer.why}")
            elif way.failing:
                log.info("%s are delivered again", way.outlet.signal)
            way.trying, way.failing = None, ""
            self._deliver_spooled()
        elif answer.verdict is Verdict.TOO_LARGE and len(batch) > 1:
            way.trying = None
            way.rest += [half for half in batch.halves() if half.groups]
        elif answer.verdict is Verdict.AGAIN:
            self._later(way, batch, body, answer)
        else:
            self._give_up(way, batch, Reason.REFUSED)
            way.failing = answer.why
            self._warn(way, f"a batch was refused for good: {answer.why}")

    def _later(self, way: _Way, batch: Batch, body: bytes, answer: Answer) -> None:
        now_s = self.clock.monotonic_s()
        self._warn(way, f"not delivered, trying again: {answer.why}")
        way.failing = answer.why
        # A receiver that says "at once" is not taken at its word: nothing else would keep us from hammering at it.
        wait_s = backoff_s(batch.attempts) if answer.after_s is None else max(answer.after_s, backoff_s(1))
        way.not_before_s = now_s + wait_s
        if self._spooled(way, batch, body):
            return
        if now_s - batch.first_tried_s > self.retry_s:
            self._give_up(way, batch, Reason.RETRIES_EXHAUSTED)
        elif self._ending and self._deadline_s is not None:
            way.not_before_s = min(way.not_before_s, now_s + 0.2)

    def _spooled(self, way: _Way, batch: Batch, body: bytes = b"") -> bool:
        """Put a batch on disk, if there is one; whether it is there now."""
        if self.spool is None:
            return False
        try:
            body = body or self.encode(way.outlet, batch)
        except Exception:  # noqa: BLE001 - a mistake of ours: then it is given up, and counted
            return False
        if not self.spool.put(way.outlet.signal, body, len(batch)):
            return False
        way.outlet.counts.spooled += len(batch)
        way.trying = None
        return True

    def _deliver_spooled(self) -> None:
        """The receiver is there: one request from disk for each from memory, so that neither waits for the other."""
        outlets = {way.outlet.signal: way.outlet for way in self._ways}
        taken = self.spool.take(outlets) if self.spool is not None else None
        if taken is None or self.spool is None:
            return
        timeout_s = self.timeout_s if self._deadline_s is None else self._deadline_s - self.clock.monotonic_s()
        answer = self.sender.send(taken.signal, taken.body, max(min(self.timeout_s, timeout_s), _MOMENT_S))
        if answer.verdict is Verdict.AGAIN:
            self.spool.back(taken.path)
            return
        counts = outlets[taken.signal].counts
        if answer.verdict is Verdict.TAKEN:
            _count_taken(counts, taken.records, answer)
        else:  # too large as well: what is bytes by now cannot be halved
            counts.drop(taken.records, Reason.REFUSED)
        self.spool.done(taken.path)

    def _give_up(self, way: _Way, batch: Batch, reason: Reason) -> None:
        way.outlet.counts.drop(len(batch), reason)
        way.trying = None

    def _warn(self, way: _Way, what: str, *, fault: bool = False) -> None:
        """Once, and again only after a minute of the same: a dead backend must not fill the host's log."""
        now_s = self.clock.monotonic_s()
        if now_s - way.warned_s >= WARN_AGAIN_S:
            way.warned_s = now_s
            log.warning("%s: %s", way.outlet.signal, what, exc_info=fault)


def _do(task: _Task) -> None:
    """Run a task; what it raises keeps neither the others nor the queues from their turn."""
    try:
        task.run()
    except Exception:
        if not task.failing:
            log.exception("What the export thread does every %g s failed; it goes on", task.every_s)
        task.failing = True
    else:
        task.failing = False


def _count_taken(counts: Counts, records: int, answer: Answer) -> None:
    """Of a request that was taken; a receiver cannot have rejected more than it got, whatever it says."""
    rejected = min(answer.rejected, records)
    counts.sent += records - rejected
    if rejected:
        counts.drop(rejected, Reason.REJECTED)
