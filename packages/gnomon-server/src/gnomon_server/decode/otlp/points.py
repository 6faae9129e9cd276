"""Data points of one shape, read together, and the samples they become."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gnomon_server.decode.otlp.context import MAX_NS, DecodeContext
from gnomon_server.decode.otlp.metric import Metric, SeriesRow
from gnomon_server.decode.otlp.records import Origins, check_times, senders_of
from gnomon_server.decode.otlp.scan import Pieces, Scanned, scan
from gnomon_server.model.batch import Rejections
from gnomon_server.model.series import STALE_BITS

_NO_RECORDED_VALUE = 1  # of DataPointFlags
STALE = np.array([STALE_BITS], np.uint64).view(np.float64)[0]


@dataclass(slots=True)
class Group:
    """Samples of one role (values, buckets, sums, ...): parallel columns, and what defines the series of each."""

    define: Callable[[int], SeriesRow]
    ids: np.ndarray  # uint64[n]
    at: np.ndarray  # uint64[n], ns
    start: np.ndarray  # uint64[n], ns
    value: np.ndarray  # float64[n]
    delta: np.ndarray  # bool[n]
    exact: np.ndarray | None = None  # int64[n], an integer that float64 does not hold; 0 elsewhere
    native: bool = False  # described here, stored in native_histograms
    distinct: np.ndarray | None = None  # int64[m], positions that cover every series and day; all when None


@dataclass(slots=True)
class Sent:
    """The points of one shape as they come from the walk: metric by metric."""

    message: str
    metrics: list[Metric] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    raws: list[bytes] = field(default_factory=list)

    def add(self, metric: Metric, raws: list[bytes]) -> None:
        """The points of one metric."""
        self.metrics.append(metric)
        self.counts.append(len(raws))
        self.raws.extend(raws)


class Points:
    """The points of one shape that can be stored: their columns, their metrics, their attributes."""

    def __init__(self, sent: Sent, context: DecodeContext, rejections: Rejections) -> None:
        self.context = context
        self.rejections = rejections
        self.metrics = sent.metrics
        self.metric_of = np.repeat(np.arange(len(sent.metrics)), sent.counts)
        self._message = sent.message
        self._read(sent.raws)
        good = check_times(self.at, "a data point's time", context, rejections)
        self.senders = senders_of("metrics", self.origins(), self.at, good)
        self.keep(good)

    def __len__(self) -> int:
        return len(self.at)

    def _read(self, raws: list[bytes]) -> None:
        self._raws = raws
        self.scanned: Scanned = scan(self._message, raws)
        self.at = self.scanned.words("time_unix_nano")
        self.start = np.minimum(self.scanned.words("start_time_unix_nano"), np.uint64(MAX_NS))
        self.stale = (self.scanned.varints("flags") & np.uint64(_NO_RECORDED_VALUE)).astype(np.bool_)
        self.attribute_counts, self.attributes = self.scanned.repeated("attributes")
        self._attribute_ends = np.cumsum(self.attribute_counts)

    def keep(self, good: np.ndarray) -> None:
        """Leave only the good ones, bool[n]."""
        if not good.all():
            self.metric_of = self.metric_of[good]
            self._read([raw for raw, right in zip(self._raws, good.tolist(), strict=True) if right])

    @property
    def delta(self) -> np.ndarray:
        """bool[n]: whether the metric of each point reports changes."""
        return np.array([metric.is_delta for metric in self.metrics], np.bool_)[self.metric_of]

    def origins(self) -> Origins:
        """The resource of each point; metrics of one resource stand together."""
        origins = Origins()
        for metric, count in zip(self.metrics, self.counts(), strict=True):
            if origins.resources and origins.resources[-1] is metric.resource:
                origins.counts[-1] += count
            else:
                origins.add(metric.resource, "", count)
        return origins

    def counts(self) -> list[int]:
        """How many points each metric has."""
        counted: list[int] = np.bincount(self.metric_of, minlength=len(self.metrics)).tolist()
        return counted

    def metric(self, position: int) -> Metric:
        """The metric of a point."""
        return self.metrics[int(self.metric_of[position])]

    def raws_of(self, position: int) -> tuple[bytes, ...]:
        """The attributes of a point, KeyValue messages."""
        end = int(self._attribute_ends[position])
        chosen = slice(end - int(self.attribute_counts[position]), end)
        pieces = self.attributes
        return tuple(Pieces(pieces.body, pieces.data, pieces.starts[chosen], pieces.lengths[chosen]).raws())

    def attribute_bytes(self) -> list[bytes]:
        """Bytes that name the attributes of each point: those of the attributes with their lengths, as sent."""
        has = np.flatnonzero(self.attribute_counts)
        starts, ends = np.zeros(len(self), np.int64), np.zeros(len(self), np.int64)
        last = self._attribute_ends[has] - 1
        first = last + 1 - self.attribute_counts[has]
        # With the tag and the length of the first one: without, other attributes could have the same bytes.
        lengths = self.attributes.lengths[first]
        head = 2 + (lengths >> 7 > 0) + (lengths >> 14 > 0) + (lengths >> 21 > 0)
        starts[has], ends[has] = self.attributes.starts[first] - head, self.attributes.ends[last]
        body = self.attributes.body
        return [body[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]

    def remembered(self, keys: list[Any], make: Callable[[int], Any], size: int = 0) -> list[Any]:
        """What `make(position)` says of each point, found again by the point's key within its metric."""
        found: list[Any] = []
        for metric, count in zip(self.metrics, self.counts(), strict=True):
            first = len(found)
            found += self.context.metrics.find(metric, keys[first : first + count], make, first, size)
        return found

    def definer(
        self, kind: int, suffix: str, chosen: np.ndarray | None = None, *, flagged: bool
    ) -> Callable[[int], SeriesRow]:
        """What defines the series of a point, or of the chosen ones."""

        def define(position: int) -> SeriesRow:
            number = position if chosen is None else int(chosen[position])
            metric = self.metric(number)
            return metric.row(self.raws_of(number), metric.flagged(kind) if flagged else kind, suffix)

        return define


def series_ids(points: Points, define: Callable[[int], SeriesRow]) -> np.ndarray:
    """The id of the series of each point, uint64[n], where a point is one sample."""
    return np.array(points.remembered(points.attribute_bytes(), lambda position: define(position).id), np.uint64)
