"""Prometheus remote write: what is sent, what waits, what a receiver's answers mean, and who is who."""

import logging
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
from tests.ports import free_port
from tests.sdk.export.receivers import Receiver, reply, saying
from tests.sdk.export.remote_writes import Sample, url, written
from tests.sdk.lifecycle.processes import environment
from tests.sdk.receiver import receiving
from tests.waiting import until

import gnomon
from gnomon.components import State
from gnomon.config.remote_write import RemoteWriteSettings
from gnomon.config.sources import load
from gnomon.errors import ConfigurationError, ExportError
from gnomon.export.http import Address, HttpSender
from gnomon.export.outlet import Reason, Signal
from gnomon.export.remote_write import HEADERS, RemoteWriteSender, Snapshots
from gnomon.metrics.instruments import Counter, ExponentialHistogram, Gauge, Histogram, ObservableCounter, Summary
from gnomon.metrics.registry import Registry
from gnomon.metrics.remote_write import BYTES, SAMPLES, RemoteWrite
from gnomon.process.clock import Clock
from gnomon.process.identity import Identity

WHO = {"service.name": "shop", "service.namespace": "astra", "service.instance.id": "one", "process.pid": 7}
QUIET: dict[str, Any] = {
    "service_name": "rw", "logs.console": "off", "metrics.process": False, "metrics.runtime": False,
    "integrations": {"*": False}, "export.protocol": "none",
}  # fmt: skip
Making = Callable[..., RemoteWrite]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Says 204, as Prometheus does."""
    receiver = Receiver(saying(reply(204)))
    yield receiver
    receiver.stop()


@pytest.fixture
def registry() -> Registry:
    """A registry of its own."""
    return Registry()


@pytest.fixture
def writing(receiver: Receiver, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Making]:
    """Makes parts that write to the receiver; what other tests keep with prometheus_client is not here."""
    monkeypatch.setattr(prometheus_client, "REGISTRY", prometheus_client.CollectorRegistry())
    made = []

    def make(
        mask: Any = None, *, clock: Clock | None = None, who: dict[str, Any] = WHO, **settings: Any
    ) -> RemoteWrite:
        http = HttpSender({Signal.METRICS: Address.of(url(receiver))}, HEADERS)
        part = RemoteWrite(
            RemoteWriteSettings(**{"interval_s": 3600, **settings}), registry, Identity(who, "1"),
            RemoteWriteSender(http), mask, timeout_s=5, clock=clock or Clock(),
        )  # fmt: skip
        made.append(part)
        part.start()
        return part

    yield make
    for part in made:
        part.shutdown(1)


def values(samples: list[Sample], *labels: str) -> dict[tuple[str, ...], float]:
    """By name and the labels that are asked for."""
    return {(one.name, *(one.of(label) for label in labels)): one.value for one in samples}


def test_a_request(receiver: Receiver, writing: Making, registry: Registry) -> None:
    """It has the protocol's headers, the labels of where it is from, and says who we are."""
    Counter("orders.placed", registry=registry).inc(3, country="de", job="mine", empty="")
    assert writing().pump.flush(5)
    (request,) = receiver.requests
    assert request.line == "POST /api/v1/write HTTP/1.1"
    told = {name: request.headers[name] for name in (*HEADERS, "content-type", "user-agent")}
    assert told == {
        "content-encoding": "snappy",
        "x-prometheus-remote-write-version": "0.1.0",
        "content-type": "application/x-protobuf",
        "user-agent": "gnomon-python",
    }
    (sample,) = written([request], "orders_placed_total")
    assert sample.value == 3
    assert sample.labels == (
        ("__name__", "orders_placed_total"), ("country", "de"), ("exported_job", "mine"),
        ("instance", "one"), ("job", "astra/shop"),
    )  # fmt: skip
    (target,) = written([request], "target_info")
    assert (target.of("service_name"), target.of("process_pid"), target.value) == ("shop", "", 1)


