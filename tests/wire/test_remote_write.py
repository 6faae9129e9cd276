"""Remote write against the real server: what is taken, what is refused, in which words."""

import concurrent.futures
import gzip
import itertools
import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backports import zstd
from tests import otlp, remote_write
from tests.remote_write import STALE, V1, V2, compressed, content_type
from tests.server import Server

from gnomon_server.receive.remote_write import PATHS

ENCODERS: dict[str, Callable[[bytes], bytes]] = {"snappy": compressed, "gzip": gzip.compress, "zstd": zstd.compress}
VERSIONS = pytest.mark.parametrize("message", [V1, V2])
DAY_MS = 86_400_000


def now_ms() -> int:
    """The time."""
    return time.time_ns() // 1_000_000


def series(metric: str, *samples: Any, **labels: str) -> dict[str, Any]:
    """One series and its samples: value, time."""
    return {"labels": {"__name__": metric, "job": "wire", **labels}, "samples": samples or [(1.0, now_ms())]}


def send(server: Server, message: str, *several: Any, path: str = PATHS[0], **headers: str) -> tuple[int, Any, str]:
    """Status, headers and error of a request of these series."""
    body = compressed(remote_write.request(message, several))
    return post(server, body, content_type(message), path=path, Content_Encoding="snappy", **headers)


def post(server: Server, body: bytes, media: str, path: str = PATHS[0], **headers: str) -> tuple[int, Any, str]:
    """Likewise, of a body as it is."""
    status, answered, answer = server.post(f"{server.api}{path}", body, media, **headers)
    error = json.loads(answer)["error"] if answer else {}
    return status, answered, f"{error['code']}: {error['what']}" if error else ""


def stored(server: Server, metric: str) -> list[tuple[int, float]]:
    """Time in ms and value of what is stored of a metric."""
    rows = server.sql(
        "SELECT toUnixTimestamp64Milli(time) AS at, value FROM metrics WHERE metric = {m:String} ORDER BY at", m=metric
    )
    return [(int(row["at"]), row["value"]) for row in rows]


@VERSIONS
def test_every_path_and_encoding(gnomon: Server, message: str) -> None:
    """Each is acknowledged without a body when it is stored, with the number of what is."""
    for path, (encoding, encode) in itertools.product(PATHS, ENCODERS.items()):
        metric, at = otlp.name("m"), now_ms()
        body = encode(remote_write.request(message, [series(metric, (1.5, at), (2.5, at + 1))]))
        code, headers, words = post(gnomon, body, content_type(message), path=path, Content_Encoding=encoding)
        assert (code, words) == (204, "")
        written = {kind: headers[f"x-prometheus-remote-write-{kind}-written"] for kind in _KINDS}
        assert written == {"samples": "2", "histograms": "0", "exemplars": "0"}
        assert stored(gnomon, metric) == [(at, 1.5), (at + 1, 2.5)]


_KINDS = ("samples", "histograms", "exemplars")


@pytest.mark.parametrize("media", ["application/x-protobuf", ""])
def test_old_senders(gnomon: Server, media: str) -> None:
    """Without a message in Content-Type it is 1.0's, without Content-Encoding snappy."""
    metric = otlp.name("m")
    code, _, words = post(gnomon, compressed(remote_write.request(V1, [series(metric)])), media)
    assert (code, words) == (204, "")
    assert len(stored(gnomon, metric)) == 1


@pytest.mark.parametrize(
    ("media", "encoding"),
    [
        ("application/x-protobuf;proto=io.prometheus.write.v3.Request", "snappy"),
        ("application/json", "snappy"),
        (content_type(V2), "br"),
    ],
)
def test_what_is_not_spoken(gnomon: Server, media: str, encoding: str) -> None:
    """415, upon which a sender may try another version."""
    code, _, words = post(gnomon, compressed(remote_write.request(V2, [])), media, Content_Encoding=encoding)
    assert code == 415
    assert words.startswith(("media_type", "encoding_unsupported"))


