"""The field's own senders against the real server: Prometheus and vmagent, as Debian packages them."""

import contextlib
import http.server
import json
import math
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.ports import free_port
from tests.remote_write import classes
from tests.server import Server
from tests.waiting import until

PROMETHEUS = """
global: {{scrape_interval: 1s}}
scrape_configs:
- {{job_name: prometheus, static_configs: [{{targets: ['127.0.0.1:{prometheus}']}}]}}
- {{job_name: node, static_configs: [{{targets: ['127.0.0.1:{node}'], labels: {{zone: "z\\"1"}}}}]}}
remote_write:
- url: {url}/api/v1/write
  send_exemplars: true
  send_native_histograms: true
  metadata_config: {{send_interval: 1s}}
  queue_config: {{max_shards: 4, min_backoff: 30ms, max_backoff: 200ms}}
"""
VMAGENT = """
scrape_configs:
- {{job_name: fixed, scrape_interval: 1s, static_configs: [{{targets: ['127.0.0.1:{target}'], labels: {{zone: z1}}}}]}}
"""
EXPOSED = b"""# TYPE requests_total counter
requests_total{path="/a b",Upper="1"} 17
requests_total{path="\xc3\xa9"} 0.1
# TYPE temperature gauge
temperature -1.5e-300
nothing NaN
much +Inf
"""


EXEMPLIFIED = b"""# TYPE requests counter
requests_total{path="/a"} 17 # {trace_id="0123456789abcdef0123456789abcdef",user="u"} 0.5 1600000000.25
# EOF
"""
# io.prometheus.client.MetricFamily, which Prometheus asks for when native histograms are switched on.
_SPAN = {"offset": -1, "length": 2}, {"offset": 3, "length": 1}
NATIVE = {
    "schema": 2, "zero_threshold": 0.125, "zero_count": 1, "sample_count": 11, "sample_sum": 3.5,
    "positive_span": _SPAN, "positive_delta": [2, -1, 3], "negative_span": _SPAN[:1], "negative_delta": [1, 1],
}  # fmt: skip
_FAMILY = {
    "LabelPair": "string name = 1; string value = 2;",
    "BucketSpan": "sint32 offset = 1; uint32 length = 2;",
    "Histogram": "uint64 sample_count = 1; double sample_sum = 2; sint32 schema = 5; double zero_threshold = 6; "
    "uint64 zero_count = 7; repeated BucketSpan negative_span = 9; repeated sint64 negative_delta = 10; "
    "repeated BucketSpan positive_span = 12; repeated sint64 positive_delta = 13;",
    "Metric": "repeated LabelPair label = 1; Histogram histogram = 7;",
    "MetricFamily": "string name = 1; string help = 2; int32 type = 3; repeated Metric metric = 4;",
}


def _family() -> bytes:
    family = classes("io.prometheus.client", _FAMILY)["MetricFamily"](name="native", type=4)
    family.metric.add(histogram=NATIVE, label=[{"name": "path", "value": "/a"}])
    encoded: bytes = family.SerializeToString()
    return bytes([len(encoded)]) + encoded


PAGES = {
    "/metrics": ("text/plain; version=0.0.4", EXPOSED),
    "/exemplars": ("application/openmetrics-text; version=1.0.0", EXEMPLIFIED),
    "/native": (
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
        _family(),
    ),
}


@contextlib.contextmanager
def running(folder: Path, *command: str) -> Iterator[None]:
    """A program; ended with the test."""
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def needed(*programs: str) -> None:
    """Skip where one is not installed."""
    if missing := [program for program in programs if not shutil.which(program)]:
        pytest.skip(f"not installed: {', '.join(missing)} (apt-get install prometheus victoria-metrics)")


