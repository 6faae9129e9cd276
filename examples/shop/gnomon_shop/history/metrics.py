"""What the services' meters would have reported: a day of values by step, cumulated as an SDK does, as OTLP points."""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

from gnomon_shop.history.processes import Process, Track
from gnomon_shop.history.wire import Bytes, Marks, Template, Value, framed, of_resource, put

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
_DATA_POINTS = 1
_FIELD = {"gauge": 5, "counter": 7, "updown": 7, "histogram": 9, "exponential": 10}  # of Metric
# Of exponential histograms: 16 buckets to the doubling, from 2^8 to 2^17, as an SDK would find for orders in cents.
_SCALE, _OFFSET, _BUCKETS = 4, 128, 144


@dataclass(frozen=True)
class Instrument:
    """A metric as the services make it."""

    name: str
    kind: str  # counter | updown | gauge | histogram | exponential
    unit: str
    help: str
    scope: str  # `name@version` of the instrumentation scope
    whole: bool = False  # integers
    bounds: tuple[float, ...] = ()
    every: int = 1  # steps between two reports

    @property
    def buckets(self) -> int:
        """0 for what is no histogram."""
        return {"histogram": len(self.bounds) + 1, "exponential": _BUCKETS}.get(self.kind, 0)

    def bucket(self, values: Floats) -> Ints:
        """Which bucket each value falls into."""
        if self.kind == "histogram":
            return np.asarray(np.searchsorted(self.bounds, values))
        index = np.ceil(np.log2(np.maximum(values, 1)) * 2**_SCALE).astype(np.int64) - 1 - _OFFSET
        return np.asarray(np.clip(index, 0, _BUCKETS - 1))


_SERVING = ("http.server.request.duration", "rpc.server.duration", "messaging.process.duration")

Labels = tuple[tuple[str, Value], ...]


Late = tuple[Track, Instrument, Labels, Ints, Floats]


@dataclass
class Values:
    """One series' day: what was added in each step, or for gauges what was read."""

    sums: Floats  # [steps]
    counts: Ints  # [steps, buckets] of histograms
    least: Floats
    most: Floats

    @classmethod
    def none(cls, steps: int, buckets: int) -> "Values":
        """Nothing yet."""
        return cls(
            np.zeros(steps), np.zeros((steps, buckets), np.int64), np.full(steps, np.inf), np.full(steps, -np.inf)
        )

    def cut(self, first: int, last: int) -> "Values":
        """Of the steps from `first` to before `last`."""
        return Values(self.sums[first:last], self.counts[first:last], self.least[first:last], self.most[first:last])


