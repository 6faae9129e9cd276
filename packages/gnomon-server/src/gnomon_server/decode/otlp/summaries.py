"""Summaries: a series a quantile, `_sum` and `_count`."""

import numpy as np

from gnomon_server.decode.otlp import wire
from gnomon_server.decode.otlp.metric import SeriesRow
from gnomon_server.decode.otlp.points import STALE, Group, Points
from gnomon_server.model.prometheus_names import bucket_bound
from gnomon_server.model.series import Kind


def summary_groups(points: Points) -> list[Group]:
    """The samples of summaries, which are always cumulative."""
    if not len(points):
        return []
    return [
        _role(points, points.scanned.doubles("sum"), "_sum", Kind.SUMMARY_SUM),
        _role(points, points.scanned.words("count").astype(np.float64), "_count", Kind.SUMMARY_COUNT),
        _quantiles(points),
    ]


def _role(points: Points, value: np.ndarray, suffix: str, kind: Kind) -> Group:
    define = points.definer(kind, suffix, flagged=False)
    value[points.stale] = STALE
    ids = np.array([define(position).id for position in range(len(points))], np.uint64)
    return Group(define, ids, points.at, points.start, value, np.zeros(len(points), np.bool_))


def _quantiles(points: Points) -> Group:
    counts, pieces = points.scanned.repeated("quantile_values")
    quantiles = [wire.parse("ValueAtQuantile", raw) for raw in pieces.raws()]
    owners = np.repeat(np.arange(len(counts)), counts)

    def define(position: int) -> SeriesRow:
        number = int(owners[position])
        label = {"quantile": bucket_bound(quantiles[position].quantile)}
        return points.metric(number).row(points.raws_of(number), Kind.QUANTILE, "", label)

    value = np.array([quantile.value for quantile in quantiles], np.float64)
    value[points.stale[owners]] = STALE
    return Group(
        define,
        np.array([define(position).id for position in range(len(quantiles))], np.uint64),
        points.at[owners],
        points.start[owners],
        value,
        np.zeros(len(quantiles), np.bool_),
    )