@contextlib.contextmanager
def receiving() -> Iterator[Server]:
    """A server that keeps its port when it is started again."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        server = Server(Path(folder), ("--listen", f"127.0.0.1:{free_port()}", "--set", "query.rows=1000000"))
        server.start()
        try:
            yield server
        finally:
            server.stop()


Samples = dict[tuple[str, tuple[tuple[str, str], ...]], dict[int, float]]


def ours(server: Server, jobs: list[str], upto_ms: int) -> Samples:
    """What we have: values by time, by metric and labels; stale markers left out."""
    rows = server.sql(
        "SELECT metric, labels, groupArray((toUnixTimestamp64Milli(time), toString(value))) AS points FROM metrics "
        "WHERE has({jobs:Array(String)}, labels['job']) AND toUnixTimestamp64Milli(time) <= {upto:Int64} "
        "AND isNotNull(value) GROUP BY metric, labels",
        jobs=jobs, upto=upto_ms,
    )  # fmt: skip
    return {
        (row["metric"], tuple(sorted(row["labels"].items()))): {int(at): float(v) for at, v in row["points"]}
        for row in rows
    }


def theirs(address: str, upto_ms: int) -> Samples:
    """What Prometheus has, by its own API."""
    query = urllib.parse.urlencode({"query": '{job=~".+"}[10m]', "time": upto_ms / 1000})
    with urllib.request.urlopen(f"{address}/api/v1/query?{query}", timeout=60) as answer:
        result = json.load(answer)["data"]["result"]
    found = {}
    for one in result:
        labels = one["metric"]
        metric = labels.pop("__name__")
        found[metric, tuple(sorted(labels.items()))] = {
            round(at * 1000): float(value) for at, value in one.get("values", ())
        }
    return found


def same(one: Samples, other: Samples) -> bool:
    """To the last bit, but for which NaN."""
    return repr(sorted(one.items())) == repr(sorted(other.items()))


def now_ms() -> int:
    """The time."""
    return time.time_ns() // 1_000_000


def is_up(address: str) -> bool:
    """Whether an HTTP server answers."""
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


def newest_ms(server: Server, job: str) -> int:
    """The time of the newest sample of a job."""
    query = "SELECT toUnixTimestamp64Milli(max(time)) AS at FROM metrics WHERE labels['job'] = {job:String}"
    return int(server.sql(query, job=job)[0]["at"] or 0)


def test_prometheus_through_a_crash_of_ours(tmp_path: Path) -> None:
    """It scrapes itself and a node exporter; through a `kill -9` of ours we have what it has, each sample once."""
    needed("prometheus", "prometheus-node-exporter")
    node, port = free_port(), free_port()
    address = f"http://127.0.0.1:{port}"
    with receiving() as server:
        (tmp_path / "prometheus.yml").write_text(PROMETHEUS.format(prometheus=port, node=node, url=server.api), "utf-8")
        exporter = ("prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{node}")
        prometheus = (
            "prometheus", f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--config.file={tmp_path / 'prometheus.yml'}", "--enable-feature=exemplar-storage,native-histograms",
        )  # fmt: skip
        with running(tmp_path, *exporter), running(tmp_path, *prometheus):
            until(lambda: is_up(f"{address}/-/ready"))
            until(lambda: newest_ms(server, "node") and newest_ms(server, "prometheus"))
            began = now_ms()
            until(lambda: newest_ms(server, "node") > began + 2_000)
            server.kill()
            until(lambda: now_ms() > began + 5_000)
            server.start()
            upto = now_ms()
            until(lambda: min(newest_ms(server, job) for job in ("node", "prometheus")) > upto + 2_000)
            expected = theirs(address, upto)
            assert len(expected) > 500
            assert max(len(points) for points in expected.values()) >= 6
            until(lambda: same(ours(server, ["node", "prometheus"], upto), expected))
            counted = server.sql(
                "SELECT count() AS n, uniqExact(series_id, time) AS u FROM metrics WHERE has(['node', 'prometheus'], "
                "labels['job'])"
            )
            assert counted[0]["n"] == counted[0]["u"]
            described = server.sql("SELECT type FROM metric_metadata WHERE metric = 'node_cpu_seconds_total'")
            assert described == [{"type": "counter"}]


def test_prometheus_with_histograms_and_exemplars(tmp_path: Path) -> None:
    """A native histogram, bucket by bucket as Prometheus itself tells them, and an exemplar of a trace."""
    needed("prometheus")
    prometheus_port = free_port()
    with exposing() as port, receiving() as server:
        jobs = "".join(
            f"- {{job_name: {path}, metrics_path: /{path}, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n"
            for path in ("native", "exemplars")
        )
        config = PROMETHEUS.format(prometheus=prometheus_port, node=port, url=server.api)
        (tmp_path / "prometheus.yml").write_text(config.replace("remote_write:", f"{jobs}remote_write:"), "utf-8")
        command = (
            "prometheus", f"--web.listen-address=127.0.0.1:{prometheus_port}",
            f"--storage.tsdb.path={tmp_path / 'data'}", f"--config.file={tmp_path / 'prometheus.yml'}",
            "--enable-feature=exemplar-storage,native-histograms",
        )  # fmt: skip
        with running(tmp_path, *command):
            until(lambda: server.sql("SELECT 1 AS x FROM histograms LIMIT 1"))
            until(lambda: server.sql("SELECT 1 AS x FROM exemplars LIMIT 1"))
            with urllib.request.urlopen(f"http://127.0.0.1:{prometheus_port}/api/v1/query?query=native") as answer:
                (told,) = json.load(answer)["data"]["result"]
        rows = server.sql("SELECT * FROM histograms WHERE metric = 'native' ORDER BY time")
        (exemplar,) = server.sql("SELECT * FROM exemplars")
    first = rows[0]
    assert {**first["labels"], "__name__": first["metric"]} == told["metric"]
    histogram = told["histogram"][1]
    assert (first["count"], first["sum"]) == (float(histogram["count"]), float(histogram["sum"]))
    base = 2**2 ** -first["scale"]
    buckets = [
        (-(base**index), count) for index, count in zip(first["negative_index"], first["negative_count"], strict=True)
    ]
    buckets += [(0.125, first["zero_count"])]
    buckets += [
        (base**index, count) for index, count in zip(first["positive_index"], first["positive_count"], strict=True)
    ]
    # A bucket of theirs: rule, lower, upper, count. The bound farther from zero is the one that an index names.
    expected = [
        (float(lower if float(upper) < 0 else upper), float(count)) for _, lower, upper, count in histogram["buckets"]
    ]
    assert sorted(buckets) == [pytest.approx(bucket) for bucket in sorted(expected)]
    assert (exemplar["trace_id"], exemplar["value"]) == ("0123456789abcdef" * 2, 0.5)
    assert exemplar["attributes"] == {"user": "u"}
    assert exemplar["metric"] == "requests_total"


def test_the_documented_configuration(tmp_path: Path) -> None:
    """Prometheus' own tool takes what the page says."""
    needed("promtool")
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text("utf-8")
    blocks = re.findall(r"```yaml\n(remote_write:.*?)```", page, re.DOTALL)
    assert blocks
    for block in blocks:
        (tmp_path / "prometheus.yml").write_text(block, "utf-8")
        subprocess.run(["promtool", "check", "config", tmp_path / "prometheus.yml"], check=True, capture_output=True)


