"""The thread that empties the queues: whatever receivers do, it goes on, counts everything, and ends when told."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.export.receivers import Receiver, Request, accounted, encode, put, reply, saying
from tests.waiting import until

from gnomon.export import pump as pumps
from gnomon.export.http import HttpSender
from gnomon.export.outlet import Outlet, Reason, Signal
from gnomon.export.pump import Pump
from gnomon.export.retry import FIRST_S, LONGEST_S, backoff_s
from gnomon.export.sender import Answer, Verdict
from gnomon.export.spool import Spool
from gnomon.process.clock import Clock

Pumping = Callable[..., Pump]
SLACK_S = 1.5


class Turned:
    """A clock that stands until it is turned."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.clock = Clock(lambda: int(self.now_s * 1e9), lambda: self.now_s)

    def turn(self, seconds: float) -> None:
        """Later."""
        self.now_s += seconds


class Told:
    """A sender that answers as it is told."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.seen = list(answers), 0
        self.bodies: list[tuple[Signal, bytes]] = []
        self.timeouts: list[float] = []
        self.closed = self.abandoned = 0

    def send(self, signal: Signal, body: bytes, timeout_s: float) -> Answer:
        self.bodies.append((signal, body))
        self.timeouts.append(timeout_s)
        self.seen += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def close(self) -> None:
        self.closed += 1

    def abandon(self) -> None:
        self.abandoned += 1


TAKEN, AGAIN = Answer(Verdict.TAKEN), Answer(Verdict.AGAIN, "away")


def _hangs(sock: Any, _: Request) -> bool:
    sock.settimeout(10)
    sock.recv(1)
    return False


def _drips(sock: Any, _: Request) -> bool:
    for _ in range(400):
        sock.sendall(b"H")
        time.sleep(0.05)
    return False


HOSTILE = {
    "hangs": _hangs,
    "drips": _drips,
    "closes": lambda *_: False,
    "garbage": saying(b"\x00" * 5000, then=False),
    "busy": saying(reply(503, b"", "Retry-After: 1000")),
    "hammer": saying(reply(503, b"", "Retry-After: 0")),
    "forbidden": saying(reply(401)),
    "huge": saying(reply(413)),
    "rejects": saying(reply(200, b"\x0a\x0b\x08" + b"\xff" * 8 + b"\x7f" + b"\x10\x00")),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_hostile_receivers(receiver: Receiver, sender: HttpSender, pumping: Pumping, how: str) -> None:
    """Whatever a receiver does: recording goes on, memory is bounded, all is counted, delivery resumes."""
    orderly, receiver.answer = receiver.answer, HOSTILE[how]
    outlet = Outlet(Signal.TRACES, most_records=100, batch=10)
    pump = pumping([outlet], sender, timeout_s=0.2)
    put(outlet, *map(str, range(40)))
    until(lambda: receiver.requests)
    put(outlet, *map(str, range(400)))
    assert outlet.waiting <= 100
    receiver.answer = orderly
    receiver.hang_up()
    assert pump.flush(10.0)
    put(outlet, "later")
    assert pump.flush(10.0)
    assert receiver.names[-1] == "later"
    accounted(pump, 441)
    counts = outlet.counts
    assert counts.sent + sum(counts.dropped.values()) == 441
    if how == "hangs":
        assert counts.dropped[Reason.QUEUE_FULL] > 0
    assert not pump.failing


@pytest.mark.parametrize("how", HOSTILE)
def test_the_end_comes_in_every_state(receiver: Receiver, sender: HttpSender, pumping: Pumping, how: str) -> None:
    """At shutdown the thread ends within its deadline, and what could not be sent is counted as dropped."""
    receiver.answer = HOSTILE[how]
    outlet = Outlet(Signal.TRACES, batch=10)
    pump = pumping([outlet], sender, timeout_s=0.3)
    put(outlet, *map(str, range(100)))
    until(lambda: receiver.requests)
    thread, begun_s = pump._thread, time.monotonic()
    assert thread is not None
    assert pump.shutdown(0.5)
    assert time.monotonic() - begun_s < 0.5 + SLACK_S
    assert not thread.is_alive()
    assert outlet.counts.sent + sum(outlet.counts.dropped.values()) == 100
    assert outlet.waiting == 0
    if how in {"hangs", "drips", "closes", "garbage", "busy", "hammer"}:
        assert outlet.counts.dropped[Reason.SHUTDOWN] == 100


def test_the_end_while_a_request_is_held_open(receiver: Receiver, sender: HttpSender, pumping: Pumping) -> None:
    """A request longer than the deadline cannot be ended from outside: we go on; the thread ends by itself, counted."""
    receiver.answer = _hangs
    outlet = Outlet(Signal.TRACES)
    pump = pumping([outlet], sender, timeout_s=1.2, schedule_s=0.01)
    put(outlet, "a")
    until(lambda: receiver.requests)
    thread, begun_s = pump._thread, time.monotonic()
    assert thread is not None
    assert not pump.shutdown(0.1)
    assert time.monotonic() - begun_s < 0.1 + SLACK_S
    thread.join(10)
    assert not thread.is_alive()
    assert outlet.counts.dropped == {Reason.SHUTDOWN: 1}


def test_a_pump_that_was_left_hanging_takes_nothing_from_the_next_one(
    receiver: Receiver, sender: HttpSender, pumping: Pumping, outlet: Outlet
) -> None:
    """The queues are the process's: what is recorded after a shutdown is for the pump that comes then."""
    receiver.answer = _hangs
    first = pumping([outlet], sender, timeout_s=1.2, schedule_s=0.01)
    put(outlet, "a")
    until(lambda: receiver.requests)
    thread = first._thread
    assert thread is not None
    assert not first.shutdown(0.0)
    put(outlet, "b")
    thread.join(10)
    assert (outlet.waiting, dict(outlet.counts.dropped)) == (1, {Reason.SHUTDOWN: 1})
    second = pumping([outlet], Told(TAKEN))
    assert second.flush(5.0)
    assert outlet.counts.sent == 1