def test_every_kind(receiver: Receiver, writing: Making, registry: Registry) -> None:
    """Histograms are classic ones, exponential ones too; what the host keeps with prometheus_client comes along."""
    Gauge("load", registry=registry).set(0.5)
    Histogram("took", unit="s", bounds=(0.1, 1), registry=registry).observe(0.5)
    ExponentialHistogram("size", unit="By", registry=registry).observe(3)
    Summary("wait", registry=registry).observe(7)
    prometheus_client.Counter("theirs", "Doc", registry=prometheus_client.REGISTRY).inc(2)
    assert writing().pump.flush(5)
    samples = written(receiver.requests)
    found = values([one for one in samples if not one.name.startswith(("gnomon_", "target_info"))], "le")
    assert found == {
        ("load", ""): 0.5,
        ("took_seconds_bucket", "0.1"): 0, ("took_seconds_bucket", "1.0"): 1, ("took_seconds_bucket", "+Inf"): 1,
        ("took_seconds_sum", ""): 0.5, ("took_seconds_count", ""): 1,
        ("size_bytes_bucket", "4.0"): 1, ("size_bytes_bucket", "+Inf"): 1,
        ("size_bytes_sum", ""): 3, ("size_bytes_count", ""): 1,
        ("wait_sum", ""): 7, ("wait_count", ""): 1,
        ("theirs_total", ""): 2,
    }  # fmt: skip


def test_its_own_measure(receiver: Receiver, writing: Making, registry: Registry) -> None:
    """Samples by outcome, and bytes before and after: what was on the wire, to the byte."""
    many = Counter("many", registry=registry)
    for number in range(500):
        many.inc(customer=f"customer-{number}", country="de")
    pump = writing().pump
    assert pump.flush(5)
    assert pump.flush(5)
    first, second = receiver.requests
    found = {
        one.of("outcome"): one.value for one in written([second]) if one.name == f"{SAMPLES.replace('.', '_')}_total"
    }
    assert found["sent"] == len(written([first]))
    sizes = {one.of("form"): one.value for one in written([second]) if one.name == f"{BYTES.replace('.', '_')}_total"}
    assert sizes["packed"] == len(first.raw)
    assert sizes["encoded"] > 3 * sizes["packed"]


def test_a_part_that_has_ended(receiver: Receiver, writing: Making, registry: Registry) -> None:
    """Its last values are written, then that its series end; nothing after it, and its measures are gone."""
    counter = Counter("orders", registry=registry)
    counter.inc()
    part = writing()
    assert part.pump.flush(5)
    counter.inc()
    part.shutdown(5)
    part.collect()
    samples = written(receiver.requests, "orders_total")
    assert [(one.value, one.stale) for one in samples[:2]] == [(1, False), (2, False)]
    assert [one.stale for one in samples] == [False, False, True]
    assert [one.time_ms for one in samples] == sorted({one.time_ms for one in samples})
    last = {one.labels: one.stale for one in written(receiver.requests)}
    assert all(last.values())
    assert {family.name for family in registry.collect()} == {"orders"}


def test_a_series_that_is_gone(receiver: Receiver, writing: Making, registry: Registry) -> None:
    """It is said once that it has ended; when it comes back it goes on."""
    present = [{"shard": "a"}, {"shard": "b"}]
    ObservableCounter("read", lambda: [(1, one) for one in present], registry=registry)
    pump = writing().pump
    for _ in range(2):
        assert pump.flush(5)
        gone = present[1:] and present.pop()
    assert pump.flush(5)
    present.append(gone or {"shard": "b"})
    assert pump.flush(5)
    of_b = [one for one in written(receiver.requests, "read_total") if one.of("shard") == "b"]
    assert [one.stale for one in of_b] == [False, True, False]


@pytest.mark.parametrize("moved_s", [0, -3600])
def test_time_goes_forward(receiver: Receiver, writing: Making, registry: Registry, moved_s: int) -> None:
    """A receiver takes no sample that is not later than the one before: also when the clock stands, or is set back."""
    now_ns = [1_000_000_000_000_000_000]
    Counter("orders", registry=registry).inc()
    pump = writing(clock=Clock(lambda: now_ns[0])).pump
    for _ in range(3):
        assert pump.flush(5)
        now_ns[0] += moved_s * 1_000_000_000
    times = [one.time_ms for one in written(receiver.requests, "orders_total")]
    assert times == [1_000_000_000_000, 1_000_000_000_001, 1_000_000_000_002]