class _Target(http.server.BaseHTTPRequestHandler):
    """Exposes the same each time, by path."""

    def do_GET(self) -> None:
        media, exposed = PAGES[self.path]
        self.send_response(200)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(exposed)))
        self.end_headers()
        self.wfile.write(exposed)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the overridden parameter
        pass


@contextlib.contextmanager
def exposing() -> Iterator[int]:
    """The port of a target that exposes PAGES."""
    target = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Target)
    thread = threading.Thread(target=target.serve_forever, daemon=True)
    thread.start()
    try:
        yield target.server_port
    finally:
        target.shutdown()
        target.server_close()
        thread.join()


def test_vmagent(tmp_path: Path) -> None:
    """VictoriaMetrics' agent: what it scrapes arrives, names, labels and values."""
    needed("vmagent")
    with exposing() as port, receiving() as server:
        (tmp_path / "scrape.yml").write_text(VMAGENT.format(target=port), "utf-8")
        agent = (
            "vmagent", f"-promscrape.config={tmp_path / 'scrape.yml'}", f"-remoteWrite.url={server.api}/api/v1/write",
            f"-remoteWrite.tmpDataPath={tmp_path / 'data'}", f"-httpListenAddr=127.0.0.1:{free_port()}",
        )  # fmt: skip
        with running(tmp_path, *agent):
            until(lambda: any(len(points) >= 3 for points in ours(server, ["fixed"], now_ms()).values()))
        found = {key: set(map(repr, points.values())) for key, points in ours(server, ["fixed"], now_ms()).items()}
    beside = {"instance": f"127.0.0.1:{port}", "job": "fixed", "zone": "z1"}
    expected = {
        (metric, tuple(sorted({**beside, **labels}.items()))): {repr(value)}
        for metric, labels, value in [
            ("requests_total", {"path": "/a b", "Upper": "1"}, 17.0),
            ("requests_total", {"path": "é"}, 0.1),
            ("temperature", {}, -1.5e-300),
            ("nothing", {}, math.nan),
            ("much", {}, math.inf),
            ("up", {}, 1.0),
        ]
    }
    assert {key: values for key, values in found.items() if not key[0].startswith("scrape_")} == expected
    assert any(key[0].startswith("scrape_") for key in found)
