"""MET-08 with a real Prometheus: the same numbers by scrape, by OTLP and by remote write; an outage loses nothing."""

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from tests.ports import free_port, listening
from tests.sdk.receiver import receiving
from tests.waiting import until

import gnomon
from gnomon.config.remote_write import RemoteWriteSettings
from gnomon.export.http import Address, HttpSender
from gnomon.export.outlet import Signal
from gnomon.export.remote_write import HEADERS, RemoteWriteSender
from gnomon.metrics.instruments import (
    Counter,
    ExponentialHistogram,
    Gauge,
    Histogram,
    ObservableCounter,
    Summary,
    UpDownCounter,
)
from gnomon.metrics.registry import Registry
from gnomon.metrics.remote_write import RemoteWrite
from gnomon.process.identity import Identity

pytestmark = pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")


class Prometheus:
    """One that takes remote writes, and scrapes one address as the job `scraped`."""

    def __init__(self, folder: Path, scraped: int = 9) -> None:
        self.folder, self.port = folder, free_port()
        jobs = [{"job_name": "scraped", "static_configs": [{"targets": [f"127.0.0.1:{scraped}"]}]}]
        pace = {"scrape_interval": "250ms", "scrape_timeout": "250ms"}
        (folder / "prometheus.yml").write_text(json.dumps({"global": pace, "scrape_configs": jobs}))

    @property
    def url(self) -> str:
        """Where it takes writes."""
        return f"http://127.0.0.1:{self.port}/api/v1/write"

    @contextlib.contextmanager
    def running(self) -> Iterator["Prometheus"]:
        """Started, until it is killed; what it has acknowledged is in its log."""
        command = [
            "prometheus", "--web.enable-remote-write-receiver",
            f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            until(lambda: listening(self.port))
            yield self
        finally:
            process.kill()
            process.wait()

    def ask(self, query: str) -> list[Any]:
        """The series of an instant query; none while it still starts."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/api/v1/query?query={quote(query)}", timeout=5) as answer:
                found: list[Any] = json.load(answer)["data"]["result"]
                return found
        except OSError:
            return []

    def values(self, query: str) -> dict[tuple[tuple[str, str], ...], str]:
        """Values by labels, without those that say where a series is from."""
        return {
            tuple(sorted(pair for pair in one["metric"].items() if pair[0] not in ("job", "instance"))): one["value"][1]
            for one in self.ask(query)
        }


@pytest.fixture
def stopped() -> Iterator[None]:
    """Nothing runs after a test."""
    yield
    gnomon.shutdown(2)


@pytest.mark.usefixtures("stopped")
def test_one_number_three_ways(tmp_path: Path) -> None:
    """Every series of ours is the same, name, labels and value, whichever way it came; so is the counter by OTLP."""
    port = free_port()
    prometheus = Prometheus(tmp_path, port)
    with prometheus.running(), receiving() as otlp:
        manager = gnomon.instrument(
            service_name="three", endpoint=otlp.url,
            **{
                "service.namespace": "ways", "logs.console": "off", "metrics.port": port, "metrics.interval_s": 0.2,
                "metrics.remote_write": {"url": prometheus.url, "interval_s": 0.2},
            },
        )  # fmt: skip
        Counter("three.orders", "Orders").inc(17, country="dé", note='a"b\\c\nd')
        Gauge("three.load", unit="1").set(0.25)
        UpDownCounter("three.open").inc(-2)
        histogram = Histogram("three.took", unit="s", bounds=(0.1, 0.25, 5))
        exponential = ExponentialHistogram("three.size", unit="By")
        for value in (0.05, 0.3, 7, 1000):
            histogram.observe(value, route="/x")
            exponential.observe(value)
        Summary("three.wait").observe(7)
        jobs = ("scraped", "ways/three")
        ours = '{{__name__=~"three_.*",job="{}"}}'

        def same() -> bool:
            scraped = prometheus.values(ours.format("scraped"))
            return len(scraped) > 20 and scraped == prometheus.values(ours.format("ways/three"))

        until(same, lambda: [prometheus.values(ours.format(job)) for job in jobs])
        names = [
            {one["metric"]["__name__"] for one in prometheus.ask(f'{{job="{job}"}}')}
            for job in ("scraped", "ways/three")
        ]
        assert {name for name in names[0] if not name.startswith(("scrape_", "up"))} == names[1]
        assert list(prometheus.values('three_orders_total{job="ways/three"}').values()) == ["17"]
        (target,) = prometheus.ask('target_info{job="ways/three"}')
        instance = manager.identity.attributes["service.instance.id"]
        assert target["metric"]["instance"] == instance
        sent = [metric for by, metric in otlp.metrics_by_instance() if (by, metric.name) == (instance, "three.orders")]
        assert sent[-1].sum.data_points[0].as_int == 17
        counted = {
            dict(labels)["form"]: float(value)
            for labels, value in prometheus.values("gnomon_sdk_remote_write_bytes_total").items()
        }
        assert counted["encoded"] > 3 * counted["packed"] > 0
        gnomon.shutdown(5)
        assert prometheus.ask('three_orders_total{job="ways/three"}') == []
        kept = prometheus.ask('three_orders_total{job="ways/three"}[5m]')
        assert {value for _, value in kept[0]["values"]} == {"17"}


def test_down_and_up_again(tmp_path: Path) -> None:
    """Killed and started again: every collection is there, once, in order; not one sample was dropped."""
    registry, prometheus = Registry(), Prometheus(tmp_path)
    seen = [0]

    def look() -> int:
        seen[0] += 1
        return seen[0]

    ObservableCounter("looks", look, registry=registry)
    part = RemoteWrite(
        RemoteWriteSettings(interval_s=0.05),
        registry,
        Identity({"service.name": "outage"}, "1"),
        RemoteWriteSender(HttpSender({Signal.METRICS: Address.of(prometheus.url)}, HEADERS)),
    )
    with prometheus.running():
        part.start()
        until(lambda: part._snapshots.counts.sent > 100)
    until(lambda: part.health().why)
    away = seen[0]
    until(lambda: seen[0] > away + 40)
    with prometheus.running():
        until(lambda: not part.health().why)
        back = seen[0]
        until(lambda: seen[0] > back + 20)
        part.shutdown(5)
        last = seen[0]
        until(lambda: prometheus.ask("looks_total[10m]"))
        (series,) = prometheus.ask("looks_total[10m]")
    assert [int(value) for _, value in series["values"]] == list(range(1, last + 1))
    times = [at for at, _ in series["values"]]
    assert times == sorted(set(times))
    assert not part._snapshots.counts.dropped
    assert time.time() > times[-1]
