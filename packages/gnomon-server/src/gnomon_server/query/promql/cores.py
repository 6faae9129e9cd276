"""Parts of one question on several cores: what is compiled, and NumPy, run without the interpreter's lock."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

P = TypeVar("P")
R = TypeVar("R")


class Cores:
    """Threads that help those of the queries, one fewer than there are cores; all queries share them."""

    def __init__(self, count: int | None = None) -> None:
        self._helpers = (count or os.cpu_count() or 1) - 1
        self._threads = ThreadPoolExecutor(self._helpers, thread_name_prefix="promql-part") if self._helpers else None

    def close(self) -> None:
        """End the threads."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def map(self, work: Callable[[P], R], parts: Sequence[P]) -> list[R]:
        """What becomes of each part, in their order. The calling thread works too: it waits for no other query.

        The first error ends it.
        """
        left, done = deque(range(len(parts))), dict[int, R]()

        def take() -> None:
            with np.errstate(all="ignore"):  # as in the queries' own threads
                while left:
                    try:
                        one = left.popleft()
                    except IndexError:  # another was quicker
                        return
                    try:
                        done[one] = work(parts[one])
                    except BaseException:
                        left.clear()
                        raise

        helping = min(self._helpers, len(parts) - 1)
        helpers = [self._threads.submit(take) for _ in range(helping)] if self._threads is not None else []
        try:
            take()
        finally:
            begun = [helper for helper in helpers if not helper.cancel()]
            errors = [helper.exception() for helper in begun]
        for error in errors:
            if error is not None:
                raise error
        return [done[one] for one in range(len(parts))]
