"""Gauges and sums: one sample a point."""

import numpy as np

from gnomon_server.decode.otlp.exemplars import Exemplars
from gnomon_server.decode.otlp.fields import I64
from gnomon_server.decode.otlp.metric import SeriesRow
from gnomon_server.decode.otlp.points import STALE, Group, Points, series_ids
from gnomon_server.decode.otlp.records import refuse

_EXACT = 1 << 53  # beyond this a float64 does not hold every integer


def number_groups(points: Points, exemplars: Exemplars) -> list[Group]:
    """The samples of gauges and sums. A point without a value is refused, unless it says that there is none."""
    _refuse_without_value(points)
    if not len(points):
        return []

    def define(position: int) -> SeriesRow:
        metric = points.metric(position)
        return metric.row(points.raws_of(position), metric.number_kind())

    integers = points.scanned.words("as_int").view(np.int64)
    value = np.where(integers != 0, integers.astype(np.float64), points.scanned.doubles("as_double"))
    value[points.stale] = STALE
    exact = np.where((integers >= _EXACT) | (integers <= -_EXACT), integers, 0)
    ids = series_ids(points, define)
    exemplars.add(points, lambda owner, _: ids[owner])
    return [Group(define, ids, points.at, points.start, value, points.delta, exact)]


def _refuse_without_value(points: Points) -> None:
    given = points.scanned.present("as_double", I64) | points.scanned.present("as_int", I64) | points.stale
    refuse(points.rejections, ~given, "value_missing", "a number data point carries neither as_double nor as_int")
    points.keep(given)