def test_masked_labels(receiver: Receiver, writing: Making, registry: Registry) -> None:
    """As over OTLP; label sets that look the same then are one series, whose counts are the sum of theirs."""
    counter, gauge = Counter("mails", registry=registry), Gauge("size", registry=registry)
    for number, user in enumerate(("a@example.com", "b@example.com"), 1):
        counter.inc(number, user=user, attempt=1)
        gauge.set(number, user=user)
    part = writing(lambda _, text: "[email]" if "@" in text else text)
    assert part.pump.flush(5)
    part.remask(None)
    assert part.pump.flush(5)
    first, second = receiver.requests
    found = values(written([first]), "user", "attempt")
    assert found["mails_total", "[email]", "1"] == 3
    assert found["size", "[email]", ""] == 2
    ended = {one.of("user") for one in written([second]) if one.stale}
    assert ended == {"[email]"}
    assert values(written([second]), "user")["mails_total", "b@example.com"] == 2


def test_label_sets_that_are_one_in_prometheus(receiver: Receiver, writing: Making, registry: Registry) -> None:
    """A request that had a series twice would be refused."""
    counter = Counter("calls", registry=registry)
    counter.inc(2, **{"a.b": "x"})
    counter.inc(5, a_b="x")
    assert writing().pump.flush(5)
    assert [one.value for one in written(receiver.requests, "calls_total")] == [2]


@pytest.mark.parametrize(
    ("status", "again"), [(500, True), (503, True), (429, True), (400, False), (401, False), (404, False), (301, False)]
)
def test_what_an_answer_means(
    receiver: Receiver,
    writing: Making,
    registry: Registry,
    caplog: pytest.LogCaptureFixture,
    status: int,
    again: bool,
) -> None:
    """5xx and 429 are tried again until they are taken; what else is refused is dropped and counted, and it goes on."""
    receiver.answer = saying(reply(status, b"", "Retry-After: 1"), reply(204))
    counter = Counter("orders", registry=registry)
    counter.inc()
    part = writing()
    with caplog.at_level(logging.WARNING, "gnomon.export"):
        part.pump.flush(5)
    assert f"remote write: HTTP {status}" in caplog.text
    counter.inc()
    assert part.pump.flush(5)
    refused, *taken = receiver.requests
    samples = written(taken if again else [refused, *taken], "orders_total")
    assert [one.value for one in samples] == [1, 2]
    dropped = part._snapshots.counts.dropped
    assert dict(dropped) == ({} if again else {Reason.REFUSED: len(written([refused]))})
    assert part.health().state is State.HEALTHY


