"""OTLP over HTTP against the real server: what is taken, what is refused, in which words."""

import concurrent.futures
import itertools
import random

import pytest
from tests import otlp
from tests.otlp import ENCODERS, JSON, PROTOBUF
from tests.server import Server

SIGNALS = ("traces", "metrics", "logs")
MEDIA = (PROTOBUF, JSON)
COUNT = {
    "traces": "SELECT count() AS n FROM spans WHERE service = {s:String}",
    "logs": "SELECT count() AS n FROM logs WHERE service = {s:String}",
    "metrics": "SELECT count() AS n FROM metrics WHERE service = {s:String}",
}
HOUR_NS = 3_600_000_000_000


def count(server: Server, signal: str, service: str) -> int:
    """How many records of a service are stored."""
    return int(server.sql(COUNT[signal], s=service)[0]["n"])


def send(server: Server, signal: str, body: bytes, media: str = PROTOBUF, **headers: str) -> tuple[int, bytes]:
    """Status and body; a refusal is checked to be in the sender's media type."""
    code, answered, answer = server.post(f"{server.otlp_http}/v1/{signal}", body, media, **headers)
    assert answered["content-type"] == (media if media in MEDIA else JSON)
    return code, answer


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("signal", SIGNALS)
def test_every_encoding_on_both_listeners(gnomon: Server, signal: str, media: str) -> None:
    """A record in each encoding, on 4318's and on 4319's path, is acknowledged without complaint and stored."""
    ways = list(itertools.product(ENCODERS, (gnomon.otlp_http, gnomon.api)))
    services = [otlp.name("way") for _ in ways]

    def post(encoding: str, address: str, service: str) -> tuple[int, tuple[int, str]]:
        body = ENCODERS[encoding](otlp.written(otlp.one_of(signal, service), media))
        code, headers, answer = gnomon.post(f"{address}/v1/{signal}", body, media, Content_Encoding=encoding)
        assert headers["content-type"] == media
        return code, otlp.partial(signal, media, answer)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, *zip(*ways, strict=True), services))
    assert answers == [(200, (0, ""))] * len(ways)
    assert [count(gnomon, signal, service) for service in services] == [1] * len(ways)


@pytest.mark.parametrize("media", ["text/plain", "", "application/x-www-form-urlencoded", "application/protobuf"])
def test_wrong_content_type(gnomon: Server, media: str) -> None:
    """What is no OTLP media type is 415, with the ones that are."""
    code, _, answer = gnomon.post(f"{gnomon.otlp_http}/v1/traces", b"{}", media)
    assert code == 415
    assert "application/x-protobuf" in otlp.status(JSON, answer)[1]


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("encoding", ["br", "snappy", "gzip, gzip", "zip"])
def test_unknown_encoding(gnomon: Server, encoding: str, media: str) -> None:
    """An encoding that is not spoken is 415, with the ones that are, as a Status in the sender's media type."""
    code, answer = send(gnomon, "logs", b"xx", media, Content_Encoding=encoding)
    assert code == 415
    number, words = otlp.status(media, answer)
    assert (number, "zstd" in words) == (12, True)


GOOD = otlp.traces("undecodable", [otlp.span(name="x" * 1000)]).SerializeToString()
BAD_BODIES = {
    "random": (PROTOBUF, "identity", b"\xff" * 40),
    "truncated": (PROTOBUF, "identity", GOOD[:-7]),
    "text for protobuf": (PROTOBUF, "identity", b'{"resourceSpans": []}'),
    "protobuf for JSON": (JSON, "identity", GOOD),
    "truncated JSON": (JSON, "identity", b'{"resourceSpans": [{"scopeSpans": ['),
    "a list": (JSON, "identity", b"[]"),
    "a wrong type": (JSON, "identity", b'{"resourceSpans": {"a": 1}}'),
    "an id in base64": (
        JSON,
        "identity",
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"W47/95gDgQPSabYzgT/GDA=="}]}]}]}',
    ),
    "deep JSON": (JSON, "identity", b'{"resourceSpans":' * 5000),
    "no gzip": (PROTOBUF, "gzip", GOOD),
    "half a gzip": (PROTOBUF, "gzip", ENCODERS["gzip"](GOOD)[:-9]),
    "gzip with a tail": (PROTOBUF, "gzip", ENCODERS["gzip"](GOOD) + b"tail"),
    "half a zstd": (PROTOBUF, "zstd", ENCODERS["zstd"](GOOD)[:-5]),
    "half a deflate": (PROTOBUF, "deflate", ENCODERS["deflate"](GOOD)[:-5]),
    "good gzip of bad bytes": (PROTOBUF, "gzip", ENCODERS["gzip"](b"\xff" * 40)),
}


@pytest.mark.parametrize("body", BAD_BODIES)
def test_undecodable(gnomon: Server, body: str) -> None:
    """Bytes that are no request are 400 with words, and none of them is stored."""
    media, encoding, content = BAD_BODIES[body]
    code, answer = send(gnomon, "traces", content, media, Content_Encoding=encoding)
    assert code == 400
    number, words = otlp.status(media, answer)
    assert number == 3
    assert words
    assert count(gnomon, "traces", "undecodable") == 0


