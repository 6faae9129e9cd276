"""Components: registered by name, started in order, stopped in reverse, asked together."""

import threading

import pytest

from gnomon.components import (
    ComponentRegistry,
    Exporter,
    Health,
    HealthComponent,
    LoggingComponent,
    MetricsComponent,
    Report,
    State,
    TracingComponent,
)
from gnomon.errors import LifecycleError, ObservabilityError, RegistrationError


class Part:
    """A component that writes down what was asked of it."""

    def __init__(self, name: str, told: list[str], fails: str = "") -> None:
        self.name, self.told, self.fails = name, told, fails
        self.found = Health()

    def _tell(self, what: str) -> None:
        self.told.append(f"{what} {self.name}")
        if self.fails == what:
            raise RuntimeError(f"no {what}")

    def start(self) -> None:
        self._tell("start")

    def shutdown(self, deadline_s: float) -> None:  # noqa: ARG002 - the interface's
        self._tell("stop")

    def health(self) -> Health:
        if self.fails == "health":
            raise RuntimeError("no health")
        return self.found


class KafkaExporter:
    """A third party's exporter: it inherits nothing of ours."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.running = False

    def start(self) -> None:
        self.running = True

    def shutdown(self, deadline_s: float) -> None:  # noqa: ARG002 - the interface's
        self.running = False

    def health(self) -> Health:
        return Health(State.HEALTHY if self.running else State.FAILED, "" if self.running else "not started")

    def export(self, signal: str, body: bytes) -> bool:
        self.sent.append((signal, body))
        return True


def three(**fails: str) -> tuple[ComponentRegistry, list[str]]:
    """A registry of three, and what they are asked."""
    registry, told = ComponentRegistry(), list[str]()
    for name in "abc":
        registry.register(name, Part(name, told, fails.get(name, "")))
    return registry, told


def test_a_third_partys_exporter() -> None:
    """It is registered by name, started with the others and found by its kind."""
    registry, _ = three()
    registry.register("kafka", KafkaExporter())
    registry.start()
    (exporter,) = registry.of(Exporter).values()
    assert exporter is registry["kafka"]
    assert exporter.running
    assert exporter.export("traces", b"x")
    assert "kafka" in registry
    for kind in (MetricsComponent, TracingComponent, LoggingComponent, HealthComponent):
        assert registry.of(kind) == {}
    assert registry.shutdown(1.0) == {}
    assert not exporter.running


def test_order() -> None:
    """Started in the order of registration, stopped in reverse, each once."""
    registry, told = three()
    registry.start()
    registry.start()
    assert registry.shutdown(1.0) == {}
    assert registry.shutdown(1.0) == {}
    assert told == ["start a", "start b", "start c", "stop c", "stop b", "stop a"]


def test_a_name_twice() -> None:
    """The error names both, and what to do."""
    registry, _ = three()
    with pytest.raises(RegistrationError) as caught:
        registry.register("a", KafkaExporter())
    assert "'a'" in str(caught.value)
    assert "Part and " in str(caught.value)
    assert "KafkaExporter. Give one of them another name" in str(caught.value)
    assert isinstance(caught.value, ObservabilityError)


@pytest.mark.parametrize(
    ("name", "component", "says"),
    [
        ("x", object(), "builtins.object lacks start, shutdown, health"),
        ("x", KafkaExporter, "KafkaExporter is a class"),
        ("", KafkaExporter(), "has no name"),
    ],
)
def test_no_component(name: str, component: object, says: str) -> None:
    """What is no component is refused where it is registered."""
    with pytest.raises(RegistrationError, match=says):
        ComponentRegistry().register(name, component)


def test_rollback() -> None:
    """A start that fails stops what had been started, in reverse, and names the one."""
    registry, told = three(c="start")
    with pytest.raises(LifecycleError, match=r"'c' could not be started: RuntimeError\('no start'\)\. What"):
        registry.start()
    assert told == ["start a", "start b", "start c", "stop b", "stop a"]
    assert registry.health() == Report()


def test_rollback_fails_too() -> None:
    """The error says which of them could not be stopped again."""
    registry, told = three(a="stop", c="start")
    with pytest.raises(LifecycleError, match=r"; a could not be stopped: RuntimeError\('no stop'\)"):
        registry.start()
    assert told[-1] == "stop a"


def test_rollback_leaves_the_older_ones() -> None:
    """What ran before this start goes on."""
    registry, told = three()
    registry.start()
    registry.register("d", Part("d", told, "start"))
    with pytest.raises(LifecycleError):
        registry.start()
    assert "stop a" not in told
    assert set(registry.health().parts) == {"a", "b", "c"}


def test_one_cannot_be_stopped() -> None:
    """The others are, and it is said who was not and why."""
    registry, told = three(b="stop")
    registry.start()
    assert registry.shutdown(1.0) == {"b": "RuntimeError('no stop')"}
    assert told[-1] == "stop a"


def test_one_hangs() -> None:
    """One deadline for all: who hangs is left behind, the others are stopped, and told what is left."""
    go_on, given_s = threading.Event(), list[float]()

    class Hangs(Part):
        def shutdown(self, deadline_s: float) -> None:  # noqa: ARG002 - the interface's
            go_on.wait()

    class Asks(Part):
        def shutdown(self, deadline_s: float) -> None:
            given_s.append(deadline_s)

    registry = ComponentRegistry()
    registry.register("asks", Asks("asks", []))
    registry.register("hangs", Hangs("hangs", []))
    registry.start()
    try:
        assert registry.shutdown(0.1) == {"hangs": "it did not end within 0.1 s"}
        assert given_s == [0.0]
    finally:
        go_on.set()


def test_the_interpreter_gives_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """At its end components are stopped all the same."""
    registry, told = three()
    registry.start()

    def refuses(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuses)
    assert registry.shutdown(1.0) == {}
    assert told[-3:] == ["stop c", "stop b", "stop a"]


def test_health() -> None:
    """The worst state wins; who raises or answers nonsense has failed; asking never raises."""
    registry, told = three()
    assert registry.health() == Report()
    registry.start()
    assert registry.health().state is State.HEALTHY
    part = registry["b"]
    assert isinstance(part, Part)
    part.found = Health(State.DEGRADED, "queue full")
    report = registry.health()
    assert (report.state, report.parts["b"].why) == (State.DEGRADED, "queue full")
    registry.register("raises", Part("raises", told, "health"))
    registry.start()
    report = registry.health()
    assert (report.state, report.parts["raises"].why) == (State.FAILED, "health() raised RuntimeError('no health')")
    part.found = None  # type: ignore[assignment]
    assert registry.health().parts["b"] == Health(State.FAILED, "health() returned None")
