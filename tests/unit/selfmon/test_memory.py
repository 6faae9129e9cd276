"""What is freed goes back to the system."""

import ctypes
from pathlib import Path

import pytest

from gnomon_server.selfmon.memory import give_back


def _resident_kb() -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1])


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
def test_holes_are_given_back() -> None:
    """64 MB in pieces of 16 KB, of which the last stays: the heap cannot shrink, its pages can."""
    pieces = [bytearray(16_384) for _ in range(4_096)]
    last = pieces[-1]
    full = _resident_kb()
    del pieces
    give_back()
    assert full - _resident_kb() > 40_000
    assert len(last) == 16_384
