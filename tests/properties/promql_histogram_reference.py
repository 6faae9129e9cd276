"""Native histograms one at a time, bucket by bucket: Prometheus' specification written down the slow, obvious way.

After model/histogram/float_histogram.go, promql/quantile.go and promql/functions.go. Nothing is shared with the code
under test but the columns of a table.
"""

import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from gnomon_server.model.tables import NATIVE_HISTOGRAMS
from gnomon_server.query.promql.histograms.block import MIDDLE, Histograms, of_table

CUSTOM, GAUGE = -53, 3
HINTS = ["unknown", "reset", "not_reset", "gauge"]
NAN, INF = math.nan, math.inf


class IncompatibleError(Exception):
    """Exponential and custom buckets met."""


def bound(schema: int, index: int) -> float:
    """The bound of an exponential bucket that is farther from zero."""
    power = index * 2.0**-schema
    if power == 1024:
        return sys.float_info.max
    return INF if power > 1024 else 2.0**power


def increased(total: float, lost: float, more: float) -> tuple[float, float]:
    """One step of Neumaier's summation."""
    new = total + more
    if math.isinf(new):
        return new, 0.0
    return new, lost + ((total - new) + more if abs(total) >= abs(more) else (more - new) + total)


@dataclass
class Bucket:
    """Of one histogram."""

    lower: float
    upper: float
    count: float
    rule: int = 0


