"""The watchdog: one thread that looks after all event loops of a process."""

import asyncio
import functools
import logging
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from gnomon.components import Health
from gnomon.process.forks import after_fork
from gnomon.stalls.cause import Serving, serving
from gnomon.stalls.loops import Loops
from gnomon.stalls.report import Reporter, mark
from gnomon.stalls.stack import Stack, parked, running_task, seen
from gnomon.stalls.stall import Kind, Open, Stall
from gnomon.stalls.traffic import Traffic
from gnomon.stalls.watched import Watched

log = logging.getLogger("gnomon.stalls")

# A stall that lasts is told of at these ages, in seconds, for its end may never come.
LASTING_S = (5.0, 30.0)
# After a second a stall is no surprise any more, and is looked at less often.
SETTLED_AFTER_S, SETTLED_LOOK_S = 1.0, 0.25
# Whoever holds the interpreter computes; a process that had less of a core than this, while none of its threads that
# we know of could run, was not given more.
NO_CPU_RATIO = 0.6
# A wake-up costs 60 to 200 us of CPU, more than anything that is done in it, so an idle process is looked at seldom: a
# look uses a fifth of a millisecond itself, a request about one.
WORK_RATIO, NOTHING_S = 0.2, 0.001
# How soon the next look follows, in thresholds.
BUSY, CALM, QUIET = 0.25, 1.0, 2.5


