"""A slow, obvious OTLP decoder on the generated classes: what the rows of each table must say.

Nothing of gnomon_server.decode is used. Names and ids of series are the model's pure functions, tested on their own.
"""

import base64
import itertools
import json
import math
import struct
from collections import Counter
from typing import Any

import orjson
import xxhash
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gnomon_server.model.prometheus_names import bucket_bound, label_name, metric_name
from gnomon_server.model.series import DELTA, STALE_BITS, Kind, series_id

DAY_NS = 86_400_000_000_000
MAX_NS = 2**32 * 10**9 - 1
STALE = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]
PROMOTED = [
    "service.name",
    "service.version",
    "deployment.environment.name",
    "deployment.environment",
    "cloud.region",
    "cloud.availability_zone",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "host.name",
]


class Rows:
    """Rows by table, and what was refused or altered, by reason."""

    def __init__(self) -> None:
        self.tables = {}
        self.descriptions = []
        self.refused = Counter()
        self.altered = Counter()
        self.records = 0

    def add(self, table: Any, **row: Any) -> None:
        """A row of a table."""
        self.tables.setdefault(table, []).append(row)


def plain(value: Any) -> Any:
    """AnyValue as what JSON can say."""
    which = value.WhichOneof("value")
    if which is None:
        return None
    content = getattr(value, which)
    if which == "array_value":
        return [plain(item) for item in content.values]
    if which == "kvlist_value":
        mapping = attributes_of(content.values)
        if len(mapping) == 1 and next(iter(mapping)).startswith("$"):
            return {"$map": mapping}
        return mapping
    if which == "double_value" and not math.isfinite(content):
        return {"$double": "NaN" if math.isnan(content) else "Infinity" if content > 0 else "-Infinity"}
    return {"$bytes": base64.b64encode(content).decode()} if which == "bytes_value" else content


def attributes_of(pairs: Any) -> dict[str, Any]:
    """A map; of equal keys the last one counts."""
    return {pair.key: plain(pair.value) for pair in pairs}


def typed(pairs: Any) -> dict[str, Any]:
    """The five typed maps."""
    last = {pair.key: pair.value for pair in pairs}
    maps = {name: {} for name in "sifbj"}
    kinds = {"string_value": "s", "int_value": "i", "double_value": "f", "bool_value": "b"}
    for key, value in last.items():
        which = value.WhichOneof("value")
        if which in kinds:
            maps[kinds[which]][key] = getattr(value, which)
        else:
            maps["j"][key] = dumps(plain(value))
    return maps


def dumps(content: Any) -> str:
    """The stored text of a plain value."""
    return (
        json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        if _simple(content)
        else orjson.dumps(content).decode()
    )


def _simple(content: Any) -> bool:
    """Whether the two JSON writers agree: they format floats differently."""
    if isinstance(content, dict):
        return all(map(_simple, content.values()))
    if isinstance(content, list):
        return all(map(_simple, content))
    return not isinstance(content, float | str)


class OneResource:
    """A resource, decoded."""

    def __init__(self, message: Any) -> None:
        self.attributes = attributes_of(message.attributes)
        self.typed = typed(message.attributes)
        self.rid = xxhash.xxh3_64_intdigest(orjson.dumps(self.attributes, option=orjson.OPT_SORT_KEYS))
        name = self.attributes.get("service.name")
        self.service = name if isinstance(name, str) and name else "unknown_service"


def scope_text(scope: Any, schema_url: str) -> str:
    """A scope as JSON text, only what it says."""
    given = {
        "name": scope.name,
        "version": scope.version,
        "schema_url": schema_url,
        "attributes": attributes_of(scope.attributes),
    }
    given = {key: value for key, value in given.items() if value}
    return dumps(given) if given else ""


def check_time(rows: Any, ns: int, latest: int) -> bool:
    """Whether a time can be stored; refused by name if not."""
    if ns == 0:
        rows.refused["time_unset"] += 1
        return False
    if ns > min(latest, MAX_NS):
        rows.refused["time_in_future"] += 1
        return False
    return True


