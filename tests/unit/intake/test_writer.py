"""The writer: groups, back-pressure, a store that is away, and the end. The store is the reference, opened by hand."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from batches import Counts, batch
from reference import Disk, ReferenceStore
from rows import log

from gnomon_server.errors import GnomonError, Internal, Overloaded, Unavailable
from gnomon_server.intake.writer import Intake, IntakeLimits
from gnomon_server.store.interface import Insert


class Gated(ReferenceStore):
    """Inserts wait while the gate is shut, and fail as often as they are told to."""

    def __init__(self) -> None:
        super().__init__(Disk())
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures: list[Exception] = []
        self.calls: list[Sequence[Insert]] = []

    async def insert(self, inserts: Sequence[Insert]) -> None:
        self.calls.append(inserts)
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        await super().insert(inserts)

    def bodies(self, tenant: int = 1) -> list[str]:
        return [row["body"] for row in self.rows("logs", tenant)]


class Numbers:
    """Tenants a, b, c, ... are 1, 2, 3, ..."""

    async def number(self, name: str) -> int:
        if name == "z":
            raise Overloaded("too_many_tenants", "z is one too many")
        return ord(name) - ord("a") + 1


class Bench:
    """An intake and its surroundings."""

    def __init__(self, **limits: Any) -> None:
        self.store, self.meter = Gated(), Counts()
        settings = IntakeLimits(**{"commit_interval_s": 0, "hold_s": 5, **limits})
        self.intake = Intake(self.store, Numbers(), lambda *_: 7, self.meter, settings)

    def send(self, *bodies: str, tenant: str = "a") -> "asyncio.Task[None]":
        rows = [log("2026-11-20", body) for body in bodies]
        return asyncio.create_task(self.intake.submit(batch(tenant, logs=rows)))

    async def busy(self) -> "asyncio.Task[None]":
        """A commit is under way, and does not end before the gate is opened."""
        self.store.gate.clear()
        task = self.send("first")
        while not self.store.calls:  # noqa: ASYNC110  (nobody sets an event for a test)
            await asyncio.sleep(0)
        return task


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Started, and drained at the end."""
    made = Bench()
    await made.intake.start()
    yield made
    made.store.gate.set()
    await made.intake.stop()


async def test_what_comes_during_a_commit_is_one_group(bench: Bench) -> None:
    """Fifty senders wait for one commit, and each is told when its own rows are in."""
    first = await bench.busy()
    others = [bench.send(str(number)) for number in range(50)]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in (first, *others))
    bench.store.gate.set()
    await asyncio.gather(first, *others)
    # One that was prepared beside the first commit, and one of all the rest.
    assert len(bench.store.calls) <= 3
    assert sorted(bench.store.bodies()) == sorted(["first", *map(str, range(50))])
    assert bench.intake.queued_bytes == 0


async def test_groups_are_closed_by_their_rows() -> None:
    """Past `commit_rows` the next group begins."""
    bench = Bench(commit_rows=10)
    await bench.intake.start()
    first = await bench.busy()
    tasks = [bench.send(*map(str, range(4))) for _ in range(10)]
    await asyncio.sleep(0.01)
    bench.store.gate.set()
    await asyncio.gather(first, *tasks)
    assert all(inserts[0].rows.num_rows <= 12 for inserts in bench.store.calls)
    await bench.intake.stop()