def test_random_and_damaged_bytes(gnomon: Server) -> None:
    """Whatever the bytes: 200 or 400, never a fault of ours; a request damaged in one place likewise."""
    chance = random.Random(1)
    bodies = [chance.randbytes(chance.randrange(200)) for _ in range(40)]
    for _ in range(60):
        damaged = bytearray(GOOD)
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        bodies.append(bytes(damaged[: chance.choice([len(damaged), chance.randrange(len(damaged))])]))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ways = itertools.product(SIGNALS, bodies)
        codes = set(pool.map(lambda way: send(gnomon, *way)[0], ways))
        codes |= set(pool.map(lambda body: send(gnomon, "traces", body, JSON)[0], bodies[:20]))
    assert codes == {200, 400}


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("signal", SIGNALS)
def test_empty_request(gnomon: Server, signal: str, media: str) -> None:
    """A request without records is a success."""
    assert send(gnomon, signal, b"{}" if media == JSON else b"", media) == (200, b"{}" if media == JSON else b"")


@pytest.mark.parametrize("media", MEDIA)
def test_partial_success_of_spans(gnomon: Server, media: str) -> None:
    """Bad spans are counted and named, one reason each; their neighbours are stored."""
    now = otlp.span()["start_time_unix_nano"]
    service = otlp.name("spans")
    bad = [
        {"trace_id": b""},
        {"trace_id": bytes(16)},
        {"trace_id": b"short"},
        {"span_id": bytes(8)},
        {"span_id": b"123456789"},
        {"parent_span_id": b"1"},
        {"start_time_unix_nano": 0},
        {"start_time_unix_nano": now + 2 * HOUR_NS},
        {"start_time_unix_nano": (1 << 64) - 1},
    ]
    good = [{}, {"start_time_unix_nano": now + HOUR_NS // 2}, {"end_time_unix_nano": 0}]
    request = otlp.traces(service, [otlp.span(**fields) for pair in zip(bad, good * 3, strict=True) for fields in pair])
    code, answer = send(gnomon, "traces", otlp.written(request, media), media)
    refused, words = otlp.partial("traces", media, answer)
    assert (code, refused) == (200, len(bad))
    for told in (
        "3 x invalid_trace_id", "2 x invalid_span_id", "1 x invalid_parent_id", "1 x time_unset", "2 x time_in_future",
        "limits.future_s", "negative_duration",
    ):  # fmt: skip
        assert told in words
    assert count(gnomon, "traces", service) == 9


@pytest.mark.parametrize("media", MEDIA)
def test_partial_success_of_logs(gnomon: Server, media: str) -> None:
    """A log record of the far future is refused; one without a time takes the time of arrival."""
    service = otlp.name("logs")
    far = otlp.span()["start_time_unix_nano"] + 2 * HOUR_NS
    request = otlp.logs(
        service, [{"body": otlp.value("a")}, {"time_unix_nano": far}, {"time_unix_nano": 0, "body": otlp.value("b")}]
    )
    code, answer = send(gnomon, "logs", otlp.written(request, media), media)
    refused, words = otlp.partial("logs", media, answer)
    assert (code, refused) == (200, 1)
    assert "time_in_future" in words
    stored = gnomon.sql(
        "SELECT body FROM logs WHERE service = {s:String} AND time > now() - 60 ORDER BY body", s=service
    )
    assert stored == [{"body": "a"}, {"body": "b"}]


@pytest.mark.parametrize("media", MEDIA)
def test_partial_success_of_metrics(gnomon: Server, media: str) -> None:
    """Points that cannot be (no time, no value, buckets that do not fit their bounds) are counted and named."""
    service = metric = otlp.name("points")
    request = otlp.gauge(metric, [{"as_double": 1.0}, {"as_double": 2.0, "time_unix_nano": 0}, {}], service)
    now = request.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0].time_unix_nano
    histogram = request.resource_metrics[0].scope_metrics[0].metrics.add(name=f"{metric}_h").histogram
    histogram.aggregation_temporality = 2
    for bounds, counts, total in (([1.0, 2.0], [1, 1, 1], 3), ([1.0, 2.0], [1, 1], 2), ([2.0, 1.0], [1, 1, 1], 3)):
        histogram.data_points.add(time_unix_nano=now, explicit_bounds=bounds, bucket_counts=counts, count=total)
    scaled = request.resource_metrics[0].scope_metrics[0].metrics.add(name=f"{metric}_e").exponential_histogram
    scaled.aggregation_temporality = 2
    for scale in (3, 99):
        scaled.data_points.add(time_unix_nano=now, scale=scale, count=1, zero_count=1)
    code, answer = send(gnomon, "metrics", otlp.written(request, media), media)
    refused, words = otlp.partial("metrics", media, answer)
    assert (code, refused) == (200, 5)
    assert all(told in words for told in ("time_unset", "value_missing", "histogram", "exponential_scale"))
    stored = gnomon.sql("SELECT DISTINCT metric FROM metrics WHERE service = {s:String} ORDER BY metric", s=service)
    assert [row["metric"] for row in stored] == [metric, *(f"{metric}_h_{end}" for end in ("bucket", "count"))]
    exponential = gnomon.sql("SELECT count() AS n FROM histograms WHERE service = {s:String}", s=service)
    assert exponential == [{"n": 1}]
