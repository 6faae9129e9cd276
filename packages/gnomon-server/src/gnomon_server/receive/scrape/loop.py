"""One target, scraped again and again: at its place within the interval, on time, until it is removed.

Source: Prometheus scrape/scrape.go (run, scrapeAndReport, endOfRunStaleness).
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from gnomon_server.errors import GnomonError, InvalidInput
from gnomon_server.model.batch import Batch
from gnomon_server.receive.scrape.client import Answer, TargetClient
from gnomon_server.receive.scrape.digest import TargetDigest, Times
from gnomon_server.selfmon.clock import Clock

_TOLERANCE_NS = 2_000_000  # Prometheus' ScrapeTimestampTolerance: timestamps at equal distances compress far better
_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all loops share. `store` takes a batch and what to do once it is stored; it does not wait."""

    clock: Clock
    pool: ThreadPoolExecutor
    gate: asyncio.Semaphore
    store: Callable[[Batch, Callable[[], None]], None]
    count_bytes: Callable[[int], None]
    future_ns: int


@dataclass(slots=True)
class Loop:
    """A target's loop. `forced_error` makes every scrape fail without asking (too many targets)."""

    digest: TargetDigest
    client: TargetClient
    around: Surroundings
    forced_error: str = ""
    _task: asyncio.Task[None] | None = field(default=None, init=False)
    _scraped: bool = field(default=False, init=False)

    @property
    def interval_ns(self) -> int:
        """From one scrape to the next."""
        return self.digest.target.interval_ms * _NS_PER_MS

    def start(self) -> None:
        """Begin at the target's next turn."""
        self._task = asyncio.create_task(self._run(), name=f"scrape {self.digest.target.url}")

    async def stop(self) -> None:
        """End, in the middle of a scrape too. Nothing is marked: after a restart it goes on where it was."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def end(self) -> None:
        """The target is gone. Its series end at the time of the scrape that would have been next.

        The markers are written a little more than an interval after it: until then it may be back, and this is
        cancelled.
        """
        await self.stop()
        if not self._scraped:
            return
        await asyncio.sleep(self._wait_ns(self.around.clock.now_ns()) / 1e9)
        at_ns = self.around.clock.now_ns()
        await asyncio.sleep(1.1 * self.interval_ns / 1e9)
        self.around.store(self.digest.removed(self._times(at_ns)), lambda: None)

    async def _run(self) -> None:
        now = asyncio.get_running_loop().time
        began_ns, began = self.around.clock.now_ns(), now()
        due_ns = began_ns + self._wait_ns(began_ns)
        while True:
            # The pace is the monotonic clock's; the time of day is read at each scrape, for it may be set meanwhile.
            await asyncio.sleep(max(0.0, began + (due_ns - began_ns) / 1e9 - now()))
            await self._scrape(self._stamp(due_ns))
            late_ns = int((now() - began) * 1e9) - (due_ns - began_ns)
            due_ns += self.interval_ns * (1 + max(0, late_ns) // self.interval_ns)

    def _wait_ns(self, now_ns: int) -> int:
        """From now to the target's next turn."""
        return (self.digest.target.offset_ns() - now_ns) % self.interval_ns

    def _stamp(self, aligned_ns: int) -> int:
        now_ns = self.around.clock.now_ns()
        tolerance = min(self.interval_ns // 100, _TOLERANCE_NS)
        return aligned_ns if abs(now_ns - aligned_ns) <= tolerance else now_ns

    def _times(self, at_ns: int) -> Times:
        latest_ns = self.around.clock.now_ns() + self.around.future_ns
        return Times(at_ns // _NS_PER_MS, latest_ns // _NS_PER_MS)

    async def _scrape(self, at_ns: int) -> None:
        loop = asyncio.get_running_loop()
        began, times, digest = loop.time(), self._times(at_ns), self.digest

        def elapsed_s() -> float:
            return loop.time() - began

        try:
            answer = await self._ask()
            self.around.count_bytes(len(answer.body))
            taken = await loop.run_in_executor(self.around.pool, digest.answered, answer, times, elapsed_s)
        except GnomonError as error:
            taken = digest.failed(times, elapsed_s(), str(error))
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the target's loop
            taken = digest.failed(times, elapsed_s(), f"a fault of ours: {error!r}")
        self._scraped = True
        digest.target.report(at_ns, elapsed_s(), taken.problem, taken.warning)
        self.around.store(taken.batch, partial(digest.stored, taken.families))

    async def _ask(self) -> Answer:
        if self.forced_error:
            raise InvalidInput("target_limit", self.forced_error)
        async with self.around.gate:
            return await self.client.get(self.digest.target)
