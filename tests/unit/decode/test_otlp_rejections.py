"""Every named reason for refusing or altering a record; its good neighbours in the same request are kept."""

import math
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gnomon_server.decode.otlp.attributes import AttributeLimits
from gnomon_server.decode.otlp.context import MAX_NS, DecodeContext
from gnomon_server.decode.otlp.logs import decode_logs
from gnomon_server.decode.otlp.metrics import decode_metrics
from gnomon_server.decode.otlp.traces import decode_traces
from gnomon_server.errors import InvalidInput
from gnomon_server.model.series import STALE_BITS

NOW_NS = 1_790_000_000_000_000_000
GOOD_SPAN = {
    "trace_id": b"t" * 16,
    "span_id": b"s" * 8,
    "start_time_unix_nano": NOW_NS,
    "end_time_unix_nano": NOW_NS + 5,
}


def context(**given: Any) -> DecodeContext:
    """Fresh caches, and a clock an hour before the latest time that is taken."""
    return DecodeContext(latest_ns=NOW_NS + 3_600_000_000_000, **given)


def spans(*several: Any, using: Any = None) -> Any:
    """The batch of these spans."""
    request = ExportTraceServiceRequest()
    scoped = request.resource_spans.add().scope_spans.add()
    for fields in several:
        scoped.spans.add(**fields)
    return decode_traces(request.SerializeToString(), "t", using or context())


def logs(*several: Any, using: Any = None) -> Any:
    """The batch of these log records."""
    request = ExportLogsServiceRequest()
    scoped = request.resource_logs.add().scope_logs.add()
    for fields in several:
        scoped.log_records.add(**{"time_unix_nano": NOW_NS, **fields})
    return decode_logs(request.SerializeToString(), "t", using or context(), NOW_NS)


