"""ExportMetricsServiceRequest -> rows of `series`, `samples` and what belongs to them.

The other tables: `delta_samples`, `native_histograms`, `delta_histograms`, `exemplars`, `metric_meta`, `resources`.
Source: opentelemetry-proto, metrics/v1/metrics.proto. Numbers, explicit histograms and summaries become classic series
of float64 samples; exponential histograms are native ones. Points of delta temporality go to tables of their own,
which intake turns into totals. A point without a time, later than allowed, or of an impossible shape is refused.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp import wire
from gnomon_server.decode.otlp.bounds import MAX_RECORDS, check_count
from gnomon_server.decode.otlp.columns import milliseconds
from gnomon_server.decode.otlp.context import DecodeContext
from gnomon_server.decode.otlp.exemplars import Exemplars
from gnomon_server.decode.otlp.exponentials import exponential_groups
from gnomon_server.decode.otlp.histograms import histogram_groups
from gnomon_server.decode.otlp.numbers import number_groups
from gnomon_server.decode.otlp.points import Group, Points, Sent
from gnomon_server.decode.otlp.records import (
    Origins,
    batch_of,
    one_each,
    resources_used,
    scopes_of,
    undecodable_is_invalid,
)
from gnomon_server.decode.otlp.resources import Resource
from gnomon_server.decode.otlp.series import meta_rows, series_rows, target_info_groups
from gnomon_server.decode.otlp.summaries import summary_groups
from gnomon_server.model.batch import Batch, Rejections
from gnomon_server.model.tables import SAMPLES

_SHAPES = {
    "gauge": "NumberDataPoint",
    "sum": "NumberDataPoint",
    "histogram": "HistogramDataPoint",
    "exponential_histogram": "ExponentialHistogramDataPoint",
    "summary": "SummaryDataPoint",
}


def decode_metrics(body: bytes, tenant: str, context: DecodeContext) -> Batch:
    """Data points of one request.

    `InvalidInput` when the bytes are no such request; bad points are refused one by one.
    """
    with undecodable_is_invalid("metrics", body):
        return _decode(body, tenant, context)


def _decode(body: bytes, tenant: str, context: DecodeContext) -> Batch:
    context.metrics.begin()
    rejections = Rejections()
    exemplars = Exemplars(rejections)
    sent = _walk(wire.parse("MetricsRequest", body), context, rejections)
    points = {shape: Points(each, context, rejections) for shape, each in sent.items() if each.raws}
    senders = one_each(sender for found in points.values() for sender in found.senders)
    groups: list[Group] = []
    native: dict[str, pa.RecordBatch] = {}
    for shape, found in points.items():
        match shape:
            case "NumberDataPoint":
                groups += number_groups(found, exemplars)
            case "HistogramDataPoint":
                groups += histogram_groups(found, exemplars)
            case "SummaryDataPoint":
                groups += summary_groups(found)
            case _:
                described, native = exponential_groups(found, exemplars)
                groups += described
    if not groups:
        return batch_of(tenant, 0, {}, rejections, senders)
    origins, at = _origins(list(points.values()))
    groups += target_info_groups(origins, at)
    metrics = [found.metrics[number] for found in points.values() for number in np.unique(found.metric_of).tolist()]
    tables = {
        "resources": resources_used(origins, at, np.ones(len(at), np.bool_), tenant, context, rejections),
        "metric_meta": meta_rows(metrics, tenant, context),
        "series": series_rows(groups, tenant, context, rejections),
        **_samples(groups),
        **native,
        "exemplars": exemplars.rows(),
    }
    return batch_of(tenant, len(at), tables, rejections, senders)


def _walk(request: Any, context: DecodeContext, rejections: Rejections) -> dict[str, Sent]:
    """The points of a request by shape."""
    sent = {shape: Sent(shape) for shape in dict.fromkeys(_SHAPES.values())}
    for resource, scope, scoped in scopes_of(request, "resource_metrics", "scope_metrics", context):
        for message in scoped.metrics:
            _walk_metric(message, resource, scope, context, rejections, sent)
    return sent


def _walk_metric(
    message: Any, resource: Resource, scope: str, context: DecodeContext, rejections: Rejections, sent: dict[str, Sent]
) -> None:
    which = message.WhichOneof("which")
    if which is None:
        rejections.alter("metric_without_data", "a metric carries none of the kinds of data OTLP 1.x knows")
        return
    points = getattr(message, which).data_points
    check_count(len(points) + sum(len(shape.raws) for shape in sent.values()), MAX_RECORDS, "data points")
    raws = list(points)
    if not raws:
        return
    metric = context.metrics.get(message, which, resource, scope)
    if metric.name and metric.base:
        sent[_SHAPES[which]].add(metric, raws)
    else:
        reason = f"a metric's name needs a letter, digit or colon, got {metric.name!r:.100}"
        rejections.refuse("invalid_metric_name", reason, len(raws))


def _origins(every: list[Points]) -> tuple[Origins, np.ndarray]:
    """The resource and the time (uint64[n], ns) of every point of all shapes."""
    joined = Origins()
    for points in every:
        origins = points.origins()
        joined.resources += origins.resources
        joined.scopes += origins.scopes
        joined.counts += origins.counts
    return joined, np.concatenate([points.at for points in every])


def _samples(groups: list[Group]) -> dict[str, pa.RecordBatch]:
    """Rows of `samples`, and of `delta_samples` in the same columns."""
    groups = [group for group in groups if not group.native]
    if not groups:
        return {}
    delta = np.concatenate([group.delta for group in groups])
    value = np.concatenate([group.value for group in groups])
    exact = [group.exact if group.exact is not None else np.zeros(len(group.ids), np.int64) for group in groups]
    rows = pa.RecordBatch.from_arrays(
        [
            pa.array(np.concatenate([group.ids for group in groups])),
            milliseconds(np.concatenate([group.at for group in groups])),
            pa.array(value),
            milliseconds(np.concatenate([group.start for group in groups])),
            pa.array(np.where(delta, value, 0.0)),
            pa.array(np.concatenate(exact)),
        ],
        schema=SAMPLES,
    )
    if not delta.any():
        return {"samples": rows}
    return {"samples": rows.filter(pa.array(~delta)), "delta_samples": rows.filter(pa.array(delta))}
