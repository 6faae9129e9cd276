"""The queue of a signal: bounded, counted, and emptied while threads fill it."""

import os
import sys
import threading

from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.export.receivers import SCOPE, put, record

from gnomon.config.export import ExportSettings, SignalExport
from gnomon.export.outlet import MOST_LANES, OTHERS, Batch, Outlet, Reason, Signal
from gnomon.recorders import Recorders, recorders
from gnomon.wire.envelope import Scope


def test_number_is_bounded_and_important_ones_have_a_reserve() -> None:
    """A full queue drops and counts; what is important finds a quarter more, and no more than that."""
    outlet = Outlet(Signal.TRACES, most_records=100)
    put(outlet, *"x" * 150)
    assert (outlet.waiting, dict(outlet.counts.dropped)) == (100, {Reason.QUEUE_FULL: 50})
    put(outlet, *"y" * 50, important=True)
    assert (outlet.waiting, dict(outlet.counts.dropped)) == (125, {Reason.QUEUE_FULL: 75})


def test_bytes_are_bounded() -> None:
    """Few large records fill it as many small ones do; one record goes beyond the bound at most."""
    outlet = Outlet(Signal.TRACES, most_bytes=10_000)
    size = len(record("x" * 1000))
    put(outlet, *["x" * 1000] * 30)
    assert 10_000 <= outlet.waiting_bytes < 10_000 + size
    put(outlet, *["y" * 1000] * 30, important=True)
    assert 12_500 <= outlet.waiting_bytes < 12_500 + size
    assert outlet.waiting + outlet.counts.dropped[Reason.QUEUE_FULL] == 60


def test_scopes_are_bounded() -> None:
    """Whoever makes a tracer a request fills no memory with them: what is beyond shares a lane."""
    outlet = Outlet(Signal.TRACES)
    first = outlet.lane(Scope("0"))
    lanes = {outlet.lane(Scope(str(number))) for number in range(MOST_LANES + 100)}
    assert len(lanes) == MOST_LANES + 1
    assert outlet.lane(Scope("0")) is first
    assert outlet.lane(Scope("new")).scope == OTHERS


def test_a_batch_is_bounded() -> None:
    """In records, over all scopes, and in bytes; everything comes, in order within its scope."""
    outlet = Outlet(Signal.TRACES, batch=10, batch_bytes=500)
    scopes = [Scope(str(number)) for number in range(3)]
    for number in range(20):
        for scope in scopes:
            outlet.lane(scope).put(b"%d" % number * (300 if number == 15 else 1))
    seen: dict[Scope, list[bytes]] = {}
    while batch := outlet.take():
        assert 0 < len(batch) <= 10
        for scope, records in batch.groups:
            seen.setdefault(scope, []).extend(records)
    assert set(seen) == set(scopes)
    for records in seen.values():
        assert [int(one[:2]) for one in records] == [*range(15), 15, *range(16, 20)]
    assert (outlet.waiting, outlet.waiting_bytes) == (0, 0)


def test_a_busy_scope_leaves_the_others_their_turn() -> None:
    """A scope that fills every batch does not keep what another recorded from being sent."""
    outlet = Outlet(Signal.TRACES, batch=10)
    busy, quiet = outlet.lane(Scope("busy")), outlet.lane(Scope("quiet"))
    seen: list[str] = []
    for number in range(4):
        for _ in range(30):
            busy.put(b"b")
        if number == 0:
            quiet.put(b"q")
        batch = outlet.take()
        assert batch is not None
        seen += [scope.name for scope, _ in batch.groups]
    assert "quiet" in seen[:3]


def test_a_full_batch_wakes_the_pump_once() -> None:
    """Nobody is woken for less; the wake comes with the record that makes a batch full."""
    outlet = Outlet(Signal.TRACES, batch=5)
    woken: list[int] = []
    outlet.wake = lambda: woken.append(outlet.waiting)
    put(outlet, *"abcdefgh")
    assert woken == [5]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(lambda sizes: sum(sizes) > 1))
