"""Every named reason for refusing a series or point of a remote write request; its good neighbours are kept."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
from tests import remote_write
from tests.remote_write import STALE, V1, V2

from gnomon_server.decode.remote_write.context import SeriesLimits, WriteContext
from gnomon_server.decode.remote_write.request import Decoded, Message, decode_write
from gnomon_server.errors import InvalidInput, TooLarge

NOW_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
GOOD = {"labels": {"__name__": "up", "job": "a"}, "samples": [(1.0, NOW_MS)]}
HISTOGRAM = {
    "count_int": 6, "sum": 3.5, "schema": 2, "zero_threshold": 0.1, "zero_count_int": 1, "timestamp": NOW_MS,
    "positive_spans": [{"offset": -1, "length": 2}, {"offset": 3, "length": 1}], "positive_deltas": [2, -1, 1],
}  # fmt: skip
CUSTOM = {
    "count_int": 3, "sum": 3.5, "schema": -53, "timestamp": NOW_MS, "custom_values": [1.0, 5.0],
    "positive_spans": [{"offset": 1, "length": 2}], "positive_deltas": [1, 1],
}  # fmt: skip
FLOAT = {
    "count_float": 1.5, "sum": 1.0, "schema": 0, "timestamp": NOW_MS, "positive_counts": [1.5],
    "positive_spans": [{"offset": 0, "length": 1}],
}  # fmt: skip
VERSIONS = pytest.mark.parametrize("message", [V1, V2])


def context(**given: Any) -> WriteContext:
    """Fresh caches, and a clock an hour before the latest time that is taken."""
    return WriteContext(SeriesLimits(**given), latest_ms=NOW_MS + HOUR_MS)


def decoded(message: str, *series: Any, using: WriteContext | None = None) -> Decoded:
    """The batch of these series."""
    return decode_write(remote_write.request(message, series), Message(message), "t", using or context())


@VERSIONS
@pytest.mark.parametrize(
    ("reason", "said", "labels"),
    [
        ("metric_name_missing", "no label __name__ names the metric", {"job": "a"}),
        ("metric_name_missing", "no label __name__ names the metric", {"__name__": "", "job": "a"}),
        ("metric_name_missing", "no label __name__ names the metric", {}),
        ("label_name_empty", "labels[0] ('') has no name", {"": "x", "__name__": "up"}),
        ("label_duplicate", "labels[2] ('a') stands", [("__name__", "up"), ("a", "1"), ("a", "1")]),
        ("label_duplicate", "labels[2] ('a') stands", [("a", "1"), ("b", "1"), ("a", "2"), ("__name__", "x")]),
        ("labels_unsorted", "labels[2] ('a') stands behind 'b'", [("__name__", "up"), ("b", "1"), ("a", "1")]),
        ("label_name_too_long", "is 17 bytes, at most 16 may be", {"__name__": "up", "n" * 17: "x"}),
        ("label_value_too_long", "labels[1] ('path') is 10,000,000 bytes", {"__name__": "m", "path": "x" * 10_000_000}),
        ("too_many_labels", "6 labels, at most 5", {"__name__": "up", **dict.fromkeys("abcde", "x")}),
    ],
)  # fmt: skip
def test_bad_labels(message: str, reason: str, said: str, labels: Any) -> None:
    """A series that cannot be is named by its place; the ones around it are stored."""
    using = context(labels_per_series=5, label_name_bytes=16)
    bad = {"labels": labels, "samples": [(1.0, NOW_MS), (2.0, NOW_MS + 1)]}
    found = decoded(message, GOOD, bad, {**GOOD, "labels": {"__name__": "down"}}, using=using)
    assert found.batch.rejections.refused == {reason: 2}
    assert found.batch.rejections.messages[reason].startswith("timeseries[1] ")
    assert said in found.batch.rejections.messages[reason]
    assert len(found.batch.rejections.text()) < 1000
    assert found.batch.tables["series"]["metric"].to_pylist() == ["up", "down"]
    assert found.samples == found.batch.records == 2


@pytest.mark.parametrize(
    ("reason", "name", "value"), [("label_name_invalid", b"\xff", b"x"), ("label_value_invalid", b"x", b"\xffoo")]
)
def test_labels_that_are_no_utf8(reason: str, name: bytes, value: bytes) -> None:
    """Names and values are UTF-8."""
    for message in (V1, V2):
        body = remote_write.request(message, [{**GOOD, "labels": {"__name__": "up", "NN": "VVVV"}}, GOOD])
        name, value = name.ljust(2, b"_"), value.ljust(4, b"_")
        found = decode_write(body.replace(b"NN", name).replace(b"VVVV", value), Message(message), "t", context())
        assert found.batch.rejections.refused == {reason: 1}
        assert found.samples == 1


@VERSIONS
@pytest.mark.parametrize(
    ("reason", "at"),
    [("time_before_1970", -1), ("time_in_future", NOW_MS + 2 * HOUR_MS), ("time_in_future", 2**63 - 1)],
)
def test_times(message: str, reason: str, at: int) -> None:
    """A point of another time is refused by itself, whatever its kind."""
    found = decoded(
        message,
        {
            **GOOD, "samples": [(1.0, at), (2.0, NOW_MS)], "exemplars": [({}, 1.0, at), ({}, 2.0, NOW_MS)],
            "histograms": [{**HISTOGRAM, "timestamp": at}, HISTOGRAM],
        },
    )  # fmt: skip
    assert found.batch.rejections.refused == {reason: 3}
    assert found.batch.rejections.messages[reason].startswith(f"timeseries[0] 'up': the time of a sample, {at} ms")
    assert (found.samples, found.histograms, found.exemplars) == (1, 1, 1)


@VERSIONS
@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("histogram_schema", {**HISTOGRAM, "schema": 9}),
        ("histogram_schema", {**HISTOGRAM, "schema": -5}),
        ("histogram_schema", {**HISTOGRAM, "schema": -(2**31)}),
        ("histogram_spans", {**HISTOGRAM, "positive_deltas": [2, -1]}),
        ("histogram_spans", {**HISTOGRAM, "positive_spans": [{"offset": 0, "length": 2**32 - 1}]}),
        ("histogram_spans", {**HISTOGRAM, "positive_spans": [{"length": 2}, {"offset": -1, "length": 1}]}),
        ("histogram_spans", {**HISTOGRAM, "positive_spans": [{"offset": 2**31 - 1, "length": 3}]}),
        ("histogram_spans", {**HISTOGRAM, "negative_spans": [{"length": 1}]}),
        ("histogram_spans", {**FLOAT, "positive_counts": [], "positive_deltas": [1]}),
        ("histogram_negative", {**HISTOGRAM, "positive_deltas": [2, -3, 7]}),
        ("histogram_negative", {**FLOAT, "positive_counts": [-1.5]}),
        ("histogram_negative", {**FLOAT, "zero_count_float": -1.0}),
        ("histogram_count", {**HISTOGRAM, "count_int": 7}),
        ("histogram_count", {**HISTOGRAM, "count_int": 5, "sum": math.nan}),
        ("histogram_bounds", {**HISTOGRAM, "custom_values": [1.0]}),
        ("histogram_bounds", {**CUSTOM, "custom_values": [5.0, 5.0]}),
        ("histogram_bounds", {**CUSTOM, "custom_values": [5.0, math.inf]}),
        ("histogram_bounds", {**CUSTOM, "custom_values": [math.nan, 5.0]}),
        ("histogram_bounds", {**CUSTOM, "custom_values": [5.0]}),
        ("histogram_bounds", {**CUSTOM, "positive_spans": [{"offset": -1, "length": 2}]}),
        ("histogram_bounds", {**CUSTOM, "zero_count_int": 1, "count_int": 4}),
        ("histogram_bounds", {**CUSTOM, "zero_threshold": 0.5}),
        ("histogram_bounds", {**CUSTOM, "negative_spans": [{"length": 1}], "negative_deltas": [0]}),
    ],
)
def test_histograms(message: str, reason: str, fields: dict[str, Any]) -> None:
    """What Prometheus' own Validate refuses is refused; the histograms around it are stored as they are."""
    around = [HISTOGRAM, fields, CUSTOM, FLOAT]
    found = decoded(message, GOOD, {"labels": {"__name__": "h"}, "histograms": around})
    assert found.batch.rejections.refused == {reason: 1}
    assert found.batch.rejections.messages[reason].startswith("timeseries[1] 'h': ")
    stored = found.batch.tables["native_histograms"]
    assert stored["p_idx"].to_pylist() == [[-1, 0, 4], [1, 2], [0]]
    assert stored["p_cnt"].to_pylist() == [[2.0, 1.0, 2.0], [1.0, 2.0], [1.5]]
    assert stored["bounds"].to_pylist() == [[], [1.0, 5.0], []]


