"""Waiting for what another thread, task or process will do."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

# For tests that fail: longer than a loaded machine takes for anything that is waited for.
LONGEST_S = 60.0
PAUSE_S = 0.01


def until(true: Callable[[], Any], told: Callable[[], Any] = lambda: "it never came true") -> None:
    """Wait for something that will be; `told` says what was there instead."""
    ends_s = time.monotonic() + LONGEST_S
    while not true():
        assert time.monotonic() < ends_s, told()
        time.sleep(PAUSE_S)


async def soon(true: Callable[[], Any]) -> None:
    """Likewise, on this loop."""
    ends_s = time.monotonic() + LONGEST_S
    while not true():
        assert time.monotonic() < ends_s, "it never came true"
        await asyncio.sleep(PAUSE_S)
