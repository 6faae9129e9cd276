"""The process we are a guest in: what begins anew in a forked child, and what does not."""

import gc
import os
import pickle
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from gnomon.process import forks
from gnomon.process.clock import SYSTEM
from gnomon.process.forks import after_fork
from gnomon.process.identity import Identity
from gnomon.process.ids import CountingIds, Ids


def in_child(ask: Callable[[], Any]) -> Any:
    """What a forked child says."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(theirs, pickle.dumps(ask()))
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as file:
        told = file.read()
    os.waitpid(pid, 0)
    return pickle.loads(told)  # noqa: S301 - our own child's


class Noting:
    """Notes that it was called, in a list that several share."""

    def __init__(self, name: str, called: list[str], raises: type[BaseException] | None = None) -> None:
        self.name, self.called, self.raises = name, called, raises
        after_fork(self.note)

    def note(self) -> None:
        self.called.append(self.name)
        if self.raises:
            raise self.raises


def test_hooks_run_in_order_and_only_in_the_child() -> None:
    """Each in the order of registration; one that fails keeps no other from its turn."""
    called: list[str] = []
    kept = [Noting("a", called), Noting("b", called, ZeroDivisionError), Noting("c", called)]
    assert in_child(lambda: called) == ["a", "b", "c"]
    assert in_child(lambda: in_child(lambda: called)) == ["a", "b", "c"] * 2
    assert called == []
    assert len(kept) == 3


def test_hooks_keep_nothing_alive() -> None:
    """An object that is gone is not called, and is forgotten by the child."""
    called: list[str] = []
    gone, kept = Noting("gone", called), Noting("kept", called)
    before = len(forks._after)
    del gone
    gc.collect()
    told, length = in_child(lambda: (called, len(forks._after)))
    assert told == ["kept"]
    assert length < before
    assert kept.called == []


def test_ids_are_unique_across_forks() -> None:
    """Children, and children of children, draw from randomness of their own."""
    ids = Ids()

    def draw() -> list[bytes]:
        return [ids.trace() for _ in range(50)] + [ids.span() for _ in range(50)]

    drawn = draw() + in_child(draw) + in_child(draw) + in_child(lambda: in_child(draw)) + draw()
    assert len(set(drawn)) == len(drawn) == 500
    assert {len(one) for one in drawn} == {16, 8}


def test_bits_that_were_bound_before_a_fork_are_reseeded_too() -> None:
    """Who holds `bits` in a variable draws other numbers in a child than its parent does."""
    bits = Ids().bits
    ids = Ids()
    bound = ids.bits
    assert in_child(lambda: bound(128)) != bound(128)
    assert bits(64) != bound(64)


def test_ids_are_never_zero() -> None:
    """Zero is what the standard calls invalid."""
    ids = Ids()
    ids.bits = lambda _: 0
    assert (ids.trace(), ids.span()) == (b"\0" * 15 + b"\1", b"\0" * 7 + b"\1")


def test_counting_ids() -> None:
    """For tests: 1, 2, 3, traces and spans apart."""
    ids = CountingIds()
    assert [int.from_bytes(ids.trace()) for _ in range(3)] == [1, 2, 3]
    assert [int.from_bytes(ids.span()) for _ in range(3)] == [1, 2, 3]
    assert (len(ids.trace()), len(ids.span())) == (16, 8)


def told(identity: Identity) -> dict[str, Any]:
    """The resource as a receiver reads it."""
    resource = ResourceSpans.FromString(identity.encoded).resource
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in resource.attributes}


def test_every_process_is_an_instance_of_its_own() -> None:
    """Two identities, and an identity in each child, differ in their instance; the bytes say what the attributes do."""
    identity, other = Identity({"service.name": "s"}, "1.2"), Identity({"service.name": "s"}, "1.2")
    seen = [told(identity), told(other), *(in_child(lambda: told(identity)) for _ in range(2))]
    seen.append(in_child(lambda: in_child(lambda: told(identity))))
    assert len({one["service.instance.id"] for one in seen}) == 5
    assert len({one["process.pid"] for one in seen}) == 4
    assert told(identity) == identity.attributes == seen[0]
    assert {one["service.name"] for one in seen} == {"s"}


def test_what_it_says() -> None:
    """Who we are and where; what was configured goes before what was found."""
    attributes = told(Identity({"host.name": "mine", "service.name": "s", "n": 5}, "1.2"))
    assert (attributes["host.name"], attributes["n"]) == ("mine", 5)
    assert (attributes["telemetry.sdk.name"], attributes["telemetry.sdk.version"]) == ("gnomon", "1.2")
    assert (attributes["telemetry.sdk.language"], attributes["process.runtime.name"]) == ("python", "cpython")
    assert attributes["process.pid"] == os.getpid()
    assert told(Identity({}, ""))["host.name"] == socket.gethostname()


@pytest.mark.parametrize("given", ["mine", 7])
def test_an_instance_that_was_given(given: Any) -> None:
    """It stands for the first process; its children add their pid, so that no two are one."""
    identity = Identity({"service.instance.id": given}, "1")
    assert told(identity)["service.instance.id"] == str(given)
    instance, pid = in_child(lambda: (told(identity)["service.instance.id"], os.getpid()))
    assert instance == f"{given}-{pid}"
    assert told(identity)["service.instance.id"] == str(given)
    inner, pid = in_child(lambda: in_child(lambda: (told(identity)["service.instance.id"], os.getpid())))
    assert inner == f"{given}-{pid}"


def test_the_clock() -> None:
    """Stamps are Unix nanoseconds, waits are on a clock that does not go back."""
    assert SYSTEM.time_ns() > 1_700_000_000 * 10**9
    assert SYSTEM.monotonic_s() <= SYSTEM.monotonic_s()


def test_without_fork() -> None:
    """Where there are no forks, as on Windows, there is nothing to hook, and no error."""
    code = """
        import logging, os, random, threading  # which have hooks of their own
        del os.register_at_fork
        from gnomon.process.ids import Ids
        print(len(Ids().trace()))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout == "16\n"