def metric(name: str = "m", using: Any = None, resource: Any = (), **shape: Any) -> Any:
    """The batch of one metric."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    for key, value in resource:
        group.resource.attributes.add(key=key).value.string_value = value
    group.scope_metrics.add().metrics.add(name=name, **shape)
    return decode_metrics(request.SerializeToString(), "t", using or context())


def points(*several: Any) -> Any:
    """Points with a time."""
    return [{"time_unix_nano": NOW_NS, **fields} for fields in several]


def pair(key: str, **value: Any) -> Any:
    """A KeyValue."""
    return {"key": key, "value": value}


@pytest.mark.parametrize(
    ("reason", "wrong"),
    [
        ("invalid_trace_id", {"trace_id": b""}),
        ("invalid_trace_id", {"trace_id": bytes(16)}),
        ("invalid_trace_id", {"trace_id": b"x" * 15}),
        ("invalid_span_id", {"span_id": bytes(8)}),
        ("invalid_span_id", {"span_id": b"x" * 9}),
        ("invalid_parent_id", {"parent_span_id": b"x"}),
        ("time_unset", {"start_time_unix_nano": 0}),
        ("time_in_future", {"start_time_unix_nano": NOW_NS + 2 * 3_600_000_000_000}),
        ("time_in_future", {"start_time_unix_nano": 2**64 - 1}),
    ],
)
def test_a_bad_span_is_refused_and_its_neighbours_stay(reason: str, wrong: dict[str, Any]) -> None:
    """One reason a span, counted, with words for the sender."""
    batch = spans({**GOOD_SPAN, "name": "before"}, {**GOOD_SPAN, **wrong}, {**GOOD_SPAN, "name": "after"})
    assert batch.rejections.refused == {reason: 1}
    assert batch.rejections.messages[reason]
    assert batch.tables["spans"].column("name").to_pylist() == ["before", "after"]
    assert batch.records == 2
    assert batch.tables["resources"].num_rows == 1  # and not one of 1970 for the refused


def test_a_span_that_ends_before_it_starts_is_kept_with_duration_0() -> None:
    """Clocks step back; the span is worth more than its duration."""
    batch = spans({**GOOD_SPAN, "end_time_unix_nano": NOW_NS - 1})
    assert batch.tables["spans"].column("dur").to_pylist() == [0]
    assert batch.rejections.altered == {"negative_duration": 1}


def test_a_malformed_link_is_left_out() -> None:
    """The span and its other links stay."""
    good, bad = {"trace_id": b"l" * 16, "span_id": b"m" * 8}, {"trace_id": b"l", "span_id": b"m" * 8}
    batch = spans({**GOOD_SPAN, "links": [bad, good]}, {**GOOD_SPAN, "links": [good, good]})
    assert batch.tables["spans"].column("ln_trace").to_pylist() == [[b"l" * 16], [b"l" * 16] * 2]
    assert batch.rejections.altered == {"invalid_link": 1}


def test_an_event_beyond_2106_is_cut_to_what_can_be_stored() -> None:
    """Named and counted, not masked."""
    batch = spans({**GOOD_SPAN, "events": [{"time_unix_nano": 2**64 - 1, "name": "e"}]})
    assert batch.tables["spans"].column("ev_ts").values.cast("int64").to_pylist() == [MAX_NS]
    assert batch.rejections.altered == {"event_time_cut": 1}


def test_a_log_record_without_a_time_takes_the_observed_one_and_then_that_of_arrival() -> None:
    """As the logs data model prescribes."""
    batch = logs({"time_unix_nano": 0, "observed_time_unix_nano": 7}, {"time_unix_nano": 0})
    assert batch.tables["logs"].column("ts").cast("int64").to_pylist() == [7, NOW_NS]


def test_a_log_record_of_the_future_is_refused() -> None:
    """A clock that is wrong must not hide what is newest."""
    batch = logs({"event_name": "a"}, {"time_unix_nano": 2**63 + 9}, {"event_name": "b"})
    assert batch.rejections.refused == {"time_in_future": 1}
    assert batch.tables["logs"].column("event").to_pylist() == ["a", "b"]


def test_a_malformed_trace_context_is_left_out_of_a_log_record() -> None:
    """The record stays."""
    batch = logs({"trace_id": b"x", "span_id": b"s" * 8})
    assert batch.tables["logs"].column("trace_id").to_pylist() == [bytes(16)]
    assert batch.tables["logs"].column("span_id").to_pylist() == [b"s" * 8]
    assert batch.rejections.altered == {"invalid_trace_context": 1}


@pytest.mark.parametrize("limit", [3, 200, 20_000])
def test_a_long_body_is_cut(limit: int) -> None:
    """Text and JSON alike, counted."""
    text, values = "é" * limit, [{"string_value": "x" * limit}]
    batch = logs(
        {"body": {"string_value": "ok"}},
        {"body": {"string_value": text}},
        {"body": {"array_value": {"values": values}}},
        using=context(body_limit_bytes=limit),
    )
    stored = batch.tables["logs"].column("body").to_pylist()
    assert stored[0] == "ok"
    assert len(stored[1].encode()) <= limit + 2  # a character cut in two becomes U+FFFD
    assert '"$cut"' in stored[2]
    assert batch.rejections.altered == {"body_cut": 2}


@pytest.mark.parametrize("limit", [2, 100, 300])
def test_long_keys_and_values_are_cut(limit: int) -> None:
    """Whatever the length of the limit, whatever the type of the value."""
    limits = AttributeLimits(key_bytes=limit, value_bytes=limit)
    batch = logs(
        {
            "attributes": [
                pair("k" * (limit + 1), string_value="a"),
                pair("v", string_value="b" * (limit + 1)),
                pair("j", bytes_value=b"c" * limit),
                pair("ok", string_value="d" * limit),
            ]
        },
        using=context(attribute_limits=limits),
    )
    table = batch.tables["logs"]
    assert dict(table.column("s")[0].as_py()) == {"k" * limit: "a", "v": "b" * limit, "ok": "d" * limit}
    assert dict(table.column("j")[0].as_py())["j"].startswith('{"$cut":')
    assert batch.rejections.altered == {"attribute_cut": 3}


def test_attributes_over_the_limit_are_left_out() -> None:
    """10,000 attributes on a record: the first ones stay, the rest is counted, the neighbour is whole."""
    many = [pair(f"k{number}", int_value=number) for number in range(10_000)]
    batch = logs({"attributes": many}, {"attributes": many[:3]})
    found = batch.tables["logs"].column("i").to_pylist()
    assert found[0] == [(f"k{number}", number) for number in range(1000)]
    assert found[1] == [("k0", 0), ("k1", 1), ("k2", 2)]
    assert batch.rejections.altered == {"attributes_over_limit": 9000}


def test_of_equal_keys_the_last_one_counts() -> None:
    """Also across types, and never twice in a map."""
    batch = logs({"attributes": [pair("a", string_value="x"), pair("b", int_value=1), pair("a", int_value=2)]})
    assert batch.tables["logs"].column("s").to_pylist() == [[]]
    assert batch.tables["logs"].column("i").to_pylist() == [[("b", 1), ("a", 2)]]


def test_invalid_utf8_is_mended_and_not_lost() -> None:
    """In keys, values, names, bodies and resources; the neighbours are as sent."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.add(key="service.name").value.string_value = "svc#1"
    scoped = group.scope_logs.add()
    for text in ("bad#", "good"):
        record = scoped.log_records.add(time_unix_nano=NOW_NS, severity_text=text)
        record.body.string_value = text
        record.attributes.add(key=f"key {text}").value.string_value = text
    body = request.SerializeToString().replace(b"#", b"\xff")
    table = decode_logs(body, "t", context(), NOW_NS).tables["logs"]
    assert table.column("body").to_pylist() == ["bad\ufffd", "good"]
    assert table.column("sev_text").to_pylist() == ["bad\ufffd", "good"]
    assert table.column("s").to_pylist() == [[("key bad\ufffd", "bad\ufffd")], [("key good", "good")]]
    assert table.column("service").to_pylist() == ["svc\ufffd1"] * 2


