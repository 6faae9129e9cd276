"""Metrics as a part: what it registers, pushes and shows, and that nothing of it is left behind."""

import os
import socket
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from gnomon.config.pillars import MetricSettings
from gnomon.errors import MetricsError
from gnomon.export.outlet import Outlet, Reason, Signal
from gnomon.metrics.component import MetricsPart
from gnomon.metrics.endpoint import Endpoint
from gnomon.metrics.instruments import Counter, ObservableCounter
from gnomon.metrics.otel import MeterProvider
from gnomon.metrics.registry import Registry

RESOURCE = {"service.name": "shop", "service.instance.id": "one", "process.pid": 7, "host.name": "h"}


class Parts:
    """Parts in a registry of their own, with queues that nobody empties."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.outlets = {signal: Outlet(signal) for signal in Signal}
        self.masked: dict[str, int] = {}
        self.made: list[MetricsPart] = []

    def __call__(self, mask: Any = None, **settings: Any) -> MetricsPart:
        """One that has started."""
        part = MetricsPart(
            MetricSettings(**{"process": False, "runtime": False, **settings}),
            self.registry, MeterProvider(self.registry), self.outlets, RESOURCE, mask, lambda: self.masked,
        )  # fmt: skip
        self.made.append(part)
        part.start()
        return part

    def pushed(self, part: MetricsPart) -> dict[str, Metric]:
        """What one push puts into the queue, by name."""
        part.push()
        batch = self.outlets[Signal.METRICS].take()
        found = [] if batch is None else [_metric(record) for _, records in batch.groups for record in records]
        return {one.name: one for one in found}


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    """Makes parts, and stops them."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    parts = Parts()
    yield parts
    for one in parts.made:
        one.shutdown(0)


def _metric(record: bytes) -> Metric:
    """Without the tag and length that it has among others."""
    at = 1
    while record[at] & 0x80:
        at += 1
    return Metric.FromString(record[at + 1 :])


def _values(metric: Metric, label: str) -> dict[str, float]:
    return {
        next(one.value.string_value for one in point.attributes if one.key == label): point.as_int or point.as_double
        for point in metric.sum.data_points
    }


def names(registry: Registry) -> set[str]:
    """What is registered and has something to say."""
    return {family.name for family in registry.collect()}


@pytest.mark.parametrize(
    ("settings", "there", "missing"),
    [
        ({}, "gnomon.sdk.records", "process.cpu.time"),
        ({"process": True}, "process.cpu.time", "cpython.gc.collections"),
        ({"runtime": True}, "cpython.gc.collections", "process.cpu.time"),
        ({"host": True}, "system.cpu.load_average.1m", "process.cpu.time"),
    ],
)
def test_what_is_measured(part: Parts, settings: dict[str, Any], there: str, missing: str) -> None:
    """As the settings say."""
    part(**settings)
    assert there in names(part.registry)
    assert missing not in names(part.registry)


def test_what_became_of_records(part: Parts) -> None:
    """Sent and dropped, by signal and reason; values masked, by kind: all of it is pushed."""
    one = part()
    part.outlets[Signal.LOGS].counts.sent = 5
    part.outlets[Signal.TRACES].counts.drop(3, Reason.QUEUE_FULL)
    part.masked = {"email": 2, "card": 0}
    pushed = part.pushed(one)
    records = Tally({
        tuple(sorted(pair.value.string_value for pair in point.attributes)): point.as_int
        for point in pushed["gnomon.sdk.records"].sum.data_points
    })  # fmt: skip
    assert records["logs", "sent"] == 5
    assert records["queue_full", "traces"] == 3
    assert _values(pushed["gnomon.sdk.masked"], "kind") == {"email": 2}


def test_the_next_one_tells_of_itself(part: Parts) -> None:
    """Not of the one before it, which is gone: the SDK may be stopped and started anew."""
    part.masked = {"email": 7}
    first = part()
    first.shutdown(0)
    assert not {"gnomon.sdk.records", "gnomon.sdk.masked"} & names(part.registry)
    second = MetricsPart(
        MetricSettings(process=False, runtime=False), part.registry, MeterProvider(part.registry), part.outlets,
        RESOURCE, None, lambda: {"email": 1},
    )  # fmt: skip
    part.made.append(second)
    second.start()
    assert _values(part.pushed(second)["gnomon.sdk.masked"], "kind") == {"email": 1}


