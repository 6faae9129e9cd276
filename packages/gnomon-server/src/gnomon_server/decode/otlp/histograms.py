"""Explicit histograms as classic series: `_bucket` with `le`, `_sum`, `_count`, and `_min`, `_max`."""

from dataclasses import dataclass

import numpy as np

from gnomon_server.decode.otlp.context import NS_PER_DAY
from gnomon_server.decode.otlp.exemplars import Exemplars
from gnomon_server.decode.otlp.fields import I64
from gnomon_server.decode.otlp.metric import Metric, SeriesRow
from gnomon_server.decode.otlp.points import STALE, Group, Points
from gnomon_server.decode.otlp.records import refuse
from gnomon_server.model.prometheus_names import bucket_bound
from gnomon_server.model.series import Kind

_MAX_BUCKETS = 10_000
_ID_BYTES = 8
_ROLES = (
    ("sum", "_sum", Kind.HISTOGRAM_SUM),
    ("count", "_count", Kind.HISTOGRAM_COUNT),
    ("min", "_min", Kind.HISTOGRAM_MIN),
    ("max", "_max", Kind.HISTOGRAM_MAX),
)


@dataclass(frozen=True, slots=True)
class _Family:
    """The ids of a histogram's series, uint64 as bytes: `roles` in the order of _ROLES, `buckets` in that of bounds."""

    roles: bytes
    buckets: bytes


def histogram_groups(points: Points, exemplars: Exemplars) -> list[Group]:
    """The samples of explicit histograms. A point whose buckets do not fit its bounds is refused."""
    _refuse_misshapen(points)
    if not len(points):
        return []
    bounds = points.scanned.pieces("explicit_bounds").raws()
    families = _families(points, bounds)
    buckets = _Buckets(points, bounds, families)
    exemplars.add(points, buckets.series_of)
    ids = np.frombuffer(b"".join([family.roles for family in families]), np.uint64).reshape(len(points), len(_ROLES))
    return [
        buckets.group(),
        *(_role(points, name, suffix, kind, ids[:, place]) for place, (name, suffix, kind) in enumerate(_ROLES)),
    ]


def _refuse_misshapen(points: Points) -> None:
    counts = points.scanned.pieces("bucket_counts").lengths // 8
    bounds = points.scanned.pieces("explicit_bounds")
    wanted = bounds.lengths // 8 + 1
    raws = bounds.raws()
    rising = {raw: _is_rising(np.frombuffer(raw, np.float64)) for raw in set(raws)}
    good = (counts == wanted) | ((counts == 0) & (wanted == 1))
    good &= (wanted <= _MAX_BUCKETS + 1) & np.fromiter(map(rising.__getitem__, raws), np.bool_, len(raws))
    if not good.all():
        first = int(np.argmin(good))
        refuse(
            points.rejections,
            ~good,
            "histogram_shape",
            f"{counts[first]} bucket counts for {wanted[first] - 1} bounds: one more count than finite, strictly "
            f"increasing bounds is expected, at most {_MAX_BUCKETS}",
        )
        points.keep(good)


def _is_rising(bounds: np.ndarray) -> bool:
    return bool(np.isfinite(bounds).all() and (bounds[1:] > bounds[:-1]).all())


def _families(points: Points, bounds: list[bytes]) -> list[_Family]:
    def make(position: int) -> _Family:
        return _family(points.metric(position), points.raws_of(position), bounds[position])

    # The length at the end tells where the attributes end and the bounds begin.
    keys = [
        attributes + raw + len(raw).to_bytes(4, "little")
        for attributes, raw in zip(points.attribute_bytes(), bounds, strict=True)
    ]
    return points.remembered(keys, make, 16 + 2 * max(map(len, bounds)))


def _family(metric: Metric, raws: tuple[bytes, ...], bounds: bytes) -> _Family:
    return _Family(
        np.array([metric.row(raws, kind, suffix).id for _, suffix, kind in _ROLES], np.uint64).tobytes(),
        np.array(
            [metric.row(raws, Kind.BUCKET, "_bucket", {"le": le}).id for le in map(bucket_bound, _upper(bounds))],
            np.uint64,
        ).tobytes(),
    )


