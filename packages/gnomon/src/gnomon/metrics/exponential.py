"""Exponential histograms: buckets of equal relative width that become coarser as the range asks for it.

https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram
"""

from math import ceil, frexp, ldexp, log2
from typing import Any

from gnomon.metrics.cells import Cell, atomic
from gnomon.wire.metrics import Exponential, Labels

# The specification's defaults: 160 buckets keep the relative error of a quantile below 5 % over a range of 1 : 10^6.
MOST_BUCKETS = 160
FINEST = 20
COARSEST = -10
_INFINITY = float("inf")


class Grid:
    """Counts at one scale. A coarser one takes its place when the range outgrows it."""

    __slots__ = ("factor", "negative", "positive", "scale")

    def __init__(self, scale: int) -> None:
        self.scale = scale
        self.factor = ldexp(1.0, scale)
        self.positive: dict[int, int] = {}
        self.negative: dict[int, int] = {}

    def bucket(self, size: float) -> int:
        """The bucket of a positive number."""
        fraction, exponent = frexp(size)
        if self.scale <= 0:
            # Powers of two are the upper bounds of their buckets.
            return (exponent - 1 - (fraction == 0.5)) >> -self.scale  # noqa: PLR2004 - frexp's fraction of a power
        if fraction == 0.5:  # noqa: PLR2004 - likewise; exact, where the logarithm is not
            return ((exponent - 1) << self.scale) - 1
        return ceil(log2(size) * self.factor) - 1


class ExponentialHistogramCell(Cell):
    """Counts by buckets of equal relative width, at most `MOST_BUCKETS` on each side of zero."""

    __slots__ = ("grid", "most", "sum", "zeros")

    def __init__(self, name: str, labels: Labels, options: Any = MOST_BUCKETS) -> None:
        self.most: int = options
        super().__init__(name, labels)

    def reset(self, now_ns: int) -> None:
        """Begin at nothing, at the finest scale."""
        super().reset(now_ns)
        self.grid = Grid(FINEST)
        self.sum: float = 0.0
        self.zeros = 0

    def observe(self, value: float, /) -> None:
        """Count into the value's bucket; NaN, infinities and what is no number are dropped."""
        try:
            if not -_INFINITY < value < _INFINITY:
                return self.refuse(value)
            if value == 0:
                self._zero()
            else:
                while not self._counted(value):
                    self._make_room(value)
        except TypeError:
            return self.refuse(value)
        if self.wanted[0]:
            self.exemplify(0, value)
        return None

    record = observe

    @atomic
    def _zero(self) -> None:
        self.zeros += 1

    @atomic
    def _counted(self, value: float) -> bool:
        """Whether there was a bucket, and the value was counted into it."""
        grid = self.grid
        bucket, counts = (grid.bucket(value), grid.positive) if value > 0 else (grid.bucket(-value), grid.negative)
        # The calls are behind us: from here on nobody comes between, neither another count nor a coarser grid.
        if self.grid is grid and bucket in counts:
            self.sum += value  # first, for it may raise
            counts[bucket] += 1
            return True
        return False

    def _make_room(self, value: float) -> None:
        """Add the value's bucket, after making all buckets coarser if there would be too many."""
        with self.lock:
            while True:
                grid = self.grid
                counts = grid.positive if value > 0 else grid.negative
                bucket = grid.bucket(abs(value))
                reach = [*counts, bucket]
                if max(reach) - min(reach) < self.most or grid.scale <= COARSEST:
                    counts.setdefault(bucket, 0)
                    return
                self._coarsen(grid)

    def _coarsen(self, old: Grid) -> None:
        """Halve the resolution. The new grid is put in place first, so that nobody counts into the old one."""
        new = self.grid = Grid(old.scale - 1)
        for counts, into in ((old.positive, new.positive), (old.negative, new.negative)):
            for bucket, count in counts.items():
                into.setdefault(bucket >> 1, 0)
                into[bucket >> 1] += count

    def point(self) -> Exponential:
        """Buckets, the empty ones left out."""
        with self.lock:  # against a grid that is half moved; counting goes on
            grid = self.grid
            # No call between (`copy()` would be one): they belong together.
            total, zeros, positive, negative = self.sum, self.zeros, {**grid.positive}, {**grid.negative}
        return Exponential(
            self.labels,
            self.start_ns,
            float(total),
            grid.scale,
            zeros,
            _sorted(positive),
            _sorted(negative),
            self.taken(),
        )


def _sorted(counts: dict[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple(sorted((bucket, count) for bucket, count in counts.items() if count))
