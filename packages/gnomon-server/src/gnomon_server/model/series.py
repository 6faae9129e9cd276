"""What a series is: its kind, its identity, its labels.

Identity = (tenant, metric name, sorted labels). The id is 16 bits of the name's hash before 48 bits of the hash of name
and labels, so that the series of one metric lie together in the store without a metric column in the samples.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import xxhash

DELTA = 128  # added to a kind whose sender reports changes and not totals


class Kind(IntEnum):
    """What a series' values mean (column `kind` of `series`)."""

    UNKNOWN = 0
    GAUGE = 1
    COUNTER = 2
    UPDOWN = 3
    BUCKET = 6
    HISTOGRAM_SUM = 7
    HISTOGRAM_COUNT = 8
    HISTOGRAM_MIN = 9
    HISTOGRAM_MAX = 10
    QUANTILE = 11
    SUMMARY_SUM = 12
    SUMMARY_COUNT = 13
    EXPONENTIAL = 14
    INFO = 15


# Prometheus' marker for "no longer there" is one NaN among many; its bits survive storage.
STALE_BITS = 0x7FF0000000000002

METRIC_SHIFT = 48
"""The bits of an id above these are its metric's."""


def metric_part(metric: str) -> int:
    """What the ids of all series of a metric begin with, shifted down."""
    return xxhash.xxh3_64_intdigest(metric.encode("utf-8", "surrogateescape")) >> METRIC_SHIFT


def series_id(metric: str, labels: Mapping[str, str]) -> int:
    """The id of a series; `labels` need not be sorted, must not hold `__name__`."""
    canonical = "\0".join([metric, *(f"{key}\0{labels[key]}" for key in sorted(labels))])
    own = xxhash.xxh3_64_intdigest(canonical.encode()) & ((1 << METRIC_SHIFT) - 1)
    return metric_part(metric) << METRIC_SHIFT | own


def meta_key(row: Mapping[str, Any]) -> int:
    """The identity of a row of `metric_meta`: all that it says."""
    said = [row[name] for name in ("metric", "type", "unit", "help", "temporality", "monotonic")]
    return xxhash.xxh3_64_intdigest(repr([*said, sorted(dict(row["s"]).items())]).encode())