def test_halves(sizes: list[int]) -> None:
    """A batch of more than one falls into two that are not empty and hold the same records, so halving ends."""
    groups = [(Scope(str(at)), [b"%d-%d" % (at, one) for one in range(size)]) for at, size in enumerate(sizes) if size]
    batch = Batch(groups)
    halves = batch.halves()
    assert all(0 < len(half) < len(batch) for half in halves)
    assert all(records for half in halves for _, records in half.groups)
    together: dict[str, list[bytes]] = {}
    for half in halves:
        for scope, records in half.groups:
            together.setdefault(scope.name, []).extend(records)
    assert together == {scope.name: records for scope, records in groups}


def test_threads() -> None:
    """While many threads record and one empties, into a queue that is often full, not one record is miscounted."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    outlet = Outlet(Signal.TRACES, most_records=50, batch=20)
    taken, recording = 0, True

    def fill(name: str) -> None:
        lane = outlet.lane(Scope(name))
        for _ in range(5000):
            lane.put(b"abc")

    threads = [threading.Thread(target=fill, args=(str(number % 3),)) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        while recording:
            recording = any(thread.is_alive() for thread in threads)
            while batch := outlet.take():
                taken += len(batch)
    finally:
        sys.setswitchinterval(before)
        for thread in threads:
            thread.join()
    while batch := outlet.take():
        taken += len(batch)
    assert (outlet.waiting, outlet.waiting_bytes) == (0, 0)
    assert taken + outlet.counts.dropped[Reason.QUEUE_FULL] == 6 * 5000


def test_a_forked_child_has_an_empty_queue() -> None:
    """What the parent had queued is the parent's to send; the child counts from nothing."""
    outlet = Outlet(Signal.TRACES, most_records=3)
    put(outlet, *"abcde")
    pid = os.fork()
    if not pid:
        empty = outlet.waiting == outlet.waiting_bytes == 0 and not outlet.counts.dropped and outlet.take() is None
        put(outlet, "z")
        os._exit(0 if empty and outlet.waiting == 1 and outlet.take() is not None else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert (outlet.waiting, outlet.counts.dropped[Reason.QUEUE_FULL]) == (3, 2)


def test_the_recorders_of_a_process() -> None:
    """They are made once, bounded by the settings, and take nothing once closed."""
    assert recorders() is recorders()
    mine = Recorders()
    traces = SignalExport(queue_size=500, batch_size=2000)
    mine.open(ExportSettings(queue_bytes=3_000_000, queue_size=1000, batch_size=100, traces=traces))
    bounds = {
        signal: (one.most_records, one.most_bytes, one.batch, one.wake_at) for signal, one in mine.outlets.items()
    }
    assert bounds == {
        Signal.TRACES: (500, 1_000_000, 500, 500),
        Signal.METRICS: (1000, 1_000_000, 100, 100),
        Signal.LOGS: (1000, 1_000_000, 100, 100),
    }
    mine.close()
    for outlet in mine.outlets.values():
        outlet.lane(SCOPE).put(b"x", important=True)
        assert (outlet.waiting, dict(outlet.counts.dropped)) == (0, {Reason.QUEUE_FULL: 1})


def test_what_is_lost_by_a_mistake_of_ours() -> None:
    """It is counted for the whole signal, and whoever lost it hears how many there are."""
    outlet = Outlet(Signal.TRACES)
    lanes = [outlet.lane(Scope("a")), outlet.lane(Scope("b"))]
    assert [lane.fault() for lane in lanes * 2] == [1, 2, 3, 4]
    put(outlet, "a")
    assert [len(lane) for lane in (*lanes, outlet.lane(SCOPE))] == [0, 0, 1]
    assert dict(outlet.counts.dropped) == {Reason.FAULT: 4}
