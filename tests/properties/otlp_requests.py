"""Hypothesis strategies for OTLP requests, built with the generated classes."""

from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1 import common_pb2 as common
from opentelemetry.proto.logs.v1 import logs_pb2 as logs
from opentelemetry.proto.metrics.v1 import metrics_pb2 as metrics
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2 as trace

NOW_NS = 1_790_000_000_000_000_000

few = st.integers(0, 3)
words = st.sampled_from(
    ["", "a", "GET", "café", "\0", "x" * 127, "y" * 128, "z" * 300, "字符", "w" * 20_000, "\U0001f600"]
)
texts = words | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
keys = st.sampled_from(
    [
        "a",
        "b",
        "http.route",
        "http_route",
        "service.name",
        "host.name",
        "job",
        "le",
        "",
        "__name__",
        "1st",
        "_x",
        "字符",
        "k" * 127,
        "k" * 128,
        "first 8 bytes... same",
        "first 8 byte/... same",
        "service.instance.id",
    ]
)
doubles = st.floats(width=64) | st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf"), float("-inf")])
int64 = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, 127, 128, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)])
uint64 = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 5])
uint32 = st.integers(0, 2**32 - 1) | st.sampled_from([0, 1])
times = st.sampled_from([0, 1, NOW_NS, NOW_NS + 1, NOW_NS + 86_400_000_000_000, 2**63 + 5, 2**64 - 1]) | st.integers(
    NOW_NS, NOW_NS + 10**12
)


def sometimes_malformed(width: int) -> st.SearchStrategy[bytes]:
    """Ids: mostly right, sometimes absent, all zero or of another width."""
    right = st.binary(min_size=width, max_size=width)
    return right | right | right | st.sampled_from([b"", bytes(width), b"1", b"2" * (width + 1)])


def _any_value() -> st.SearchStrategy[common.AnyValue]:
    scalar = st.one_of(
        st.just(common.AnyValue()),
        st.builds(common.AnyValue, string_value=texts),
        st.builds(common.AnyValue, string_value=texts),
        st.builds(common.AnyValue, bool_value=st.booleans()),
        st.builds(common.AnyValue, int_value=int64),
        st.builds(common.AnyValue, double_value=doubles),
        st.builds(common.AnyValue, bytes_value=st.binary(max_size=200)),
    )

    def nested(inner: st.SearchStrategy[common.AnyValue]) -> st.SearchStrategy[common.AnyValue]:
        array = st.builds(common.ArrayValue, values=st.lists(inner, max_size=3))
        pair = st.builds(common.KeyValue, key=keys | st.just("$bytes"), value=inner)
        pairs = st.builds(common.KeyValueList, values=st.lists(pair, max_size=3))
        return st.builds(common.AnyValue, array_value=array) | st.builds(common.AnyValue, kvlist_value=pairs)

    return st.recursive(scalar, nested, max_leaves=6)


any_values = _any_value()
attributes = st.lists(
    st.builds(common.KeyValue, key=keys, value=any_values) | st.builds(common.KeyValue, key=keys), max_size=6
)
resources = st.builds(Resource, attributes=attributes, dropped_attributes_count=uint32)
scopes = st.builds(
    common.InstrumentationScope, name=texts, version=texts, attributes=attributes, dropped_attributes_count=uint32
)

spans = st.builds(
    trace.Span,
    trace_id=sometimes_malformed(16),
    span_id=sometimes_malformed(8),
    trace_state=texts,
    parent_span_id=sometimes_malformed(8),
    name=texts,
    kind=st.integers(0, 7),
    start_time_unix_nano=times,
    end_time_unix_nano=times,
    attributes=attributes,
    dropped_attributes_count=uint32,
    events=st.lists(
        st.builds(
            trace.Span.Event,
            time_unix_nano=times,
            name=texts,
            attributes=attributes,
            dropped_attributes_count=uint32,
        ),
        max_size=2,
    ),
    dropped_events_count=uint32,
    links=st.lists(
        st.builds(
            trace.Span.Link,
            trace_id=sometimes_malformed(16),
            span_id=sometimes_malformed(8),
            trace_state=texts,
            attributes=attributes,
            dropped_attributes_count=uint32,
            flags=uint32,
        ),
        max_size=2,
    ),
    dropped_links_count=uint32,
    status=st.none() | st.builds(trace.Status, message=texts, code=st.integers(0, 4)),
    flags=uint32,
)
trace_requests = st.builds(
    ExportTraceServiceRequest,
    resource_spans=st.lists(
        st.builds(
            trace.ResourceSpans,
            resource=st.none() | resources,
            scope_spans=st.lists(
                st.builds(
                    trace.ScopeSpans,
                    scope=st.none() | scopes,
                    spans=st.lists(spans, max_size=8),
                    schema_url=texts,
                ),
                max_size=2,
            ),
            schema_url=texts,
        ),
        max_size=2,
    ),
)

log_records = st.builds(
    logs.LogRecord,
    time_unix_nano=times,
    observed_time_unix_nano=times,
    severity_number=st.integers(0, 30),
    severity_text=texts,
    body=st.none() | any_values,
    attributes=attributes,
    dropped_attributes_count=uint32,
    flags=uint32,
    trace_id=sometimes_malformed(16),
    span_id=sometimes_malformed(8),
    event_name=texts,
)
log_requests = st.builds(
    ExportLogsServiceRequest,
    resource_logs=st.lists(
        st.builds(
            logs.ResourceLogs,
            resource=st.none() | resources,
            scope_logs=st.lists(
                st.builds(
                    logs.ScopeLogs,
                    scope=st.none() | scopes,
                    log_records=st.lists(log_records, max_size=8),
                    schema_url=texts,
                ),
                max_size=2,
            ),
            schema_url=texts,
        ),
        max_size=2,
    ),
)

