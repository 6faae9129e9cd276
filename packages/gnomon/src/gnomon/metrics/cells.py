"""Cells: where the numbers of one instrument and one label set are kept, and the hot paths that change them.

No lock is held under the GIL. CPython hands the GIL over only at calls, at jumps backwards and at the start of a
function, so a read-modify-write without any of these between is atomic, and so are several in a row: a snapshot never
sees a histogram's bucket without its sum. On builds without a GIL, `atomic` puts the cell's lock around.
"""

import sys
import time
from bisect import bisect_left
from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import Any, Concatenate, ParamSpec, TypeVar

from gnomon.metrics.said import say_once
from gnomon.wire.metrics import Buckets, Exemplar, Labels, Number, Point, Quantiles

_INFINITY = float("inf")
_P = ParamSpec("_P")
_R = TypeVar("_R")
_C = TypeVar("_C", bound="Cell")

ExemplarSource = Callable[[], tuple[bytes, bytes] | None]
"""() -> the current span's (trace id of 16 bytes, span id of 8 bytes), or None when there is none or it is not kept."""


class _Current:
    """Where exemplars come from: nowhere, until tracing says."""

    source: ExemplarSource | None = None


def set_exemplar_source(source: ExemplarSource | None) -> None:
    """Take exemplars from here, from the next collection on. None, the default, takes none and costs nothing."""
    _Current.source = source


