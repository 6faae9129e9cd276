"""Scraping real targets into a real server: what is stored is what they said, and what vanishes is marked."""

import gzip
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text
from tests.server import Server

from gnomon.metrics import Counter, Endpoint, Histogram, Registry
from gnomon_server.decode.exposition.floats import open_metrics_float
from gnomon_server.decode.exposition.messages import message_class

REAL = ("node", "prometheus", "sdk", "gnomon")
PLAIN = "text/plain; version=0.0.4; charset=utf-8"


class Targets(ThreadingHTTPServer):
    """Many targets at one address, by path: passed on to real ones and recorded, or as a test wants them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.real: dict[str, str] = {}
        self.bodies: dict[str, tuple[bytes, str]] = {}
        self.recorded: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self.requests: dict[str, list[dict[str, str]]] = defaultdict(list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A scraper whose time is up hangs up."""

    def say(self, name: str, body: str | bytes, content_type: str = PLAIN) -> None:
        """What a target answers from now on."""
        self.bodies[name] = body.encode() if isinstance(body, str) else body, content_type


class _Handler(BaseHTTPRequestHandler):
    server: Targets
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].strip("/")
        self.server.requests[name].append(dict(self.headers.items()))
        encoding = "identity"
        if name in self.server.real:
            request = urllib.request.Request(self.server.real[name], headers={"Accept": self.headers["Accept"]})
            with urllib.request.urlopen(request, timeout=5) as answer:
                body, content_type = answer.read(), answer.headers["Content-Type"]
            self.server.recorded[name].append((body.decode(), content_type))
            body, encoding = gzip.compress(body), "gzip"
        elif name == "slow":
            time.sleep(1.5)
            body, content_type = b"a 1\n", PLAIN
        elif name in self.server.bodies:
            body, content_type = self.server.bodies[name]
        else:
            self.send_error(503)
            return
        self.send_response(200)
        for header, value in (("Content-Type", content_type), ("Content-Encoding", encoding)):
            self.send_header(header, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _job(name: str, **keys: Any) -> dict[str, Any]:
    return {"job_name": name, "metrics_path": f"/{name}", "scrape_interval": "1s", "scrape_timeout": "500ms", **keys}


def _wait(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def programs() -> Iterator[dict[str, str]]:
    """Debian's node-exporter and Prometheus, and our SDK's endpoint, by their addresses."""
    ports = {name: _free_port() for name in ("node", "prometheus")}
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        config = Path(folder) / "prometheus.yml"
        config.write_text("{}")
        started = [
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for command in (
                ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{ports['node']}"],
                ["prometheus", f"--web.listen-address=127.0.0.1:{ports['prometheus']}", f"--config.file={config}",
                 f"--storage.tsdb.path={folder}/data"],
            )
        ]  # fmt: skip
        registry = Registry()
        Counter("served", "Served", registry=registry).inc(3)
        Histogram("took_seconds", "Took", registry=registry).observe(0.25)
        endpoint = Endpoint(registry, resource={"service.name": "shop"}, registries=[])
        port = endpoint.serve(0)
        addresses = {name: f"http://127.0.0.1:{port}/metrics" for name, port in ports.items()}
        try:
            yield {**addresses, "sdk": f"http://127.0.0.1:{port}/metrics"}
        finally:
            endpoint.close()
            for process in started:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def targets() -> Iterator[Targets]:
    """The address that all jobs scrape."""
    server = Targets()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def server(programs: dict[str, str], targets: Targets) -> Iterator[Server]:
    """A server of ours that scrapes everything."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        here = {"static_configs": [{"targets": [targets.address]}]}
        (Path(folder) / "targets.json").write_text(json.dumps([{"targets": [targets.address, "127.0.0.1:1"]}]))
        jobs = [
            *(_job(name, **here, extra_scrape_metrics=True) for name in REAL),
            *(_job(name, **here) for name in ("changing", "dying", "broken", "slow", "none", "timed", "strict")),
            _job("native", **here, scrape_native_histograms=True),
            _job("limited", **here, sample_limit=2),
            _job("big", **here, body_size_limit="1KB"),
            _job("removed", file_sd_configs=[{"files": [f"{folder}/*.json"]}]),
            _job("relabelled", **here, metric_relabel_configs=[
                {"source_labels": ["__name__"], "regex": "go_.*", "action": "drop"},
                {"source_labels": ["__name__"], "regex": "(b)", "target_label": "__name__", "replacement": "${1}_new"},
            ]),
        ]  # fmt: skip
        file = Path(folder) / "gnomon.yaml"
        file.write_text(json.dumps({"scrape": {"configs": jobs}}))
        made = Server(Path(folder), ("--config", str(file)))
        targets.real.update(programs)
        made.start()
        targets.real["gnomon"] = f"{made.api}/metrics"
        yield made
        made.stop()


def _samples(server: Server, job: str, metric: str = "") -> dict[str, dict[tuple[tuple[str, str], ...], float | None]]:
    """By time, then by labels with the name: the values, None for a marker of staleness."""
    rows = server.sql(
        "SELECT time, metric, labels, value FROM metrics WHERE labels['job'] = {job:String} "
        "AND ({metric:String} = '' OR metric = {metric:String}) ORDER BY time LIMIT 100000",
        job=job, metric=metric,
    )  # fmt: skip
    found: dict[str, dict[tuple[tuple[str, str], ...], float | None]] = defaultdict(dict)
    for row in rows:
        labels = {**row["labels"], "__name__": row["metric"]}
        found[row["time"]][tuple(sorted(labels.items()))] = row["value"]
    return found


def _values(server: Server, job: str, metric: str) -> list[float | None]:
    """The values of a metric with one series, in order of time."""
    return [value for at in _samples(server, job, metric).values() for value in at.values()]


def _target(server: Server, job: str) -> dict[str, Any]:
    """What the API says of a job's one target."""
    with urllib.request.urlopen(f"{server.api}/api/v1/targets?scrapePool={job}") as answer:
        (target,) = json.load(answer)["data"]["activeTargets"]
    return dict(target)


def _said(body: str, content_type: str, target: dict[str, str]) -> dict[tuple[tuple[str, str], ...], float]:
    """What a body says, by another parser."""
    parse = openmetrics if content_type.startswith("application/openmetrics-text") else text
    said = {}
    for family in parse(body):
        for sample in family.samples:
            labels = {**sample.labels, **target, "__name__": sample.name}
            for key in ("le", "quantile"):
                if key in labels and family.type in {"histogram", "summary"}:
                    labels[key] = open_metrics_float(float(labels[key]))
            said[tuple(sorted((name, value) for name, value in labels.items() if value))] = sample.value
    return said


@pytest.mark.parametrize("name", REAL)
def test_real_targets(server: Server, targets: Targets, name: str) -> None:
    """Every sample that a real target said is stored with its value, and no other but the scrape's own."""
    _wait(lambda: _values(server, name, "up").count(1) > 2)
    stored = _samples(server, name)
    target = {"job": name, "instance": targets.address}
    times = [at for at, ups in sorted(_samples(server, name, "up").items()) if list(ups.values()) == [1]]
    for at, (body, content_type) in list(zip(times, targets.recorded[name], strict=False))[:2]:
        said = _said(body, content_type, target)
        found = stored[at]
        own = {key: found.pop(key) for key in list(found) if dict(key)["__name__"].startswith(("up", "scrape_"))}
        assert set(found) == set(said)
        for key, value in said.items():
            assert found[key] == value or np.isnan(value), key
        values = {dict(key)["__name__"]: value for key, value in own.items()}
        assert values["up"] == 1
        assert values["scrape_samples_scraped"] == values["scrape_samples_post_metric_relabeling"] == len(said)
        assert values["scrape_body_size_bytes"] == len(body.encode())
        assert values["scrape_timeout_seconds"] == 0.5


def test_the_request(server: Server, targets: Targets) -> None:
    """Formats by preference, compression, the deadline: as Prometheus asks."""
    headers = _wait(lambda: targets.requests["node"])[0]
    assert headers["Accept"].startswith("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,")
    assert (headers["Accept-Encoding"], headers["X-Prometheus-Scrape-Timeout-Seconds"]) == ("gzip", "0.5")


def test_a_series_that_vanishes(server: Server, targets: Targets) -> None:
    """It ends with a marker, bits and all, at the scrape that does not have it, and may come back."""
    _wait(lambda: _values(server, "changing", "up"))
    targets.say("changing", "a 1\nb 2\n")
    _wait(lambda: 2 in _values(server, "changing", "b"))
    targets.say("changing", "a 1\n")
    _wait(lambda: _values(server, "changing", "b")[-1] is None)
    targets.say("changing", "a 1\nb 3\n")
    _wait(lambda: _values(server, "changing", "b")[-1] == 3)
    values = _values(server, "changing", "b")
    assert values.count(None) == 1
    assert None not in _values(server, "changing", "a")
    added = _values(server, "changing", "scrape_series_added")
    assert [value for value in added if value] == [2, 1]


def test_a_target_that_dies(server: Server, targets: Targets) -> None:
    """`up` is 0 and every series ends; `up` itself goes on. When it is back nothing counts as new."""
    targets.say("dying", 'a 1\nb{c="d"} 2\n')
    _wait(lambda: 1 in _values(server, "dying", "a"))
    del targets.bodies["dying"]
    _wait(lambda: _values(server, "dying", "up")[-1] == 0)
    assert _values(server, "dying", "a")[-1] is None
    assert _values(server, "dying", "b")[-1] is None
    _wait(lambda: _values(server, "dying", "up")[-2:] == [0, 0])
    assert _values(server, "dying", "a").count(None) == 1
    targets.say("dying", 'a 1\nb{c="d"} 2\n')
    _wait(lambda: _values(server, "dying", "a")[-1] == 1)
    assert [value for value in _values(server, "dying", "scrape_series_added") if value] == [2]


def test_failures(server: Server, targets: Targets) -> None:
    """A bad body, a slow target, one without a format, one over its limits: down, nothing of them stored."""
    targets.say("broken", "a 1\nb c\n")
    targets.say("none", "a 1\n", "")
    targets.say("limited", "a 1\nb 1\nc 1\n")
    targets.say("big", "a 1\n" * 1000)
    reasons = {
        "broken": "a value is a number",
        "none": "no Content-Type",
        "limited": "3 samples, sample_limit is 2",
        "big": "larger than 1024 bytes",
        "slow": "no whole answer within 0.5 s",
    }
    for job, reason in reasons.items():
        # Until it was scraped as it is now: before `say` it answered 503, which is a failure too.
        _wait(lambda job=job, reason=reason: reason in _target(server, job)["lastError"])
        assert set(_values(server, job, "up")) == {0}, job
        assert not _values(server, job, "a"), job
    _wait(lambda: 3 in _values(server, "limited", "scrape_samples_post_metric_relabeling"))


def test_who_breaks_a_rule_is_told(server: Server, targets: Targets) -> None:
    """What Prometheus stores is stored, and the target says what is wrong with it; then it is mended."""
    openmetrics_text = "application/openmetrics-text; version=1.0.0"
    targets.say("strict", "# TYPE a counter\na_total -1\n# EOF\n", openmetrics_text)
    _wait(lambda: _target(server, "strict")["lastWarning"].startswith("a_total{} cannot be negative"))
    assert (_target(server, "strict")["health"], _target(server, "strict")["lastError"]) == ("up", "")
    _wait(lambda: -1 in _values(server, "strict", "a_total"))
    targets.say("strict", "# TYPE a counter\na_total 1\n# EOF\n", openmetrics_text)
    _wait(lambda: _target(server, "strict")["lastWarning"] == "")


def test_slow_targets_delay_nobody(server: Server) -> None:
    """While one does not answer, the others are scraped at equal distances, to the millisecond where time allows."""
    _wait(lambda: len(_values(server, "node", "up")) > 4)
    rows = server.sql(
        "SELECT toUnixTimestamp64Milli(time) AS at FROM metrics WHERE metric = 'up' AND labels['job'] = 'node' "
        "ORDER BY time"
    )
    distances = np.diff([int(row["at"]) for row in rows])
    assert np.abs(np.median(distances) - 1000) <= 5


def test_timestamps_of_the_target(server: Server, targets: Targets) -> None:
    """A timestamp is honoured, and such a series is not marked when it vanishes."""
    at_ms = int(time.time() * 1000) - 60_000
    targets.say("timed", f"t 5 {at_ms}\nu 1\n")
    _wait(lambda: _values(server, "timed", "t"))
    targets.say("timed", "u 1\n")
    scraped = len(_values(server, "timed", "up"))
    _wait(lambda: len(_values(server, "timed", "up")) > scraped + 1)
    rows = server.sql(
        "SELECT toUnixTimestamp64Milli(time) AS at, value FROM metrics WHERE metric = 't' AND labels['job'] = 'timed'"
    )
    assert [(int(row["at"]), row["value"]) for row in rows] == [(at_ms, 5)]


def test_relabelled_metrics(server: Server, targets: Targets) -> None:
    """Dropped series are not stored and not counted; renamed ones are stored under the new name."""
    targets.say("relabelled", 'go_x 1\nb 2\nc{job="own"} 3\n')
    _wait(lambda: 2 in _values(server, "relabelled", "b_new"))
    assert not _values(server, "relabelled", "go_x")
    assert 3 in _values(server, "relabelled", "scrape_samples_scraped")
    assert 2 in _values(server, "relabelled", "scrape_samples_post_metric_relabeling")
    (found,) = {key for at in _samples(server, "relabelled", "c").values() for key in at}
    assert dict(found)["exported_job"] == "own"


def test_native_histograms(server: Server, targets: Targets) -> None:
    """They are asked for in protobuf and stored whole; when they vanish, a marker stands in their sum."""
    family = message_class("MetricFamily")(name=b"h", type=4, help=b"Help")
    histogram = family.metric.add().histogram
    histogram.sample_count, histogram.sample_sum, histogram.schema, histogram.zero_threshold = 6, 3.5, 3, 1e-9
    histogram.positive_span.add(offset=-2, length=3)
    histogram.positive_delta.extend([1, 2, -1])
    raw = family.SerializeToString()
    kind = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
    targets.say("native", bytes([len(raw)]) + raw, kind)
    asked = "SELECT count, sum, scale, positive_index, positive_count FROM histograms WHERE metric = 'h' ORDER BY time"
    row = _wait(lambda: server.sql(asked))[0]
    assert row == {"count": 6, "sum": 3.5, "scale": 3, "positive_index": [-2, -1, 0], "positive_count": [1, 3, 2]}
    assert targets.requests["native"][0]["Accept"].startswith("application/vnd.google.protobuf;")
    targets.say("native", "a 1\n")
    marked = "SELECT count() AS n FROM histograms WHERE metric = 'h' AND reinterpretAsUInt64(sum) = 0x7FF0000000000002"
    _wait(lambda: int(server.sql(marked)[0]["n"]) == 1)


def test_a_target_that_is_removed(server: Server, targets: Targets) -> None:
    """Its series end, those of the scrape itself too; the target that stays goes on."""
    targets.say("removed", "a 1\n")
    _wait(lambda: 1 in _values(server, "removed", "a"))
    file = server.folder / "targets.json"
    file.write_text(json.dumps([{"targets": ["127.0.0.1:1"]}]))
    os.utime(file, (1, 1))
    _wait(lambda: _values(server, "removed", "a")[-1] is None)
    last = {key: value for at in _samples(server, "removed", "up").values() for key, value in at.items()}
    by_instance = {dict(key)["instance"]: value for key, value in last.items()}
    assert by_instance == {targets.address: None, "127.0.0.1:1": 0}


def test_metadata(server: Server) -> None:
    """Type and help as the target says them; the server's own page is clean by promtool."""
    rows = server.sql("SELECT DISTINCT type FROM metrics WHERE metric = 'node_cpu_seconds_total'")
    assert rows == [{"type": "counter"}]
    with urllib.request.urlopen(f"{server.api}/metrics", timeout=5) as answer:
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=answer.read(), capture_output=True, check=False
        )
    assert (checked.returncode, checked.stderr.decode()) == (0, "")
