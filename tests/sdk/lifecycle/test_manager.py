"""The manager in a process of the test's: started once, told what is wrong, stopped without a trace."""

import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.ports import free_port
from tests.sdk.lifecycle.processes import ran
from tests.sdk.lifecycle.running import started
from tests.sdk.receiver import Receiver, attributes, receiving
from tests.waiting import until

import gnomon
from gnomon.components import ComponentRegistry, Health, State
from gnomon.errors import ConfigurationError, ExportError, LifecycleError, ObservabilityError
from gnomon.manager import ObservabilityManager
from gnomon.recorders import recorders


def test_a_second_call_gives_the_first_ones_manager(receiver: Receiver) -> None:
    """Whatever its settings; a second manager by hand is refused."""
    first = started(receiver)
    assert gnomon.instrument(service_name="other") is first is ObservabilityManager.running
    assert first.config.service.name == "life"
    with pytest.raises(LifecycleError, match="runs already"):
        ObservabilityManager(first.config).initialize()
    assert gnomon.shutdown() == {}
    assert ObservabilityManager.running is None
    assert started(receiver) is not first


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"metrics.port": 70_000}, "metrics.port"),
        ({"traces": {"sampler_ratio": 2}}, "traces.sampler_ratio"),
        ({"traces.sampler": "sometimes"}, "traces.sampler"),
        ({"no_such": 1}, "no_such"),
        ({"endpoint": "ftp://x"}, "export.endpoint"),
    ],
)
def test_a_wrong_setting_stops_the_start(settings: dict[str, Any], field: str) -> None:
    """With the field's name, as a ConfigurationError; nothing runs then."""
    with pytest.raises(ConfigurationError, match=field) as raised:
        gnomon.instrument(**settings)
    assert isinstance(raised.value, ObservabilityError)
    assert ObservabilityManager.running is None


def test_a_wrong_variable_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is named."""
    monkeypatch.setenv("GNOMON_METRICS_PORT", "99999")
    with pytest.raises(ConfigurationError, match=r"(?s)metrics\.port.*GNOMON_METRICS_PORT"):
        gnomon.instrument()


def test_nothing_is_left_after_the_end(receiver: Receiver) -> None:
    """All that was recorded has arrived; no thread, no handler, and what comes later is dropped."""
    before = set(threading.enumerate())
    handlers = list(logging.getLogger().handlers)
    manager = started(receiver, **{"metrics.port": 0})
    for number in range(500):
        with gnomon.span(f"s{number}"):
            gnomon.get_logger("life").info("line %d", number)
    assert gnomon.shutdown() == {}
    assert set(threading.enumerate()) - before == set()
    assert logging.getLogger().handlers == handlers
    assert len(receiver.spans) == len({span.name for span in receiver.spans}) == 500
    assert len([record for record in receiver.logs if record.body.string_value.startswith("line")]) == 500
    assert any(metric.name == "gnomon.sdk.records" for metric in receiver.metrics)
    assert manager.shutdown() == {}
    with gnomon.span("late"):
        pass
    assert not any(outlet.waiting for outlet in manager.recorders.outlets.values())


def test_flush_and_status(receiver: Receiver) -> None:
    """What waits is sent at once; without the SDK there is nothing to send, and nothing to say."""
    assert gnomon.flush()
    assert gnomon.status().parts == {}
    started(receiver)
    with gnomon.span("s"):
        pass
    assert gnomon.flush()
    assert [span.name for span in receiver.spans] == ["s"]
    status = gnomon.status()
    assert status.state is State.HEALTHY
    assert set(status.parts) >= {"traces", "metrics", "logs", "export", "integrations"}


def test_the_resource(receiver: Receiver) -> None:
    """Who we are, by the conventions' names; the settings' own attributes beside."""
    started(receiver, service_version="1.2", environment="test", service={"resource_attributes": {"team": "a"}})
    with gnomon.span("s"):
        pass
    gnomon.flush()
    [(told, _)] = receiver.spans_by_resource()
    expected = {"service.name": "life", "service.version": "1.2", "deployment.environment.name": "test", "team": "a",
                "telemetry.sdk.name": "gnomon", "telemetry.sdk.language": "python"}  # fmt: skip
    assert expected.items() <= told.items()
    assert {"host.name", "process.pid", "service.instance.id", "telemetry.sdk.version"} <= told.keys()


class Collected:
    """A third party's exporter, in twenty lines."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        self.calls: list[str] = []
        self.state = State.HEALTHY

    def start(self) -> None:
        self.calls.append("start")

    def shutdown(self, deadline_s: float) -> None:  # noqa: ARG002 - a component's signature
        self.calls.append("shutdown")

    def health(self) -> Health:
        return Health(self.state, "" if self.state is State.HEALTHY else "killed")

    def export(self, signal: str, body: bytes) -> bool:
        self.bodies.append((signal, body))
        return True


