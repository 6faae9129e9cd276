"""OTLP bytes, held against the generated classes."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from gnomon.metrics.collect import Buckets, Exemplar, Exponential, Family, Number, Quantiles
from gnomon.wire import envelope
from gnomon.wire.metrics import Encoder, encode

finite = st.floats(allow_nan=False)
times = st.integers(0, 2**63)
counts = st.integers(0, 2**40)
labels = st.dictionaries(
    st.text(max_size=9), st.text(max_size=9) | st.booleans() | st.integers(-5, 2**40), max_size=3
).map(lambda pairs: tuple(sorted(pairs.items())))
exemplars = st.lists(
    st.builds(Exemplar, finite, times, st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8)),
    max_size=2,
).map(tuple)
sides = st.dictionaries(st.integers(-40, 40), st.integers(1, 2**40), max_size=5).map(
    lambda side: tuple(sorted(side.items()))
)
values = finite | st.integers(-(2**63), 2**63 - 1)
numbers = st.builds(Number, labels, times, values, exemplars)
buckets = st.integers(0, 5).flatmap(
    lambda size: st.builds(
        Buckets,
        labels,
        times,
        finite,
        st.lists(finite, min_size=size, max_size=size).map(tuple),
        st.lists(counts, min_size=size + 1, max_size=size + 1).map(tuple),
        exemplars,
    )
)
exponentials = st.builds(Exponential, labels, times, finite, st.integers(-10, 20), counts, sides, sides, exemplars)
quantiles = st.builds(
    Quantiles, labels, times, finite, counts, st.lists(st.tuples(st.floats(0, 1), finite), max_size=3).map(tuple)
)
kinds = st.sampled_from(
    [
        ("counter", numbers),
        ("up_down_counter", numbers),
        ("gauge", numbers),
        ("histogram", buckets),
        ("exponential_histogram", exponentials),
        ("summary", quantiles),
    ]
)
families = kinds.flatmap(
    lambda kind: st.builds(
        Family,
        st.text(min_size=1, max_size=9),
        st.just(kind[0]),
        st.text(max_size=9),
        st.text(max_size=9),
        times,
        st.lists(kind[1], min_size=1, max_size=3).map(tuple),
    )
)


def set_attributes(message: Any, pairs: Any) -> None:
    """Labels, as KeyValues."""
    for key, value in pairs:
        held = message.add(key=key).value
        if isinstance(value, bool):
            held.bool_value = value
        elif isinstance(value, int):
            held.int_value = value
        else:
            held.string_value = value


def set_exemplars(message: Any, told: Any) -> None:
    """Exemplars, where the message has some."""
    for one in told:
        message.add(time_unix_nano=one.time_ns, as_double=one.value, span_id=one.span_id, trace_id=one.trace_id)


def dense(message: Any, side: Any) -> None:
    """One side of an exponential histogram."""
    if side:
        message.offset = side[0][0]
        message.bucket_counts.extend(dict(side).get(number, 0) for number in range(side[0][0], side[-1][0] + 1))


def reference(family: Family, temporality: int) -> pb.Metric:
    """The metric as the generated classes have it."""
    metric = pb.Metric(name=family.name, description=family.description, unit=family.unit)
    field = {"counter": "sum", "up_down_counter": "sum"}.get(family.kind, family.kind)
    body = getattr(metric, field)
    if family.kind not in ("gauge", "summary"):
        body.aggregation_temporality = 2 if family.kind == "up_down_counter" else temporality
    if family.kind == "counter":
        body.is_monotonic = True
    for point in family.points:
        made = body.data_points.add(start_time_unix_nano=point.start_ns, time_unix_nano=family.time_ns)
        set_attributes(made.attributes, point.labels)
        set_exemplars(getattr(made, "exemplars", None), getattr(point, "exemplars", ()))
        if isinstance(point, Number):
            setattr(made, "as_int" if isinstance(point.value, int) else "as_double", point.value)
            continue
        made.sum = point.sum
        if isinstance(point, Buckets):
            made.count = sum(point.counts)
            made.bucket_counts.extend(point.counts)
            made.explicit_bounds.extend(point.bounds)
        elif isinstance(point, Exponential):
            made.count, made.scale, made.zero_count = point.count, point.scale, point.zeros
            made.positive.SetInParent()
            made.negative.SetInParent()
            dense(made.positive, point.positive)
            dense(made.negative, point.negative)
        else:
            made.count = point.count
            for share, value in point.quantiles:
                made.quantile_values.add(quantile=share, value=value)
    return metric


@given(st.lists(families, max_size=3), st.booleans())
def test_every_snapshot_is_what_the_generated_classes_make_of_it(told: Any, delta: bool) -> None:
    """All kinds, all fields, cumulative and delta."""
    body = envelope.request(envelope.resource({}), Encoder().encode(told, delta=delta))
    request = ExportMetricsServiceRequest.FromString(body)
    found = [metric for scope in request.resource_metrics[0].scope_metrics for metric in scope.metrics]
    assert found == [reference(family, 1 if delta else 2) for family in told]


def test_an_integer_beyond_64_bits_becomes_a_double() -> None:
    """A counter of bytes may get there after some millennia."""
    body = encode([Family("a", "counter", "", "", 1, (Number((), 0, 2**63),))])[0][1][0]
    metric = pb.ScopeMetrics.FromString(body).metrics[0]
    assert metric.sum.data_points[0].as_double == 2.0**63


def test_label_values_pass_through_the_mask() -> None:
    """What privacy hides is hidden here, too; families without points are left out."""
    families = [
        Family("a", "counter", "", "", 1, (Number((("user", "ann"),), 0, 1),)),
        Family("b", "gauge", "", "", 1, ()),
    ]
    encoder = Encoder(mask=lambda key, value: "***" if key == "user" else value)
    ((scope, bodies),) = encoder.encode(families)
    assert scope.name == "gnomon"
    assert len(bodies) == 1
    assert b"***" in bodies[0]
    assert b"ann" not in bodies[0]