@dataclass
class Meters:
    """All that was recorded in a day, by the step in which it fell; what falls later is kept for the next day."""

    start_ns: int
    steps: int
    step_ns: int
    is_last: bool  # no day follows: what falls later falls into the last step
    values: dict[tuple[Track, Instrument, Labels], Values] = field(default_factory=dict)
    late: list[Late] = field(default_factory=list)

    def add(self, track: Track, instrument: Instrument, labels: Labels, at: Ints, values: Floats) -> None:
        """Add to a counter or record in a histogram."""
        step = np.maximum((at - self.start_ns) // self.step_ns, 0)
        later = step >= self.steps
        if later.any():
            if self.is_last:
                step = np.minimum(step, self.steps - 1)
            else:
                self.late.append((track, instrument, labels, at[later], values[later]))
                step, values = step[~later], values[~later]
        if not len(step):
            return
        into = self._into(track, instrument, labels)
        into.sums += np.bincount(step, values, self.steps)
        if width := instrument.buckets:
            place = step * width + instrument.bucket(values)
            into.counts += np.bincount(place, minlength=self.steps * width).reshape(self.steps, width)
            np.minimum.at(into.least, step, values)
            np.maximum.at(into.most, step, values)

    def flow(self, track: Track, instrument: Instrument, labels: Labels, starts: Ints, ends: Ints) -> None:
        """Add to an up-down counter what is between its start and its end as each step ends."""
        begun, over = (
            np.bincount(np.clip((at - self.start_ns) // self.step_ns, 0, self.steps - 1), minlength=self.steps)
            for at in (starts, ends)
        )
        self._into(track, instrument, labels).sums += np.cumsum(begun - over)

    def served(self, track: Track) -> Floats:
        """How many requests and messages a track's servers and consumers dealt with in each step."""
        found = np.zeros(self.steps)
        for (of, instrument, _), values in self.values.items():
            if of == track and instrument.name in _SERVING:
                found += values.counts.sum(axis=1)
        return found

    def read(self, track: Track, instrument: Instrument, labels: Labels, values: Floats) -> None:
        """Values of a gauge or an up-down counter at the end of each step."""
        self._into(track, instrument, labels).sums[:] = values

    def _into(self, track: Track, instrument: Instrument, labels: Labels) -> Values:
        key = track, instrument, labels
        if key not in self.values:
            self.values[key] = Values.none(self.steps, instrument.buckets)
        return self.values[key]


@dataclass
class Cumulation:
    """What the processes have cumulated since their starts; goes from day to day."""

    _held: dict[str, dict[tuple[Instrument, Labels], tuple[float, Ints, float, float]]] = field(default_factory=dict)

    def points(self, process: Process, meters: Meters, first: int, last: int, times: Ints) -> "Report":
        """The process's points for the steps from `first` to before `last`, whose reports are dated `times`."""
        held = self._held.setdefault(process.instance, {})
        today = {
            (instrument, labels): values.cut(first, last)
            for (track, instrument, labels), values in meters.values.items()
            if track == process.track
        }
        report = Report(process)
        for key in [*held, *(key for key in today if key not in held)]:
            instrument, labels = key
            values = today.get(key) or Values.none(last - first, instrument.buckets)
            begun = 0
            if instrument.kind not in ("gauge", "updown"):
                values = _cumulated(values, held.get(key))
                met = values.counts.sum(axis=1) > 0 if instrument.buckets else values.sums > 0
                if not met[-1]:
                    continue
                begun = int(np.argmax(met))  # an SDK reports what it has met
                held[key] = values.sums[-1], values.counts[-1], values.least[-1], values.most[-1]
            told = np.arange(begun, last - first)
            told = told[(told + first + 1) % instrument.every == 0]
            rows = _encoded(
                process,
                times[told],
                instrument,
                labels,
                Values(values.sums[told], values.counts[told], values.least[told], values.most[told]),
            )
            report.add(instrument, told + first, rows)
        return report


@dataclass
class Report:
    """A process's encoded points of some steps, by metric."""

    process: Process
    _rows: dict[Instrument, list[tuple[Ints, Bytes]]] = field(default_factory=dict)

    def add(self, instrument: Instrument, steps: Ints, rows: Bytes) -> None:
        """The points of one series and the steps whose they are."""
        self._rows.setdefault(instrument, []).append((steps, rows))

    @property
    def series(self) -> int:
        """How many."""
        return sum(map(len, self._rows.values()))

    def body(self, first: int, last: int) -> tuple[bytes, int]:
        """An export request of the steps from `first` to before `last`, and how many points it holds."""
        scopes: dict[str, list[bytes]] = {}
        points = 0
        for instrument, series in self._rows.items():
            cut = [rows[slice(*np.searchsorted(steps, (first, last)))] for steps, rows in series]
            count = sum(map(len, cut))
            points += count
            if count:
                records = b"".join(rows.tobytes() for rows in cut)
                scopes.setdefault(instrument.scope, []).append(_metric(instrument, records))
        joined = {scope: b"".join(metrics) for scope, metrics in scopes.items()}
        return of_resource(self.process.resource, joined), points


def _cumulated(values: Values, held: tuple[float, Ints, float, float] | None) -> Values:
    before = held or (0.0, 0, np.inf, -np.inf)
    return Values(
        np.cumsum(values.sums) + before[0],
        np.cumsum(values.counts, axis=0) + before[1],
        np.minimum(np.minimum.accumulate(values.least), before[2]),
        np.maximum(np.maximum.accumulate(values.most), before[3]),
    )


def _encoded(process: Process, times: Ints, instrument: Instrument, labels: Labels, values: Values) -> Bytes:
    columns = {"time": times, "start": np.full(len(times), process.start_ns)}
    if not instrument.buckets:
        numbers = np.rint(values.sums).astype(np.int64) if instrument.whole else values.sums
        return _number(instrument, labels).rows(columns | {"value": numbers}, len(times))
    columns |= {
        "value": values.sums,
        "count": values.counts.sum(axis=1),
        "buckets": values.counts,
        "least": values.least,
        "most": values.most,
    }
    template = _histogram(instrument, labels) if instrument.kind == "histogram" else _exponential(labels)
    return template.rows(columns, len(times))


@cache
def _number(instrument: Instrument, labels: Labels) -> Template:
    marks, point = Marks(), NumberDataPoint()
    point.time_unix_nano = marks.fixed64("time")
    if instrument.kind != "gauge":
        point.start_time_unix_nano = marks.fixed64("start")
    if instrument.whole:
        point.as_int = marks.fixed64("value")
    else:
        point.as_double = marks.double("value")
    put(point.attributes, dict(labels), marks)
    return marks.template(point, _DATA_POINTS)


@cache
def _histogram(instrument: Instrument, labels: Labels) -> Template:
    marks = Marks()
    point = HistogramDataPoint(
        start_time_unix_nano=marks.fixed64("start"),
        time_unix_nano=marks.fixed64("time"),
        count=marks.fixed64("count"),
        sum=marks.double("value"),
        bucket_counts=marks.fixed64s("buckets", len(instrument.bounds) + 1),
        explicit_bounds=instrument.bounds,
        min=marks.double("least"),
        max=marks.double("most"),
    )
    put(point.attributes, dict(labels), marks)
    return marks.template(point, _DATA_POINTS)


@cache
def _exponential(labels: Labels) -> Template:
    marks = Marks()
    point = ExponentialHistogramDataPoint(
        start_time_unix_nano=marks.fixed64("start"),
        time_unix_nano=marks.fixed64("time"),
        count=marks.fixed64("count"),
        sum=marks.double("value"),
        scale=_SCALE,
        min=marks.double("least"),
        max=marks.double("most"),
    )
    point.positive.offset = _OFFSET
    point.positive.bucket_counts.extend(marks.varints("buckets", _BUCKETS))
    put(point.attributes, dict(labels), marks)
    return marks.template(point, _DATA_POINTS)


def _metric(instrument: Instrument, points: bytes) -> bytes:
    """A metric (field 2 of its scope's group) around its encoded points."""
    head = Metric(name=instrument.name, description=instrument.help, unit=instrument.unit).SerializeToString()
    match instrument.kind:
        case "gauge":
            kind = Gauge().SerializeToString()
        case "exponential":
            kind = ExponentialHistogram(aggregation_temporality=_CUMULATIVE).SerializeToString()
        case "histogram":
            kind = Histogram(aggregation_temporality=_CUMULATIVE).SerializeToString()
        case _:
            monotonic = instrument.kind == "counter"
            kind = Sum(aggregation_temporality=_CUMULATIVE, is_monotonic=monotonic).SerializeToString()
    return framed(2, head + framed(_FIELD[instrument.kind], points + kind))
