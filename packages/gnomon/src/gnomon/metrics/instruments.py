"""Instruments: what a program measures with.

    placed = Counter("shop.orders.placed", "Orders that were paid", labels=("method",))
    placed.inc(method="card")
    by_card = placed.labels(method="card")   # keep the cell where it matters: a third of the price
    by_card.add(1)

Making an instrument registers it; making it again with the same signature gives the same object.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from typing import Any

from gnomon.errors import MetricsError
from gnomon.metrics.cells import (
    CounterCell,
    GaugeCell,
    HistogramCell,
    StampedGaugeCell,
    SummaryCell,
    UpDownCounterCell,
    plain,
)
from gnomon.metrics.exponential import MOST_BUCKETS, ExponentialHistogramCell
from gnomon.metrics.labelled import OVERFLOW, Direct, Instrument, storable
from gnomon.metrics.registry import Signature
from gnomon.metrics.said import say_once
from gnomon.wire.metrics import (
    COUNTER,
    EXPONENTIAL,
    GAUGE,
    HISTOGRAM,
    SUMMARY,
    UP_DOWN,
    Labels,
    Number,
    Point,
)

# Seconds, as the OTel semantic conventions advise for durations.
DURATION_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class Counter(Direct[CounterCell]):
    """A sum that only grows: requests, bytes, errors."""

    kind = COUNTER
    cell_class = CounterCell

    def inc(self, value: float = 1, /, **labels: Any) -> None:
        """Count."""
        try:
            cell = self._written[*labels, *labels.values()]
        except (KeyError, TypeError):
            cell = self._find(labels)
        cell.add(value)

    add = inc


class UpDownCounter(Direct[UpDownCounterCell]):
    """A sum that also falls: open connections. Summed over workers, where a gauge is not."""

    kind = UP_DOWN
    cell_class = UpDownCounterCell

    def inc(self, value: float = 1, /, **labels: Any) -> None:
        """Add, or take away what is negative."""
        self.labels(**labels).add(value)

    add = inc

    def dec(self, value: float = 1, /, **labels: Any) -> None:
        """Take away."""
        self.labels(**labels).add(-value)


class Gauge(Direct[GaugeCell]):
    """The last value of something: a temperature, a configured limit."""

    kind = GAUGE

    cell_class = GaugeCell

    def _new(self, labels: Labels) -> GaugeCell:
        return (StampedGaugeCell if self.workers == "latest" else GaugeCell)(self.name, labels)

    def set(self, value: float, /, **labels: Any) -> None:
        """The value from now on."""
        self.labels(**labels).set(value)

    def inc(self, value: float = 1, /, **labels: Any) -> None:
        """Add to the value, which begins at 0."""
        self.labels(**labels).add(value)

    def dec(self, value: float = 1, /, **labels: Any) -> None:
        """Take from the value."""
        self.labels(**labels).add(-value)


class Histogram(Direct[HistogramCell]):
    """Counts by explicit bounds.

    Args:
        bounds: ascending upper bounds, inclusive, without infinity; by default for durations in seconds.
    """

    kind = HISTOGRAM
    cell_class = HistogramCell

    def __init__(
        self,
        name: str,
        description: str = "",
        labels: Iterable[str] | None = None,
        *,
        bounds: Iterable[float] = DURATION_BOUNDS_S,
        **settings: Any,
    ) -> None:
        super().__init__(name, description, labels, **settings)
        self.options = self.bounds = tuple(float(bound) for bound in bounds)
        ascending = all(low < high for low, high in zip(self.bounds, self.bounds[1:], strict=False))
        if not ascending or not all(map(isfinite, self.bounds)):
            raise MetricsError(
                f"{name}: bounds={self.bounds} do not ascend", hint="Give finite upper bounds, each above the last"
            )

    @property
    def signature(self) -> Signature:
        """With the bounds: counts by other bounds cannot be added."""
        return {**super().signature, "bounds": self.bounds}

    def observe(self, value: float, /, **labels: Any) -> None:
        """Count into the value's bucket."""
        try:
            cell = self._written[*labels, *labels.values()]
        except (KeyError, TypeError):
            cell = self._find(labels)
        cell.observe(value)

    record = observe


class ExponentialHistogram(Direct[ExponentialHistogramCell]):
    """Counts by buckets of equal relative width; nobody needs to know the range beforehand."""

    kind = EXPONENTIAL
    cell_class = ExponentialHistogramCell
    options = MOST_BUCKETS

    def observe(self, value: float, /, **labels: Any) -> None:
        """Count into the value's bucket."""
        self.labels(**labels).observe(value)

    record = observe


class Summary(Direct[SummaryCell]):
    """Count and sum."""

    kind = SUMMARY
    cell_class = SummaryCell

    def observe(self, value: float, /, **labels: Any) -> None:
        """Count."""
        self.labels(**labels).observe(value)

    record = observe


Observed = float | Iterable[tuple[float, Mapping[str, Any]]]
"""What a callback gives: one number, or numbers with their labels."""


class Observable(Instrument):
    """Instruments that ask for their value when it is read.

    Args:
        callback: () -> a number, or pairs of number and labels. It runs on the reader's thread; if it raises, its last
            points are left out and it is said once.
    """

    def __init__(self, name: str, callback: Callable[[], Observed], description: str = "", **settings: Any) -> None:
        super().__init__(name, description, **settings)
        self.callback = callback
        self.start_ns = time.time_ns()
        self._most = 0

    def limit(self, most: int) -> None:
        """The cap, told by the registry."""
        self._most = most

    def reset(self) -> None:
        """In a forked child what is asked for (its CPU time, its own counts) begins anew too."""
        self.start_ns = time.time_ns()

    def points(self) -> list[Point]:
        """What the callback says now."""
        try:
            observed = self.callback()
            pairs = [(observed, {})] if isinstance(observed, int | float) else list(observed)
            found: dict[Labels, float] = {}
            for value, written in pairs:
                labels = tuple(sorted((str(name), storable(held)) for name, held in written.items()))
                if len(found) >= self._most and labels not in found:
                    say_once(
                        f"cap {self.name}",
                        f"{self.name} reports more than {self._most} label sets; the rest is 'other'",
                    )
                    found[OVERFLOW] = found.get(OVERFLOW, 0) + plain(value)
                else:
                    found[labels] = plain(value)
        except Exception as error:  # noqa: BLE001 - the host's callback must not end the collection of all others
            say_once(f"callback {self.name}", f"the callback of {self.name} failed: {error!r}")
            return []
        return [Number(labels, self.start_ns, value) for labels, value in found.items()]


class ObservableCounter(Observable):
    """A sum that only grows and is kept elsewhere: CPU time."""

    kind = COUNTER


class ObservableUpDownCounter(Observable):
    """A sum kept elsewhere that also falls: memory."""

    kind = UP_DOWN


class ObservableGauge(Observable):
    """A value that is looked up when read: load."""

    kind = GAUGE