async def test_a_full_queue_tells_senders_to_come_again() -> None:
    """One tenant may fill its share, all together the queue; when it has emptied, they are taken again."""
    bench = Bench(queue_bytes=1 << 20, tenant_queue_ratio=0.5)
    await bench.intake.start()
    first = await bench.busy()
    large = "x" * 200_000
    taken = [bench.send(large), bench.send(large)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as mine:
        await bench.send(large)
    assert mine.value.code == "tenant_queue_full"
    taken += [bench.send(large, tenant="b"), bench.send(large, tenant="b"), bench.send(large, tenant="c")]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as all_full:
        await bench.send(large, tenant="d")
    assert all_full.value.code == "queue_full"
    assert all_full.value.retry_after_s > 0
    bench.store.gate.set()
    await asyncio.gather(first, *taken)
    assert bench.intake.queued_bytes == 0
    await bench.send(large)
    await bench.intake.stop()


async def test_a_batch_larger_than_the_queue_is_taken_when_nothing_waits() -> None:
    """Else it could never be."""
    bench = Bench(queue_bytes=1 << 20)
    await bench.intake.start()
    await bench.send("x" * (2 << 20))
    await bench.intake.stop()


async def test_a_group_is_held_while_the_store_is_away(bench: Bench) -> None:
    """Written again with the same tokens until it is taken; the sender notices nothing."""
    bench.store.failures = [Unavailable("store_away", "away"), Unavailable("engine_restarting", "soon")]
    await bench.send("kept")
    assert bench.store.bodies() == ["kept"]
    assert len({inserts[0].token for inserts in bench.store.calls}) == 1
    assert bench.meter.counted["gnomon_intake_retries_total store_away"] == 1
    assert not bench.intake.failing()


async def test_past_the_hold_senders_are_told_and_nothing_is_kept() -> None:
    """`Unavailable`; the next one goes through when the store is back."""
    bench = Bench(hold_s=0)
    await bench.intake.start()
    bench.store.failures = [Unavailable("store_away", "away")]
    with pytest.raises(Unavailable):
        await bench.send("refused")
    assert bench.intake.failing() == "store_away"
    await bench.send("taken")
    assert bench.store.bodies() == ["taken"]
    assert not bench.intake.failing()
    await bench.intake.stop()


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Unavailable("disk_full", "full"), Unavailable),
        (Internal("insert_failed", "never"), Internal),
        (ZeroDivisionError("ours"), Internal),
    ],
)
async def test_what_waiting_does_not_mend_is_told_at_once(bench: Bench, failure: Exception, kind: type) -> None:
    """One try, and the writer goes on, also after a fault of our own."""
    bench.store.failures = [failure]
    with pytest.raises(kind):
        await bench.send("refused")
    assert len(bench.store.calls) == 1
    await bench.send("taken")
    assert bench.store.bodies() == ["taken"]


async def test_one_senders_refusal_is_not_the_others(bench: Bench) -> None:
    """A tenant too many in a group of three: the other two are stored."""
    first = await bench.busy()
    tasks = [bench.send("one"), bench.send("many", tenant="z"), bench.send("two", tenant="b")]
    await asyncio.sleep(0.01)
    bench.store.gate.set()
    outcomes = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert [getattr(outcome, "code", None) for outcome in outcomes] == [None, None, "too_many_tenants", None]
    assert bench.store.bodies(2) == ["two"]


async def test_a_stop_drains_and_refuses(bench: Bench) -> None:
    """What waits is committed, what comes is told to go elsewhere."""
    tasks = [await bench.busy(), *(bench.send(str(number)) for number in range(20))]
    await asyncio.sleep(0)
    stopping = asyncio.create_task(bench.intake.stop())
    await asyncio.sleep(0.01)
    with pytest.raises(Unavailable) as refused:
        await bench.send("late")
    assert refused.value.code == "stopping"
    bench.store.gate.set()
    await asyncio.gather(stopping, *tasks)
    assert len(bench.store.bodies()) == 21


async def test_a_sender_that_leaves_disturbs_nobody(bench: Bench) -> None:
    """Its rows are written all the same; the others' acknowledgements come; a failure has nobody to be told to."""
    first = await bench.busy()
    leaving, staying = bench.send("left"), bench.send("stayed")
    await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    bench.store.gate.set()
    await asyncio.gather(first, staying)
    assert sorted(bench.store.bodies()) == ["first", "left", "stayed"]
    bench.store.failures = [Internal("insert_failed", "never")]
    bench.store.gate.clear()
    gone = bench.send("gone")
    await asyncio.sleep(0.01)
    gone.cancel()
    bench.store.gate.set()
    with pytest.raises((asyncio.CancelledError, GnomonError)):
        await gone


async def test_an_empty_batch_is_done_at_once(bench: Bench) -> None:
    """It does not reach the store."""
    await bench.intake.submit(batch())
    assert not bench.store.calls
