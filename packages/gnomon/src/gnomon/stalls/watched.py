"""One event loop, seen from the watchdog and from itself.

Nothing runs in a loop that has nothing to do: whether it is parked in its selector is seen from outside. Only where
there is work a callback asks how long a callback waits for its turn; while that goes unanswered the loop stalls.

The watchdog writes `pinged_s` and `open`, the loop `answered_s`, `settled`, `came` and `turned_s`; no lock is needed.
The aftermath of a stall is that stall's own: it ends when the watchdog closes the stall, for the loop stalls anew.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from types import CodeType

from gnomon.stalls.stack import HANDLE_RUN
from gnomon.stalls.stall import Open
from gnomon.stalls.traffic import Traffic

# A connection that waited in the kernel is accepted in the first turn after a stall, gets its transport in the second
# and its reader in the third, is read in the fourth, and its request begins in the fifth. asyncio does so with all of
# them at once; uvloop accepts one a turn.
TURNS = 5
# A service under load has a new request in every turn: what begins later than this share of the stall was not held up.
AFTERMATH_RATIO = 0.2
# After an answer the loop shows for a second that it turns: when the watchdog could not run, was it the loop's doing?
BEAT_S, BEATS = 0.05, 20
# Loops that are gone sooner (`asyncio.run` around one call) are not worth a look.
FIRST_S = 0.05


class Watched:
    """An event loop.

    Args:
        loop: it; what is made here is made in its thread.
        traffic: counts what comes after a stall.
        met: told once the loop has run for a moment.

    Attributes:
        known: whether it was.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, traffic: Traffic, met: Callable[["Watched"], object]) -> None:
        self.loop, self._traffic, self._met = loop, traffic, met
        self.thread, self.known = threading.get_ident(), False
        self.base: CodeType | None = None
        self.looked_s = self.looked_cpu_s = self.idle_s = self.answered_cpu_s = 0.0
        self.pinged_s: float | None = None
        self.answered_s: float | None = None
        self.settled = False
        self.came = 0
        self.open: Open | None = None
        self.turned_s, self._beats_wanted = 0.0, False
        self._turns = self._beats = 0
        loop.call_later(FIRST_S, self._learn)

    def ping(self, now_s: float, *, beats: bool) -> bool:
        """Ask for a turn, and to show for a second that there are more; False: the loop is closed."""
        self._beats_wanted = beats
        self.idle_s = self.looked_s
        self.answered_s, self.settled, self.came = None, False, 0
        self.pinged_s = now_s
        try:
            self.loop.call_soon_threadsafe(self._answer)
        except RuntimeError:
            return False
        return True

    def _learn(self) -> None:
        """Find out who runs us: asyncio's own frames, or, where a loop has none, the code that called it."""
        self.thread = threading.get_ident()
        caller = sys._getframe(1).f_code  # noqa: SLF001 - who called us is known to the interpreter alone
        self.base = None if caller is HANDLE_RUN else caller
        self.known = True
        self._met(self)

    def _answer(self) -> None:
        answered_s = time.monotonic()
        self.turned_s = answered_s
        if self._beats_wanted:
            beating, self._beats = self._beats > 0, BEATS
            if not beating:
                self.loop.call_later(BEAT_S, self._beat)
        stall = self.open
        if stall is None:
            self.settled = True
        else:
            self.answered_cpu_s = time.process_time()
            self._turns = TURNS
            self._turn(stall, answered_s + (answered_s - stall.since_s) * AFTERMATH_RATIO)
        self.answered_s = answered_s  # last: the watchdog then looks at the rest

    def _beat(self) -> None:
        self.turned_s = time.monotonic()
        self._beats -= 1
        if self._beats > 0 and self.known:
            self.loop.call_later(BEAT_S, self._beat)

    def _turn(self, stall: Open, ends_s: float) -> None:
        """Let the loop go on while each few turns bring a request: what begins in them had been waiting."""
        if self.open is not stall:
            return
        self.turned_s = time.monotonic()
        came = max(self._traffic.begun() - stall.begun, 0)
        if came > self.came:
            self.came, self._turns = came, TURNS
        self._turns -= 1
        if self._turns < 0 or time.monotonic() > ends_s:
            self.settled = True
        else:
            self.loop.call_soon(self._turn, stall, ends_s)