def locked(method: Callable[Concatenate[_C, _P], _R]) -> Callable[Concatenate[_C, _P], _R]:
    """The method, under the cell's lock."""

    @wraps(method)
    def under_lock(self: _C, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with self.lock:
            return method(self, *args, **kwargs)

    return under_lock


def _as_it_is(method: Callable[Concatenate[_C, _P], _R]) -> Callable[Concatenate[_C, _P], _R]:
    return method


atomic = _as_it_is if getattr(sys, "_is_gil_enabled", lambda: True)() else locked


class Cell:
    """One label set of one instrument."""

    __slots__ = ("exemplars", "labels", "lock", "name", "refused", "start_ns", "wanted")

    def __init__(self, name: str, labels: Labels, options: Any = None) -> None:
        del options  # only histograms have some
        self.name, self.labels = name, labels
        self.wanted: list[bool] = [True]
        self.reset(time.time_ns())

    def reset(self, now_ns: int) -> None:
        """Begin at nothing, in place: those who hold this cell go on with it. For the child of a fork."""
        self.lock = Lock()
        self.start_ns = now_ns
        self.refused = 0
        self.exemplars: dict[int, Exemplar] = {}

    def point(self) -> Point | None:
        """The numbers as they stand; None while there are none."""
        raise NotImplementedError

    def refuse(self, value: object) -> None:
        """Drop a measurement that is none, count it, and say so once."""
        self.refused += 1
        kind = type(self).__name__.removesuffix("Cell").lower()
        say_once(
            f"value {self.name}", f"{self.name}: {value!r} is no measurement for a {kind}; such values are dropped"
        )

    def exemplify(self, bucket: int, value: float) -> None:
        """Keep the current span as this bucket's exemplar; once for each collection, for it costs a look-up."""
        source = _Current.source
        try:
            span = source() if source else None
        except Exception as error:  # noqa: BLE001 - what tracing does wrong must not reach the measured code
            say_once("exemplar", f"the source of exemplars failed: {error!r}; measurements go without")
            span = None
        if span:
            self.exemplars[bucket] = Exemplar(float(value), time.time_ns(), span[0], span[1])
        if span or source is None:
            self.wanted[bucket] = False

    def taken(self) -> tuple[Exemplar, ...]:
        """The exemplars, bucket by bucket; and ask for new ones."""
        if _Current.source is not None:
            self.wanted[:] = [True] * len(self.wanted)
        return tuple(self.exemplars[bucket] for bucket in sorted(self.exemplars.copy())) if self.exemplars else ()


class SumCell(Cell):
    """A sum. What may be added to it is its kind's own, in one piece: the hot path calls nothing."""

    __slots__ = ("value",)

    def reset(self, now_ns: int) -> None:
        """Begin at 0."""
        super().reset(now_ns)
        self.value: float = 0

    def point(self) -> Number:
        """A number."""
        return Number(self.labels, self.start_ns, plain(self.value), self.taken())


class CounterCell(SumCell):
    """A sum that only grows."""

    __slots__ = ()

    @atomic
    def add(self, value: float = 1, /) -> None:
        """Count; what is negative, infinite or no number is dropped."""
        try:
            if 0 <= value < _INFINITY:
                self.value += value
                if self.wanted[0]:
                    self.exemplify(0, value)
                return
        except TypeError:
            pass
        self.refuse(value)

    inc = add


class UpDownCounterCell(SumCell):
    """A sum that also falls: connections, queue lengths. It has no exemplars."""

    __slots__ = ()

    @atomic
    def add(self, value: float = 1, /) -> None:
        """Add, or take away what is negative."""
        try:
            if -_INFINITY < value < _INFINITY:
                self.value += value
                return
        except TypeError:
            pass
        self.refuse(value)

    inc = add

    def dec(self, value: float = 1, /) -> None:
        """Take away."""
        self.add(-value)


class GaugeCell(Cell):
    """The last value of something."""

    __slots__ = ("value",)

    def __init__(self, name: str, labels: Labels, options: Any = None) -> None:
        self.value: float | None = None
        super().__init__(name, labels, options)

    # A fork does not reset the value: what was set at import (a build's version, a limit) holds in every worker, with
    # `--preload` as without.

    @atomic
    def set(self, value: float, /) -> None:
        """The value from now on. NaN and infinities are values, too."""
        if value.__class__ is float or value.__class__ is int:
            self.value = value
            return
        try:
            self.value = float(value)  # Decimal, numpy's, bool
        except (TypeError, ValueError, OverflowError):
            self.refuse(value)

    @atomic
    def add(self, value: float = 1, /) -> None:
        """Add to the value, which begins at 0."""
        try:
            self.value = (self.value or 0) + value
        except TypeError:
            self.refuse(value)

    inc = add

    def dec(self, value: float = 1, /) -> None:
        """Take from the value."""
        self.add(-value)

    def point(self) -> Number | None:
        """A number, once it was set."""
        return None if self.value is None else Number(self.labels, self.start_ns, plain(self.value))


class StampedGaugeCell(GaugeCell):
    """A gauge that knows when it was set, as its point's start: the latest of several workers' is wanted."""

    __slots__ = ()

    def set(self, value: float, /) -> None:
        """The value from now on."""
        super().set(value)
        self.start_ns = time.time_ns()


class HistogramCell(Cell):
    """Counts by explicit bounds, each of which belongs to the bucket below it."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, name: str, labels: Labels, options: tuple[float, ...]) -> None:
        self.bounds = options
        super().__init__(name, labels)
        self.wanted = [True] * (len(options) + 1)

    def reset(self, now_ns: int) -> None:
        """Begin at 0."""
        super().reset(now_ns)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum: float = 0.0

    @atomic
    def observe(self, value: float, /) -> None:
        """Count into the value's bucket; NaN, infinities and what is no number are dropped."""
        try:
            bucket = bisect_left(self.bounds, value)
            if -_INFINITY < value < _INFINITY:
                self.sum += value  # first, for it may raise: a Decimal compares with floats, but does not add to them
                self.counts[bucket] += 1
                if self.wanted[bucket]:
                    self.exemplify(bucket, value)
                return
        except TypeError:
            pass
        self.refuse(value)

    record = observe

    def point(self) -> Buckets:
        """Buckets."""
        total, counts = self.sum, self.counts[:]  # no call between: they belong together
        return Buckets(self.labels, self.start_ns, float(total), self.bounds, tuple(counts), self.taken())


class SummaryCell(Cell):
    """How many and how much: an average over any time, at the price of two numbers."""

    __slots__ = ("count", "sum")

    def reset(self, now_ns: int) -> None:
        """Begin at 0."""
        super().reset(now_ns)
        self.count = 0
        self.sum: float = 0.0

    @atomic
    def observe(self, value: float, /) -> None:
        """Count; NaN, infinities and what is no number are dropped."""
        try:
            if -_INFINITY < value < _INFINITY:
                self.sum += value  # first, for it may raise
                self.count += 1
                return
        except TypeError:
            pass
        self.refuse(value)

    record = observe

    def point(self) -> Quantiles:
        """Count and sum."""
        total, count = self.sum, self.count
        return Quantiles(self.labels, self.start_ns, float(total), count)


def plain(value: float) -> float:
    """An int or a float proper, whatever subclass (numpy's, bool) was added."""
    return int(value) if isinstance(value, int) else float(value)