def test_nobody_listens_and_then_somebody_does(
    pumping: Pumping, outlet: Outlet, caplog: pytest.LogCaptureFixture
) -> None:
    """While the receiver is away it is said once; when it is back what waited arrives, and that is said too."""
    caplog.set_level(logging.INFO, "gnomon.export")
    receiver = Receiver()
    receiver.stop()
    sender = HttpSender(receiver.addresses)
    pump = pumping([outlet], sender)
    put(outlet, "a", "b")
    for _ in range(5):
        assert not pump.flush(0.05)
    assert "refused" in pump.failing[Signal.TRACES]
    back = Receiver(port=receiver.port)
    assert pump.flush(5.0)
    assert back.names == ["a", "b"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert caplog.messages[1] == "traces are delivered again"
    pump.shutdown(1.0)
    back.stop()


def test_halving(receiver: Receiver, sender: HttpSender, pumping: Pumping, outlet: Outlet) -> None:
    """What is too large goes in halves, down to single records; a single one that is too large is dropped."""

    def answer(sock: Any, seen: Request) -> None:
        large = len(seen.names) > 3 or "x" * 500 in seen.names
        sock.sendall(reply(413 if large else 200))

    receiver.answer = answer
    pump = pumping([outlet], sender)
    put(outlet, *map(str, range(17)), "x" * 500, *map(str, range(17, 30)))
    assert pump.flush(10.0)
    assert (outlet.counts.sent, dict(outlet.counts.dropped)) == (30, {Reason.REFUSED: 1})
    taken = [one.names for one in receiver.requests if len(one.names) <= 3 and "x" * 500 not in one.names]
    arrived = [name for names in taken for name in names]
    assert sorted(arrived, key=int) == list(map(str, range(30)))


def test_a_refused_batch_is_not_tried_again(
    receiver: Receiver, sender: HttpSender, pumping: Pumping, outlet: Outlet
) -> None:
    """What will never be taken is dropped at once, counted, and does not stop what follows."""
    receiver.answer = saying(reply(400, b"malformed"), reply(200))
    pump = pumping([outlet], sender)
    put(outlet, "bad", "worse")
    assert pump.flush(5.0)
    assert "malformed" in pump.failing[Signal.TRACES]
    put(outlet, "good")
    assert pump.flush(5.0)
    assert (outlet.counts.sent, dict(outlet.counts.dropped)) == (1, {Reason.REFUSED: 2})
    assert len(receiver.requests) == 2


@pytest.mark.parametrize(("rejected", "sent", "dropped"), [(0, 5, 0), (2, 3, 2), (5, 0, 5), (2**62, 0, 5)])
def test_partial_success_counts(
    pumping: Pumping, outlet: Outlet, rejected: int, sent: int, dropped: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Rejected records are dropped ones; a receiver that says more than it got is not believed."""
    pump = pumping([outlet], Told(Answer(Verdict.TAKEN, "too old", rejected=rejected)))
    put(outlet, *"abcde")
    assert pump.flush(5.0)
    assert (outlet.counts.sent, outlet.counts.dropped[Reason.REJECTED]) == (sent, dropped)
    assert bool(caplog.messages) == bool(rejected)


def test_the_wait_between_attempts(pumping: Pumping, outlet: Outlet) -> None:
    """As long as the receiver asked for, else ever longer; by a turned clock."""
    turned, told = Turned(), Told(Answer(Verdict.AGAIN, "busy", after_s=40.0), AGAIN, TAKEN)
    pump = pumping([outlet], told, turned=turned)
    put(outlet, "a")
    turned.turn(0.5)
    until(lambda: told.seen == 1 and pump.failing)
    turned.turn(39.9)
    turned.turn(0.2)
    until(lambda: told.seen == 2 and pump._ways[0].not_before_s > turned.now_s)
    wait_s = pump._ways[0].not_before_s - turned.now_s
    assert FIRST_S <= wait_s <= 2 * FIRST_S
    turned.turn(wait_s + 0.01)
    until(lambda: outlet.counts.sent == 1)
    assert told.seen == 3


def test_a_receiver_that_says_at_once_is_not_hammered_at(pumping: Pumping, outlet: Outlet) -> None:
    """`Retry-After: 0`, or a date that has passed, still means a moment."""
    turned, told = Turned(), Told(Answer(Verdict.AGAIN, "busy", after_s=0.0))
    pump = pumping([outlet], told, turned=turned)
    put(outlet, "a")
    turned.turn(0.0)
    until(lambda: told.seen and pump.failing)
    assert pump._ways[0].not_before_s >= turned.now_s + FIRST_S / 2
    assert told.seen == 1


def test_backoff() -> None:
    """It doubles from half a second to half a minute, with as much chance in it as certainty."""
    assert [backoff_s(attempt, lambda: 1.0) for attempt in (1, 2, 3, 7, 10, 10**9)] == [0.5, 1.0, 2.0, 30.0, 30.0, 30.0]
    assert [backoff_s(attempt, lambda: 0.0) for attempt in (1, 2, 100)] == [FIRST_S / 2, 0.5, LONGEST_S / 2]
    assert len({backoff_s(5) for _ in range(20)}) > 1


def test_retries_end(pumping: Pumping, outlet: Outlet) -> None:
    """A batch that could not be delivered for so long is dropped and counted; the next one is tried on its own time."""
    turned, told = Turned(), Told(AGAIN)
    pump = pumping([outlet], told, turned=turned, retry_s=60.0)
    put(outlet, "a", "b")
    turned.turn(0.0)
    until(lambda: told.seen == 1 and pump.failing)
    turned.turn(61.0)
    until(lambda: outlet.counts.dropped == {Reason.RETRIES_EXHAUSTED: 2})
    told.answers = [TAKEN]
    put(outlet, "c")
    assert pump.flush(5.0)
    assert outlet.counts.sent == 1


def test_a_service_under_load_is_sent_in_batches(pumping: Pumping) -> None:
    """What is recorded while a request is under way waits for its turn: it is not sent one by one."""
    outlet = Outlet(Signal.TRACES)

    class Busy(Told):
        def send(self, signal: Signal, body: bytes, timeout_s: float) -> Answer:
            put(outlet, "meanwhile")
            return super().send(signal, body, timeout_s)

    busy = Busy(TAKEN)
    pump = pumping([outlet], busy)
    put(outlet, "first")
    assert pump.flush(5.0)
    assert (busy.seen, outlet.waiting) == (1, 1)


def test_flush_under_steady_traffic(receiver: Receiver, sender: HttpSender, pumping: Pumping, outlet: Outlet) -> None:
    """What waits when it is asked is delivered when it says so, though more is recorded all the time."""
    ending = threading.Event()

    def record() -> None:
        while not ending.is_set():
            put(outlet, "noise")
            time.sleep(0.0005)

    threads = [threading.Thread(target=record) for _ in range(2)]
    for thread in threads:
        thread.start()
    pump = pumping([outlet], sender)
    try:
        for number in range(10):
            put(outlet, f"mark {number}")
            assert pump.flush(5.0)
            assert f"mark {number}" in receiver.names
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def test_flushes_of_several_threads(receiver: Receiver, sender: HttpSender, pumping: Pumping, outlet: Outlet) -> None:
    """Each of them returns only when its own record has been delivered."""
    pump = pumping([outlet], sender)
    missing: list[str] = []

    def work(number: int) -> None:
        for turn in range(20):
            name = f"{number}-{turn}"
            put(outlet, name)
            if not pump.flush(10.0) or name not in receiver.names:
                missing.append(name)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not missing
    assert len(receiver.names) == outlet.counts.sent == 80


def test_flush_without_a_thread(outlet: Outlet) -> None:
    """Before the start, and after the end, it tells the truth and waits for nothing."""
    pump = Pump([outlet], encode, Told(TAKEN))
    assert pump.flush(0.0)
    put(outlet, "a")
    assert not pump.flush(100.0)
    assert pump.shutdown(1.0)
    pump.start()
    pump.start()
    assert pump.flush(5.0)
    assert pump.shutdown(1.0)
    assert pump.shutdown(1.0)
    assert pump.flush(0.0)


def test_shutdown_sends_what_waits(receiver: Receiver, sender: HttpSender, pumping: Pumping, outlet: Outlet) -> None:
    """And takes a last look at the tasks, whose records leave too; the connection is closed."""
    pump = pumping([outlet], sender)
    pump.every(3600.0, lambda: put(outlet, "last look"))
    put(outlet, "a")
    assert pump.shutdown(5.0)
    assert sorted(receiver.names) == ["a", "last look"]
    assert sender._connection is None


def test_a_full_batch_goes_at_once_and_the_rest_on_schedule(pumping: Pumping) -> None:
    """A batch does not wait for the schedule; what is less waits, at most so long."""
    outlet, told = Outlet(Signal.TRACES, batch=5), Told(TAKEN)
    pumping([outlet], told)
    put(outlet, *"abcde")
    until(lambda: outlet.counts.sent == 5)
    put(outlet, *"fg")
    other = Outlet(Signal.LOGS)
    pumping([other], Told(TAKEN), schedule_s=0.05)
    put(other, *"fg")
    until(lambda: other.counts.sent == 2)
    assert outlet.counts.sent == 5


def test_tasks_run_on_schedule(pumping: Pumping, outlet: Outlet) -> None:
    """By a turned clock: first when said, then every so often, and never late ones in a row."""
    turned = Turned()
    ran: list[float] = []
    looked: list[float] = []
    pump = pumping([outlet], Told(TAKEN), turned=turned, started=False)
    pump.every(10.0, lambda: ran.append(turned.now_s))
    pump.every(30.0, lambda: ran.append(-turned.now_s), first_s=0.0)
    pump.every(0.0, lambda: looked.append(turned.now_s))
    pump.start()
    for seconds in (0.0, 5.0, 5.0, 5.0, 100.0):
        turned.turn(seconds)
        until(lambda: looked.count(turned.now_s) > 2)
    assert ran == [-1000.0, 1010.0, 1115.0, -1115.0]


def test_a_task_that_fails(
    receiver: Receiver, sender: HttpSender, pumping: Pumping, outlet: Outlet, caplog: Any
) -> None:
    """What a task raises is said once; the other tasks, the queues and the end have their turn all the same."""
    ran: list[int] = []

    def fail() -> None:
        ran.append(1)
        if len(ran) != 4:
            raise ZeroDivisionError

    pump = pumping([outlet], sender)
    pump.every(0.01, fail)
    pump.every(3600.0, lambda: put(outlet, "other task"))
    for number in range(3):
        put(outlet, str(number))
        assert pump.flush(5.0)
    assert {"0", "1", "2", "other task"} <= set(receiver.names)
    until(lambda: len(ran) > 8)
    assert len([message for message in caplog.messages if "failed; it goes on" in message]) == 2
    put(outlet, "last")
    assert pump.shutdown(5.0)
    assert "last" in receiver.names


def test_a_batch_that_cannot_be_encoded(outlet: Outlet, caplog: pytest.LogCaptureFixture) -> None:
    """A mistake of ours drops its batch, counted as what it is, with a traceback, once; what follows is sent."""
    told, sound = Told(TAKEN), False

    def mistaken(outlet: Outlet, batch: Any) -> bytes:
        return encode(outlet, batch) if sound else bytes(1 // 0)

    pump = Pump([outlet], mistaken, told, schedule_s=3600.0)
    pump.start()
    for name in "abc":
        put(outlet, name)
        assert pump.flush(5.0)
    assert (dict(outlet.counts.dropped), told.seen) == ({Reason.FAULT: 3}, 0)
    assert len(caplog.records) == 1
    assert "ZeroDivisionError" in caplog.text
    sound = True
    put(outlet, "d")
    assert pump.shutdown(5.0)
    assert outlet.counts.sent == 1


def test_a_mistake_in_the_thread_itself(pumping: Pumping, outlet: Outlet, caplog: pytest.LogCaptureFixture) -> None:
    """A sender that answers with nothing costs no thread, and the end still comes."""
    told = Told(None)  # type: ignore[arg-type]
    pump = pumping([outlet], told, schedule_s=0.01)
    put(outlet, "a")
    until(lambda: told.seen > 2)
    assert "met a mistake of ours; it goes on" in caplog.text
    put(outlet, "b")
    assert pump.shutdown(0.3)
    assert outlet.counts.dropped == {Reason.SHUTDOWN: 2}


def test_nothing_of_ours_is_traced(pumping: Pumping, outlet: Outlet) -> None:
    """In the thread, instrumentation is told to look away."""
    from opentelemetry.instrumentation.utils import is_instrumentation_enabled  # noqa: PLC0415 - if it is there

    seen: list[bool] = []
    pump = pumping([outlet], Told(TAKEN))
    pump.every(1.0, lambda: seen.append(is_instrumentation_enabled()))
    assert pump.flush(5.0)
    assert seen == [False]
    assert is_instrumentation_enabled()


def test_several_signals_share_a_pump(receiver: Receiver, sender: HttpSender, pumping: Pumping) -> None:
    """A signal that is refused does not keep the others from theirs."""
    outlets = [Outlet(signal) for signal in Signal]

    def answer(sock: Any, seen: Request) -> None:
        sock.sendall(reply(503 if "/v1/traces" in seen.line else 200))

    receiver.answer = answer
    pump = pumping(outlets, sender)
    for outlet in outlets:
        put(outlet, "a")
    assert not pump.flush(0.3)
    assert [outlet.counts.sent for outlet in outlets] == [0, 1, 1]
    assert set(pump.failing) == {Signal.TRACES}


# Outages that outlast memory.


@pytest.fixture
def spool(tmp_path: Path, outlet: Outlet) -> Spool:
    """A folder to keep what cannot be sent."""
    return Spool(tmp_path / "spool", 1 << 20, lambda _, records: outlet.counts.drop(records, Reason.SPOOL_FULL))


def files(spool: Spool) -> list[str]:
    """What lies there."""
    return [path.name for path in spool.folder.iterdir()] if spool.folder.exists() else []


def test_an_outage_goes_to_disk_and_is_delivered_later(
    receiver: Receiver, sender: HttpSender, pumping: Pumping, spool: Spool
) -> None:
    """Each request is a file; with every one that is delivered from memory one leaves the disk, and is counted."""
    orderly, receiver.answer = receiver.answer, saying(reply(503))
    outlet = Outlet(Signal.TRACES)
    pump = pumping([outlet], sender, spool=spool)
    for name in "abc":
        put(outlet, name, name * 2)
        assert pump.flush(5.0)
    assert (len(files(spool)), outlet.counts.spooled, outlet.counts.sent) == (3, 6, 0)
    receiver.requests.clear()
    receiver.answer = orderly
    for name in "def":
        put(outlet, name)
        assert pump.flush(5.0)
    assert files(spool) == []
    assert receiver.names == ["d", "a", "aa", "e", "b", "bb", "f", "c", "cc"]
    assert (outlet.counts.sent, dict(outlet.counts.dropped)) == (9, {})


def test_what_the_disk_held_may_be_refused_too(pumping: Pumping, outlet: Outlet, spool: Spool) -> None:
    """From disk as from memory: refused and rejected records are counted; who is away again leaves it there."""
    told = Told(AGAIN)
    pump = pumping([outlet], told, spool=spool)
    for name in ("a", "bb", "ccc"):
        put(outlet, *name)
        assert pump.flush(5.0)
    for answers, left in (
        ([TAKEN, AGAIN], 3),
        ([TAKEN, Answer(Verdict.NEVER, "bad")], 2),
        ([TAKEN, Answer(Verdict.TOO_LARGE, "large")], 1),
        ([TAKEN, Answer(Verdict.TAKEN, "old", rejected=2)], 0),
    ):
        told.answers = [*answers, TAKEN]
        put(outlet, "x")
        assert pump.flush(5.0)
        assert len(files(spool)) == left
    assert (outlet.counts.sent, dict(outlet.counts.dropped)) == (5, {Reason.REFUSED: 3, Reason.REJECTED: 2})


def test_a_full_spool_counts_what_it_drops(pumping: Pumping, outlet: Outlet, spool: Spool) -> None:
    """The oldest go first, with their reason."""
    spool.most_bytes = 2 * 4096
    pump = pumping([outlet], Told(AGAIN), spool=spool)
    for name in ("a", "bb", "ccc"):
        put(outlet, *name)
        assert pump.flush(5.0)
    assert (outlet.counts.spooled, dict(outlet.counts.dropped)) == (6, {Reason.SPOOL_FULL: 1})


def test_a_spool_that_cannot_be_written(tmp_path: Path, pumping: Pumping, outlet: Outlet) -> None:
    """Then memory is what there is, as without one."""
    (tmp_path / "file").touch()
    told = Told(AGAIN)
    pump = pumping([outlet], told, spool=Spool(tmp_path / "file", 1 << 20, lambda *_: None))
    put(outlet, "a")
    assert not pump.flush(0.2)
    told.answers = [TAKEN]
    assert pump.flush(5.0)
    assert (outlet.counts.spooled, outlet.counts.sent) == (0, 1)


def test_the_end_leaves_the_rest_on_disk(
    receiver: Receiver, sender: HttpSender, pumping: Pumping, spool: Spool
) -> None:
    """With a receiver that hangs, what is left at the deadline is kept for the next process, and not dropped."""
    receiver.answer = _hangs
    outlet = Outlet(Signal.TRACES, batch=10)
    pump = pumping([outlet], sender, spool=spool, timeout_s=0.3)
    put(outlet, *map(str, range(50)))
    assert pump.shutdown(0.5)
    assert (outlet.counts.spooled, dict(outlet.counts.dropped), len(files(spool))) == (50, {}, 5)


def test_the_end_with_a_spool_and_a_mistake(tmp_path: Path, outlet: Outlet, spool: Spool) -> None:
    """What cannot even be encoded is counted at the end."""
    pump = Pump([outlet], lambda *_: bytes(1 // 0), Told(TAKEN), spool=spool)
    put(outlet, "a")
    pump._deadline_s = 0.0
    assert pump._finished()
    assert outlet.counts.dropped == {Reason.SHUTDOWN: 1}


def test_the_warning_comes_back_after_a_minute(
    pumping: Pumping, outlet: Outlet, caplog: pytest.LogCaptureFixture
) -> None:
    """A backend that stays dead is said again, but does not fill the host's log."""
    turned = Turned()
    pump = pumping([outlet], Told(AGAIN), turned=turned)
    put(outlet, "a")
    for _ in range(4):
        for _ in range(5):
            attempts = pump._ways[0].trying.attempts if pump._ways[0].trying else 0
            pump.flush(0.0)
            until(lambda before=attempts: pump._ways[0].trying and pump._ways[0].trying.attempts > before)
        turned.now_s += pumps.WARN_AGAIN_S / 2
    assert len(caplog.messages) == 2
