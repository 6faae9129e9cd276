"""One event loop, seen from the watchdog and from itself.

Nothing runs in a loop that has nothing to do: whether it is parked in its selector is seen from outside. Only a loop
that is at work is asked, by a callback, how long a callback waits for its turn; while that goes unanswered it stalls.

The watchdog writes `pinged_s` and `open`, the loop `answered_s`, `settled` and `came`; no lock is needed.
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
# and its reader in the third, is read in the fourth, and its request begins in the fifth.
TURNS = 5
# Loops that are gone sooner (`asyncio.run` around one call) are not worth a look.
FIRST_S = 0.05


class Watched:
    """An event loop.

    Args:
        loop: it; what is made here is made in its thread.
        traffic: counts what comes after a stall.
        known: told once the loop has run for a moment.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, traffic: Traffic, known: Callable[["Watched"], object]) -> None:
        self.loop, self._traffic, self._known = loop, traffic, known
        self.thread = threading.get_ident()
        self.base: CodeType | None = None
        self.looked_s = self.looked_cpu_s = self.idle_s = 0.0
        self.pinged_s: float | None = None
        self.answered_s: float | None = None
        self.settled = False
        self.came = 0
        self.open: Open | None = None
        self._turns = 0
        self._timer = loop.call_later(FIRST_S, self._learn)

    def ping(self, now_s: float) -> bool:
        """Ask for a turn; False: the loop is closed."""
        self.idle_s = self.looked_s
        self.answered_s, self.settled, self.came = None, False, 0
        self.pinged_s = now_s
        try:
            self.loop.call_soon_threadsafe(self._answer)
        except RuntimeError:
            return False
        return True

    def leave(self) -> None:
        """The loop stops running."""
        self._timer.cancel()

    def _learn(self) -> None:
        """Find out who runs us: asyncio's own frames, or, where a loop has none, the code that called it."""
        self.thread = threading.get_ident()
        caller = sys._getframe(1).f_code  # noqa: SLF001 - who called us is known to the interpreter alone
        self.base = None if caller is HANDLE_RUN else caller
        self._known(self)

    def _answer(self) -> None:
        self.answered_s = time.monotonic()
        if self.open is None:
            self.settled = True
        else:
            self._turns = TURNS
            self._turn()

    def _turn(self) -> None:
        """Let the loop go on for a few turns; what begins in them had been waiting."""
        if self._turns:
            self._turns -= 1
            self.loop.call_soon(self._turn)
            return
        if self.open is not None:
            self.came = max(self._traffic.begun() - self.open.begun, 0)
        self.settled = True
