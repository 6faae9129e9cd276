"""Metrics: the snapshot that everything exchanges, and its OTLP bytes.

A snapshot is a list of `Family`, each an instrument's points at one moment; it never changes once made.
https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/metrics/v1/metrics.proto
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from struct import Struct, pack
from typing import Any

from gnomon.wire.attributes import KeyValues, Mask
from gnomon.wire.envelope import RECORD, Scope
from gnomon.wire.protobuf import delimited, length, text, varint

Labels = tuple[tuple[str, Any], ...]
"""Pairs of name and value, sorted by name."""

OURS = Scope("gnomon")
"""The scope of instruments that were made without one."""

COUNTER, UP_DOWN, GAUGE = "counter", "up_down_counter", "gauge"
HISTOGRAM, EXPONENTIAL, SUMMARY = "histogram", "exponential_histogram", "summary"


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One measurement, and the span in which it was made."""

    value: float
    time_ns: int
    trace_id: bytes
    span_id: bytes


@dataclass(frozen=True, slots=True)
class Number:
    """A point of a counter, up-down counter or gauge."""

    labels: Labels
    start_ns: int
    value: float
    exemplars: tuple[Exemplar, ...] = ()


@dataclass(frozen=True, slots=True)
class Buckets:
    """A point of an explicit histogram: `counts` has one more than `bounds`, and is not cumulative over them."""

    labels: Labels
    start_ns: int
    sum: float
    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    exemplars: tuple[Exemplar, ...] = ()


