"""A clock that can be put off: all in the process that asks for the time, the SDK too, is then wrong alike."""

import time
from collections.abc import Callable

_true_time, _true_time_ns = time.time, time.time_ns


def distort(offset_ns: Callable[[], int]) -> None:
    """Put this process's clock off by what `offset_ns` says, from now on.

    To be called before anything else is imported that keeps `time_ns` under a name of its own, as the SDK does.
    """

    def skewed_time() -> float:
        return _true_time() + offset_ns() / 1e9

    def skewed_time_ns() -> int:
        return _true_time_ns() + offset_ns()

    time.time, time.time_ns = skewed_time, skewed_time_ns