def add_resource(rows: Any, resource: Any, ns: int) -> None:
    """A row of `resources` for this day, once."""
    key = (ns // DAY_NS, resource.rid)
    if not any((row["day"], row["rid"]) == key for row in rows.tables.get("resources", [])):
        rows.add("resources", day=key[0], rid=resource.rid, service=resource.service, **resource.typed)


def traces(body: bytes, latest: int = MAX_NS) -> "Rows":
    """Rows of `spans` and `resources`."""
    rows = Rows()
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = OneResource(group.resource)
        for scoped in group.scope_spans:
            scope = scope_text(scoped.scope, scoped.schema_url or group.schema_url)
            for span in scoped.spans:
                _span(rows, span, resource, scope, latest)
    return rows


def _span(rows: Any, span: Any, resource: Any, scope: Any, latest: int) -> None:
    if len(span.trace_id) != 16 or not any(span.trace_id):
        rows.refused["invalid_trace_id"] += 1
        return
    if len(span.span_id) != 8 or not any(span.span_id):
        rows.refused["invalid_span_id"] += 1
        return
    if len(span.parent_span_id) not in (0, 8):
        rows.refused["invalid_parent_id"] += 1
        return
    if not check_time(rows, span.start_time_unix_nano, latest):
        return
    links = [link for link in span.links if len(link.trace_id) == 16 and len(link.span_id) == 8]
    dropped = span.dropped_attributes_count + span.dropped_events_count + span.dropped_links_count
    rows.records += 1
    add_resource(rows, resource, span.start_time_unix_nano)
    rows.add(
        "spans",
        ts=span.start_time_unix_nano,
        dur=max(0, span.end_time_unix_nano - span.start_time_unix_nano),
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=span.parent_span_id or bytes(8),
        state=span.trace_state,
        flags=span.flags,
        service=resource.service,
        name=span.name,
        kind=span.kind if span.kind <= 5 else 0,
        status=span.status.code if span.status.code <= 2 else 0,
        status_msg=span.status.message,
        rid=resource.rid,
        scope=scope,
        **typed(span.attributes),
        dropped=min(dropped, 2**32 - 1),
        ev_ts=[min(event.time_unix_nano, MAX_NS) for event in span.events],
        ev_name=[event.name for event in span.events],
        ev_j=[_with_extras(event.attributes, event.dropped_attributes_count, "") for event in span.events],
        ln_trace=[link.trace_id for link in links],
        ln_span=[link.span_id for link in links],
        ln_j=[_with_extras(link.attributes, link.dropped_attributes_count, link.trace_state) for link in links],
    )


def _with_extras(pairs: Any, dropped: int, state: str) -> str:
    content = attributes_of(pairs)
    if dropped:
        content["$dropped"] = dropped
    if state:
        content["$state"] = state
    return dumps(content)


def logs(body: bytes, now_ns: int, latest: int = MAX_NS) -> Any:
    """Rows of `logs` and `resources`."""
    rows = Rows()
    for group in ExportLogsServiceRequest.FromString(body).resource_logs:
        resource = OneResource(group.resource)
        for scoped in group.scope_logs:
            scope = scope_text(scoped.scope, scoped.schema_url or group.schema_url)
            for record in scoped.log_records:
                observed = record.observed_time_unix_nano or now_ns
                at = record.time_unix_nano or observed
                if not check_time(rows, at, latest):
                    continue
                rows.records += 1
                add_resource(rows, resource, at)
                which = record.body.WhichOneof("value")
                is_text = which == "string_value"
                rows.add(
                    "logs",
                    ts=at,
                    observed=min(observed, latest),
                    service=resource.service,
                    sev=record.severity_number if record.severity_number <= 24 else 0,
                    sev_text=record.severity_text,
                    event=record.event_name,
                    body=record.body.string_value if which in (None, "string_value") else dumps(plain(record.body)),
                    body_json=not is_text,
                    trace_id=record.trace_id if len(record.trace_id) == 16 else bytes(16),
                    span_id=record.span_id if len(record.span_id) == 8 else bytes(8),
                    flags=record.flags,
                    rid=resource.rid,
                    scope=scope,
                    **typed(record.attributes),
                    dropped=record.dropped_attributes_count,
                )
    return rows


# -- metrics ----------------------------------------------------------------------------------------------------------


def label_text(value: Any) -> str:
    """A plain value as a label's text."""
    if isinstance(value, str):
        return value
    return "" if value is None else dumps(value)


def labels_of(attributes: Any) -> dict[str, str]:
    """Attributes as labels."""
    labels = {}
    for key in sorted(attributes):
        name, value = label_name(key), label_text(attributes[key])
        if value and name != "__name__":
            labels[name] = f"{labels[name]};{value}" if name in labels else value
    return labels


class OneMetric:
    """A metric of one resource and scope."""

    def __init__(self, rows: Any, message: Any, which: Any, resource: Any, scope: Any) -> None:
        data = getattr(message, which)
        self.rows, self.resource, self.scope, self.name = rows, resource, scope, message.name
        self.temporality = getattr(data, "aggregation_temporality", 0)
        self.monotonic = getattr(data, "is_monotonic", False)
        self.delta = self.temporality == 1
        self.which = which
        self.base = metric_name(
            message.name, message.unit, counter=which == "sum" and self.monotonic, gauge=which == "gauge"
        )
        self.message = message

    def series(self, point: Any, kind: int, suffix: str = "", delta: Any = None, **extra: Any) -> Any:
        """The id of a series, described once for each day."""
        attributes = self.resource.attributes
        promoted = {label_name(key): label_text(attributes[key]) for key in PROMOTED if key in attributes}
        labels = {key: value for key, value in promoted.items() if value}
        labels |= labels_of(attributes_of(point.attributes))
        labels |= target(self.resource)
        labels |= extra
        delta = self.delta if delta is None else delta
        metric = self.base + suffix
        identity = series_id(metric, labels)
        describe(
            self.rows,
            point.time_unix_nano // DAY_NS,
            metric=metric,
            id=identity,
            kind=kind | DELTA if delta else kind,
            rid=self.resource.rid,
            service=self.resource.service,
            scope=self.scope,
            name=self.name,
            labels=labels,
            **typed(point.attributes),
        )
        return identity

    def sample(
        self, point: Any, value: Any, kind: int, suffix: str = "", delta: Any = None, exact: int = 0, **extra: Any
    ) -> Any:
        """A row of `samples` or `delta_samples`."""
        delta = self.delta if delta is None else delta
        identity = self.series(point, kind, suffix, delta, **extra)
        value = STALE if point.flags & 1 else value
        self.rows.add(
            "delta_samples" if delta else "samples",
            id=identity,
            ts=point.time_unix_nano // 10**6,
            v=value,
            start=min(point.start_time_unix_nano, MAX_NS) // 10**6,
            sent=value if delta else 0.0,
            exact=exact,
        )
        return identity

    def exemplars(self, point: Any, series_of: Any) -> None:
        """Rows of `exemplars` of one point."""
        for exemplar in point.exemplars:
            which = exemplar.WhichOneof("value")
            if which is None or not exemplar.time_unix_nano:
                self.rows.altered["invalid_exemplar"] += 1
                continue
            value = float(getattr(exemplar, which))
            self.rows.add(
                "exemplars",
                id=series_of(value),
                ts=min(exemplar.time_unix_nano, MAX_NS) // 10**6,
                v=value,
                trace_id=exemplar.trace_id if len(exemplar.trace_id) == 16 else bytes(16),
                span_id=exemplar.span_id if len(exemplar.span_id) == 8 else bytes(8),
                s={key: label_text(value) for key, value in attributes_of(exemplar.filtered_attributes).items()},
            )


def target(resource: Any) -> dict[str, str]:
    """`job` and `instance`."""
    attributes = resource.attributes
    service, namespace = attributes.get("service.name"), attributes.get("service.namespace")
    job = label_text(service) or resource.service
    labels = {
        "job": f"{label_text(namespace)}/{job}" if namespace and service else job,
        "instance": label_text(attributes.get("service.instance.id")),
    }
    return {key: value for key, value in labels.items() if value}


def describe(rows: Any, day: Any, **row: Any) -> None:
    """A row of `series` for this day, once. Metrics of one name and two types share it: either may describe it."""
    known = rows.tables.setdefault("series", [])
    rows.descriptions.append({"day": day, **row})
    if not any((other["day"], other["id"]) == (day, row["id"]) for other in known):
        rows.add("series", day=day, **row)


def metrics(body: bytes, latest: int = MAX_NS) -> Any:
    """Rows of every table of metrics."""
    rows = Rows()
    newest, resources, metas = {}, {}, {}
    for group in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        resource = OneResource(group.resource)
        for scoped in group.scope_metrics:
            scope = scope_text(scoped.scope, scoped.schema_url or group.schema_url)
            for message in scoped.metrics:
                which = message.WhichOneof("data")
                if which is None:
                    rows.altered["metric_without_data"] += 1
                    continue
                metric = OneMetric(rows, message, which, resource, scope)
                for point in getattr(message, which).data_points:
                    if not message.name or not metric.base:
                        rows.refused["invalid_metric_name"] += 1
                    elif check_time(rows, point.time_unix_nano, latest) and POINTS[which](rows, metric, point):
                        rows.records += 1
                        newest[resource.rid] = max(newest.get(resource.rid, 0), point.time_unix_nano)
                        resources[resource.rid] = resource
                        add_resource(rows, resource, point.time_unix_nano)
                        meta = _meta(metric)
                        metas[repr(meta)] = meta
    for meta in metas.values():
        rows.add("metric_meta", **meta)
    for rid, resource in resources.items():
        _target_info(rows, resource, newest[rid])
    return rows


def _meta(metric: Any) -> Any:
    names = {"exponential_histogram": "exponential"}
    metadata = attributes_of(metric.message.metadata)
    return {
        "metric": metric.base,
        "type": names.get(metric.which, metric.which),
        "unit": metric.message.unit,
        "help": metric.message.description,
        "temporality": metric.temporality,
        "monotonic": metric.monotonic,
        "s": {key: label_text(metadata[key]) for key in metadata if label_text(metadata[key]) and key != "__name__"},
    }


def _target_info(rows: Any, resource: Any, ns: int) -> None:
    rest = {
        key: value
        for key, value in resource.attributes.items()
        if key not in ("service.name", "service.namespace", "service.instance.id")
    }
    labels = labels_of(rest)
    if labels:
        labels |= target(resource)
        identity = series_id("target_info", labels)
        describe(
            rows, ns // DAY_NS, metric="target_info", id=identity, kind=Kind.INFO, rid=resource.rid,
            service=resource.service, scope="", name="target_info", labels=labels, **typed([]),
        )  # fmt: skip
        rows.add("samples", id=identity, ts=ns // 10**6, v=1.0, start=0, sent=0.0, exact=0)


def _number(rows: Any, metric: Any, point: Any) -> bool:
    which = point.WhichOneof("value")
    if which is None and not point.flags & 1:
        rows.refused["value_missing"] += 1
        return False
    kind = Kind.GAUGE if metric.which == "gauge" else Kind.COUNTER if metric.monotonic else Kind.UPDOWN
    value = float(getattr(point, which)) if which else 0.0
    exact = point.as_int if which == "as_int" and abs(point.as_int) >= 2**53 else 0
    identity = metric.sample(point, value, kind, exact=exact)
    metric.exemplars(point, lambda _: identity)
    return True


def _histogram(rows: Any, metric: Any, point: Any) -> bool:
    bounds, counts = list(point.explicit_bounds), list(point.bucket_counts)
    rising = all(map(math.isfinite, bounds)) and all(low < high for low, high in itertools.pairwise(bounds))
    if not rising or (len(counts) != len(bounds) + 1 and (counts or bounds)):
        rows.refused["histogram_shape"] += 1
        return False
    ids, total = [], 0
    for bound, count in zip([*bounds, math.inf], counts or [point.count], strict=True):
        total += count
        value = point.count if bound == math.inf else total
        ids.append((bound, metric.sample(point, float(value), Kind.BUCKET, "_bucket", le=bucket_bound(bound))))
    if point.HasField("sum"):
        metric.sample(point, point.sum, Kind.HISTOGRAM_SUM, "_sum")
    metric.sample(point, float(point.count), Kind.HISTOGRAM_COUNT, "_count")
    if point.HasField("min"):
        metric.sample(point, point.min, Kind.HISTOGRAM_MIN, "_min", delta=False)
    if point.HasField("max"):
        metric.sample(point, point.max, Kind.HISTOGRAM_MAX, "_max", delta=False)
    metric.exemplars(point, lambda value: next(identity for bound, identity in ids if value <= bound))
    return True


def _exponential(rows: Any, metric: Any, point: Any) -> bool:
    if not -10 <= point.scale <= 20:
        rows.refused["exponential_scale"] += 1
        return False
    if any(side.offset + len(side.bucket_counts) > 2**31 - 2 for side in (point.positive, point.negative)):
        rows.refused["exponential_offset"] += 1
        return False
    identity = metric.series(point, Kind.EXPONENTIAL)
    sides = {}
    for name, side in (("p", point.positive), ("n", point.negative)):
        filled = [(side.offset + place + 1, count) for place, count in enumerate(side.bucket_counts) if count]
        sides[f"{name}_idx"] = [index for index, _ in filled]
        sides[f"{name}_cnt"] = [float(count) for _, count in filled]
    values = {
        "schema": point.scale,
        "count": float(point.count),
        "sum": STALE if point.flags & 1 else point.sum,
        "zero_threshold": point.zero_threshold,
        "zero_count": float(point.zero_count),
        **sides,
    }
    nothing = {name: [] if isinstance(value, list) else type(value)(0) for name, value in values.items()}
    rows.add(
        "delta_histograms" if metric.delta else "native_histograms",
        id=identity,
        ts=point.time_unix_nano // 10**6,
        start=min(point.start_time_unix_nano, MAX_NS) // 10**6,
        hint=0,
        is_float=False,
        min=point.min if point.HasField("min") else math.nan,
        max=point.max if point.HasField("max") else math.nan,
        **values,
        **{f"sent_{name}": value for name, value in (values if metric.delta else nothing).items()},
        bounds=[],
    )
    metric.exemplars(point, lambda _: identity)
    return True


def _summary(rows: Any, metric: Any, point: Any) -> bool:
    metric.sample(point, point.sum, Kind.SUMMARY_SUM, "_sum", delta=False)
    metric.sample(point, float(point.count), Kind.SUMMARY_COUNT, "_count", delta=False)
    for quantile in point.quantile_values:
        label = bucket_bound(quantile.quantile)
        metric.sample(point, quantile.value, Kind.QUANTILE, delta=False, quantile=label)
    return True


POINTS = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential,
    "summary": _summary,
}


# -- comparing --------------------------------------------------------------------------------------------------------


def comparable(value: Any) -> Any:
    """Floats by their bits (NaN equals itself, 0.0 is not -0.0), maps as sorted pairs."""
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, dict):
        return sorted((key, comparable(item)) for key, item in value.items())
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return value


