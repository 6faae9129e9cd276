"""The protobuf format: names, classic and native histograms, exemplars, hostile bytes."""

from typing import Any

import pytest

from gnomon_server.decode.exposition.exposition import NO_TIME, Exposition, Family
from gnomon_server.decode.exposition.messages import message_class
from gnomon_server.decode.exposition.protobuf import HistogramWish, ProtobufReader
from gnomon_server.decode.exposition.series import SeriesTable
from gnomon_server.errors import InvalidInput

COUNTER, GAUGE, SUMMARY, UNTYPED, HISTOGRAM, GAUGE_HISTOGRAM = range(6)


def _family(name: str, kind: int) -> Any:
    return message_class("MetricFamily")(name=name.encode(), type=kind, help=b"h")


def _metric(of: Any, **labels: str) -> Any:
    pair = message_class("LabelPair")
    raws = [pair(name=name.encode(), value=value.encode()).SerializeToString() for name, value in labels.items()]
    return of.metric.add(label=raws)


def _delimited(*messages: Any) -> bytes:
    body = b""
    for message in messages:
        raw, length = message.SerializeToString(), b""
        count = len(raw)
        while count > 0x7F:
            length += bytes([count & 0x7F | 0x80])
            count >>= 7
        body += length + bytes([count]) + raw
    return body


def _native(histogram: Any) -> None:
    histogram.sample_count, histogram.sample_sum, histogram.schema = 12, 3.5, 3
    histogram.zero_threshold, histogram.zero_count = 1e-9, 2
    histogram.positive_span.add(offset=-2, length=2)
    histogram.positive_span.add(offset=3, length=2)
    histogram.positive_delta.extend([1, 2, -3, 4])
    histogram.negative_span.add(offset=5, length=1)
    histogram.negative_delta.append(2)


def _read(body: bytes, wish: HistogramWish | None = None) -> tuple[dict[tuple[str, ...], float], Exposition]:
    table = SeriesTable(lambda labels: labels)
    found = ProtobufReader(table, wish or HistogramWish()).read(body)
    series = [tuple(f"{k}={v}" for k, v in sorted(table.stored(slot).items())) for slot in found.slots.tolist()]
    return dict(zip(series, found.values.tolist(), strict=True)), found


def test_simple_types() -> None:
    """Counter, gauge, untyped: the family's name is the metric's; time and start are taken."""
    counter, gauge, untyped = _family("c_total", COUNTER), _family("g", GAUGE), _family("u", UNTYPED)
    one = _metric(counter, a="b")
    one.timestamp_ms = 1_600_000_000_123
    one.counter.value = 5
    one.counter.created.seconds = 1_500_000_000
    _metric(gauge).gauge.value = -1.5
    _metric(untyped, a="").untyped.value = 7
    values, found = _read(_delimited(counter, gauge, untyped))
    assert values == {("__name__=c_total", "a=b"): 5, ("__name__=g",): -1.5, ("__name__=u", "a="): 7}
    assert found.times.tolist() == [1_600_000_000_123, NO_TIME, NO_TIME]
    assert found.starts.tolist() == [1_500_000_000_000, 0, 0]
    assert found.families == {
        "c_total": Family("counter", "h"), "g": Family("gauge", "h"), "u": Family("unknown", "h")
    }  # fmt: skip


def test_summary_and_classic_histogram() -> None:
    """Their series as the text formats would have them, the +Inf bucket added where it is left out."""
    summary, histogram = _family("s", SUMMARY), _family("h", HISTOGRAM)
    one = _metric(summary).summary
    one.sample_count, one.sample_sum = 2, 3.5
    one.quantile.add(quantile=0.5, value=1.25)
    other = _metric(histogram, a="b").histogram
    other.sample_count, other.sample_sum = 4, 9
    bucket = other.bucket.add(cumulative_count=3, upper_bound=1)
    bucket.exemplar.value = 0.5
    bucket.exemplar.label.add(name=b"trace_id", value=b"x")
    values, found = _read(_delimited(summary, histogram))
    assert values == {
        ("__name__=s_count",): 2, ("__name__=s_sum",): 3.5, ("__name__=s", "quantile=0.5"): 1.25,
        ("__name__=h_count", "a=b"): 4, ("__name__=h_sum", "a=b"): 9,
        ("__name__=h_bucket", "a=b", "le=1.0"): 3, ("__name__=h_bucket", "a=b", "le=+Inf"): 4,
    }  # fmt: skip
    (exemplar,) = found.exemplars
    assert (exemplar.at, exemplar.labels, exemplar.value, exemplar.time_ms) == (5, {"trace_id": "x"}, 0.5, NO_TIME)


