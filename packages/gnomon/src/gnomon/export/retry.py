"""How long to wait before trying again: exponential, with full jitter, so that a fleet does not come back as one."""

import random
from collections.abc import Callable

FIRST_S = 0.5
LONGEST_S = 30.0


def backoff_s(attempts: int, chance: Callable[[], float] = random.random) -> float:
    """Seconds to wait after so many attempts (1, 2, ...): between half and all of 0.5, 1, 2, ... 30."""
    ceiling = min(FIRST_S * 2.0 ** min(attempts - 1, 16), LONGEST_S)
    return ceiling * (0.5 + 0.5 * chance())