exemplars = st.lists(
    st.one_of(
        st.builds(
            metrics.Exemplar,
            time_unix_nano=times,
            as_double=doubles.filter(lambda value: value == value),  # noqa: PLR0124 - a NaN falls into no bucket
            trace_id=sometimes_malformed(16),
            span_id=sometimes_malformed(8),
            filtered_attributes=attributes,
        ),
        st.builds(metrics.Exemplar, time_unix_nano=times, as_int=int64),
        st.builds(metrics.Exemplar, time_unix_nano=times),
    ),
    max_size=2,
)
flags = st.sampled_from([0, 0, 0, 1, 2, 3])
of_every_point = {"start_time_unix_nano": times, "time_unix_nano": times, "attributes": attributes, "flags": flags}
number_points = st.one_of(
    st.builds(metrics.NumberDataPoint, as_double=doubles, exemplars=exemplars, **of_every_point),
    st.builds(metrics.NumberDataPoint, as_int=int64, exemplars=exemplars, **of_every_point),
    st.builds(metrics.NumberDataPoint, exemplars=exemplars, **of_every_point),
)
optional_double = st.none() | doubles


@st.composite
def _histogram_points(draw: st.DrawFn) -> metrics.HistogramDataPoint:
    """Mostly with one more count than bounds, in rising order; sometimes not."""
    bounds = draw(st.sampled_from([[], [1.0], [0.005, 0.1, 2.5], [1.0, 1.0], [float("nan")], [1.0, float("inf")]]))
    size = draw(st.sampled_from([len(bounds) + 1] * 4 + [0, 1, len(bounds)]))
    counts = draw(st.lists(st.integers(0, 1000), min_size=size, max_size=size))
    return metrics.HistogramDataPoint(
        bucket_counts=counts,
        explicit_bounds=bounds,
        count=draw(st.just(sum(counts)) | uint64),
        sum=draw(optional_double),
        min=draw(optional_double),
        max=draw(optional_double),
        exemplars=draw(exemplars),
        **{name: draw(strategy) for name, strategy in of_every_point.items()},
    )


buckets = st.none() | st.builds(
    metrics.ExponentialHistogramDataPoint.Buckets,
    offset=st.integers(-40, 40) | st.sampled_from([2**31 - 1, -(2**31)]),
    bucket_counts=st.lists(uint64, max_size=4),
)
exponential_points = st.builds(
    metrics.ExponentialHistogramDataPoint,
    count=uint64,
    sum=optional_double,
    scale=st.integers(-12, 22),
    zero_count=uint64,
    positive=buckets,
    negative=buckets,
    exemplars=exemplars,
    min=optional_double,
    max=optional_double,
    zero_threshold=doubles,
    **of_every_point,
)
summary_points = st.builds(
    metrics.SummaryDataPoint,
    count=uint64,
    sum=doubles,
    quantile_values=st.lists(
        st.builds(
            metrics.SummaryDataPoint.ValueAtQuantile, quantile=st.sampled_from([0.0, 0.5, 0.99, 1.0]), value=doubles
        ),
        max_size=3,
        unique_by=lambda quantile: quantile.quantile,
    ),
    **of_every_point,
)
temporality = st.integers(0, 2)


def _metric() -> st.SearchStrategy[metrics.Metric]:
    names = st.sampled_from(["http.requests", "up", "9lives", "", "字符", "a_total", "m:n", "x" * 200])
    common_fields = {
        "name": names,
        "unit": st.sampled_from(["", "1", "s", "By/s", "{x}"]),
        "description": texts,
        "metadata": attributes,
    }
    shapes = {
        "gauge": st.builds(metrics.Gauge, data_points=st.lists(number_points, max_size=6)),
        "sum": st.builds(
            metrics.Sum,
            data_points=st.lists(number_points, max_size=6),
            aggregation_temporality=temporality,
            is_monotonic=st.booleans(),
        ),
        "histogram": st.builds(
            metrics.Histogram,
            data_points=st.lists(_histogram_points(), max_size=6),
            aggregation_temporality=temporality,
        ),
        "exponential_histogram": st.builds(
            metrics.ExponentialHistogram,
            data_points=st.lists(exponential_points, max_size=4),
            aggregation_temporality=temporality,
        ),
        "summary": st.builds(metrics.Summary, data_points=st.lists(summary_points, max_size=4)),
    }
    return st.one_of(
        *(st.builds(metrics.Metric, **common_fields, **{name: shape}) for name, shape in shapes.items()),
        st.builds(metrics.Metric, **common_fields),
    )


metric_requests = st.builds(
    ExportMetricsServiceRequest,
    resource_metrics=st.lists(
        st.builds(
            metrics.ResourceMetrics,
            resource=st.none() | resources,
            scope_metrics=st.lists(
                st.builds(
                    metrics.ScopeMetrics,
                    scope=st.none() | scopes,
                    metrics=st.lists(_metric(), max_size=3),
                    schema_url=texts,
                ),
                max_size=2,
            ),
            schema_url=texts,
        ),
        max_size=2,
    ),
)