def test_native_histogram() -> None:
    """Spans and deltas become indices and absolute counts, without empty buckets; the classic form by wish."""
    histogram = _family("h", HISTOGRAM)
    one = _metric(histogram).histogram
    _native(one)
    one.bucket.add(cumulative_count=12, upper_bound=float("inf"))
    one.exemplars.add(value=1)
    one.exemplars.add(value=2).timestamp.seconds = 5
    body = _delimited(histogram)
    assert len(_read(body)[0]) == 3
    values, found = _read(body, HistogramWish(native=True))
    assert values == {}
    (row,) = found.histograms
    assert (row.schema, row.count, row.sum, row.zero_threshold, row.zero_count) == (3, 12, 3.5, 1e-9, 2)
    assert row.positive == ([-2, -1, 4], [1, 3, 4])
    assert row.negative == ([5], [2])
    assert not row.is_float
    assert [(exemplar.at, exemplar.value, exemplar.time_ms) for exemplar in found.exemplars] == [(-1, 2, 5000)]
    values, found = _read(body, HistogramWish(native=True, classic_too=True))
    assert (len(values), len(found.histograms)) == (3, 1)


def test_float_gauge_histogram() -> None:
    """Absolute float counts, and the mark that it is no counter."""
    histogram = _family("h", GAUGE_HISTOGRAM)
    one = _metric(histogram).histogram
    one.sample_count_float, one.schema = 2.5, -1
    one.positive_span.add(offset=0, length=2)
    one.positive_count.extend([0, 2.5])
    (row,) = _read(_delimited(histogram), HistogramWish(native=True))[1].histograms
    assert (row.is_float, row.is_gauge, row.count, row.positive) == (True, True, 2.5, ([1], [2.5]))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda h: h.positive_delta.append(1),
        lambda h: h.positive_delta.__setitem__(1, -2),
        lambda h: setattr(h.positive_span[1], "offset", -1),
        lambda h: setattr(h.positive_span[0], "length", (1 << 32) - 1),
        lambda h: setattr(h, "schema", 9),
    ],
    ids=["more counts than spans", "negative count", "overlap", "endless span", "schema"],
)
def test_impossible_native_histograms(spoil: Any) -> None:
    """A histogram that cannot be is refused, at once and without the memory that it asks for."""
    histogram = _family("h", HISTOGRAM)
    one = _metric(histogram).histogram
    _native(one)
    spoil(one)
    with pytest.raises(InvalidInput):
        _read(_delimited(histogram), HistogramWish(native=True))


@pytest.mark.parametrize("cut", range(1, 12))
def test_truncated(cut: int) -> None:
    """A body that ends in the middle is refused."""
    gauge = _family("g", GAUGE)
    _metric(gauge, a="b").gauge.value = 1
    with pytest.raises(InvalidInput):
        _read(_delimited(gauge)[:-cut])


def test_hostile_names() -> None:
    """No name, labels twice, text that is no UTF-8, types that are none: refused with a reason."""
    unnamed, twice, broken, odd = _family("", GAUGE), _family("g", GAUGE), _family("g", GAUGE), _family("g", 17)
    _metric(unnamed)
    _metric(twice).label.extend(_metric(_family("x", GAUGE), a="b").label[:] * 2)
    _metric(broken).label.append(b"\n\x01\xff\x12\x01b")
    _metric(odd)
    for message in (unnamed, twice, broken, odd):
        with pytest.raises(InvalidInput):
            _read(_delimited(message))