def test_the_cap_holds_for_what_was_made_before(part: Parts) -> None:
    """Instruments are made when modules are imported, which is before the settings are there; their own cap stays."""
    early, own = Counter("early", registry=part.registry), Counter("own", cap=5, registry=part.registry)
    part(cardinality_limit=2)
    for number in range(9):
        early.inc(number=str(number))
        own.inc(number=str(number))
    assert (early.overflowed, own.overflowed) == (7, 4)


def test_deltas(part: Parts) -> None:
    """What came since the push before; a sum that begins anew is not taken for a negative one."""
    one, seen = part(temporality="delta"), [10.0]
    orders = Counter("orders", registry=part.registry)
    ObservableCounter("kept.elsewhere", lambda: seen[0], registry=part.registry)
    found = []
    for orders_more, elsewhere in ((3, 10.0), (4, 15.0), (0, 2.0)):
        orders.inc(orders_more)
        seen[0] = elsewhere
        pushed = part.pushed(one)
        found.append([pushed[name].sum.data_points[0].as_int or pushed[name].sum.data_points[0].as_double
                      for name in ("orders", "kept.elsewhere")])  # fmt: skip
    assert found == [[3, 10], [4, 5], [0, 2]]


def test_another_mask(part: Parts) -> None:
    """From the next push on, also for what was encoded before."""
    one = part(mask=lambda _, text: text)
    Counter("orders", registry=part.registry).inc(who="ann")
    assert _values(part.pushed(one)["orders"], "who") == {"ann": 1}
    one.remask(lambda _, text: f"<{text}>")
    assert _values(part.pushed(one)["orders"], "who") == {"<ann>": 1}


def test_the_console_is_told(part: Parts) -> None:
    """Where metrics are shown: the families, at each push."""
    one, shown = part(), list[Any]()
    one.shown = shown.extend
    Counter("orders", registry=part.registry).inc()
    one.push()
    assert "orders" in {family.name for family in shown}


def test_a_scrape_tells_nothing_of_one_process(part: Parts) -> None:
    """Any worker may be the one that answers: labels that change with it would be series that come and go."""
    endpoint = part().endpoint
    assert endpoint is not None
    [line] = [one for one in endpoint.answer()[2].decode().splitlines() if one.startswith("target_info{")]
    assert line == 'target_info{service_name="shop",host_name="h"} 1'


def test_security_events(part: Parts) -> None:
    """Counted by their name."""
    part().security_counter()("login_failed")
    assert part.registry.get("gnomon.security.events").labels(security_event="login_failed").value == 1


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody has."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_that_is_taken(part: Parts, taken: int) -> None:
    """It is refused, and nothing is left behind."""
    with pytest.raises(MetricsError, match=str(taken)):
        part(port=taken)
    assert "gnomon.sdk.records" not in names(part.registry)


def test_an_address_of_its_own(part: Parts) -> None:
    """As the settings say; this machine alone if they say nothing."""
    for settings, address in (({}, "127.0.0.1"), ({"address": "127.0.0.2"}, "127.0.0.2"), ({"address": "::1"}, "::1")):
        endpoint = part(port=0, **settings).endpoint
        assert endpoint is not None
        assert endpoint._server is not None
        assert endpoint._server.server_address[0] == address


def test_a_worker_without_the_port_works(part: Parts, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker has it, and answers for all: the second of gunicorn's must start all the same."""
    monkeypatch.setattr("gnomon.metrics.workers.Workers.led", True)
    assert part(port=taken).endpoint is not None


def test_the_end_of_a_forked_child(part: Parts) -> None:
    """The server's thread is not there, and nobody waits for it."""
    one = part(port=0)
    assert _in_child(lambda: one.shutdown(0)) == 0
    endpoint = one.endpoint
    assert isinstance(endpoint, Endpoint)
    assert endpoint._server is not None


def test_a_forked_child_counts_from_nothing(part: Parts) -> None:
    """What a callback says there is the child's own, and so is when it began."""
    part(temporality="delta")
    made = ObservableCounter("kept.elsewhere", lambda: 1, registry=part.registry)
    before_ns = made.start_ns

    def later() -> None:
        assert made.start_ns > before_ns

    assert _in_child(later) == 0


def _in_child(run: Callable[[], None]) -> int:
    """The exit code of a forked child that runs this: 0 when it went well; it is killed when it takes too long."""
    child = os.fork()
    if not child:
        import signal  # noqa: PLC0415 - in the child alone

        signal.alarm(10)
        try:
            run()
        except BaseException:  # noqa: BLE001 - the child must not go on as the test
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]