def test_a_third_partys_exporter() -> None:
    """Registered by name, started, handed what is sent, asked how it is, stopped."""
    theirs, components = Collected(), ComponentRegistry()
    components.register("theirs", theirs)
    started(components=components)
    with gnomon.span("s"):
        pass
    gnomon.flush()
    assert "traces" in {signal for signal, _ in theirs.bodies}
    theirs.state = State.DEGRADED
    status = gnomon.status()
    assert (status.state, status.parts["theirs"].why) == (State.DEGRADED, "killed")
    theirs.state = State.HEALTHY
    assert gnomon.status().state is State.HEALTHY
    gnomon.shutdown()
    assert theirs.calls == ["start", "shutdown"]


def test_an_exporter_is_handed_the_last_words() -> None:
    """It is stopped before ours, but what waits is delivered first."""

    class Closing(Collected):
        def shutdown(self, deadline_s: float) -> None:
            super().shutdown(deadline_s)
            self.stood = {signal for signal, _ in self.bodies}

    theirs, components = Closing(), ComponentRegistry()
    components.register("theirs", theirs)
    started(components=components)
    with gnomon.span("s"):
        gnomon.get_logger("life").info("line")
    gnomon.shutdown()
    assert theirs.stood >= {"traces", "logs"}


def test_one_that_is_away_does_not_take_the_others_time(receiver: Receiver) -> None:
    """Traces go to nobody; the lines, which go elsewhere, arrive within the same deadline."""
    started(
        receiver,
        **{"export.protocol": "http/protobuf", "export.traces.endpoint": f"http://127.0.0.1:{free_port()}/v1/traces",
           "export.shutdown_timeout_s": 0.5, "export.schedule_s": 60},
    )  # fmt: skip
    with gnomon.span("s"):
        gnomon.get_logger("life").info("arrives")
    gnomon.shutdown()
    assert "arrives" in {record.body.string_value for record in receiver.logs}


def test_an_end_is_waited_for_once(receiver: Receiver) -> None:
    """What an application's end has waited for in vain the process's end does not wait for again."""
    waited: list[float] = []

    class Timed(Collected):
        export = None  # type: ignore[assignment]  # not an exporter

        def shutdown(self, deadline_s: float) -> None:
            waited.append(deadline_s)

    for port, whole_s, rest_s in (
        (free_port(), 1.5, 1.0),
        (receiver.server_address[1], 1.5, 1.5),
        (free_port(), 0.2, 0.2),
    ):
        components = ComponentRegistry()
        components.register("timed", Timed())
        manager = started(
            components=components, endpoint=f"http://127.0.0.1:{port}",
            **{"export.protocol": "http/protobuf", "export.shutdown_timeout_s": whole_s},
        )  # fmt: skip
        with gnomon.span("s"):
            pass
        manager._last_words()
        manager.shutdown()
        assert waited.pop() == pytest.approx(rest_s, abs=0.1)


def test_a_start_that_fails_records_nothing() -> None:
    """A wrong certificate: the queues stay closed, for nobody would empty them."""
    started()
    gnomon.shutdown()
    with pytest.raises(ExportError):
        started(endpoint="https://localhost:1", **{"export.protocol": "http/protobuf", "export.certificate": "/none"})
    with gnomon.span("s"):
        pass
    assert not any(outlet.waiting or outlet.most_records for outlet in recorders().outlets.values())


def test_a_manager_may_start_again(receiver: Receiver) -> None:
    """After its end, as if it were new."""
    manager = started(receiver)
    gnomon.shutdown()
    manager.initialize()
    with gnomon.span("again"):
        pass
    assert manager.shutdown() == {}
    assert [span.name for span in receiver.spans] == ["again"]


def test_an_exporter_that_fails_takes_nobody_along() -> None:
    """Its mistakes are its own."""

    class Failing(Collected):
        def export(self, signal: str, body: bytes) -> bool:  # noqa: ARG002 - likewise
            raise RuntimeError

    failing, good, components = Failing(), Collected(), ComponentRegistry()
    components.register("failing", failing)
    components.register("good", good)
    started(components=components)
    with gnomon.span("s"):
        pass
    assert gnomon.flush()
    assert good.bodies


def test_a_part_that_cannot_start() -> None:
    """Everything is stopped again, and another start is possible."""

    class Broken(Collected):
        def start(self) -> None:
            raise OSError("no such device")

    components = ComponentRegistry()
    components.register("broken", Broken())
    before = set(threading.enumerate())
    with pytest.raises(LifecycleError, match="broken"):
        started(components=components)
    assert ObservabilityManager.running is None
    assert set(threading.enumerate()) - before == set()
    started()


