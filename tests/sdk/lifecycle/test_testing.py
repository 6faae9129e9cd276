"""`gnomon.testing`: what an application's own tests see."""

import pytest
from opentelemetry import trace

import gnomon
from gnomon.manager import ObservabilityManager
from gnomon.testing import Capture, TickingClock, capture


def test_the_fixture(gnomon_capture: Capture) -> None:
    """It is there by itself: ids count, time ticks, everything is in order."""
    with gnomon.span("outer"), gnomon.span("inner"):
        gnomon.get_logger("t").info("hello", number=1)
    inner, outer = gnomon_capture.spans
    assert [span.id[-1] for span in (outer, inner)] == [1, 2]
    assert outer.trace == (1).to_bytes(16, "big")
    assert outer.start_time < inner.start_time < (inner.end_time or 0) < (outer.end_time or 0)
    assert gnomon_capture.children(outer) == [inner]
    assert gnomon_capture.log("hello")["fields"] == {"number": 1}
    gnomon_capture.clear()
    assert (gnomon_capture.spans, gnomon_capture.logs) == ([], [])


def test_metrics(gnomon_capture: Capture) -> None:
    """A point by some of its labels."""
    counter = gnomon.Counter("testing_orders_total", "o", ["kind"])
    counter.inc(3, kind="web")
    assert gnomon_capture.point("testing_orders_total", kind="web").value == 3  # type: ignore[union-attr]
    for wanted in ({"shop__kind": "web"}, {"other": 1}):
        with pytest.raises(AssertionError, match="0 of"):
            gnomon_capture.point("testing_orders_total", **wanted)
    with pytest.raises(AssertionError, match="0 of"):
        gnomon_capture.point("never_made")


def test_what_is_not_there_is_told_with_what_is(gnomon_capture: Capture) -> None:
    """None, or several, is an assertion's failure."""
    for _ in range(2):
        with gnomon.span("twice"):
            gnomon.get_logger("t").info("said twice")
    for ask, name, number in ((gnomon_capture.span, "never", 0), (gnomon_capture.span, "twice", 2),
                              (gnomon_capture.log, "said twice", 2)):  # fmt: skip
        with pytest.raises(AssertionError, match=f"{number} of '{name}'.*twice"):
            ask(name)


def test_beside_a_running_sdk() -> None:
    """What the application has started is listened to, and goes on afterwards."""
    manager = gnomon.instrument(**{"export.protocol": "none", "logs.console": "off"})
    ids = manager.recorders.tracers.ids
    try:
        with capture() as captured:
            assert captured.manager is manager
            with trace.get_tracer("t").start_as_current_span("x"):
                pass
        assert captured.span("x").attributes == {}
        assert ObservabilityManager.running is manager
        assert manager.recorders.tracers.ids is ids
        with gnomon.span("unheard"):
            pass
        assert len(captured.spans) == 1
    finally:
        gnomon.shutdown()


def test_where_the_environment_has_switched_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see what is recorded all the same, and nothing is sent to where a service would."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")
    gnomon.instrument()
    with capture() as captured, gnomon.span("x"):
        assert len(captured.manager._pumps) == 1
    assert captured.span("x")
    assert gnomon.instrument().config.disabled
    gnomon.shutdown()


def test_it_ends_with_a_failure_too() -> None:
    """The SDK is stopped, whatever the test did."""
    with pytest.raises(ZeroDivisionError), capture():
        1 / 0  # noqa: B018 - the failure
    assert ObservabilityManager.running is None


def test_logs_switched_off() -> None:
    """Then there are none."""
    with capture(**{"logs.enabled": False}) as captured, gnomon.span("x"):
        pass
    assert captured.logs == []
    assert captured.span("x")


def test_the_clock() -> None:
    """A millisecond a look."""
    clock = TickingClock()
    first = clock()
    assert clock() - first == 1_000_000