@VERSIONS
def test_a_count_beyond_the_buckets_where_the_sum_is_nan(message: str) -> None:
    """Observations of NaN are in no bucket: then, and for a stale marker, the count may be larger."""
    stale = {"sum": STALE, "timestamp": NOW_MS + 1}
    series = {"labels": {"__name__": "h"}, "histograms": [{**HISTOGRAM, "sum": math.nan, "count_int": 9}, stale]}
    found = decoded(message, series)
    assert not found.batch.rejections.refused
    assert found.batch.tables["native_histograms"]["count"].to_pylist() == [9.0, 0.0]


def test_a_histogram_of_two_kinds() -> None:
    """A count that is both integer and float, which no encoder writes, decides nothing."""
    histogram = b"\x08\x00" + b"\x11" + bytes(8) + b"\x78\x01"
    labels = b"\x0a\x0d\x0a\x08__name__\x12\x01h"
    series = labels + b"\x22" + bytes([len(histogram)]) + histogram
    found = decode_write(b"\x0a" + bytes([len(series)]) + series, Message.V1, "t", context())
    assert found.batch.rejections.refused == {"histogram_kind": 1}


def _broken(change: Any) -> Iterator[bytes]:
    request = remote_write.PRW2["Request"].FromString(remote_write.request(V2, [GOOD, GOOD]))
    change(request)
    yield request.SerializeToString()


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("symbol_missing", lambda request: request.timeseries[0].labels_refs.extend([5, 99])),
        ("symbol_missing", lambda request: setattr(request.timeseries[0].metadata, "help_ref", 2**32 - 1)),
        ("label_refs_odd", lambda request: request.timeseries[0].labels_refs.append(1)),
        ("exemplar_labels", lambda request: request.timeseries[0].exemplars.add(labels_refs=[1, 99], timestamp=1)),
        (
            "exemplar_labels",
            lambda request: (
                request.symbols.append("x" * 70_000),
                request.timeseries[0].exemplars.add(labels_refs=[1, 5], timestamp=1),
            ),
        ),
    ],
)
def test_references(reason: str, change: Any) -> None:
    """A reference to a symbol that is not there costs its series or exemplar, and nothing else."""
    (body,) = _broken(change)
    found = decode_write(body, Message.V2, "t", context())
    assert found.batch.rejections.refused == {reason: 1}
    assert found.samples == (2 if reason == "exemplar_labels" else 1)


