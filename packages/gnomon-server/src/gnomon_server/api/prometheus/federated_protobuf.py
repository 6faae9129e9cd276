"""What `/federate` says in protobuf: MetricFamily messages, each behind its length; native histograms among them.

Source: https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto. It has no custom
bounds: histograms with such are left out.
"""

import struct
from collections.abc import Iterator
from itertools import groupby

import numpy as np

from gnomon_server.api.prometheus.federated_text import places, shown_labels
from gnomon_server.api.prometheus.read_messages import field, label_fields, sides, varint
from gnomon_server.decode.exposition.messages import message_class
from gnomon_server.query.promql.histograms.block import GAUGE, Histograms
from gnomon_server.query.promql.values import NAME, NO_ROW, Labels, Samples

MEDIA_TYPE = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
_UNTYPED, _HISTOGRAM, _GAUGE_HISTOGRAM = 3, 4, 5
_MESSAGE = message_class("Histogram")

Newest = dict[Labels, tuple[int, bytes]]
"""The type and the value with its time, as they stand in `Metric`, by series."""


def newest(samples: Samples) -> Newest:
    """The value and the time; of a native histogram all of it."""
    series, last = places(samples)
    found: Newest = {}
    if samples.rows is not None and samples.histograms is not None:
        rows = samples.rows[last]
        native = np.flatnonzero(rows != NO_ROW)
        native = native[~samples.histograms.custom[rows[native]]]
        block = samples.histograms.take(rows[native])
        told = zip(series[native].tolist(), _histograms(block), samples.ts[last[native]].tolist(), strict=True)
        found = {samples.labels[one]: (kind, value + _at(at_ms)) for one, (kind, value), at_ms in told}
        series, last = series[rows == NO_ROW], last[rows == NO_ROW]
    plain = zip(series.tolist(), samples.v[last].tolist(), samples.ts[last].tolist(), strict=True)
    return found | {samples.labels[one]: (_UNTYPED, _untyped(value) + _at(at_ms)) for one, value, at_ms in plain}


def exposition(found: Newest) -> bytes:
    """The messages, by metric; one metric's floats, histograms and histograms of gauges as families of their own."""
    families = []
    named = sorted((dict(labels).get(NAME, ""), found[labels][0], labels) for labels in found)
    for (name, kind), series in groupby(named, lambda one: one[:2]):
        if name:
            metrics = (label_fields(tuple(shown_labels(labels).items())) + found[labels][1] for _, _, labels in series)
            family = field(1, name.encode()) + _number(3, kind) + b"".join(field(4, metric) for metric in metrics)
            families.append(varint(len(family)) + family)
    return b"".join(families)


def _at(at_ms: int) -> bytes:
    """`Metric.timestamp_ms`."""
    return _number(6, at_ms)


def _untyped(value: float) -> bytes:
    """`Metric.untyped`, with its `value`, a double."""
    return field(5, struct.pack("<Bd", 1 << 3 | 1, value))


def _number(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def _histograms(block: Histograms) -> Iterator[tuple[int, bytes]]:
    """The type and `Metric.histogram` of each, with float counts."""
    both = zip(sides(block, positive=True), sides(block, positive=False), strict=True)
    for row, ((positive, positive_counts), (negative, negative_counts)) in enumerate(both):
        message = _MESSAGE(
            sample_count_float=block.count[row],
            sample_sum=block.sum[row],
            schema=int(block.schema[row]),
            zero_threshold=block.zero_threshold[row],
            zero_count_float=block.zero_count[row],
            positive_span=[{"offset": offset, "length": length} for offset, length in positive],
            positive_count=positive_counts,
            negative_span=[{"offset": offset, "length": length} for offset, length in negative],
            negative_count=negative_counts,
        )
        kind = _GAUGE_HISTOGRAM if block.hint[row] == GAUGE else _HISTOGRAM
        yield kind, field(7, message.SerializeToString())
