"""What `/federate` says in protobuf: MetricFamily messages, each behind its length; native histograms among them.

Source: https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto. It has no custom
bounds: histograms with such are left out.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np

from gnomon_server.api.prometheus.federated_text import places, shown_labels
from gnomon_server.api.prometheus.read_messages import label_fields, sides, varint
from gnomon_server.decode.exposition.messages import message_class
from gnomon_server.query.promql.histograms.block import GAUGE, Histograms
from gnomon_server.query.promql.values import NAME, NO_ROW, Labels, Samples

MEDIA_TYPE = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
_UNTYPED, _HISTOGRAM, _GAUGE_HISTOGRAM = 3, 4, 5
_FAMILY, _METRIC = message_class("MetricFamily"), message_class("Metric")

Newest = dict[Labels, tuple[int, Any]]
"""The type, and `Metric` without its labels, by series."""


def newest(samples: Samples) -> Newest:
    """The value and the time; of a native histogram all of it."""
    series, last = places(samples)
    found: Newest = {}
    if samples.rows is not None and samples.histograms is not None:
        rows = samples.rows[last]
        native = np.flatnonzero(rows != NO_ROW)
        native = native[~samples.histograms.custom[rows[native]]]
        block = samples.histograms.take(rows[native])
        told = zip(series[native].tolist(), _histograms(block, samples.ts[last[native]]), strict=True)
        found = {samples.labels[one]: shown for one, shown in told}
        series, last = series[rows == NO_ROW], last[rows == NO_ROW]
    plain = zip(series.tolist(), samples.v[last].tolist(), samples.ts[last].tolist(), strict=True)
    return found | {
        samples.labels[one]: (_UNTYPED, _METRIC(untyped={"value": value}, timestamp_ms=at_ms))
        for one, value, at_ms in plain
    }


def exposition(found: Newest) -> bytes:
    """The messages, by metric; one metric's floats, histograms and histograms of gauges as families of their own."""
    families = []
    named = sorted((dict(labels).get(NAME, ""), found[labels][0], labels) for labels in found)
    for (name, kind), series in groupby(named, lambda one: one[:2]):
        if name:
            family = _FAMILY(name=name.encode(), type=kind)
            for _, _, labels in series:
                metric = family.metric.add()
                metric.CopyFrom(found[labels][1])
                metric.MergeFromString(label_fields(tuple(shown_labels(labels).items())))
            families.append(varint(family.ByteSize()) + family.SerializeToString())
    return b"".join(families)


def _histograms(block: Histograms, ts: np.ndarray) -> Iterator[tuple[int, Any]]:
    """The type and `Metric` of each, with float counts. `ts`: int64[n]."""
    both = zip(sides(block, positive=True), sides(block, positive=False), strict=True)
    for row, ((positive, positive_counts), (negative, negative_counts)) in enumerate(both):
        histogram = {
            "sample_count_float": block.count[row],
            "sample_sum": block.sum[row],
            "schema": int(block.schema[row]),
            "zero_threshold": block.zero_threshold[row],
            "zero_count_float": block.zero_count[row],
            "positive_span": positive,
            "positive_count": positive_counts,
            "negative_span": negative,
            "negative_count": negative_counts,
        }
        kind = _GAUGE_HISTOGRAM if block.hint[row] == GAUGE else _HISTOGRAM
        yield kind, _METRIC(histogram=histogram, timestamp_ms=int(ts[row]))