def test_keys_that_become_equal_when_mended_are_one() -> None:
    """A map never has a key twice."""
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=NOW_NS)
    record.attributes.add(key="#").value.string_value = "a"
    record.attributes.add(key="%").value.string_value = "b"
    body = request.SerializeToString().replace(b"#", b"\xff").replace(b"%", b"\xfe")
    assert decode_logs(body, "t", context(), NOW_NS).tables["logs"].column("s").to_pylist() == [[("\ufffd", "b")]]


def test_an_empty_service_name_is_unknown_service() -> None:
    """What the resource conventions prescribe; also where the name is not a text."""
    for value in ({"string_value": ""}, {"int_value": 5}):
        request = ExportLogsServiceRequest()
        group = request.resource_logs.add()
        group.resource.attributes.add(**pair("service.name", **value))
        group.scope_logs.add().log_records.add(time_unix_nano=NOW_NS)
        batch = decode_logs(request.SerializeToString(), "t", context(), NOW_NS)
        assert batch.tables["logs"].column("service").to_pylist() == ["unknown_service"]


# -- metrics ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "shape"),
    [
        ("time_unset", {"gauge": {"data_points": points({"as_int": 1}, {"as_int": 2, "time_unix_nano": 0})}}),
        ("time_in_future", {"gauge": {"data_points": points({"as_int": 1}, {"as_int": 2, "time_unix_nano": 2**63})}}),
        ("value_missing", {"gauge": {"data_points": points({"as_int": 1}, {})}}),
        ("histogram_shape", {"histogram": {"data_points": points({"count": 1}, {"explicit_bounds": [1.0]})}}),
        ("histogram_shape", {"histogram": {"data_points": points({"count": 1}, {"bucket_counts": [1, 2]})}}),
        (
            "histogram_shape",
            {
                "histogram": {
                    "data_points": points({"count": 1}, {"explicit_bounds": [2.0, 1.0], "bucket_counts": [1, 2, 3]})
                }
            },
        ),
        (
            "histogram_shape",
            {
                "histogram": {
                    "data_points": points({"count": 1}, {"explicit_bounds": [math.nan], "bucket_counts": [1, 2]})
                }
            },
        ),
        ("exponential_scale", {"exponential_histogram": {"data_points": points({"scale": 3}, {"scale": 21})}}),
        (
            "exponential_offset",
            {
                "exponential_histogram": {
                    "data_points": points({}, {"positive": {"offset": 2**31 - 1, "bucket_counts": [1]}})
                }
            },
        ),
    ],
)
def test_a_bad_point_is_refused_and_its_neighbour_stays(reason: str, shape: dict[str, Any]) -> None:
    """One reason a point; the series of the refused one is not described."""
    batch = metric(**shape)
    assert batch.rejections.refused == {reason: 1}
    assert batch.rejections.messages[reason]
    assert batch.records == 1


