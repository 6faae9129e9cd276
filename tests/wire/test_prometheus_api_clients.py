"""Real clients of Prometheus' API: promtool, and Prometheus reading and federating from us."""

import json
import shutil
import struct
import subprocess
import urllib.error
import urllib.request
from typing import Any

import pytest
from cramjam import snappy
from tests import real_prometheus
from tests.prometheus_pair import STEPS, Pair, assert_alike
from tests.real_prometheus import ask
from tests.remote_write import PRW1, compressed
from tests.waiting import until

from gnomon_server.api.prometheus.read_messages import MESSAGES

pytestmark = pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")


def test_promtool(pair: Pair) -> None:
    """Debian's `promtool query` prints the same of us as of Prometheus."""
    start, end = pair.times["start"], pair.times["end"]
    asked = [
        ("instant", f"--time={end}", "{}", "topk(3, requests_total)"),
        ("range", f"--start={start}", f"--end={end}", "--step=60s", "{}", "rate(requests_total[2m])"),
        ("series", f"--start={start}", f"--end={end}", "--match=odd", "{}"),
        ("labels", f"--start={start}", f"--end={end}", "{}", "code"),
    ]
    for arguments in asked:
        ours, theirs = (
            subprocess.run(
                ["promtool", "query", *(url if one == "{}" else one for one in arguments)],
                capture_output=True, check=True, text=True, timeout=60,
            ).stdout
            for url in (pair.ours, pair.theirs)
        )  # fmt: skip
        for mine, other in zip(sorted(ours.split()), sorted(theirs.split()), strict=True):
            assert_alike(mine, other)
        assert ours.strip()


def test_a_prometheus_that_reads_from_us(pair: Pair) -> None:
    """Through remote read Prometheus answers as if it had the series itself; it asks for streamed chunks."""
    remote = {"url": f"{pair.ours}/api/v1/read", "read_recent": True}
    with real_prometheus.running(pair.folder / "reader", remote_read=[remote]) as reader:
        for query in ("requests_total", "odd", "gone", "sum by (code) (rate(requests_total[2m]))", "latency_bucket"):
            asked = {"query": query, **pair.times}
            assert ask(reader, "/api/v1/query_range", asked) == ask(pair.theirs, "/api/v1/query_range", asked)
        tool = ["promtool", "query", "instant", f"--time={pair.times['end']}"]
        printed = [subprocess.check_output([*tool, url, "requests_total"], timeout=60) for url in (reader, pair.ours)]
        assert sorted(printed[0].splitlines()) == sorted(printed[1].splitlines())


SAMPLES, CHUNKS = 0, 1


@pytest.mark.parametrize("name", ["odd", "gone", "requests_total"])
def test_remote_read_of_samples_is_that_of_prometheus(pair: Pair, name: str) -> None:
    """Decoded by Google's classes, the samples are those that Prometheus sends, bit for bit; it loses -0's sign."""
    ours, theirs = (_read(url, pair, name, SAMPLES) for url in (pair.ours, pair.theirs))
    assert len(ours) == len(theirs) > 0
    by_labels = [sorted(found, key=lambda one: str(one.labels)) for found in (ours, theirs)]
    for mine, other in zip(*by_labels, strict=True):
        assert str(mine.labels) == str(other.labels)
        pairs = [
            [(struct.pack("d", one.value or 0.0), one.timestamp) for one in found.samples] for found in (mine, other)
        ]
        assert pairs[0] == pairs[1]


def test_remote_read_of_native_histograms(pair: Pair) -> None:
    """Native histograms come as samples although chunks are preferred, with the buckets that were sent."""
    (series,) = _read(pair.ours, pair, "native", CHUNKS, SAMPLES)
    assert len(series.histograms) == STEPS
    for step, found in enumerate(series.histograms):
        assert (found.count_float, found.sum, found.schema, found.zero_count_float) == (6 * step, 12.5 * step, 1, step)
        if step:
            assert [(span.offset, span.length) for span in found.positive_spans] == [(-2, 2), (3, 1)]
            assert list(found.positive_counts) == [step, 2 * step, step]
            assert [(span.offset, span.length) for span in found.negative_spans] == [(0, 1)]
            assert list(found.negative_counts) == [step]


def test_remote_read_refuses(pair: Pair) -> None:
    """What is no request, asks for an unknown answer or has a broken expression is refused."""
    broken = [
        b"no snappy",
        compressed(b"\xff\xff"),
        compressed(_read_request(pair, "odd", 9)),
        compressed(_read_request(pair, "(", SAMPLES, operator=2)),
        compressed(_read_request(pair, "odd", SAMPLES, operator=7)),
    ]
    for body in broken:
        status, answer = _posted(f"{pair.ours}/api/v1/read", body)
        assert status in (400, 415)
        assert json.loads(answer)["errorType"] == "bad_data"


def test_a_prometheus_that_federates_from_us(pair: Pair) -> None:
    """A real Prometheus scrapes /federate, native histograms too, and has our newest samples under our labels."""
    job = {
        "job_name": "federate", "honor_labels": True, "metrics_path": "/federate",
        "params": {"match[]": ['{__name__=~"requests_total|odd|gone|native"}']},
        "static_configs": [{"targets": [pair.ours.removeprefix("http://")]}],
    }  # fmt: skip
    with real_prometheus.running(pair.folder / "federating", scrape_configs=[job]) as federating:
        asked = {"query": '{job="shop", __name__!="x"}[10m]', "time": f"{pair.end_ms / 1000 + 1:.3f}"}
        found: list[Any] = []

        def there() -> bool:
            found[:] = json.loads(ask(federating, "/api/v1/query", asked)[1])["data"]["result"]
            return len(found) == 15

        until(there, lambda: str(found))
    ours = json.loads(ask(pair.ours, "/api/v1/query", asked)[1])["data"]["result"]
    newest = {str(one["metric"]): _newest(one) for one in ours}
    assert all(newest[str(one["metric"])] == _newest(one) for one in found)


def _newest(series: Any) -> Any:
    if "values" in series:
        return series["values"][-1]
    at, native = series["histograms"][-1]  # of bounds 2.42 writes another last digit
    return at, native["count"], native["sum"], [bucket[3] for bucket in native["buckets"]]


def _read_request(pair: Pair, name: str, *accepted: int, operator: int = 0) -> bytes:
    matcher = {"type": operator, "name": b"__name__", "value": name.encode()}
    query = {"start_ms": 0, "end_ms": pair.end_ms, "matchers": [matcher]}
    request = MESSAGES["Request"](queries=[query], accepted=list(accepted))
    return bytes(request.SerializeToString())


def _read(url: str, pair: Pair, name: str, *accepted: int) -> list[Any]:
    """The series of a remote read, by the classes of the tests' own declaration."""
    status, answer = _posted(f"{url}/api/v1/read", compressed(_read_request(pair, name, *accepted)))
    assert status == 200, answer
    response = bytes(snappy.decompress_raw(answer))
    assert response[0] == 0x0A  # the only result, behind its length, is shaped as a write request
    length = next(place for place in range(1, 6) if response[place] < 0x80)
    return list(PRW1["WriteRequest"].FromString(response[length + 1 :]).timeseries)


def _posted(url: str, body: bytes) -> tuple[int, bytes]:
    request = urllib.request.Request(
        url, body, {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
