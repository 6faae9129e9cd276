"""ExportMetricsServiceRequest -> rows of `series`, `samples`, `native_histograms`, `exemplars`, `metric_meta`, `resources`.

Source: opentelemetry-proto, metrics/v1/metrics.proto. Numbers, explicit histograms and summaries become classic series of
float64 samples; exponential histograms are native ones. Points of delta temporality go to the table `delta_samples`, which
intake turns into totals. A point without a time, later than allowed, or of an impossible shape is refused.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp import values, wire
from gnomon_server.decode.otlp.context import MAX_NS, NS_PER_DAY, DecodeContext
from gnomon_server.decode.otlp.interning import map_of_texts
from gnomon_server.decode.otlp.metric import Metric, SeriesRow, label_text, target_info
from gnomon_server.decode.otlp.records import undecodable_is_invalid
from gnomon_server.decode.otlp.resources import Resource, resource_rows
from gnomon_server.model.batch import Batch, Rejections
from gnomon_server.model.prometheus_names import bucket_bound
from gnomon_server.model.series import STALE_BITS, Kind, meta_key
from gnomon_server.model.tables import EXEMPLARS, METRIC_META, MS, NATIVE_HISTOGRAMS, SAMPLES, SERIES

_NO_RECORDED_VALUE = 1
_EXACT = 1 << 53  # beyond this a float64 does not hold every integer
_STALE = np.array([STALE_BITS], np.uint64).view(np.float64)[0]
_MAX_BUCKETS = 10_000
_GAUGE_HINT = 3  # a native histogram that is not cumulative


@dataclass(slots=True)
class Group:
    """Samples of one role (values, buckets, sums, ...): parallel columns, and what defines the series of each."""

    define: Callable[[int], SeriesRow]
    ids: np.ndarray  # uint64[n]
    at: np.ndarray  # uint64[n], ns
    start: np.ndarray  # uint64[n], ns
    value: np.ndarray  # float64[n]
    delta: np.ndarray  # bool[n]
    exact: np.ndarray | None = None  # int64[n]
    native: bool = False  # described here, stored in native_histograms


@dataclass(slots=True)
class Points:
    """The good points of one shape of a request, and the metric of each."""

    points: list[Any] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)

    def add(self, metric: Metric, points: Iterator[Any]) -> None:
        """Append a metric's points."""
        before = len(self.points)
        self.points.extend(points)
        self.metrics.extend(itertools.repeat(metric, len(self.points) - before))

    def keep(self, good: np.ndarray) -> None:
        """Leave only the good ones."""
        if not good.all():
            self.points = list(itertools.compress(self.points, good.tolist()))
            self.metrics = list(itertools.compress(self.metrics, good.tolist()))

    def column(self, name: str, dtype: Any) -> np.ndarray:
        """One field of each point."""
        return np.array([getattr(point, name) for point in self.points], dtype)

    def present(self, name: str) -> np.ndarray:
        """bool[n]: whether an optional field is set."""
        return np.fromiter((point.HasField(name) for point in self.points), np.bool_, len(self.points))

    def times(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Columns time, start, is-delta, has-no-value."""
        delta = np.fromiter((metric.is_delta for metric in self.metrics), np.bool_, len(self.metrics))
        stale = (self.column("flags", np.uint32) & _NO_RECORDED_VALUE).astype(np.bool_)
        return self.column("time", np.uint64), self.column("start", np.uint64), delta, stale


def decode_metrics(body: bytes, tenant: str, context: DecodeContext) -> Batch:
    """Data points of one request. `InvalidInput` when the bytes are no such request; bad points are refused one by one."""
    with undecodable_is_invalid("metrics", body):
        return _Request(tenant, context).decode(body)


class _Request:
    """One request on its way: what has been found so far."""

    def __init__(self, tenant: str, context: DecodeContext) -> None:
        self.tenant = tenant
        self.context = context
        self.rejections = Rejections()
        self.groups: list[Group] = []
        self.exemplars: list[tuple[int, Any]] = []
        self.metrics: dict[int, Metric] = {}
        self.resources: dict[int, Resource] = {}
        self.numbers, self.histograms = Points(), Points()
        self.exponentials, self.summaries = Points(), Points()

    def decode(self, body: bytes) -> Batch:
        self.context.attributes.begin()
        self.context.metrics.begin()
        self._walk(wire.MetricsRequest.FromString(body))
        shapes = (self.numbers, self.histograms, self.exponentials, self.summaries)
        for points in shapes:
            self._check(points)
        if self.numbers.points:
            self._numbers()
        if self.histograms.points:
            self._histograms()
        if self.summaries.points:
            self._summaries()
        native = self._exponentials() if self.exponentials.points else None
        records = sum(len(points.points) for points in shapes)
        if not records:
            return Batch(self.tenant, {}, 0, 0, self.rejections)
        self._target_info()
        tables = {
            "resources": self._resources(),
            "metric_meta": self._meta(),
            "series": self._series(),
            **self._samples(),
            "native_histograms": native,
            "exemplars": self._exemplars(),
        }
        rows = {name: table for name, table in tables.items() if table is not None and table.num_rows}
        return Batch(self.tenant, rows, records, sum(table.nbytes for table in rows.values()), self.rejections)

    def _walk(self, request: Any) -> None:
        for group in request.resources:
            resource = self.context.known.resource(group.resource)
            for scoped in group.scopes:
                scope = self.context.known.scope(scoped.scope, scoped.schema_url or group.schema_url)
                for message in scoped.records:
                    self._walk_metric(message, resource, scope)

    def _walk_metric(self, message: Any, resource: Resource, scope: str) -> None:
        which = message.WhichOneof("which")
        if which is None:
            self.rejections.alter("metric_without_data", "a metric carries none of the kinds of data OTLP 1.x knows")
            return
        points = getattr(message, which).points
        if not message.name:
            self.rejections.refuse("metric_without_name", "a metric has no name", len(points))
            return
        metric = self.context.metrics.get(message, which, resource, scope)
        self.metrics[id(metric)] = metric
        self.resources[resource.rid] = resource
        target = {"histogram": self.histograms, "exponential": self.exponentials, "summary": self.summaries}
        target.get(which, self.numbers).add(metric, points)

    def _check(self, points: Points) -> None:
        if not points.points:
            return
        at = points.column("time", np.uint64)
        good = np.ones(len(at), np.bool_)
        latest = min(self.context.latest_ns, MAX_NS)
        for reason, bad, message in (
            ("time_unset", at == 0, "a data point's time is 0, which OTLP defines as not set"),
            ("time_in_future", at > latest, "a data point is later than the clock here allows (limits.future)"),
        ):
            if bad.any():
                self.rejections.refuse(reason, message, int(bad.sum()))
                good &= ~bad
        points.keep(good)

    # -- numbers ------------------------------------------------------------------------------------------------------

    def _numbers(self) -> None:
        points = self.numbers
        at, start, delta, stale = points.times()
        doubles, ints = points.column("double", np.float64), points.column("int", np.int64)
        ids = np.empty(len(at), np.uint64)
        for position, (point, metric) in enumerate(zip(points.points, points.metrics, strict=True)):
            key = b"".join(point.attributes)
            found = metric.ids.get(key)
            if found is None:
                found = metric.ids[key] = metric.row(point.attributes, metric.number_kind()).id
            ids[position] = found
            if point.exemplars:
                self.exemplars.extend((found, exemplar) for exemplar in point.exemplars)
        value = np.where(doubles != 0, doubles, ints.astype(np.float64))
        exact = np.where((doubles == 0) & ((ints >= _EXACT) | (ints <= -_EXACT)), ints, 0)
        value[stale] = _STALE
        self.groups.append(
            Group(
                lambda n: points.metrics[n].row(points.points[n].attributes, points.metrics[n].number_kind()),
                ids, at, start, value, delta, exact,
            )
        )  # fmt: skip

    # -- explicit histograms ------------------------------------------------------------------------------------------

    def _histograms(self) -> None:
        points = self.histograms
        points.keep(self._good_shapes(points))
        if not points.points:
            return
        at, start, delta, stale = points.times()
        families = [_family(metric, point) for metric, point in zip(points.metrics, points.points, strict=True)]
        counts = points.column("count", np.uint64).astype(np.float64)
        self._buckets(points, families, counts)
        for name, suffix, kind in (
            ("sum", "_sum", Kind.HISTOGRAM_SUM),
            ("count", "_count", Kind.HISTOGRAM_COUNT),
            ("min", "_min", Kind.HISTOGRAM_MIN),
            ("max", "_max", Kind.HISTOGRAM_MAX),
        ):
            chosen = np.flatnonzero(points.present(name) if name != "count" else np.ones(len(at), np.bool_))
            value = points.column(name, np.float64)
            value[stale] = _STALE
            # A minimum or maximum of an interval does not add up: it is a gauge whatever the temporality.
            adds_up = name in ("sum", "count")
            self.groups.append(
                Group(
                    _definer(points, chosen, kind, suffix, flagged=adds_up),
                    np.array([getattr(family, name) for family in families], np.uint64)[chosen],
                    at[chosen], start[chosen], value[chosen],
                    delta[chosen] if adds_up else np.zeros(len(chosen), np.bool_),
                )
            )  # fmt: skip
        for point, family in zip(points.points, families, strict=True):
            if point.exemplars:
                self.exemplars.extend((family.bucket_of(_number(exemplar)), exemplar) for exemplar in point.exemplars)

    def _good_shapes(self, points: Points) -> np.ndarray:
        good = np.ones(len(points.points), np.bool_)
        for position, point in enumerate(points.points):
            buckets, bounds = len(point.buckets), len(point.bounds)
            fits = buckets == bounds + 1 or (buckets == 0 and bounds == 0)
            if not fits or bounds > _MAX_BUCKETS or not _increasing(point.bounds):
                good[position] = False
                self.rejections.refuse(
                    "histogram_shape",
                    f"{buckets} bucket counts for {bounds} bounds: one more count than strictly increasing bounds is "
                    f"expected, at most {_MAX_BUCKETS}",
                )
        return good

    def _buckets(self, points: Points, families: list["_Family"], totals: np.ndarray) -> None:
        at, start, delta, stale = points.times()
        widths = np.array([len(family.buckets) for family in families], np.int64)
        ends = np.cumsum(widths)
        raw = np.fromiter(
            itertools.chain.from_iterable(point.buckets or (point.count,) for point in points.points),
            np.float64,
            int(ends[-1]),
        )
        running = np.cumsum(raw)
        before = np.concatenate([[0.0], running[ends[:-1] - 1]])
        value = running - np.repeat(before, widths)
        value[ends - 1] = totals  # the +Inf bucket is the count
        value[np.repeat(stale, widths)] = _STALE
        point_of = np.repeat(np.arange(len(widths)), widths)
        first = ends - widths

        def define(position: int) -> SeriesRow:
            number = int(point_of[position])
            metric, point = points.metrics[number], points.points[number]
            bounds = [*point.bounds, float("inf")]
            le = bucket_bound(bounds[position - int(first[number])])
            return metric.row(point.attributes, metric.flagged(Kind.BUCKET), "_bucket", {"le": le})

        self.groups.append(
            Group(
                define,
                np.concatenate([family.buckets for family in families]),
                np.repeat(at, widths), np.repeat(start, widths), value, np.repeat(delta, widths),
            )
        )  # fmt: skip

    # -- summaries ----------------------------------------------------------------------------------------------------

    def _summaries(self) -> None:
        points = self.summaries
        at, start, _, stale = points.times()
        nothing = np.zeros(len(at), np.bool_)
        everything = np.arange(len(at))
        for name, suffix, kind in (
            ("sum", "_sum", Kind.SUMMARY_SUM),
            ("count", "_count", Kind.SUMMARY_COUNT),
        ):
            define = _definer(points, everything, kind, suffix, flagged=False)
            value = points.column(name, np.float64)
            value[stale] = _STALE
            ids = np.array([define(position).id for position in range(len(at))], np.uint64)
            self.groups.append(Group(define, ids, at, start, value, nothing))
        quantiles = [(number, q) for number, point in enumerate(points.points) for q in point.quantiles]
        if not quantiles:
            return
        of = np.array([number for number, _ in quantiles])

        def define_quantile(position: int) -> SeriesRow:
            number, quantile = quantiles[position]
            label = {"quantile": label_text(quantile.quantile).removesuffix(".0")}
            return points.metrics[number].row(points.points[number].attributes, Kind.QUANTILE, "", label)

        self.groups.append(
            Group(
                define_quantile,
                np.array([define_quantile(position).id for position in range(len(quantiles))], np.uint64),
                at[of], start[of], np.array([quantile.value for _, quantile in quantiles]), nothing[of],
            )
        )  # fmt: skip

    # -- exponential histograms ---------------------------------------------------------------------------------------

    def _exponentials(self) -> pa.RecordBatch:
        points = self.exponentials
        at, start, delta, stale = points.times()
        ids = np.empty(len(at), np.uint64)
        for position, (point, metric) in enumerate(zip(points.points, points.metrics, strict=True)):
            key = b"".join(point.attributes)
            found = metric.ids.get(key)
            if found is None:
                found = metric.ids[key] = metric.row(point.attributes, metric.flagged(Kind.EXPONENTIAL)).id
            ids[position] = found
            self.exemplars.extend((found, exemplar) for exemplar in point.exemplars)
        # The series of these points must be described too; the rows themselves go to a table of their own.
        self.groups.append(
            Group(
                _definer(points, np.arange(len(at)), Kind.EXPONENTIAL, "", flagged=True),
                ids, at, start, np.zeros(len(at)), delta, native=True,
            )
        )  # fmt: skip
        total = points.column("sum", np.float64)
        total[stale] = _STALE
        return pa.RecordBatch.from_arrays(
            [
                pa.array(ids),
                _ms(at),
                _ms(start),
                pa.array(np.clip(points.column("scale", np.int64), -128, 127).astype(np.int8)),
                pa.array(np.where(delta, _GAUGE_HINT, 0).astype(np.uint8)),
                pa.array(np.zeros(len(at), np.bool_)),
                pa.array(points.column("count", np.float64)),
                pa.array(total),
                pa.array(_or_nan(points, "min")),
                pa.array(_or_nan(points, "max")),
                pa.array(points.column("zero_threshold", np.float64)),
                pa.array(points.column("zero_count", np.float64)),
                *_spread([point.positive for point in points.points]),
                *_spread([point.negative for point in points.points]),
                pa.array([[]] * len(at), pa.list_(pa.float64())),
            ],
            schema=NATIVE_HISTOGRAMS,
        )

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _target_info(self) -> None:
        newest = max(int(group.at.max()) for group in self.groups if len(group.at))
        rows = [row for row in map(target_info, self.resources.values()) if row is not None]
        if rows:
            count = len(rows)
            at = np.full(count, newest, np.uint64)
            self.groups.append(
                Group(
                    lambda n: rows[n],
                    np.array([row.id for row in rows], np.uint64),
                    at, np.zeros(count, np.uint64), np.ones(count), np.zeros(count, np.bool_),
                )
            )  # fmt: skip

    def _samples(self) -> dict[str, pa.RecordBatch]:
        """Rows of `samples`, and of `delta_samples` in the same columns."""
        groups = [group for group in self.groups if not group.native]
        if not groups:
            return {}
        delta = np.concatenate([group.delta for group in groups])
        value = np.concatenate([group.value for group in groups])
        exact = np.concatenate(
            [group.exact if group.exact is not None else np.zeros(len(group.ids), np.int64) for group in groups]
        )
        rows = pa.RecordBatch.from_arrays(
            [
                pa.array(np.concatenate([group.ids for group in groups])),
                _ms(np.concatenate([group.at for group in groups])),
                pa.array(value),
                _ms(np.concatenate([group.start for group in groups])),
                pa.array(np.where(delta, value, 0.0)),
                pa.array(exact),
            ],
            schema=SAMPLES,
        )
        if not delta.any():
            return {"samples": rows}
        return {"samples": rows.filter(pa.array(~delta)), "delta_samples": rows.filter(pa.array(delta))}

    def _series(self) -> pa.RecordBatch:
        ids = np.concatenate([group.ids for group in self.groups])
        days = (np.concatenate([group.at for group in self.groups]) // NS_PER_DAY).astype(np.int32)
        first = np.unique(np.stack([ids, days.astype(np.uint64)]), axis=1, return_index=True)[1] if np.ptp(days) else (
            np.unique(ids, return_index=True)[1]
        )
        first = first[self.context.seen.unseen(self.tenant, "series", ids[first], days[first])]
        ends = np.cumsum([len(group.ids) for group in self.groups])
        rows = []
        for position in first.tolist():
            number = int(np.searchsorted(ends, position, "right"))
            rows.append(self.groups[number].define(position - int(ends[number] - len(self.groups[number].ids))))
        raws = [raw for row in rows for raw in row.raws]
        counts = np.array([len(row.raws) for row in rows], np.int64)
        numbers = self.context.attributes.intern(raws)
        return pa.RecordBatch.from_arrays(
            [
                pa.array(days[first], pa.int32()).cast(pa.date32()),
                pa.array([row.metric for row in rows], pa.string()),
                pa.array([row.id for row in rows], pa.uint64()),
                pa.array([row.kind for row in rows], pa.uint8()),
                pa.array([row.resource.rid for row in rows], pa.uint64()),
                pa.array([row.resource.service for row in rows], pa.string()),
                pa.array([row.scope for row in rows], pa.string()),
                pa.array([row.name for row in rows], pa.string()),
                map_of_texts([dict(sorted(row.labels.items())) for row in rows]),
                *self.context.attributes.columns(numbers, counts, self.rejections),
            ],
            schema=SERIES,
        )

    def _meta(self) -> pa.RecordBatch:
        metrics = list(self.metrics.values())
        rows = [
            {
                "metric": metric.base,
                "type": metric.type,
                "unit": metric.unit,
                "help": metric.help,
                "temporality": metric.temporality,
                "monotonic": metric.monotonic,
                "s": metric.metadata,
            }
            for metric in self.metrics.values()
        ]
        keys = np.array([meta_key(row) for row in rows], np.uint64)
        unseen = self.context.seen.unseen(self.tenant, "meta", keys, np.zeros(len(keys), np.int32))
        new = [{**row, "s": list(row["s"].items())} for row in itertools.compress(rows, unseen.tolist())]
        return pa.RecordBatch.from_pylist(new, schema=METRIC_META)

    def _resources(self) -> pa.RecordBatch:
        day = max(int(group.at.max()) for group in self.groups) // NS_PER_DAY
        rids = np.array(list(self.resources), np.uint64)
        unseen = self.context.seen.unseen(self.tenant, "resource", rids, np.full(len(rids), day, np.int32))
        used = [(self.resources[int(rid)], np.array([day])) for rid in rids[unseen]]
        return resource_rows(used, self.context.attributes, self.rejections)

    def _exemplars(self) -> pa.RecordBatch:
        good = [(series, e) for series, e in self.exemplars if e.time]
        return pa.RecordBatch.from_arrays(
            [
                pa.array([series for series, _ in good], pa.uint64()),
                _ms(np.array([min(e.time, MAX_NS) for _, e in good], np.uint64)),
                pa.array([_number(e) for _, e in good], pa.float64()),
                pa.array([_id(e.trace_id, 16) for _, e in good], pa.binary(16)),
                pa.array([_id(e.span_id, 8) for _, e in good], pa.binary(8)),
                map_of_texts(
                    [{k: label_text(v) for k, v in values.attributes(e.attributes).items()} for _, e in good]
                ),
            ],
            schema=EXEMPLARS,
        )


@dataclass(frozen=True, slots=True)
class _Family:
    """The ids of a histogram's series."""

    buckets: np.ndarray  # uint64[n_bounds + 1], in the order of the bounds
    bounds: tuple[float, ...]
    sum: int
    count: int
    min: int
    max: int

    def bucket_of(self, value: float) -> int:
        """The id of the bucket in which a value falls; bounds are inclusive upper ones."""
        return int(self.buckets[np.searchsorted(np.array(self.bounds), value, "left")])


def _family(metric: Metric, point: Any) -> _Family:
    bounds = tuple(point.bounds)
    key = (b"".join(point.attributes), bounds)
    found: _Family | None = metric.ids.get(key)
    if found is None:
        raws = tuple(point.attributes)
        found = metric.ids[key] = _Family(
            buckets=np.array(
                [
                    metric.row(raws, Kind.BUCKET, "_bucket", {"le": bucket_bound(bound)}).id
                    for bound in (*bounds, float("inf"))
                ],
                np.uint64,
            ),
            bounds=bounds,
            **{name: metric.row(raws, 0, f"_{name}").id for name in ("sum", "count", "min", "max")},
        )
    return found


def _definer(
    points: Points, chosen: np.ndarray, kind: int, suffix: str, *, flagged: bool
) -> Callable[[int], SeriesRow]:
    def define(position: int) -> SeriesRow:
        number = int(chosen[position])
        metric = points.metrics[number]
        return metric.row(points.points[number].attributes, metric.flagged(kind) if flagged else kind, suffix)

    return define


def _increasing(bounds: Any) -> bool:
    return all(low < high for low, high in itertools.pairwise(bounds))


def _number(exemplar: Any) -> float:
    return exemplar.double if exemplar.WhichOneof("which") == "double" else float(exemplar.int)


def _id(raw: bytes, width: int) -> bytes:
    return raw if len(raw) == width else bytes(width)


def _ms(ns: np.ndarray) -> pa.Array:
    return pa.array((ns // 1_000_000).astype(np.int64)).view(MS)


def _or_nan(points: Points, name: str) -> np.ndarray:
    return np.where(points.present(name), points.column(name, np.float64), np.nan)


def _spread(sides: list[Any]) -> list[pa.Array]:
    """Buckets as explicit indices and counts, empty ones left out. Prometheus' index is OTLP's plus one: it names the
    upper bound, OTLP's the lower."""
    kept = [
        [(index, float(count)) for index, count in enumerate(side.counts, side.offset + 1) if count] for side in sides
    ]
    return [
        pa.array([[index for index, _ in side] for side in kept], pa.list_(pa.int32())),
        pa.array([[count for _, count in side] for side in kept], pa.list_(pa.float64())),
    ]