class Watchdog:
    """Notices stalls of event loops, and has them reported. A component.

    Args:
        reporter: tells of them.
        traffic: counts requests.
        threshold_s: a loop that does not come back for so long stalls. May be changed at any time.
    """

    def __init__(self, reporter: Reporter, traffic: Traffic, threshold_s: float = 0.1) -> None:
        self.threshold_s, self._reporter, self._traffic = threshold_s, reporter, traffic
        self.loops = Loops(self.watch)
        self._watched: list[Watched] = []
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._ending = False
        self._pace, self._pace_before, self._looked = CALM, CALM, (0.0, 0.0)
        after_fork(self._reborn)

    def start(self) -> None:
        """Watch all loops that begin to run from now on, and the one that we are in."""
        self._ending = False
        self.loops.follow()
        if "uvloop" in sys.modules:
            self.follow_uvloop()
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return
        self.watch(running)

    def follow_uvloop(self) -> None:
        """Watch uvloop's loops too; for when it is imported."""
        self.loops.follow(sys.modules["uvloop"].Loop)

    def watch(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        """Watch a loop, from its own thread; returns what stops that."""
        if self._ending or any(one.loop is loop for one in self._watched):
            return _nothing
        watched = Watched(loop, self._traffic, self._met)
        self._watched.append(watched)
        return functools.partial(self._forget, watched)

    def shutdown(self, deadline_s: float) -> None:
        """Watch nothing any more."""
        self._ending = True
        self.loops.leave()
        for watched in list(self._watched):
            self._forget(watched)
        self._wake.set()
        if self._thread is not None:
            self._thread.join(deadline_s)
            self._thread = None

    def health(self) -> Health:
        """Well: a stall is the application's."""
        return Health()

    def _met(self, watched: Watched) -> None:
        """A loop has run for a moment; the thread is there from the first such loop on."""
        if self._ending or watched not in self._watched:
            return
        watched.looked_s, watched.looked_cpu_s = time.monotonic(), time.process_time()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="gnomon-watchdog", daemon=True)
            self._thread.start()
        self._wake.set()

    def _forget(self, watched: Watched) -> None:
        if watched in self._watched:
            watched.known = False
            self._watched.remove(watched)

    def _reborn(self) -> None:
        """In a forked child: no thread came along, and the loops are the parent's."""
        self._watched, self._wake, self._thread = [], threading.Event(), None

    # What follows runs in the watchdog's thread.

    def _run(self) -> None:
        while not self._ending:
            if not any(one.known for one in self._watched):
                self._wake.wait()
                self._wake.clear()
                continue
            due_s = time.monotonic() + self._pause_s()
            self._wake.wait(due_s - time.monotonic())
            self._wake.clear()
            try:
                self._look(due_s)
            except Exception:
                log.exception("The watchdog met a mistake of ours; it goes on")
                time.sleep(SETTLED_LOOK_S)

    def _pause_s(self) -> float:
        """How long until the next look: short while a loop owes an answer, long while nothing is done at all."""
        oldest_s = min((one.open.since_s for one in self._watched if one.open is not None), default=None)
        if oldest_s is not None and time.monotonic() - oldest_s > SETTLED_AFTER_S:
            return SETTLED_LOOK_S
        owed = any(one.pinged_s is not None for one in self._watched)
        return self.threshold_s * (BUSY if owed else self._pace)

    def _look(self, due_s: float) -> None:
        now_s, cpu_s = time.monotonic(), time.process_time()
        stacks = sys._current_frames()  # noqa: SLF001 - the interpreter's own way to see other threads
        overslept_s = max(now_s - due_s, 0.0)
        used_s, since_s, self._looked = cpu_s - self._looked[1], now_s - self._looked[0], (now_s, cpu_s)
        self._pace_before = self._pace
        self._pace = BUSY if used_s > WORK_RATIO * since_s else CALM if used_s > NOTHING_S else QUIET
        for watched in [one for one in self._watched if one.known]:
            frame = stacks.get(watched.thread)
            if frame is None:  # its thread is gone
                self._forget(watched)
                continue
            if watched.pinged_s is None:
                self._look_at(watched, frame, now_s, overslept_s)
            elif watched.answered_s is None:
                self._wait_for(watched, frame, now_s, overslept_s)
            elif watched.settled or now_s - watched.turned_s >= self.threshold_s:
                if not watched.settled:  # it stalls anew in the aftermath, since its last turn; we have just looked
                    watched.looked_s = watched.turned_s
                self._answered(watched, cpu_s, overslept_s)
                self._look_at(watched, frame, now_s, overslept_s)
            watched.looked_s, watched.looked_cpu_s = now_s, cpu_s

    def _look_at(self, watched: Watched, frame: FrameType, now_s: float, overslept_s: float) -> None:
        """A loop that owes nothing: is there anything to do at all?"""
        quiet = self._pace_before != BUSY
        if quiet and overslept_s < self.threshold_s / 2 and parked(frame, watched.base):
            if self._reporter.lag is not None:
                self._reporter.lag.observe(0.0)
            return
        if overslept_s >= self.threshold_s / 2 and (quiet or now_s - watched.turned_s >= overslept_s):
            # We could not run. If the loop kept us from it, it has computed from when we were due, or longer. A loop
            # that has turned meanwhile kept the interpreter from us by many short turns, and none is to blame.
            computed_s = min(time.process_time() - watched.looked_cpu_s, now_s - watched.looked_s)
            since_s = max(now_s - max(overslept_s, computed_s), watched.turned_s)
            watched.open = self._opened(since_s, watched.looked_cpu_s, overslept_s)
            self._sample(watched, watched.open, frame, overslept_s)
        if not watched.ping(now_s, beats=not quiet):
            self._forget(watched)

    def _wait_for(self, watched: Watched, frame: FrameType, now_s: float, overslept_s: float) -> None:
        """A loop that owes an answer: look what it does instead."""
        stall = watched.open
        if stall is None:
            # It began between two looks: in the middle, unless a request knows better.
            since_s = (watched.idle_s + (watched.pinged_s or now_s)) / 2
            stall = watched.open = self._opened(since_s, watched.looked_cpu_s, 0.0)
        stall.overslept_s += overslept_s
        self._sample(watched, stall, frame, now_s - stall.sampled_s)
        lasts_s = now_s - stall.since_s
        if lasts_s >= self.threshold_s:
            mark(stall, lasts_s)
        if stall.told < len(LASTING_S) and lasts_s >= LASTING_S[stall.told]:
            stall.told += 1
            self._tell(stall, lasts_s, time.process_time(), 0, lasting=True)

    def _opened(self, since_s: float, cpu_s: float, overslept_s: float) -> Open:
        traffic = self._traffic
        return Open(since_s, cpu_s, traffic.active(), traffic.begun(), overslept_s, sampled_s=since_s)

    def _sample(self, watched: Watched, stall: Open, frame: FrameType, for_s: float) -> None:
        stall.sampled_s = time.monotonic()
        if parked(frame, watched.base):
            stall.note(Stack((), None), None, None, for_s)
            return
        stack, task = seen(frame, watched.base), running_task(watched.loop)
        known = stall.seen.get((id(task), stack.blamed)) if stack.blamed is not None else None
        found = known.serving if known is not None else serving(watched.loop, frame, watched.base, task)
        stall.note(stack, task, found, for_s)
        if found is not None and found.started_ns is not None:
            # A loop was well at the look before; a request that came after it blocks since then, or later.
            began_s = time.monotonic() - (time.time_ns() - found.started_ns) / 1e9
            if (watched.idle_s or watched.looked_s) <= began_s <= (watched.pinged_s or began_s):
                stall.since_s = began_s

    def _answered(self, watched: Watched, cpu_s: float, overslept_s: float) -> None:
        pinged_s, answered_s, stall = watched.pinged_s, watched.answered_s, watched.open
        came, watched.pinged_s, watched.open = watched.came, None, None
        if pinged_s is None or answered_s is None:
            return
        if self._reporter.lag is not None:
            self._reporter.lag.observe(answered_s - pinged_s)
        if stall is None:
            if overslept_s < self.threshold_s:
                return
            # It was over before we could look: the loop was the first to run again.
            stall = self._opened(pinged_s, watched.looked_cpu_s, overslept_s)
        lasted_s = answered_s - stall.since_s
        if lasted_s >= self.threshold_s and not stall.debugged:
            mark(stall, lasted_s)
            self._tell(stall, lasted_s, watched.answered_cpu_s or cpu_s, came)

    def _tell(self, stall: Open, lasted_s: float, cpu_s: float, came: int, *, lasting: bool = False) -> None:
        self._reporter.tell(judged(stall, lasted_s, cpu_s - stall.cpu_s, came, self._traffic.known, lasting=lasting))


