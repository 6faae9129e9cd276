"""Receivers and pumps that end with their test."""

import contextlib
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.export.receivers import Receiver, encode

from gnomon.export.http import HttpSender
from gnomon.export.outlet import Outlet, Signal
from gnomon.export.pump import Pump


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """One that takes everything until it is told otherwise."""
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture
def sender(receiver: Receiver) -> Iterator[HttpSender]:
    """A sender to it."""
    sender = HttpSender(receiver.addresses)
    yield sender
    sender.close()


@pytest.fixture
def open_sockets() -> Callable[[], int]:
    """Counts the sockets that this process holds open."""

    def count() -> int:
        links = [one for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
        with contextlib.suppress(OSError):
            return sum(str(one.readlink()).startswith("socket:") for one in links)
        return -1  # one was closed while we looked

    return count


@pytest.fixture
def outlet() -> Outlet:
    """The queue of traces."""
    return Outlet(Signal.TRACES)


@pytest.fixture
def pumping() -> Iterator[Callable[..., Pump]]:
    """Makes pumps, started; ends them."""
    with ExitStack() as ends:

        def make(
            outlets: list[Outlet], sender: Any, *, started: bool = True, turned: Any = None, **options: Any
        ) -> Pump:
            if turned is not None:  # who turns the clock does not wait for it: looks at it all the time
                options = {"clock": turned.clock, "schedule_s": 0.01, **options}
            pump = Pump(outlets, encode, sender, **{"schedule_s": 3600.0, "timeout_s": 1.0, **options})
            ends.callback(pump.shutdown, 0.1)
            if turned is not None:
                ends.callback(turned.turn, math.inf)  # every deadline is over then
            if started:
                pump.start()
            return pump

        yield make