def table_of(rows: Any) -> Any:
    """Rows of the reference in comparable form, sorted."""
    return sorted((sorted((name, comparable(value)) for name, value in row.items()) for row in rows), key=repr)


def arrow_rows(table: Any) -> Any:
    """The same of a RecordBatch: times as integers, maps as sorted pairs (an equal key would show twice)."""
    import pyarrow as pa  # noqa: PLC0415 - only the comparison needs it

    columns = {}
    for schema_field, column in zip(table.schema, table.columns, strict=True):
        kind = schema_field.type
        if pa.types.is_timestamp(kind):
            column = column.cast(pa.int64())  # noqa: PLW2901 - the same column, readable
        elif pa.types.is_list(kind) and pa.types.is_timestamp(kind.value_type):
            column = column.cast(pa.list_(pa.int64()))  # noqa: PLW2901 - likewise
        elif pa.types.is_date(kind):
            column = column.cast(pa.int32())  # noqa: PLW2901 - likewise
        found = column.to_pylist()
        if pa.types.is_map(kind):
            found = [sorted((key, comparable(value)) for key, value in pairs) for pairs in found]
        columns[schema_field.name] = [comparable(value) for value in found]
    names = sorted(columns)
    every = ([(name, columns[name][number]) for name in names] for number in range(table.num_rows))
    return sorted(every, key=repr)