@pytest.mark.parametrize(
    ("code", "message", "body"),
    [
        ("undecodable_protobuf", V1, b"\x0a\xff"),
        ("undecodable_protobuf", V1, b"\x0a\x02\x0a\x09"),
        ("undecodable_protobuf", V2, b"\x2a\x02\x0a\x09"),
        ("undecodable_protobuf", V2, b"\x2a\x03\x0a\x01\xff"),
        ("wrong_message", V1, remote_write.request(V2, [GOOD])),
        ("wrong_message", V2, remote_write.request(V1, [GOOD])),
        ("symbols_misplaced", V2, b"\x22\x01x"),
    ],
)
def test_no_such_request(code: str, message: str, body: bytes) -> None:
    """A body that is something else is refused whole."""
    with pytest.raises(InvalidInput) as refused:
        decode_write(body, Message(message), "t", context())
    assert refused.value.code == code


@VERSIONS
def test_more_series_than_one_request_may_hold(message: str) -> None:
    """Bytes alone do not bound memory: two are a series."""
    with pytest.raises(TooLarge) as refused:
        decoded(message, *[{"labels": {}}] * 11, using=context(series_per_request=10))
    assert refused.value.code == "too_many_items"


def test_references_in_two_pieces() -> None:
    """A packed field may be split; both halves count."""
    whole = remote_write.request(V2, [GOOD])
    request = remote_write.PRW2["Request"].FromString(whole)
    series = request.timeseries[0].SerializeToString()
    assert series.startswith(b"\x0a\x04\x01\x02\x03\x04")
    del request.timeseries[:]
    split = b"\x0a\x02\x01\x02\x0a\x02\x03\x04" + series[6:]
    body = request.SerializeToString() + b"\x2a" + bytes([len(split)]) + split
    found = decode_write(body, Message.V2, "t", context())
    assert found.batch.tables["series"]["labels"].to_pylist() == [[("job", "a")]]
