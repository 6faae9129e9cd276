"""What waits on disk: whole, in order, shared, bounded, and outliving whoever wrote it."""

import os
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.waiting import until

from gnomon.export.outlet import Signal
from gnomon.export.spool import BLOCK_BYTES, TAKEN_FOR_S, Spool

ALL = tuple(Signal)


@pytest.fixture
def dropped() -> Counter[Signal]:
    """How many records the spool dropped."""
    return Counter()


@pytest.fixture
def spool(tmp_path: Path, dropped: Counter[Signal]) -> Spool:
    """One of ample room."""
    return Spool(tmp_path / "a" / "b", 1 << 20, lambda signal, records: dropped.update({signal: records}))


def bodies(spool: Spool) -> list[bytes]:
    """All that waits, oldest first; it is gone then."""
    seen = []
    while taken := spool.take(ALL):
        seen.append(taken.body)
        spool.done(taken.path)
    return seen


def aged(path: Path) -> None:
    """Make a file as old as one whose holder is given up."""
    then_s = time.time() - TAKEN_FOR_S - 1
    os.utime(path, (then_s, then_s))


def test_the_oldest_comes_first_and_whole(spool: Spool) -> None:
    """Requests come as they went, with their signal and number of records; a folder is made for us alone."""
    for number in range(12):
        assert spool.put(Signal.LOGS, b"%d" % number * 1000, number)
    assert spool.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in spool.folder.iterdir()} == {0o600}
    first = spool.take(ALL)
    assert first is not None
    assert (first.signal, first.records, first.body) == (Signal.LOGS, 0, b"0" * 1000)
    second = spool.take(ALL)
    assert second is not None
    assert second.records == 1
    spool.back(first.path)
    spool.done(second.path)
    assert bodies(spool) == [b"%d" % number * 1000 for number in (0, *range(2, 12))]
    assert list(spool.folder.iterdir()) == []


def test_signals_of_other_destinations_are_left(spool: Spool) -> None:
    """Who sends traces takes no logs, though they are older."""
    spool.put(Signal.LOGS, b"l", 1)
    spool.put(Signal.TRACES, b"t", 1)
    taken = spool.take({Signal.TRACES})
    assert taken is not None
    assert taken.body == b"t"
    assert spool.take({Signal.TRACES, Signal.METRICS}) is None
    assert len(list(spool.folder.iterdir())) == 2


def test_room_is_bounded(spool: Spool, dropped: Counter[Signal]) -> None:
    """When it is full the oldest are dropped and their records counted; small ones count as a block of the disk."""
    spool.most_bytes = 5 * BLOCK_BYTES
    for number in range(9):
        assert spool.put(Signal.TRACES if number % 2 else Signal.LOGS, b"%d" % number, 10)
    assert dropped == {Signal.LOGS: 20, Signal.TRACES: 20}
    assert spool.put(Signal.METRICS, b"m" * 4 * BLOCK_BYTES, 1)
    assert dropped == {Signal.LOGS: 40, Signal.TRACES: 40}
    assert not spool.put(Signal.METRICS, b"m" * 6 * BLOCK_BYTES, 1)
    assert bodies(spool) == [b"8", b"m" * 4 * BLOCK_BYTES]


