"""Histograms of changes added up the slow, obvious way: dictionaries, one observation and one bucket at a time."""

import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

FINEST = 20


def coarser(index: int, halvings: int) -> int:
    """The bucket, named by its upper bound, that this one is a part of."""
    return ((index - 1) >> halvings) + 1


def bounds(schema: int, index: int) -> tuple[float, float]:
    """Of a positive bucket; the upper one is part of it."""
    lower, upper = (index - 1) * 2.0**-schema, index * 2.0**-schema
    return 2.0**lower, 2.0**upper if upper < 1024 else sys.float_info.max


@dataclass
class Reference:
    """A histogram; `buckets` counts by (is negative, index)."""

    schema: int = FINEST
    threshold: float = 0.0
    count: float = 0.0
    sum: float = 0.0
    zero: float = 0.0
    buckets: Counter[tuple[bool, int]] = field(default_factory=Counter)

    @classmethod
    def observed(cls, schema: int, threshold: float, observations: list[int]) -> "Reference":
        """Of observations named by their bucket at the finest schema: 0 is zero, below 0 is a negative one."""
        made = cls(schema, threshold, len(observations), sum(observations))
        for observation in observations:
            index = coarser(abs(observation), FINEST - schema)
            if observation == 0 or bounds(schema, index)[1] <= threshold:
                made.zero += 1
            else:
                made.buckets[observation < 0, index] += 1
        return made

    def row(self, **columns: Any) -> dict[str, Any]:
        """As a row of `native_histograms`, and of `delta_histograms`."""
        sides = [sorted((index, count) for (negative, index), count in self.buckets.items() if negative is side)
                 for side in (False, True)]  # fmt: skip
        values = {
            "schema": self.schema, "count": self.count, "sum": self.sum, "zero_threshold": self.threshold,
            "zero_count": self.zero,
            **{f"{side}_idx": [index for index, _ in cells] for side, cells in zip("pn", sides, strict=True)},
            **{f"{side}_cnt": [float(count) for _, count in cells] for side, cells in zip("pn", sides, strict=True)},
        }  # fmt: skip
        return {**values, **{f"sent_{name}": value for name, value in values.items()}, **columns}

    def add(self, other: "Reference", limit: int = 160) -> None:
        """As Prometheus' FloatHistogram.Add, and no more buckets than the limit or than either had."""
        other = Reference(**{**vars(other), "buckets": Counter(other.buckets)})
        allowed = max(limit, self.cells(), other.cells())
        while self.threshold != other.threshold:
            narrow, wide = (self, other) if self.threshold < other.threshold else (other, self)
            narrow.widen(wide.threshold)
        self.zero, self.count, self.sum = self.zero + other.zero, self.count + other.count, self.sum + other.sum
        schema = min(self.schema, other.schema)
        self.coarsen(schema)
        other.coarsen(schema)
        self.buckets += other.buckets
        while self.cells() > allowed:
            self.coarsen(self.schema - 1)

    def widen(self, threshold: float) -> None:
        """A wider zero bucket; a bucket it would cut is taken in whole, and the threshold with it."""
        self.threshold = threshold
        for _ in range(3):
            for negative, index in list(self.buckets):
                lower, upper = bounds(self.schema, index)
                if lower < self.threshold:
                    self.threshold = max(self.threshold, upper)
                    self.zero += self.buckets.pop((negative, index))

    def coarsen(self, schema: int) -> None:
        """A lower resolution."""
        met: Counter[tuple[bool, int]] = Counter()
        for (negative, index), count in self.buckets.items():
            met[negative, coarser(index, self.schema - schema)] += count
        self.buckets, self.schema = met, schema

    def cells(self) -> int:
        """Buckets that are not empty, the zero bucket among them."""
        return len(self.buckets) + (self.zero > 0)
