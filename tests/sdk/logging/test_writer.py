"""The writer of the console: it never waits, is bounded, and lives after a fork."""

import io
import os
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from gnomon.export.outlet import Outlet, Reason, Signal
from gnomon.logging import StructuredLogger
from gnomon.logging.sampling import Sampling
from gnomon.logging.writer import Console, Writer


class Pipe:
    """A pipe that nobody reads until somebody does; with what is needed of a stream."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()

    def fileno(self) -> int:
        return self.writing

    def read_all(self) -> bytes:
        """All until the writing end is closed."""
        with os.fdopen(self.reading, "rb") as reading:
            return reading.read()


def test_a_blocked_pipe_holds_up_nobody_and_loses_no_error(make: Any) -> None:
    """Four seconds of 5,000 lines a second: memory is bounded, errors and audit arrive, samples say so, drops count."""
    pipe: Any = Pipe()
    writer = Writer(pipe, most_lines=5000)
    outlet = Outlet(Signal.LOGS, most_records=5000)
    seen = make(
        shows=Console("json", writer), outlet=outlet, sampling=Sampling({"access": 0.5}, chance=iter_halves().__next__)
    )
    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    tracemalloc.start()
    for number in range(20_000):
        if number % 100 == 0:
            logger.error("error", number=number)
        elif number % 100 == 1:
            logger.audit("audit", number=number)
        elif number % 2:
            logger.access("request", number=number)
        else:
            logger.info("info", number=number)
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    waiting, dropped = len(writer), writer.dropped
    assert waiting <= 5000 * 1.5
    assert held_bytes < 16 << 20
    assert not writer.flush(0.05)  # still blocked, and the caller is not held up for longer than it asked

    reader: list[bytes] = []
    thread = threading.Thread(target=lambda: reader.append(pipe.read_all()))
    thread.start()
    assert writer.flush(30)
    os.close(pipe.writing)
    thread.join(10)
    written = reader[0].decode().splitlines()
    shipped = seen.records()
    for arrived in (
        [line.split('"message":"')[1].split('"')[0] for line in written],
        [record["body"] for record in shipped],
    ):
        assert (arrived.count("error"), arrived.count("audit")) == (200, 200)
    rates = [record["attributes"].get("sample_rate") for record in shipped if record["body"] == "request"]
    assert rates
    assert set(rates) == {0.5}
    assert len(written) + dropped + seen.pipeline.sampled_out == 20_000
    assert len(shipped) + outlet.counts.dropped[Reason.QUEUE_FULL] + seen.pipeline.sampled_out == 20_000
    assert "by the console" in seen.pipeline.health().why
    writer.shutdown(0)


def iter_halves() -> Any:
    """Every other chance is one."""
    while True:
        yield 0.25
        yield 0.75


def test_lines_are_written_in_order_and_whole(tmp_path: Path) -> None:
    """Through the stream's file, past its buffer; more than is written in one stroke."""
    with (tmp_path / "out").open("w") as stream:
        writer = Writer(stream)
        lines = [f"{number} {'x' * 100}\n".encode() for number in range(5000)]
        for line in lines:
            writer.put(line)
        assert writer.shutdown(10)
    assert (tmp_path / "out").read_bytes() == b"".join(lines)
    assert (writer.waiting_bytes, writer.dropped) == (0, 0)


def test_a_stream_that_is_broken_or_closed_costs_its_lines_alone() -> None:
    """They are counted, and the thread lives on."""
    closed = io.StringIO()
    closed.close()
    writer = Writer(closed)
    writer.put(b"lost\n")
    assert writer.flush(10)
    assert writer.dropped == 1
    better = writer._stream = io.StringIO()
    writer.put(b"written\n")
    assert writer.shutdown(10)
    assert better.getvalue() == "written\n"


def test_a_pipe_that_was_made_non_blocking_is_waited_for() -> None:
    """As event loops do to the pipes of their process: nothing is lost."""
    pipe: Any = Pipe()
    os.set_blocking(pipe.writing, False)
    writer = Writer(pipe)
    for _ in range(2000):
        writer.put(b"x" * 99 + b"\n")
    assert not writer.flush(0.05)
    out: list[bytes] = []
    thread = threading.Thread(target=lambda: out.append(pipe.read_all()))
    thread.start()
    assert writer.shutdown(10)
    os.close(pipe.writing)
    thread.join(10)
    assert len(out[0]) == 200_000


def test_bytes_are_bounded_too() -> None:
    """A few large lines are as much as many small ones."""
    pipe: Any = Pipe()
    writer = Writer(pipe, most_bytes=1 << 20)
    for _ in range(100):
        writer.put(b"x" * 65_536)
    assert writer.waiting_bytes <= (1 << 20) + 65_536
    assert writer.dropped >= 80
    writer.shutdown(0)
    os.close(pipe.reading)  # the thread's write fails now, and it goes on
    assert writer.flush(10)
    os.close(pipe.writing)