@dataclass
class One:
    """A histogram: `positive` and `negative` are counts by index."""

    schema: int = 0
    count: float = 0.0
    sum: float = 0.0
    zero_threshold: float = 0.0
    zero_count: float = 0.0
    positive: dict[int, float] = field(default_factory=dict)
    negative: dict[int, float] = field(default_factory=dict)
    bounds: tuple[float, ...] = ()
    hint: int = 0

    @property
    def custom(self) -> bool:
        return self.schema == CUSTOM

    def copy(self) -> "One":
        return replace(self, positive=dict(self.positive), negative=dict(self.negative))

    def compact(self) -> "One":
        sides = [{index: count for index, count in side.items() if count} for side in (self.positive, self.negative)]
        return replace(self, positive=sides[0], negative=sides[1])

    def edges(self, index: int) -> tuple[float, float]:
        """Of a positive bucket."""
        if not self.custom:
            return bound(self.schema, index - 1), bound(self.schema, index)
        every = [-INF, *self.bounds, INF]
        return every[index], every[index + 1]

    def buckets(self) -> list[Bucket]:
        """AllBucketIterator."""
        made = []
        for index in sorted(self.negative, reverse=True):
            near, far = self.edges(index)
            near = max(near, self.zero_threshold) if near > 0 else near
            made.append(Bucket(-far, -near, self.negative[index], 1))
        if self.zero_count > 0:
            made.append(Bucket(-self.zero_threshold, self.zero_threshold, self.zero_count, 3))
        for index in sorted(self.positive):
            lower, upper = self.edges(index)
            if not self.custom and 0 < lower < self.zero_threshold:
                lower = self.zero_threshold
            made.append(Bucket(lower, upper, self.positive[index], 3 if self.custom and index == 0 else 0))
        return made

    def reduced(self, schema: int) -> "One":
        if self.custom or schema >= self.schema:
            return self.copy()
        sides = []
        for side in (self.positive, self.negative):
            merged: dict[int, float] = {}
            for index in sorted(side):
                target = ((index - 1) >> (self.schema - schema)) + 1
                merged[target] = merged.get(target, 0.0) + side[index]
            sides.append(merged)
        return replace(self, schema=schema, positive=sides[0], negative=sides[1])

    def widened(self, threshold: float) -> tuple[float, float]:
        """zeroCountForLargerThreshold: count and threshold."""
        if threshold == self.zero_threshold:
            return self.zero_count, threshold
        while True:
            count, before = self.zero_count, threshold
            for side in (self.positive, self.negative):
                for index in sorted(side):
                    near, far = self.edges(index)
                    if near < threshold:
                        count += side[index]
                        if far > threshold and side[index]:
                            threshold = far
            if threshold == before:
                return count, threshold

    def trimmed_to_zero_bucket(self) -> None:
        for side in (self.positive, self.negative):
            for index in [index for index in side if self.edges(index)[0] < self.zero_threshold]:
                del side[index]

    def rebounded(self, bounds: tuple[float, ...]) -> "One":
        made: dict[int, float] = {}
        for index, count in sorted(self.positive.items()):
            target = len(bounds)
            if index < len(self.bounds):
                target = next((at for at, one in enumerate(bounds) if one >= self.bounds[index]), len(bounds))
            made[target] = made.get(target, 0.0) + count
        return replace(self, positive=made, bounds=bounds)

    def plus(self, other: "One", sign: float = 1.0) -> tuple["One", bool, bool]:
        """Add and Sub: the result, whether hints conflicted, whether bounds were reconciled."""
        if self.custom != other.custom:
            raise IncompatibleError
        made, other, reconciled = self.copy(), other.copy(), False
        conflict = {self.hint, other.hint} == {1, 2}
        if self.hint != other.hint:
            made.hint = GAUGE if GAUGE in (self.hint, other.hint) else 0
        if self.custom and self.bounds != other.bounds:
            reconciled = True
            common = tuple(one for one in self.bounds if one in other.bounds)
            made, other = made.rebounded(common), other.rebounded(common)
        if not self.custom:
            while made.zero_threshold != other.zero_threshold:
                one, wide = (made, other) if made.zero_threshold < other.zero_threshold else (other, made)
                one.zero_count, one.zero_threshold = one.widened(wide.zero_threshold)
                one.trimmed_to_zero_bucket()
            schema = min(made.schema, other.schema)
            made, other = made.reduced(schema), other.reduced(schema)
        made.count += sign * other.count
        made.sum += sign * other.sum
        made.zero_count += sign * other.zero_count
        for mine, theirs in ((made.positive, other.positive), (made.negative, other.negative)):
            for index, count in theirs.items():
                mine[index] = mine.get(index, 0.0) + sign * count
        return made.compact(), conflict, reconciled

    def times(self, factor: float) -> "One":
        made = self.copy()
        made.count, made.sum, made.zero_count = self.count * factor, self.sum * factor, self.zero_count * factor
        for side in (made.positive, made.negative):
            for index in side:
                side[index] *= factor
        if factor < 0:
            made.hint = GAUGE
        return made.compact()

    def began_anew(self, previous: "One") -> bool:  # noqa: PLR0911 (the specification's own cases)
        """DetectReset."""
        if self.hint in (1, 2):
            return self.hint == 1
        if self.count < previous.count:
            return True
        if self.custom and previous.custom and self.bounds != previous.bounds:
            common = tuple(one for one in self.bounds if one in previous.bounds)
            mine, theirs = self.rebounded(common).positive, previous.rebounded(common).positive
            return any(mine.get(index, 0.0) < theirs.get(index, 0.0) for index in {*mine, *theirs})
        if self.custom != previous.custom or self.schema > previous.schema:
            return True
        if self.zero_threshold < previous.zero_threshold:
            return True
        if not self.custom:
            count, threshold = previous.widened(self.zero_threshold)
            if threshold != self.zero_threshold or self.zero_count < count:
                return True
        before = previous.reduced(self.schema)
        for mine, theirs in ((self.positive, before.positive), (self.negative, before.negative)):
            for index, count in theirs.items():
                inside = not self.custom and bound(self.schema, index) <= self.zero_threshold
                if not inside and (mine[index] < count if index in mine else count != 0):
                    return True
        return False

    def variance(self) -> float:
        if not self.count:
            return NAN
        mean, total, lost = self.sum / self.count, 0.0, 0.0
        for bucket in self.buckets():
            if self.custom:
                middle = (bucket.upper + bucket.lower) / 2
            elif bucket.lower <= 0 <= bucket.upper:
                middle = 0.0
            else:
                middle = math.sqrt(bucket.upper * bucket.lower) * (-1 if bucket.upper < 0 else 1)
            total, lost = increased(total, lost, bucket.count * (middle - mean) ** 2)
        return (total + lost) / self.count

    def quantile(self, q: float) -> float:  # noqa: PLR0911 (the specification's own cases)
        if q < 0 or q > 1:
            return math.copysign(INF, q)
        if not self.count or math.isnan(q):
            return NAN
        forward = math.isnan(self.sum) or q < 0.5
        buckets = self.buckets() if forward else self.buckets()[::-1]
        rank, count, bucket = (q if forward else 1 - q) * self.count, 0.0, Bucket(0.0, 0.0, 0.0)
        for bucket in buckets:
            count += bucket.count
            if bucket.count and count >= rank:
                break
        if not self.custom and bucket.lower < 0 < bucket.upper:
            if self.positive and not self.negative:
                bucket.lower = 0.0
            elif self.negative and not self.positive:
                bucket.upper = 0.0
        elif self.custom and bucket.lower == -INF:
            if bucket.upper <= 0:
                return bucket.upper
            bucket.lower = 0.0
        elif self.custom and bucket.upper == INF:
            return bucket.lower
        count = min(count, self.count)
        if count < rank:
            return NAN if math.isnan(self.sum) else bucket.upper
        rank = rank - (count - bucket.count) if forward else count - rank
        if not bucket.count:
            return NAN
        fraction = rank / bucket.count
        if self.custom or bucket.lower <= 0 <= bucket.upper:
            return bucket.lower + (bucket.upper - bucket.lower) * fraction
        low, high = math.log2(abs(bucket.lower)), math.log2(abs(bucket.upper))
        if bucket.lower > 0:
            return float(2.0 ** (low + (high - low) * fraction))
        return float(-(2.0 ** (high + (low - high) * (1 - fraction))))

    def fraction(self, lower: float, upper: float) -> float:
        if not self.count or math.isnan(lower) or math.isnan(upper):
            return NAN
        if lower >= upper:
            return 0.0
        observed = sum(one.count for one in self.buckets()) if math.isnan(self.sum) else self.count
        return (self._below(upper, observed) - self._below(lower, observed)) / self.count

    def _below(self, value: float, observed: float) -> float:
        rank = 0.0
        for bucket in self.buckets():
            lower, upper = bucket.lower, bucket.upper
            around = lower <= 0 <= upper
            if around and self.positive and not self.negative:
                lower = 0.0
            if around and self.negative and not self.positive:
                upper = 0.0
            if lower >= value:
                return min(rank, observed)
            if upper > value:
                if self.custom or around:
                    part = 1.0 if lower == -INF else (value - lower) / (upper - lower)
                else:
                    low, high, at = (math.log2(abs(one)) for one in (lower, upper, value))
                    part = (at - low) / (high - low) if value > 0 else 1 - (at - high) / (low - high)
                return min(bucket.count if lower == -INF else rank + bucket.count * part, observed)
            rank += bucket.count
        return observed


