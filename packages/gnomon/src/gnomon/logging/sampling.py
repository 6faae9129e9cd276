"""Which lines are kept, when there are too many of them."""

import random
from collections.abc import Callable, Mapping

from gnomon.errors import LoggingError
from gnomon.logging.categories import KEPT, LogCategory, LogLevel, level_name

# OpenTelemetry's consistent sampling: the last 56 bits of a trace id are random, and tell the same to everybody.
_RANDOM_BYTES = slice(9, 16)
_MOST = 1 << 56


class Sampling:
    """Ratios by logger (and all below it), category or level, looked for in this order.

    ERROR and above, audit and security are always kept. The lines of a trace are kept together or not at all.

    Args:
        ratios: `{"orders.db": 0.1, "access": 0.5, "debug": 0.01}`: the share that is kept, from 0 to 1.
        chance: a number from 0 to 1, for lines outside of traces.

    Raises:
        LoggingError: a ratio is not from 0 to 1.
    """

    __slots__ = ("_chance", "_ratios")

    def __init__(self, ratios: Mapping[str, float], *, chance: Callable[[], float] = random.random) -> None:
        for name, ratio in ratios.items():
            if not 0 <= ratio <= 1:
                raise LoggingError(f"sampling {name}={ratio} keeps no share", hint="Give a ratio from 0 to 1")
        self._ratios = {name.lower(): float(ratio) for name, ratio in ratios.items()}
        self._chance = chance

    def ratio(self, logger: str, category: LogCategory, level: int) -> float:
        """The share of such lines that is kept."""
        if level >= LogLevel.ERROR or category in KEPT:
            return 1.0
        name = logger.lower()
        while name:
            if name in self._ratios:
                return self._ratios[name]
            name = name.rpartition(".")[0]
        return self._ratios.get(category, self._ratios.get(level_name(level).lower(), 1.0))

    def keeps(self, ratio: float, trace: bytes | None) -> bool:
        """Whether a line of such a ratio is kept, logged in this trace or in none."""
        if trace is None:
            return self._chance() < ratio
        return int.from_bytes(trace[_RANDOM_BYTES], "big") >= (1 - ratio) * _MOST