@pytest.mark.parametrize("name", ["", "字符", "-"])
def test_a_metric_that_cannot_be_named_is_refused(name: str) -> None:
    """All its points, by number."""
    batch = metric(name, gauge={"data_points": points({"as_int": 1}, {"as_int": 2})})
    assert batch.rejections.refused == {"invalid_metric_name": 2}
    assert not batch.tables


def test_a_metric_without_data_is_named() -> None:
    """A kind of data of a later protocol."""
    assert metric().rejections.altered == {"metric_without_data": 1}


def test_no_recorded_value_is_a_stale_marker_whatever_is_sent_beside_it() -> None:
    """Bit for bit Prometheus' NaN; a value is not needed then."""
    batch = metric(gauge={"data_points": points({"flags": 1}, {"flags": 1, "as_double": 3.0})})
    assert batch.tables["samples"].column("v").to_numpy().view("u8").tolist() == [STALE_BITS] * 2
    histogram = {"flags": 1, "count": 0, "explicit_bounds": [1.0], "bucket_counts": [0, 0], "sum": 0.0}
    batch = metric(histogram={"data_points": points(histogram)})
    assert set(batch.tables["samples"].column("v").to_numpy().view("u8").tolist()) == {STALE_BITS}


def test_an_exemplar_without_time_or_value_is_left_out() -> None:
    """The point stays."""
    exemplars = [{"as_int": 1}, {"time_unix_nano": 5}, {"time_unix_nano": 6, "as_int": 7}]
    batch = metric(gauge={"data_points": points({"as_int": 1, "exemplars": exemplars})})
    assert batch.rejections.altered == {"invalid_exemplar": 2}
    assert batch.tables["exemplars"].column("v").to_pylist() == [7.0]


def series(batch: Any, metric_name: Any) -> Any:
    """The label sets of one metric's series, by id."""
    rows = batch.tables["series"].to_pylist()
    return {row["id"]: dict(row["labels"]) for row in rows if row["metric"] == metric_name}


def test_an_exemplar_of_a_histogram_lies_under_its_bucket() -> None:
    """Bounds are inclusive upper ones."""
    exemplars = [{"time_unix_nano": 5, "as_double": value} for value in (0.5, 1.0, 1.5, 99.0)]
    point = {"count": 6, "explicit_bounds": [1.0, 2.0], "bucket_counts": [1, 2, 3], "exemplars": exemplars}
    batch = metric(histogram={"data_points": points(point)})
    labels = series(batch, "m_bucket")
    assert [labels[found]["le"] for found in batch.tables["exemplars"].column("id").to_pylist()] == [
        "1",
        "1",
        "2",
        "+Inf",
    ]


