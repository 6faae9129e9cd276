"""Native histograms as promqltest writes them, `{{schema:1 count:4 sum:5 buckets:[1 2 1]}}`: one at a time, plainly.

Source: Prometheus, promql/parser/parse.go (buildHistogramFromMap), model/histogram/float_histogram.go (Add, Sub).
Nothing of gnomon_server is used: what is expected must not come from what is tested.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

CUSTOM_SCHEMA = -53
HINTS = ("unknown", "reset", "not_reset", "gauge")
"""By their numbers in storage and on the wire."""
GAUGE = HINTS.index("gauge")

_NUMBERS = {"sum", "count", "z_bucket", "z_bucket_w"}
_WHOLE = {"schema", "offset", "n_offset"}
_LISTS = {"buckets", "n_buckets", "custom_values"}
_ITEM = re.compile(r"\s*([a-z_]+):(\[[^\]]*\]|[^\s\[\]]+)\s*")


@dataclass(frozen=True, slots=True)
class Histogram:
    """One native histogram.

    `positive` and `negative` map a bucket's index to its count: the bucket ends at base^index, or at `bounds[index]`
    for custom buckets. A count of zero is no bucket. `hint_said`: whether a hint was written and not left open.
    """

    schema: int = 0
    count: float = 0.0
    sum: float = 0.0
    zero_threshold: float = 0.0
    zero_count: float = 0.0
    positive: Mapping[int, float] = field(default_factory=dict)
    negative: Mapping[int, float] = field(default_factory=dict)
    bounds: tuple[float, ...] = ()
    hint: int = 0
    hint_said: bool = False

    @property
    def custom(self) -> bool:
        """Whether the buckets' bounds are listed."""
        return self.schema == CUSTOM_SCHEMA

    def added(self, other: "Histogram") -> "Histogram":
        """The sum, at this one's resolution."""
        return self._combined(other, lambda one, another: one + another)

    def subtracted(self, other: "Histogram") -> "Histogram":
        """The difference, at this one's resolution."""
        return self._combined(other, lambda one, another: one - another)

    def _combined(self, other: "Histogram", of: Callable[[float, float], float]) -> "Histogram":
        if self.custom != other.custom or self.bounds != other.bounds:
            raise ValueError("histograms of different kinds of buckets do not add up")
        if self.schema > other.schema:
            raise ValueError(f"cannot merge from schema {other.schema} to {self.schema}")
        if self.zero_threshold != other.zero_threshold:
            raise ValueError("histograms of different zero buckets are not added up here")
        halvings = other.schema - self.schema
        return Histogram(
            self.schema,
            of(self.count, other.count),
            of(self.sum, other.sum),
            self.zero_threshold,
            of(self.zero_count, other.zero_count),
            _met(self.positive, _coarser(other.positive, halvings), of),
            _met(self.negative, _coarser(other.negative, halvings), of),
            self.bounds,
            _both_hints(self.hint, other.hint),
            other.hint_said,  # as Prometheus' own reader: the last one that was read counts
        )

    def buckets(self) -> list[tuple[int, float, float, float]]:
        """As the HTTP API shows them: (which ends belong to it, lower, upper, count), in rising order, none empty.

        0: the upper end, 1: the lower, 3: both.
        """
        listed = [
            (1, -self._bound(index), -self._bound(index - 1), count) for index, count in sorted(self.negative.items())
        ][::-1]
        if self.zero_count > 0:  # float_histogram.go: allFloatBucketIterator passes over one that is negative
            listed.append((3, -self.zero_threshold, self.zero_threshold, self.zero_count))
        for index, count in sorted(self.positive.items()):
            lower, upper = self._bound(index - 1), self._bound(index)
            listed.append((3 if self.custom and not index else 0, lower, upper, count))
        return listed

    def _bound(self, index: int) -> float:
        if self.custom:
            edges = [-math.inf, *self.bounds, math.inf]
            return edges[index + 1]
        try:
            return float(2.0 ** (index * 2.0**-self.schema))
        except OverflowError:
            return math.inf

    def __str__(self) -> str:
        parts: dict[str, object] = {"schema": self.schema, "count": self.count, "sum": self.sum}
        parts |= {"z_bucket": self.zero_count, "z_bucket_w": self.zero_threshold, "custom_values": list(self.bounds)}
        parts |= {"positive": dict(self.positive), "negative": dict(self.negative)}
        words = [f"{name}:{value}" for name, value in parts.items() if value]
        return "{{" + " ".join([*words, f"counter_reset_hint:{HINTS[self.hint]}"]) + "}}"


def read_histogram(text: str) -> Histogram:
    """From what stands between the double braces. Raises ValueError."""
    said: dict[str, str] = {}
    place = 0
    while place < len(text):
        item = _ITEM.match(text, place)
        if item is None:
            if text[place:].strip():
                raise ValueError(f"no part of a histogram: {text[place:]!r}")
            break
        if item[1] in said:
            raise ValueError(f"{item[1]!r} stands twice in a histogram")
        said[item[1]] = item[2]
        place = item.end()
    if unknown := set(said) - _NUMBERS - _WHOLE - _LISTS - {"counter_reset_hint"}:
        raise ValueError(f"no part of a histogram: {sorted(unknown)}")
    numbers = {name: _number(said.get(name, "0")) for name in _NUMBERS}
    lists = {name: _list(said.get(name, "[]")) for name in _LISTS}
    offsets = {name: int(said.get(name, "0")) for name in _WHOLE}
    return Histogram(
        offsets["schema"],
        numbers["count"],
        numbers["sum"],
        numbers["z_bucket_w"],
        numbers["z_bucket"],
        _indexed(lists["buckets"], offsets["offset"]),
        _indexed(lists["n_buckets"], offsets["n_offset"]),
        tuple(lists["custom_values"]),
        HINTS.index(said.get("counter_reset_hint", "unknown")),
        "counter_reset_hint" in said,
    )


def _number(text: str) -> float:
    return float(text)


def _list(text: str) -> list[float]:
    if not (text.startswith("[") and text.endswith("]")):
        raise ValueError(f"a list was expected: {text!r}")
    return [float(word) for word in text[1:-1].split()]


def _indexed(counts: list[float], offset: int) -> dict[int, float]:
    return {offset + place: count for place, count in enumerate(counts) if count}


def _coarser(buckets: Mapping[int, float], halvings: int) -> dict[int, float]:
    result: dict[int, float] = {}
    for index, count in buckets.items():
        coarse = ((index - 1) >> halvings) + 1 if halvings else index
        result[coarse] = result.get(coarse, 0.0) + count
    return result


def _met(one: Mapping[int, float], other: Mapping[int, float], of: Callable[[float, float], float]) -> dict[int, float]:
    met = {index: of(one.get(index, 0.0), other.get(index, 0.0)) for index in {*one, *other}}
    return {index: count for index, count in sorted(met.items()) if count}


def _both_hints(one: int, other: int) -> int:
    """What is known of the sum: a gauge makes a gauge, a difference makes it unknown."""
    if one == other:
        return one
    return GAUGE if GAUGE in (one, other) else 0