@dataclass(frozen=True, slots=True)
class Exponential:
    """A point of an exponential histogram: bucket i holds (base**i, base**(i+1)], where base = 2**(2**-scale)."""

    labels: Labels
    start_ns: int
    sum: float
    scale: int
    zeros: int
    positive: tuple[tuple[int, int], ...]
    """(bucket, count), ascending; empty buckets may be missing."""
    negative: tuple[tuple[int, int], ...]
    exemplars: tuple[Exemplar, ...] = ()

    @property
    def count(self) -> int:
        """All measurements."""
        return self.zeros + sum(count for _, count in self.positive) + sum(count for _, count in self.negative)


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A point of a summary."""

    labels: Labels
    start_ns: int
    sum: float
    count: int
    quantiles: tuple[tuple[float, float], ...] = ()


Point = Number | Buckets | Exponential | Quantiles


@dataclass(frozen=True, slots=True)
class Family:
    """An instrument at one moment: all its points are of the one class that its kind asks for."""

    name: str
    kind: str
    description: str
    unit: str
    time_ns: int
    points: tuple[Point, ...]
    scope: Scope = OURS
    workers: str = ""
    """How points of several worker processes become one: sum, max, min, latest, or empty for what the kind says."""


_FIXED = Struct("<Q")
_NUMBER = {
    int: Struct("<BQBQBq").pack,  # start_time, time, as_int: each with its tag
    float: Struct("<BQBQBd").pack,
}
_TIMES = Struct("<BQBQBQBd").pack  # start_time, time, count, sum
_START, _TIME, _COUNT, _SUM = 0x11, 0x19, 0x21, 0x29
_AS_INT, _AS_DOUBLE = 0x31, 0x21
_MOST_INT = 1 << 63


class Encoder:
    """Families to OTLP. Label pairs are encoded once and remembered.

    Args:
        mask: what label values pass through before they leave the process.
    """

    def __init__(self, mask: Mask | None = None) -> None:
        # The number of `attributes` differs between the messages.
        self._labels = {
            Number: KeyValues(7, mask),
            Buckets: KeyValues(9, mask),
            Exponential: KeyValues(1, mask),
            Quantiles: KeyValues(7, mask),
        }
        self._points: dict[type, Callable[[Any, int], bytes]] = {
            Number: _number,
            Buckets: _buckets,
            Exponential: _exponential,
            Quantiles: _quantiles,
        }

    def remask(self, mask: Mask | None) -> None:
        """Another mask from now on."""
        for labels in self._labels.values():
            labels.mask = mask
            labels.forget()

    def encode(self, families: Iterable[Family], *, delta: bool = False) -> list[tuple[Scope, list[bytes]]]:
        """The metrics of each scope, every one with tag and length before it, as `envelope.request` takes them.

        Args:
            families: what `collect` gave; with `delta`, what `Deltas.since` made of it.
            delta: whether the points count from the collection before, not from the start.
        """
        scopes: dict[Scope, list[bytes]] = {}
        for family in families:
            if family.points:
                body = self._metric(family, delta=delta)
                scopes.setdefault(family.scope, []).append(RECORD + length(len(body)) + body)
        return list(scopes.items())

    def _metric(self, family: Family, *, delta: bool) -> bytes:
        parts = [text(1, family.name)]
        if family.description:
            parts.append(text(2, family.description))
        if family.unit:
            parts.append(text(3, family.unit))
        temporality = b"\x10\x01" if delta else b"\x10\x02"
        points = b"".join(self._point(point, family.time_ns) for point in family.points)
        if family.kind == GAUGE:
            parts.append(delimited(5, points))
        elif family.kind == COUNTER:
            parts.append(delimited(7, points + temporality + b"\x18\x01"))
        elif family.kind == UP_DOWN:  # its delta would lose meaning with one lost message: always cumulative
            parts.append(delimited(7, points + b"\x10\x02"))
        elif family.kind == HISTOGRAM:
            parts.append(delimited(9, points + temporality))
        elif family.kind == EXPONENTIAL:
            parts.append(delimited(10, points + temporality))
        else:
            parts.append(delimited(11, points))
        return b"".join(parts)

    def _point(self, point: Point, time_ns: int) -> bytes:
        kind = type(point)
        body = self._points[kind](point, time_ns) + self._labels[kind].encode(dict(point.labels))
        return b"\x0a" + length(len(body)) + body


def encode(families: Iterable[Family]) -> list[tuple[Scope, list[bytes]]]:
    """Cumulative points with unmasked labels: `Encoder` with nothing set."""
    return Encoder().encode(families)


def _number(point: Number, time_ns: int) -> bytes:
    value = point.value
    if isinstance(value, int) and -_MOST_INT <= value < _MOST_INT:
        body = _NUMBER[int](_START, point.start_ns, _TIME, time_ns, _AS_INT, value)
    else:
        body = _NUMBER[float](_START, point.start_ns, _TIME, time_ns, _AS_DOUBLE, float(value))
    return body + _exemplars(5, point.exemplars)


def _buckets(point: Buckets, time_ns: int) -> bytes:
    counts, bounds = point.counts, point.bounds
    body = _TIMES(_START, point.start_ns, _TIME, time_ns, _COUNT, sum(counts), _SUM, point.sum)
    body += delimited(6, pack(f"<{len(counts)}Q", *counts)) + delimited(7, pack(f"<{len(bounds)}d", *bounds))
    return body + _exemplars(8, point.exemplars)


def _exponential(point: Exponential, time_ns: int) -> bytes:
    body = _TIMES(_START, point.start_ns, _TIME, time_ns, _COUNT, point.count, _SUM, point.sum)
    body += b"\x30" + _zigzag(point.scale) + b"\x39" + _FIXED.pack(point.zeros)
    body += delimited(8, _dense(point.positive)) + delimited(9, _dense(point.negative))
    return body + _exemplars(11, point.exemplars)


def _dense(counted: tuple[tuple[int, int], ...]) -> bytes:
    """A Buckets message: the first bucket's number, and all counts from there to the last."""
    if not counted:
        return b""
    first, last = counted[0][0], counted[-1][0]
    known = dict(counted)
    counts = b"".join(varint(known.get(number, 0)) for number in range(first, last + 1))
    return b"\x08" + _zigzag(first) + delimited(2, counts)


def _zigzag(number: int) -> bytes:
    """A sint32."""
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def _quantiles(point: Quantiles, time_ns: int) -> bytes:
    body = _TIMES(_START, point.start_ns, _TIME, time_ns, _COUNT, point.count, _SUM, point.sum)
    return body + b"".join(delimited(6, pack("<BdBd", 0x09, share, 0x11, value)) for share, value in point.quantiles)


def _exemplars(field: int, exemplars: tuple[Exemplar, ...]) -> bytes:
    return b"".join(delimited(field, _exemplar(one)) for one in exemplars)


def _exemplar(one: Exemplar) -> bytes:
    stamped = pack("<BQBd", 0x11, one.time_ns, 0x19, one.value)
    return stamped + delimited(4, one.span_id) + delimited(5, one.trace_id)