def test_a_receiver_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """Degraded while it is away, with the reason; one warning a signal; then delivered, and healthy."""
    port = free_port()
    started(endpoint=f"http://127.0.0.1:{port}", **{"export.protocol": "http/protobuf", "export.schedule_s": 0.05})
    with caplog.at_level(logging.WARNING, "gnomon.export"):
        for number in range(20):
            with gnomon.span(f"s{number}"):
                gnomon.get_logger("life").error("line")
            gnomon.flush(0.05)
        until(lambda: gnomon.status().state is State.DEGRADED)
        assert "traces" in gnomon.status().parts["export"].why
        warned = [record.getMessage().partition(":")[0] for record in caplog.records if record.name == "gnomon.export"]
    assert len(warned) == len(set(warned))
    with receiving(port) as receiver:
        until(lambda: gnomon.flush(1) and gnomon.status().state is State.HEALTHY)
        assert sorted({span.name for span in receiver.spans}) == sorted(f"s{number}" for number in range(20))


def test_a_full_queue_drops_and_counts() -> None:
    """With nobody to take them: the queue keeps its bound, the counter rises, the host goes on."""
    manager = started(
        endpoint=f"http://127.0.0.1:{free_port()}",
        **{"export.protocol": "http/protobuf", "export.queue_size": 100, "export.shutdown_timeout_s": 0.2},
    )
    for number in range(1000):
        with gnomon.span(f"s{number}"):
            pass
    families = {family.name: family for family in manager.recorders.registry.collect()}
    told = {frozenset(dict(point.labels).values()): point.value for point in families["gnomon.sdk.records"].points}
    assert told[frozenset({"traces", "queue_full"})] >= 700
    assert manager.recorders.outlets["traces"].waiting <= 100  # type: ignore[index]  # a StrEnum


def write(file: Path, **settings: str) -> None:
    """A file of settings."""
    file.write_text("\n".join(f"{key} = {value}" for key, value in settings.items()))


def test_hot_reload(tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """Sampling, level and masking act on the running service; an invalid edit is refused and the old ones stay."""
    file = tmp_path / "gnomon.toml"
    file.write_text('[traces]\nsampler = "ratio"\nsampler_ratio = 1.0\nkeep_errors = false\n[logs]\nlevel = "INFO"\n')
    manager = started(receiver, file=file)
    log = gnomon.get_logger("life")
    log.debug("too low")
    log.info("for a@example.com")
    with gnomon.span("before", attributes={"mail": "b@example.com"}):
        pass
    file.write_text(
        '[traces]\nsampler = "ratio"\nsampler_ratio = 0.0\nkeep_errors = false\n[logs]\nlevel = "DEBUG"\n'
        '[privacy]\npolicies = {email = "keep"}\n'
    )
    until(lambda: manager.config.logs.level == "DEBUG")
    with gnomon.span("not sampled"):
        log.debug("low enough")
        log.info("then c@example.com")
    with caplog.at_level(logging.WARNING, "gnomon"):
        file.write_text('[traces]\nsampler = "ratio"\nsampler_ratio = 7\n[logs]\nlevel = "ERROR"\n')
        until(lambda: "refused" in caplog.text)
    assert "sampler_ratio" in caplog.text
    log.debug("still")
    gnomon.flush()
    bodies = [record.body.string_value for record in receiver.logs]
    assert {"low enough", "still", "then c@example.com"} <= set(bodies)
    assert not {"too low", "for a@example.com"} & set(bodies)
    assert [span.name for span in receiver.spans] == ["before"]
    assert attributes(receiver.spans[0])["mail"] != "b@example.com"


def test_a_hosts_provider_keeps_its_propagator() -> None:
    """How its contexts travel was decided before we came."""
    done = ran("""
        from opentelemetry import propagate, trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        import gnomon
        theirs = TraceContextTextMapPropagator()
        propagate.set_global_textmap(theirs)
        trace.set_tracer_provider(TracerProvider())
        gnomon.instrument(**{"export.protocol": "none", "logs.console": "off"})
        assert propagate.get_global_textmap() is theirs
    """)
    assert done.returncode == 0, done.stderr


def test_missing_packages_degrade() -> None:
    """Without gRPC, structlog, loguru, YAML and frameworks the SDK starts, and says what is missing if asked."""
    done = ran("""
        import sys
        for name in ("grpc", "structlog", "loguru", "yaml", "starlette", "fastapi", "httpx", "requests", "redis",
                     "sqlalchemy", "aiohttp", "prometheus_client", "opentelemetry.sdk"):
            sys.modules[name] = None
        import gnomon
        manager = gnomon.instrument(service_name="bare", **{"export.protocol": "none"})
        with gnomon.span("s"):
            gnomon.get_logger("x").info("hello")
        gnomon.Counter("c_total", "c").inc()
        assert gnomon.status().state == 0, gnomon.status()
        async def raw(scope, receive, send): pass
        gnomon.instrument(raw)
        gnomon.shutdown()
        try:
            gnomon.instrument(**{"export.protocol": "grpc"})
        except gnomon.ObservabilityError as error:
            print(error)
    """)
    assert done.returncode == 0, done.stderr
    assert "grpc" in done.stdout