def _upper(bounds: bytes) -> list[float]:
    return [*np.frombuffer(bounds, np.float64).tolist(), float("inf")]


def _role(points: Points, name: str, suffix: str, kind: Kind, ids: np.ndarray) -> Group:
    """The samples of `_sum`, `_count`, `_min` or `_max`; a sum is absent where observations may be negative."""
    if name == "count":
        given, value = np.arange(len(points)), points.scanned.words(name).astype(np.float64)
    else:
        given, value = np.flatnonzero(points.scanned.present(name, I64)), points.scanned.doubles(name)
    value[points.stale] = STALE
    # A minimum or maximum of an interval does not add up: it is a gauge whatever the temporality.
    adds_up = name in ("sum", "count")
    return Group(
        points.definer(kind, suffix, given, flagged=adds_up),
        ids[given],
        points.at[given],
        points.start[given],
        value[given],
        points.delta[given] if adds_up else np.zeros(len(given), np.bool_),
    )


class _Buckets:
    """The buckets of all points, one after the other; `first` and `widths`: int64[n_points]."""

    def __init__(self, points: Points, bounds: list[bytes], families: list[_Family]) -> None:
        self._points, self._bounds, self._families = points, bounds, families
        self.ids = np.frombuffer(b"".join([family.buckets for family in families]), np.uint64)
        self.widths = np.fromiter((len(family.buckets) for family in families), np.int64, len(families)) // _ID_BYTES
        self.ends = np.cumsum(self.widths)
        self.first = self.ends - self.widths

    def values(self) -> np.ndarray:
        """Cumulative counts, as `le` asks; the +Inf bucket is the count of all."""
        points = self._points
        totals = points.scanned.words("count").astype(np.float64)
        counts = points.scanned.pieces("bucket_counts")
        raws = counts.raws() if counts.lengths.all() else [raw or bytes(_ID_BYTES) for raw in counts.raws()]
        running = np.cumsum(np.frombuffer(b"".join(raws), np.uint64))  # integers: exact, and right beyond a wrap
        before = np.concatenate([np.zeros(1, np.uint64), running[self.ends[:-1] - 1]])
        value: np.ndarray = (running - np.repeat(before, self.widths)).astype(np.float64)
        value[self.ends - 1] = totals
        value[np.repeat(points.stale, self.widths)] = STALE
        return value

    def group(self) -> Group:
        """The samples of `_bucket`."""
        points, widths = self._points, self.widths
        return Group(
            self._define,
            self.ids,
            np.repeat(points.at, widths),
            np.repeat(points.start, widths),
            self.values(),
            np.repeat(points.delta, widths),
            distinct=self._distinct(),
        )

    def _define(self, position: int) -> SeriesRow:
        number = int(np.searchsorted(self.ends, position, "right"))
        metric = self._points.metric(number)
        le = bucket_bound(_upper(self._bounds[number])[position - int(self.first[number])])
        return metric.row(self._points.raws_of(number), metric.flagged(Kind.BUCKET), "_bucket", {"le": le})

    def _distinct(self) -> np.ndarray:
        """The buckets of each family's first point on each day: every series of the group is among them."""
        days = self._points.at // np.uint64(NS_PER_DAY)
        seen = {
            (id(family), day): number
            for number, (family, day) in enumerate(zip(self._families, days.tolist(), strict=True))
        }
        numbers = np.array(list(seen.values()), np.int64)
        widths = self.widths[numbers]
        return np.repeat(self.first[numbers] - (np.cumsum(widths) - widths), widths) + np.arange(widths.sum())

    def series_of(self, owners: np.ndarray, values: np.ndarray) -> np.ndarray:
        """The bucket into which a value of a point falls; bounds are inclusive upper ones."""
        place = [
            np.searchsorted(np.frombuffer(self._bounds[owner], np.float64), value, "left")
            for owner, value in zip(owners.tolist(), values.tolist(), strict=True)
        ]
        result: np.ndarray = self.ids[self.first[owners] + np.array(place, np.int64)]
        return result