def total(members: Sequence[One]) -> tuple[One, bool]:
    """sum_over_time: one after the other, without compensation; and whether bounds were reconciled."""
    made, reconciled = members[0].compact(), False
    for member in members[1:]:
        made, _, differing = made.plus(member)
        reconciled |= differing
    return made, reconciled


def rate(members: Sequence[One], *, counter: bool) -> One:
    """histogramRate, without start times."""
    first, last = members[0], members[-1]
    if counter and members[1].began_anew(first):
        first = One(members[1].schema, bounds=members[1].bounds)
    kind = first.custom
    if last.custom != kind or (counter and any(member.custom != kind for member in members[1:])):
        raise IncompatibleError
    schema = min(last.schema, first.schema)
    if counter:
        schema = min(schema, *(member.schema for member in members[1:]))
    made, _, _ = last.reduced(schema).plus(first, -1.0)
    previous = first
    for member in members[1:] if counter else ():
        if member.began_anew(previous):
            made, _, _ = made.plus(previous)
        previous = member
    made.hint = GAUGE
    return made.compact()


def block_of(members: Sequence[One]) -> Histograms:
    """As the columns under test."""
    rows = [
        {
            "schema": one.schema,
            "hint": one.hint,
            "count": one.count,
            "sum": one.sum,
            "zero_threshold": one.zero_threshold,
            "zero_count": one.zero_count,
            "bounds": list(one.bounds),
            "p_idx": sorted(one.positive),
            "p_cnt": [one.positive[index] for index in sorted(one.positive)],
            "n_idx": sorted(one.negative),
            "n_cnt": [one.negative[index] for index in sorted(one.negative)],
        }
        for one in members
    ]
    names = list(rows[0]) if rows else ["schema", "bounds"]
    schema = pa.schema([one for one in NATIVE_HISTOGRAMS if not rows or one.name in names])
    return of_table(pa.Table.from_pylist(rows, schema=schema))


def ones_of(block: Histograms) -> Iterator[One]:
    """From the columns under test."""
    for row in range(len(block)):
        cells = slice(int(block.begins[row]), int(block.begins[row + 1]))
        places, counts = block.place[cells].tolist(), block.counts[cells].tolist()
        assert (np.diff(places) > 0).all()
        assert all(counts)
        pairs = list(zip(places, counts, strict=True))
        yield One(
            int(block.schema[row]),
            float(block.count[row]),
            float(block.sum[row]),
            float(block.zero_threshold[row]),
            float(block.zero_count[row]),
            {place - MIDDLE: count for place, count in pairs if place > 0},
            {-place - MIDDLE: count for place, count in pairs if place < 0},
            block.bounds_of[block.layout[row]] if block.custom[row] else (),
            int(block.hint[row]),
        )


def read(text: str) -> One:
    """A histogram in promqltest's notation, without its braces."""
    values = {key: value.strip("[]") for key, value in re.findall(r"(\w+):(\[[^\]]*\]|\S+)", text)}

    def numbers(key: str) -> list[float]:
        return [float(one) for one in values.get(key, "").split()]

    def side(buckets: str, offset: str) -> dict[int, float]:
        start = int(values.get(offset, 0))
        return {start + at: count for at, count in enumerate(numbers(buckets)) if count}

    return One(
        int(values.get("schema", 0)),
        float(values.get("count", 0)),
        float(values.get("sum", 0)),
        float(values.get("z_bucket_w", 0)),
        float(values.get("z_bucket", 0)),
        side("buckets", "offset"),
        side("n_buckets", "n_offset"),
        tuple(numbers("custom_values")),
        HINTS.index(values.get("counter_reset_hint", "unknown")),
    )