@VERSIONS
def test_a_partial_write(gnomon: Server, message: str) -> None:
    """The good ones are stored and counted, the others named, and the answer is 400: never to be sent again."""
    metric = otlp.name("m")
    bad = {**series(metric), "labels": [("__name__", metric), ("b", "1"), ("a", "2")]}
    code, headers, words = send(gnomon, message, series(metric), bad, {**bad, "labels": {"job": "x"}})
    assert code == 400
    assert headers["x-prometheus-remote-write-samples-written"] == "1"
    assert words.startswith("partial_write: 2 of 3 points were refused, the others are stored: ")
    assert "timeseries[1] '" in words
    assert "labels_unsorted" in words
    assert "metric_name_missing: timeseries[2] {'job'='x'}: no label __name__" in words
    assert len(stored(gnomon, metric)) == 1


@VERSIONS
@pytest.mark.parametrize(
    ("code", "reason", "body"),
    [
        (400, "body_undecodable", b"hello"),
        (413, "body_too_large", b"\x80\x80\x80\x80\x04"),
        (413, "body_too_large", b"\x80\x80\x80\x80\x04" + bytes(1000)),
        (413, "body_too_large", bytes(21 << 20)),
        (400, "undecodable_protobuf", compressed(b"\x0a\x05\x0a\xff\xff\xff\xff\x2a\x05\x0a\xff\xff\xff\xff")),
        (400, "wrong_message", compressed(b"\x72\x01x")),
    ],
)
def test_hostile_bodies(gnomon: Server, message: str, code: int, reason: str, body: bytes) -> None:
    """Refused whole, with the reason, and the next request is taken."""
    answered, headers, words = post(gnomon, body, content_type(message), Content_Encoding="snappy")
    assert (answered, words.split(":")[0]) == (code, reason)
    assert "x-prometheus-remote-write-samples-written" not in headers
    assert send(gnomon, message, series(otlp.name("m")))[0] == 204


@VERSIONS
def test_a_label_value_of_10_megabytes(gnomon: Server, message: str) -> None:
    """The series is named with its place, in few words; its neighbour is stored."""
    metric = otlp.name("m")
    code, _, words = send(gnomon, message, series(metric), series(metric, path="x" * 10_000_000))
    assert code == 400
    assert "the value of labels[2] ('path') is 10,000,000 bytes, at most 65,536 may be" in words
    assert len(words) < 500
    assert len(stored(gnomon, metric)) == 1


@VERSIONS
def test_late_repeated_and_from_long_ago(gnomon: Server, message: str) -> None:
    """Order does not matter, nor age; what came before is not stored twice."""
    metric, now = otlp.name("m"), now_ms()
    times = [now, now - 60_000, now - 30 * DAY_MS, 0, now - 60_000, now]
    for at in times:
        assert send(gnomon, message, series(metric, (float(at), at)))[0] == 204
    assert send(gnomon, message, series(metric, *((float(at), at) for at in times)))[0] == 204
    assert stored(gnomon, metric) == [(at, float(at)) for at in sorted(set(times))]


def test_a_tenant(gnomon: Server) -> None:
    """X-Scope-OrgID chooses it, as everywhere."""
    metric = otlp.name("m")
    assert send(gnomon, V1, series(metric), X_Scope_OrgID="other")[0] == 204
    assert stored(gnomon, metric) == []
    asked = {"query": f"SELECT count() AS n FROM metrics WHERE metric = '{metric}'", "format": "json"}
    url = f"{gnomon.api}/api/gnomon/v1/sql"
    _, _, answer = gnomon.post(url, json.dumps(asked).encode(), otlp.JSON, X_Scope_OrgID="other")
    assert json.loads(answer)["rows"] == [[1]]


