"""Forks in the middle of traffic, told by processes of their own."""

import os
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest
from tests.sdk.export.receivers import Receiver, reply, saying

ROOT = Path(__file__).parents[3]
BEGINNING = """
    import os, sys, threading, time
    from tests.sdk.export.receivers import encode, put
    from gnomon.export.http import Address, HttpSender
    from gnomon.export.outlet import Outlet, Reason, Signal
    from gnomon.export.pump import Pump

    outlet = Outlet(Signal.TRACES, batch=50)
    address = Address.of(f"http://localhost:{sys.argv[1]}/v1/traces")
    pump = Pump([outlet], encode, HttpSender({Signal.TRACES: address}), schedule_s=0.02, timeout_s=5.0)
"""


def run(receiver: Receiver, script: str) -> str:
    """Run it; what it wrote."""
    code = textwrap.dedent(BEGINNING) + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:.*fork:DeprecationWarning", "-c", code, str(receiver.port)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("answer", [reply(200), reply(200, b"", "Connection: close")])
def test_forks_in_the_middle_of_traffic(receiver: Receiver, answer: bytes) -> None:
    """Parent and children each send what they recorded, all of it, and nothing of each other's."""
    receiver.answer = saying(answer, then=b"close" not in answer)
    told = run(
        receiver,
        """
        def fill(name):
            for number in range(1000):
                put(outlet, f"{name}-{number}")
                if number % 100 == 0:
                    time.sleep(0.005)

        pump.start()
        thread = threading.Thread(target=fill, args=("parent",))
        thread.start()
        children = []
        for child in range(4):
            time.sleep(0.01)
            pid = os.fork()
            if not pid:
                fill(f"child{child}")
                right = pump.flush(20.0) and outlet.counts.sent == 1000 and not outlet.counts.dropped
                os._exit(0 if right and pump.shutdown(5.0) else 1)
            children.append(pid)
        thread.join()
        assert pump.flush(20.0)
        assert outlet.counts.sent == 1000, outlet.counts
        assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
        assert pump.shutdown(5.0)
        print("whole")
        """,
    )
    assert told == "whole\n"
    seen = Counter(receiver.names)
    assert seen == Counter(
        f"{name}-{number}" for name in ("parent", "child0", "child1", "child2", "child3") for number in range(1000)
    )


def test_a_pump_that_had_not_started_does_not_start_in_a_child(receiver: Receiver) -> None:
    """A server that forks its workers and starts the SDK in each: the queue of the master stays the master's."""
    run(
        receiver,
        """
        put(outlet, "master")
        pid = os.fork()
        if not pid:
            alone = threading.active_count() == 1 and not outlet.waiting
            pump.start()
            put(outlet, "child")
            os._exit(0 if alone and pump.shutdown(5.0) else 1)
        assert os.waitpid(pid, 0)[1] == 0
        pump.start()
        assert pump.shutdown(5.0)
        """,
    )
    assert sorted(receiver.names) == ["child", "master"]


def test_a_child_of_a_child_and_one_born_at_the_end(receiver: Receiver) -> None:
    """Workers of workers send too; who is forked after the shutdown has no thread."""
    run(
        receiver,
        """
        pump.start()
        put(outlet, "a")
        pid = os.fork()
        if not pid:
            put(outlet, "b")
            inner = os.fork()
            if not inner:
                put(outlet, "c")
                os._exit(0 if pump.shutdown(5.0) else 1)
            ended = os.waitpid(inner, 0)[1] == 0
            os._exit(0 if ended and pump.shutdown(5.0) else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert pump.shutdown(5.0)
        pid = os.fork()
        if not pid:
            os._exit(0 if threading.active_count() == 1 else 1)
        assert os.waitpid(pid, 0)[1] == 0
        """,
    )
    assert sorted(receiver.names) == ["a", "b", "c"]


def test_a_fork_while_the_receiver_hangs(receiver: Receiver) -> None:
    """What the parent is trying is the parent's: its child neither sends it nor waits for it."""
    receiver.answer = saying(reply(503), reply(503), reply(200))
    told = run(
        receiver,
        """
        pump.start()
        put(outlet, "parent")
        assert not pump.flush(0.1)
        assert pump.failing
        pid = os.fork()
        if not pid:
            fresh = not pump.failing and pump.flush(5.0) and outlet.counts.sent == 0
            put(outlet, "child")
            os._exit(0 if fresh and pump.shutdown(5.0) and outlet.counts.sent == 1 else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert pump.flush(5.0)
        assert pump.shutdown(5.0)
        print(outlet.counts.sent)
        """,
    )
    assert told == "1\n"
    requests = [one.names for one in receiver.requests]
    assert sorted(requests[2:]) == [["child"], ["parent"]]  # the two refused before were of whoever came first


def test_the_thread_imports_nothing(receiver: Receiver) -> None:
    """A fork while the thread imports would leave half a module, or its lock, to the child: all is there before."""
    told = run(
        receiver,
        """
        pump.start()
        before = set(sys.modules)
        put(outlet, "a")
        assert pump.flush(5.0)
        print(sorted(set(sys.modules) - before))
        assert pump.shutdown(5.0)
        """,
    )
    assert told == "[]\n"