def test_a_folder_that_cannot_be_written(
    tmp_path: Path, dropped: Counter[Signal], caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and nothing is on disk, nor lost."""
    (tmp_path / "file").write_text("in the way")
    spool = Spool(tmp_path / "file", 1 << 20, lambda *_: None)
    assert not spool.put(Signal.LOGS, b"x", 1)
    assert not spool.put(Signal.LOGS, b"x", 1)
    assert spool.take(ALL) is None
    assert [message for message in caplog.messages if "cannot be used to keep" in message] == caplog.messages
    assert len(caplog.messages) == 1


def test_a_full_disk_leaves_nothing_half_written(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails in its midst is taken back."""

    def full(self: Path, body: bytes) -> int:
        with self.open("wb") as file:
            file.write(body[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert not spool.put(Signal.LOGS, b"abcdef", 1)
    assert list(spool.folder.iterdir()) == []


def test_what_others_left_is_not_ours(spool: Spool) -> None:
    """Files of other names, of another version or another tool, are neither sent nor moved nor removed."""
    spool.folder.mkdir(parents=True)
    others = {"README", ".hidden", "1-2-3-4.traces", f"{1:020d}-1-1.traces", f"{1:020d}-1-1-1.profiles", ".x.123"}
    for name in others:
        (spool.folder / name).write_text("kept")
        aged(spool.folder / name)
    spool.most_bytes = BLOCK_BYTES
    assert spool.take(ALL) is None
    assert spool.put(Signal.LOGS, b"x", 1)
    assert bodies(spool) == [b"x"]
    assert {path.name for path in spool.folder.iterdir()} == others


def test_a_file_that_vanishes_or_cannot_be_read(spool: Spool) -> None:
    """Another worker was faster, or something is a folder: the next one is taken."""
    spool.put(Signal.LOGS, b"first", 1)
    spool.put(Signal.LOGS, b"second", 1)
    oldest = min(spool.folder.iterdir())
    oldest.unlink()
    oldest.mkdir()
    assert spool.take(ALL).body == b"second"  # type: ignore[union-attr]
    spool.done(spool.folder / ".gone.123")
    spool.back(spool.folder / ".gone.123")


def run(spool: Spool, script: str) -> "subprocess.Popen[str]":
    """A process of its own, with `spool` and `ALL` at hand."""
    beginning = f"""
        import os, signal, sys, time
        from pathlib import Path
        from gnomon.export.outlet import Signal
        from gnomon.export.spool import Spool
        ALL = tuple(Signal)
        spool = Spool(Path({str(spool.folder)!r}), 1 << 20, lambda *_: None)
    """
    code = textwrap.dedent(beginning) + textwrap.dedent(script)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_two_processes_share_a_folder(spool: Spool) -> None:
    """Two that take at the same time get every request, and none of them twice."""
    for number in range(200):
        spool.put(Signal.LOGS, b"%d" % number, 1)
    script = """
        while taken := spool.take(ALL):
            print(taken.body.decode())
            spool.done(taken.path)
    """
    processes = [run(spool, script) for _ in range(2)]
    seen = [int(line) for process in processes for line in process.communicate(timeout=60)[0].split()]
    assert sorted(seen) == list(range(200))
    assert list(spool.folder.iterdir()) == []


def test_a_worker_that_was_killed_while_it_held_a_file(spool: Spool) -> None:
    """What it had taken is left to it for a while, for it may live, and is then there for the others again."""
    spool.put(Signal.LOGS, b"held", 7)
    process = run(spool, "spool.take(ALL); os.kill(os.getpid(), signal.SIGKILL)")
    process.communicate(timeout=60)
    assert spool.take(ALL) is None
    (held,) = spool.folder.iterdir()
    aged(held)
    taken = spool.take(ALL) or spool.take(ALL)  # given back by the first
    assert taken is not None
    assert (taken.body, taken.records) == (b"held", 7)


def test_a_worker_that_was_killed_while_it_wrote(spool: Spool) -> None:
    """A request that was half written is never sent, and goes away in time."""
    spool.put(Signal.LOGS, b"whole", 1)
    (path,) = spool.folder.iterdir()
    half = path.with_name(f".{path.name}")
    half.write_bytes(b"who")
    assert bodies(spool) == [b"whole"]
    assert list(spool.folder.iterdir()) == [half]
    aged(half)
    assert spool.take(ALL) is None
    assert list(spool.folder.iterdir()) == []


def test_room_is_made_while_another_process_takes(spool: Spool, dropped: Counter[Signal]) -> None:
    """A file that another one takes in between is neither an error nor counted as dropped."""
    spool.most_bytes = 20 * BLOCK_BYTES
    process = run(
        spool,
        """
        print("here", flush=True)
        ends = time.monotonic() + 20
        seen = 0
        while time.monotonic() < ends:
            if taken := spool.take(ALL):
                if taken.body == b"end":
                    break
                seen += taken.records
                spool.done(taken.path)
        print(seen)
        """,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    for _ in range(400):
        assert spool.put(Signal.LOGS, b"x", 1)
    until(lambda: not spool._waiting())
    assert spool.put(Signal.LOGS, b"end", 1)
    output, _ = process.communicate(timeout=60)
    assert int(output) + dropped[Signal.LOGS] == 400