def test_a_refusal_is_quoted(
    receiver: Receiver, writing: Making, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log and in the health, until something is taken again."""
    receiver.answer = saying(reply(400, b"out of order sample"))
    Counter("orders", registry=registry).inc()
    part = writing()
    part.pump.flush(5)
    assert "refused for good: remote write: HTTP 400 Some Words: out of order sample" in caplog.text
    assert part.health().state is State.DEGRADED
    assert "out of order sample" in part.health().why


def test_a_body_says_nothing(receiver: Receiver, writing: Making, registry: Registry) -> None:
    """What OTLP would read as five rejected records is no part of this protocol."""
    receiver.answer = saying(reply(200, b"\x0a\x02\x08\x05"))
    Counter("orders", registry=registry).inc()
    part = writing()
    assert part.pump.flush(5)
    assert part._snapshots.counts.sent == len(written(receiver.requests))


def test_too_large_requests_are_halved(receiver: Receiver, writing: Making, registry: Registry) -> None:
    """And each series is in one of the halves."""
    counter = Counter("many", registry=registry)
    for number in range(10):
        counter.inc(number + 1, item=str(number))
    receiver.answer = saying(reply(413), reply(204))
    assert writing().pump.flush(5)
    whole, *halves = receiver.requests
    assert len(halves) == 2
    assert sorted(written(halves)) == sorted(written([whole]))


def test_an_outage(receiver: Receiver, writing: Making, registry: Registry) -> None:
    """What is collected while the receiver is away waits, and comes in order when it is back: nothing is lost."""
    looks: list[int] = []
    ObservableCounter("read", lambda: looks.append(1) or len(looks), registry=registry)
    receiver.answer = saying(reply(503))
    part = writing(interval_s=0.02)
    until(lambda: len(looks) > 20)
    assert part._snapshots.waiting > 0
    assert "503" in part.health().why
    receiver.requests.clear()
    receiver.answer = saying(reply(204))
    assert part.pump.flush(5)
    samples = written(receiver.requests, "read_total")
    assert [one.value for one in samples] == list(range(1, len(samples) + 1))
    assert len(samples) > 20
    times = [one.time_ms for one in samples]
    assert times == sorted(set(times))
    assert not part._snapshots.counts.dropped


def test_the_buffer_is_bounded() -> None:
    """The oldest go first, whole requests of them, and are counted; no request spans two collections."""
    snapshots = Snapshots(10_000)
    for number in range(20):
        snapshots.keep([bytes((number,)) * 100] * 15)
    assert snapshots.waiting_bytes <= 10_000
    assert snapshots.counts.dropped == {Reason.QUEUE_FULL: (20 - 6) * 15}
    taken = []
    while batch := snapshots.take():
        ((_, records),) = batch.groups
        taken.append({record[0] for record in records})
    assert taken == [{number} for number in range(14, 20)]
    assert (snapshots.waiting, snapshots.waiting_bytes) == (0, 0)


def test_a_large_collection_is_several_requests() -> None:
    """In order, and forgotten together by a forked child."""
    snapshots = Snapshots(1 << 20)
    snapshots.keep([str(number).encode() for number in range(4500)])
    batches = [snapshots.take(), snapshots.take()]
    assert [len(batch) for batch in batches if batch] == [2000, 2000]
    snapshots.forget()
    assert snapshots.take() is None
    assert (snapshots.waiting, snapshots.waiting_bytes) == (0, 0)


def test_without_cramjam(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start is refused, and the extra is named; nothing is left running."""
    monkeypatch.setitem(sys.modules, "cramjam", None)
    with pytest.raises(ExportError, match=r"pip install gnomon\[remote-write\]"):
        gnomon.instrument(**QUIET, **{"metrics.remote_write.url": "http://localhost:9090/api/v1/write"})
    assert gnomon.status().parts == {}


@pytest.mark.parametrize(
    ("variables", "wrong"),
    [
        ({"URL": "prometheus:9090"}, "the whole address"),
        ({"URL": "ftp://prometheus/"}, "http://HOST:PORT"),
        ({"URL": "http://me:secret@prometheus/"}, "credentials belong into"),
        ({"INTERVAL_S": "0"}, "metrics.remote_write.interval_s"),
        ({"BUFFER_BYTES": "-1"}, "metrics.remote_write.buffer_bytes"),
        ({"HEADERS": "a b=c"}, "letters, digits and dashes"),
        ({"PORT": "1"}, "GNOMON_METRICS_REMOTE_WRITE_PORT"),
    ],
)
def test_wrong_settings(variables: dict[str, str], wrong: str) -> None:
    """Each is refused with its name."""
    with pytest.raises(ConfigurationError, match=wrong):
        load(environment={f"GNOMON_METRICS_REMOTE_WRITE_{name}": value for name, value in variables.items()})


def test_settings(tmp_path: Path) -> None:
    """From variables, a secret from a file; off when nothing or `none` is said."""
    (tmp_path / "token").write_text("authorization=Bearer abc\n")
    start = "GNOMON_METRICS_REMOTE_WRITE_"
    told = load(
        environment={
            f"{start}URL": "https://mimir/api/v1/push", f"{start}INTERVAL_S": "30s", f"{start}BUFFER_BYTES": "1MiB",
            f"{start}HEADERS": "X-Scope-OrgID=shop", f"{start}HEADERS_FILE": str(tmp_path / "token"),
        }
    ).metrics.remote_write  # fmt: skip
    assert (told.url, told.interval_s, told.buffer_bytes) == ("https://mimir/api/v1/push", 30, 1 << 20)
    headers = {name: value.get_secret_value() for name, value in told.headers.items()}
    assert headers == {"x-scope-orgid": "shop", "authorization": "Bearer abc"}
    assert load(environment={f"{start}URL": "none"}).metrics.remote_write.url is None


def test_the_manager_writes(receiver: Receiver) -> None:
    """From one setting: with its headers, its health, its last words, and anew after a shutdown."""
    settings = {"url": url(receiver), "headers": {"authorization": "Bearer abc"}}
    for turn in (1, 2):
        manager = gnomon.instrument(**QUIET, **{"metrics.remote_write": settings})
        gnomon.Counter("rw_turns").inc()
        assert gnomon.status().parts["remote_write"].state is State.HEALTHY
        assert gnomon.flush()
        before = len(receiver.requests)
        assert gnomon.shutdown() == {}
        assert len(receiver.requests) > before
        instance = manager.identity.attributes["service.instance.id"]
        found = [one for one in written(receiver.requests, "rw_turns_total") if one.of("instance") == instance]
        assert {one.value for one in found[:-1]} == {turn}
        assert [one.stale for one in found[-2:]] == [False, True]
    assert {one.headers["authorization"] for one in receiver.requests} == {"Bearer abc"}


FORKING = """
    import os, sys, gnomon

    gnomon.instrument(**{"service_name": "rw", "logs.console": "off", "export.protocol": "none",
        "service.instance_id": "pod", "metrics.remote_write": {"url": sys.argv[1], "interval_s": 0.05}})
    jobs = gnomon.Counter("jobs")
    jobs.inc(5)
    assert gnomon.flush()
    children = []
    for number in (1, 2):
        child = os.fork()
        if not child:
            jobs.inc(number)
            os._exit(len(gnomon.shutdown()))
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    jobs.inc()
    gnomon.shutdown()
    print(*children)
"""

SPAWNING = """
    import multiprocessing, os, sys, gnomon

    def work(number, url):
        gnomon.instrument(**{"service_name": "rw", "logs.console": "off", "export.protocol": "none",
            "service.instance_id": "pod", "metrics.remote_write": {"url": url}})
        gnomon.Counter("jobs").inc(number)
        os._exit(len(gnomon.shutdown()))

    if __name__ == "__main__":
        context = multiprocessing.get_context("spawn")
        children = [context.Process(target=work, args=(number, sys.argv[1])) for number in (1, 2)]
        for child in children:
            child.start()
        for child in children:
            child.join()
            assert child.exitcode == 0
        print(*(child.pid for child in children))
"""


@pytest.mark.parametrize(("script", "own"), [(FORKING, [6]), (SPAWNING, [])], ids=["forked", "spawned"])
def test_workers(receiver: Receiver, tmp_path: Path, script: str, own: list[int]) -> None:
    """Each process writes series of its own, in the order of time, and ends its own alone: also under one given id."""
    (tmp_path / "work.py").write_text(textwrap.dedent(script))
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(tmp_path / "work.py"), url(receiver)],
        capture_output=True, text=True, timeout=60, check=False, env=environment(XDG_RUNTIME_DIR=str(tmp_path)),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    first, second = (f"pod-{pid}" for pid in ended.stdout.split())
    series: dict[str, list[Sample]] = {}
    for sample in written(receiver.requests, "jobs_total"):
        series.setdefault(sample.of("instance"), []).append(sample)
    last = {instance: samples[-2].value for instance, samples in series.items()}
    assert last == {first: 1, second: 2, **dict.fromkeys(["pod"] if own else [], 6)}
    for samples in series.values():
        times = [one.time_ms for one in samples]
        assert times == sorted(set(times))
        assert [one.stale for one in samples] == [False] * (len(samples) - 1) + [True]


def test_the_end_while_it_is_away() -> None:
    """It takes the whole deadline, and nothing from the other ways: what waits there is sent meanwhile."""
    away = {"url": f"http://127.0.0.1:{free_port()}/api/v1/write"}
    with receiving() as otlp:
        settings = {"endpoint": otlp.url, "export.protocol": "http/protobuf", "export.schedule_s": 3600}
        gnomon.instrument(**{**QUIET, **settings, "metrics.remote_write": away})
        gnomon.Counter("rw_last").inc()
        with gnomon.span("last"):
            pass
        assert gnomon.shutdown(1) == {}
        assert [span.name for span in otlp.spans] == ["last"]
        assert "rw_last" in {metric.name for metric in otlp.metrics}