def _run(code: str) -> str:
    """What a process of its own writes to standard error."""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


def test_what_was_logged_is_written_when_the_process_ends() -> None:
    """By who never heard of flushing; also what is logged while it ends."""
    out = _run(
        "import atexit\n"
        "from gnomon.logging import StructuredLogger\n"
        "logger = StructuredLogger('a')\n"
        "logger.info('first')\n"
        "atexit.register(logger.info, 'last')\n"
    )
    assert [line.count("message") for line in out.splitlines()] == [1, 1]


def test_no_thread_is_to_be_had_any_more() -> None:
    """While the interpreter ends: then lines are written by whoever logs."""
    out = _run(
        "import threading\n"
        'def refuse(self):\n    raise RuntimeError("can\'t create new thread at interpreter shutdown")\n'
        "threading.Thread.start = refuse\n"
        "from gnomon.logging import StructuredLogger\n"
        "StructuredLogger('a').info('written')\n"
    )
    assert '"message":"written"' in out


@pytest.mark.parametrize("stream", ["stderr", "stdout"])
def test_a_blocked_pipe_does_not_keep_the_process_from_ending(stream: str) -> None:
    """It is given its last chance, and the interpreter ends in good order."""
    code = (
        "from gnomon.logging import Pipeline, StructuredLogger\n"
        "from gnomon.logging.writer import console\n"
        f"logger = StructuredLogger('a', pipeline=Pipeline(shows=console('json', '{stream}')))\n"
        "for number in range(5000):\n    logger.info('x' * 100, number=number)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        assert started.wait(30) == 0
        assert started.stderr is not None
        if stream == "stdout":  # else the other is what is blocked
            assert started.stderr.read() == b""


def test_after_a_fork_both_write_what_is_theirs() -> None:
    """The child has a thread of its own, and does not write what its parent had queued."""
    out = _run(
        "import os, sys\n"
        "from gnomon.logging import StructuredLogger, current\n"
        "logger = StructuredLogger('a')\n"
        "logger.info('before')\n"
        "current().flush(10)\n"
        "logger.info('parent queued')\n"
        "child = os.fork()\n"
        "logger.info('child' if child == 0 else 'parent')\n"
        "if child:\n    os.waitpid(child, 0)\n"
    )
    messages = sorted(line.split('"message":"')[1].split('"')[0] for line in out.splitlines())
    assert messages == ["before", "child", "parent", "parent queued"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_write_what_is_theirs(method: str, tmp_path: Path) -> None:
    """They end without `atexit`."""
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing\n"
        "from gnomon.logging import StructuredLogger\n"
        "logger = StructuredLogger('a')\n"
        "if __name__ == '__main__':\n"
        f"    child = multiprocessing.get_context('{method}').Process(target=logger.info, args=('child',))\n"
        "    child.start()\n"
        "    child.join()\n"
    )
    ended = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=False)
    assert '"message":"child"' in ended.stderr


def test_two_threads_start_one() -> None:
    """However many log their first line at once."""
    writer = Writer(io.StringIO())
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        writer.put(b"x\n")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.shutdown(10)
    assert writer._stream.getvalue() == "x\n" * 8  # type: ignore[union-attr]


def test_the_streams_of_the_process_are_those_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts replace them, also after us; a process without one, as services of Windows are, loses its lines alone."""
    for name, other in (("stderr", "stdout"), ("stdout", "stderr")):
        writer, used, unused = Writer(name), io.StringIO(), io.StringIO()
        monkeypatch.setattr(f"sys.{name}", used)
        monkeypatch.setattr(f"sys.{other}", unused)
        writer.put(b"line\n")
        assert writer.flush(10)
        assert (used.getvalue(), unused.getvalue()) == ("line\n", "")
        monkeypatch.setattr(f"sys.{name}", None)
        writer.put(b"lost\n")
        assert writer.shutdown(10)
        assert writer.dropped == 1


@pytest.mark.parametrize("important", [True, False])
def test_the_reserve_is_for_what_is_important(important: bool) -> None:
    """Half as much again, and not more."""
    pipe: Any = Pipe()
    writer = Writer(pipe, most_lines=10)
    writer._thread = threading.current_thread()  # nobody writes
    for _ in range(100):
        writer.put(b"x\n", important)
    assert len(writer) == (15 if important else 10)
    writer._lines.clear()
    writer.shutdown(0)
    os.close(pipe.reading)
    os.close(pipe.writing)