def judged(stall: Open, lasted_s: float, cpu_s: float, came: int, counted: bool, *, lasting: bool = False) -> Stall:
    """What is to be said of a stall.

    Args:
        stall: what was noted.
        lasted_s: how long.
        cpu_s: CPU time that the process used meanwhile.
        came: requests that came while it lasted.
        counted: whether requests are counted at all.
        lasting: whether it goes on.
    """
    place, blind = stall.most(), stall.overslept_s >= lasted_s / 2
    computed = cpu_s >= NO_CPU_RATIO * stall.overslept_s
    no_cpu = blind and not computed
    if place is None or place.stack.blamed is None or no_cpu or stall.parked_s > sum(stall.runs_s.values()):
        why = "the process got no CPU" if no_cpu or not blind else "the interpreter was held elsewhere"
        return Stall(Kind.STARVED, lasted_s, held_up=stall.active + came if counted else None, lasting=lasting, why=why)
    kind = Kind.BLOCKED if stall.of_one() else Kind.BUSY
    found: Serving | None = place.serving if kind is Kind.BLOCKED else None
    held = computed and stall.overslept_s >= lasted_s / 3  # it may have begun with something else
    own = found is not None and found.is_request
    held_up = max(stall.active + came - own, 0) if counted else None
    return Stall(
        kind, lasted_s, place.stack.blamed, place.stack.lines, found, held_up, gil_held=held, lasting=lasting
    )  # fmt: skip


def _nothing() -> None:
    """It was watched already."""