def test_buckets_add_up_and_the_last_one_is_the_count() -> None:
    """Cumulative as `le` asks; `_sum` is absent where it was not sent (negative observations)."""
    point = {"count": 7, "explicit_bounds": [1.0, 2.0], "bucket_counts": [1, 2, 3]}
    batch = metric(histogram={"data_points": points(point, {**point, "sum": -5.0})})
    by_id = dict(
        zip(*(batch.tables["samples"].slice(0, 3).column(name).to_pylist() for name in ("id", "v")), strict=True)
    )
    labels = series(batch, "m_bucket")
    assert {labels[found]["le"]: value for found, value in by_id.items()} == {"1": 1.0, "2": 3.0, "+Inf": 7.0}
    total = next(iter(series(batch, "m_sum")))
    sums = [
        v
        for found, v in zip(*(batch.tables["samples"].column(c).to_pylist() for c in ("id", "v")), strict=True)
        if found == total
    ]
    assert sums == [-5.0]


def test_labels_collide_in_a_fixed_order() -> None:
    """`le` of the bucket, `job` and `instance` win over attributes, attributes over what the resource promotes."""
    resource = [("service.name", "shop"), ("service.namespace", "eu"), ("service.instance.id", "1"), ("host.name", "h")]
    attributes = [pair("job", string_value="x"), pair("host.name", string_value="mine"), pair("le", string_value="9")]
    attributes += [pair("a.b", string_value="2"), pair("a_b", int_value=1), pair("empty", string_value="")]
    attributes += [pair("__name__", string_value="evil")]
    batch = metric(histogram={"data_points": points({"count": 1, "attributes": attributes})}, resource=resource)
    (labels,) = series(batch, "m_bucket").values()
    assert labels == {
        "job": "eu/shop", "instance": "1", "service_name": "shop", "host_name": "mine", "le": "+Inf", "a_b": "2;1",
    }  # fmt: skip


def test_target_info_is_there_when_the_resource_says_more_than_who_it_is() -> None:
    """At the newest time of the resource's points; no sample when nothing is left."""
    gauge = {"data_points": points({"as_int": 1}, {"as_int": 1, "time_unix_nano": NOW_NS + 9_000_000})}
    batch = metric(gauge=gauge, resource=[("service.name", "shop"), ("os.type", "linux"), ("empty", "")])
    assert list(series(batch, "target_info").values()) == [{"job": "shop", "os_type": "linux"}]
    assert max(batch.tables["samples"].column("ts").cast("int64").to_pylist()) == NOW_NS // 10**6 + 9
    assert not series(metric(gauge=gauge, resource=[("service.name", "shop"), ("empty", "")]), "target_info")


def test_delta_points_go_to_their_own_table_with_what_was_sent() -> None:
    """Except `_min` and `_max`, which do not add up."""
    point = {"count": 1, "sum": 2.0, "min": 2.0, "max": 2.0}
    batch = metric(histogram={"data_points": points(point), "aggregation_temporality": 1})
    assert batch.tables["delta_samples"].num_rows == 3
    assert batch.tables["delta_samples"].column("sent").to_pylist() == [1.0, 2.0, 1.0]
    assert batch.tables["samples"].column("v").to_pylist() == [2.0, 2.0]


@pytest.mark.parametrize(
    "body", [b"\xff", b"\x0a\x05abc", b"\x0a\x04\x12\x02\x12\x05", b"\x0a\x06\x12\x04\x12\x02\x09\x01"]
)
def test_broken_protobuf_is_invalid_input(body: bytes) -> None:
    """At any depth: the code, what it is, how long it was."""
    for decode in (decode_traces, decode_metrics, lambda *given: decode_logs(*given, NOW_NS)):
        with pytest.raises(InvalidInput) as caught:
            decode(body, "t", context())
        assert caught.value.code == "undecodable_protobuf"
        assert str(len(body)) in caught.value.where
