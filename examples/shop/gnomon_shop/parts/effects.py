"""What the planned faults do inside a service. Each has one place; `faults/kinds.py` says what is to be seen of it."""

import asyncio
import random
import threading
import time

from gnomon_shop.faults.plan import Plan
from gnomon_shop.ledger import true_ns
from gnomon_shop.settings import NEXT_VERSION, Settings

# At full strength, as `faults/kinds.py` promises it.
LATENCY_S, COMMIT_S, LOCK_S, CONSUME_S, SKEW_S = 0.4, 0.3, 0.2, 3.0, 5.0
ERRORS_RATIO = 0.6
DEPLOY_LATENCY_S, DEPLOY_ERRORS_RATIO = 0.3, 0.5
KEPT_BYTES = 1024 * 1024  # per request
KEPT_MOST_BYTES = 512 * 1024 * 1024  # the demo shall not take the machine down
CERTIFICATE_DAYS = 30.0  # left, when all is well
BURN_SLICE_S = 0.05


class PlannedError(Exception):
    """A request that is to fail because the plan says so."""


class Effects:
    """The faults of one process. Strengths between 0 and 1 scale what they do, down to hard to see."""

    def __init__(self, settings: Settings) -> None:
        self._plan = Plan.load(settings.dir / "plan.json")
        self._service, self._version = settings.service, settings.version
        self._lock = asyncio.Lock()
        self._kept: list[bytearray] = []
        self._burner: threading.Thread | None = None
        self._random = random.Random()

    def level(self, kind: str) -> float:
        """How strongly a fault is on here and now, 0 when it is not."""
        return self._plan.level(kind, self._service, true_ns())

    def elsewhere(self, kind: str, service: str) -> float:
        """The same of another service: for who has to send its traffic to a new version of it."""
        return self._plan.level(kind, service, true_ns())

    def struck(self, kind: str) -> bool:
        """Whether it strikes this time: as often as it is strong."""
        level = self.level(kind)
        return level > 0 and self._random.random() < level

    def times(self, kind: str, most: int) -> int:
        """How many out of `most`, on average in proportion to the strength."""
        level = self.level(kind)
        return int(level * most + self._random.random()) if level > 0 else 0

    async def request(self) -> None:
        """Before each request and message that this process serves; raises `PlannedError`."""
        self._grow()
        self._burn()
        if (level := self.level("lock_contention")) > 0:
            async with self._lock:
                await asyncio.sleep(LOCK_S * level * self._random.random())
        if self._random.random() < ERRORS_RATIO * self.level("errors"):
            raise PlannedError("index out of step with the data")
        if self._version == NEXT_VERSION and (level := self.level("bad_deploy")) > 0:
            await asyncio.sleep(DEPLOY_LATENCY_S * level * self._random.uniform(0.5, 1.5))
            if self._random.random() < DEPLOY_ERRORS_RATIO * level:
                raise PlannedError("unexpected None where a voucher was expected")

    async def dependency(self) -> None:
        """Before every answer of something that this process depends on."""
        if (level := self.level("latency")) > 0:
            await asyncio.sleep(LATENCY_S * level * self._random.uniform(1, 1.2))

    async def commit(self) -> None:
        """While a transaction is committed."""
        if (level := self.level("slow_disk")) > 0:
            await asyncio.sleep(COMMIT_S * level * self._random.uniform(1, 4 / 3))

    async def message(self) -> None:
        """While a message is worked on."""
        if (level := self.level("queue_backlog")) > 0:
            await asyncio.sleep(CONSUME_S * level)

    def skew_ns(self) -> int:
        """How far this process's clock is ahead."""
        return int(self.level("clock_skew") * SKEW_S * 1e9)

    def certificate_days(self) -> float:
        """Until the outside's certificate ends: gone at once, or falling over the time of a gradual onset."""
        now, left = true_ns(), CERTIFICATE_DAYS
        self.level("certificate_expiry")  # has the plan looked at again
        for fault in self._plan.faults:
            if (fault.kind, fault.target) == ("certificate_expiry", self._service):
                left = min(left, CERTIFICATE_DAYS * (1 - fault.level(now) / fault.strength))
        return left

    def _grow(self) -> None:
        level = self.level("memory_growth")
        if level == 0:
            self._kept.clear()
        elif len(self._kept) * KEPT_BYTES * level < KEPT_MOST_BYTES:
            self._kept.append(bytearray(b"\x01") * int(KEPT_BYTES * level))  # written to, so that it is resident

    def _burn(self) -> None:
        if self.level("cpu_starvation") > 0 and (self._burner is None or not self._burner.is_alive()):
            self._burner = threading.Thread(target=self._burning, name="burner", daemon=True)
            self._burner.start()

    def _burning(self) -> None:
        """Fight for the interpreter, for as much of each slice as the fault is strong."""
        while (level := self.level("cpu_starvation")) > 0:
            until = time.perf_counter() + BURN_SLICE_S * level
            while time.perf_counter() < until:
                pass
            time.sleep(BURN_SLICE_S * (1 - level))