@VERSIONS
def test_histograms_exemplars_and_stale_markers(gnomon: Server, message: str) -> None:
    """All that a series may hold, read back."""
    metric, at, trace = otlp.name("m"), now_ms(), "0123456789abcdef" * 2
    histogram = {
        "count_int": 6, "sum": 3.5, "schema": 2, "zero_threshold": 0.1, "zero_count_int": 1, "timestamp": at,
        "positive_spans": [{"offset": -1, "length": 2}, {"offset": 3, "length": 1}], "positive_deltas": [2, -1, 1],
    }  # fmt: skip
    custom = {
        "count_float": 1.5, "sum": math.nan, "schema": -53, "custom_values": [1.0, 5.0], "timestamp": at + 1,
        "positive_spans": [{"offset": 2, "length": 1}], "positive_counts": [1.5], "reset_hint": 3,
    }  # fmt: skip
    code, headers, words = send(
        gnomon,
        message,
        {**series(metric), "samples": [(STALE, at)], "exemplars": [({"trace_id": trace, "u": "v"}, 0.5, at)]},
        {**series(metric + "_h"), "samples": [], "histograms": [histogram, custom]},
    )
    assert (code, words) == (204, "")
    assert [headers[f"x-prometheus-remote-write-{kind}-written"] for kind in _KINDS] == ["1", "2", "1"]
    assert stored(gnomon, metric) == [(at, None)]
    query = "SELECT * FROM histograms WHERE metric = {m:String} ORDER BY time"
    first, second = gnomon.sql(query, m=metric + "_h")
    assert (first["scale"], first["count"], first["sum"], first["zero_count"]) == (2, 6.0, 3.5, 1.0)
    assert (first["positive_index"], first["positive_count"]) == ([-1, 0, 4], [2.0, 1.0, 2.0])
    assert (second["scale"], second["bounds"], second["positive_index"]) == (-53, [1.0, 5.0], [2])
    (exemplar,) = gnomon.sql("SELECT * FROM exemplars WHERE metric = {m:String}", m=metric)
    assert (exemplar["trace_id"], exemplar["value"], exemplar["attributes"]) == (trace, 0.5, {"u": "v"})


def test_start_times_and_descriptions_of_version_2(gnomon: Server) -> None:
    """A sample's start counts before its series' creation; type, unit and help describe the family."""
    metric, at = otlp.name("m"), now_ms()
    sent = {**series(metric + "_count", (1.0, at, at - 7), (2.0, at + 1)), "created": at - 9}
    code, _, words = send(gnomon, V2, {**sent, "type": "histogram", "help": "Why.", "unit": "seconds"})
    assert (code, words) == (204, "")
    query = (
        "SELECT toUnixTimestamp64Milli(start_time) AS start, type FROM metrics WHERE metric = {m:String} ORDER BY time"
    )
    rows = gnomon.sql(query, m=metric + "_count")
    assert [(int(row["start"]), row["type"]) for row in rows] == [
        (at - 7, "histogram_count"),
        (at - 9, "histogram_count"),
    ]
    (meta,) = gnomon.sql("SELECT type, unit, help FROM metric_metadata WHERE metric = {m:String}", m=metric)
    assert meta == {"type": "histogram", "unit": "seconds", "help": "Why."}


def test_the_same_series_by_otlp(gnomon: Server) -> None:
    """A gauge by OTLP and by both versions of remote write is one series."""
    metric, at = otlp.name("m"), now_ms()
    point = {"time_unix_nano": at * 1_000_000, "as_double": 1.0, "attributes": otlp.pairs({"path": "/a"})}
    request = otlp.gauge(metric, [point], service="wire")
    request.resource_metrics[0].resource.attributes.extend(otlp.pairs({"service.instance.id": "i1"}))
    assert gnomon.post(f"{gnomon.otlp_http}/v1/metrics", request.SerializeToString())[0] == 200
    labels = {"instance": "i1", "path": "/a", "service_name": "wire"}
    for later, message in enumerate((V1, V2), 1):
        assert send(gnomon, message, series(metric, (1.0, at + later), **labels))[0] == 204
    (row,) = gnomon.sql(
        "SELECT uniqExact(series_id) AS ids, count() AS n FROM metrics WHERE metric = {m:String}", m=metric
    )
    assert row == {"ids": 1, "n": 3}


def test_a_full_queue_is_told_and_passes() -> None:
    """Past the queue's bound 429 with Retry-After; sent again, it is taken."""
    settings = ("--set", "intake.queue_bytes=1MiB", "--set", "intake.commit_interval_s=2", "--set", "own_telemetry_s=0")
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        server = Server(Path(folder), settings)
        server.start()
        try:
            at = now_ms()
            large = [series(f"m{n}", *((1.0, at + k) for k in range(18_000))) for n in range(2)]
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                answers = list(pool.map(lambda one: send(server, V1, one), large))
            assert sorted(code for code, _, _ in answers) == [204, 429]
            ((_, headers, words),) = (answer for answer in answers if answer[0] == 429)
            assert int(headers["retry-after"]) >= 1
            assert words.startswith(("queue_full", "tenant_queue_full"))
            assert "x-prometheus-remote-write-samples-written" not in headers
            assert [send(server, V1, one)[0] for one in large] == [204, 204]
            assert server.sql("SELECT count() AS n FROM metrics") == [{"n": 36_000}]
        finally:
            server.stop()
