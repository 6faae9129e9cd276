"""The door, in the test's own process: last words, what cannot be instrumented, `gnomon-run`'s start."""

import logging
import os
import runpy
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from starlette.applications import Starlette

import gnomon
from gnomon import lifecycle, run
from gnomon.components import ComponentRegistry
from gnomon.config.settings import ObservabilityConfig
from gnomon.export.outlet import Signal
from gnomon.manager import ObservabilityManager
from gnomon.starter import instrument_app, started
from gnomon.testing import capture
from gnomon.tracing.sampling import TAKEN

QUIET: dict[str, Any] = {"export.protocol": "none", "logs.console": "off", "integrations": {"*": False}}


def test_sigterm_sends_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our handler stops the SDK, puts the default back, and lets the signal do its work."""
    killed: list[tuple[int, int]] = []
    gnomon.instrument(**QUIET)
    monkeypatch.setattr(os, "kill", lambda *call: killed.append(call))
    lifecycle._terminated(signal.SIGTERM, None)
    assert killed == [(os.getpid(), signal.SIGTERM)]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert ObservabilityManager.running is None


def test_the_first_process_of_a_container_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel does not end it by SIGTERM unless it asks to be: what waits is sent, and the SDK runs on."""
    killed: list[tuple[int, int]] = []
    manager = gnomon.instrument(**QUIET)
    with gnomon.span("s"):
        pass
    monkeypatch.setattr(os, "kill", lambda *call: killed.append(call))
    with monkeypatch.context() as first:
        first.setattr(os, "getpid", lambda: 1)
        lifecycle._terminated(signal.SIGTERM, None)
    assert killed == []
    assert ObservabilityManager.running is manager
    assert not manager.recorders.outlets[Signal.TRACES].waiting


def test_threads_start_it_once() -> None:
    """Whoever comes while another starts it gets the same one."""
    found: list[ObservabilityManager] = []
    together = threading.Barrier(8)

    def start() -> None:
        together.wait()
        found.append(gnomon.instrument(**QUIET))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [ObservabilityManager.running] * 8


def test_settings_that_come_too_late_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """By their keys, when they differ from what runs; the same ones again are nothing to speak of."""
    gnomon.instrument(service_name="first", **QUIET)
    with caplog.at_level(logging.WARNING, "gnomon"):
        gnomon.instrument(service_name="first", **QUIET)
        assert caplog.text == ""
        gnomon.instrument(service_name="second", traces={"sampler_ratio": 0.5})
    assert "service.name, traces.sampler_ratio is left aside" in caplog.text


def test_a_ready_configuration() -> None:
    """All settings at once: then nothing else is read."""
    config = ObservabilityConfig(service={"name": "ready"}, export={"protocol": "none"}, logs={"console": "off"})
    assert gnomon.instrument(config=config).config is config
    assert started() is ObservabilityManager.running


def test_a_manager_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the environment; it may be stopped twice, and started anew by another."""
    for name, value in {"GNOMON_EXPORT_PROTOCOL": "none", "GNOMON_SERVICE_NAME": "by-hand",
                        "GNOMON_LOGS_CONSOLE": "off", "GNOMON_METRICS_HOST": "on"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    manager = ObservabilityManager(components=ComponentRegistry()).initialize()
    assert manager.config.service.name == "by-hand"
    assert manager.shutdown() == {}
    assert manager.shutdown() == {}
    assert ObservabilityManager().initialize().shutdown(1) == {}


def test_remarks_are_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A standard variable that cannot be used is passed over, and said."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "no_such")
    with caplog.at_level(logging.WARNING, "gnomon"):
        gnomon.instrument(**QUIET)
    assert "OTEL_TRACES_SAMPLER" in caplog.text


@pytest.mark.parametrize("app", [object(), print])
def test_what_is_no_application_we_know(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It is said, with what to do, and nothing else happens."""
    with caplog.at_level(logging.WARNING, "gnomon"):
        gnomon.instrument(app, **QUIET)
    assert "gnomon.integrations.asgi.Middleware" in caplog.text


def test_switched_off() -> None:
    """`disabled` holds for what begins later, until it is shut down."""
    off = gnomon.instrument(disabled=True)
    app = Starlette()
    assert instrument_app(app, **QUIET) is off is started(**QUIET)
    assert not hasattr(app, "_gnomon")
    assert ObservabilityManager.running is None
    gnomon.shutdown()
    assert gnomon.instrument(**QUIET) is ObservabilityManager.running is not off


def test_exemplars_point_to_what_is_kept() -> None:
    """A histogram's exemplar has the trace of a sampled span, and none of another."""
    with capture(**{"traces.sampler": "ratio", "traces.sampler_ratio": 0.0, "traces.keep_errors": False}) as captured:
        histogram = gnomon.Histogram("door_seconds", "d", bounds=(1,))
        with gnomon.span("left out"):
            histogram.observe(0.5)
        assert not any(captured.point("door_seconds").exemplars or ())  # type: ignore[union-attr]
        captured.manager.recorders.tracers.sampler = type("All", (), {"decide": lambda *_: TAKEN})()
        with gnomon.span("kept") as span:
            histogram.observe(0.5)
        found = [one for one in captured.point("door_seconds").exemplars if one]  # type: ignore[union-attr]
        assert span.trace in {one.trace_id for one in found}


def test_queues_are_bounded_together() -> None:
    """Each signal's queue by its own setting, their bytes by a third each; closed in the end."""
    manager = gnomon.instrument(**{**QUIET, "export.queue_size": 50, "export.traces.queue_size": 10})
    outlets = manager.recorders.outlets
    assert (outlets[Signal.TRACES].most_records, outlets[Signal.LOGS].most_records) == (10, 50)
    assert sum(outlet.most_bytes for outlet in outlets.values()) <= manager.config.export.queue_bytes
    gnomon.shutdown()
    assert {outlet.most_records for outlet in outlets.values()} == {0}


def test_gnomon_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command takes our place, with what it was told in its environment, ours first on its path."""
    executed: list[Any] = []
    monkeypatch.setattr(os, "execv", lambda *call: executed.append(call))
    monkeypatch.setenv("PYTHONPATH", "/theirs")
    for name in ("GNOMON_SERVICE_NAME", "GNOMON_EXPORT_ENDPOINT", "GNOMON_CONFIG"):
        monkeypatch.setenv(name, "before")
    command = [sys.executable, "--version"]
    monkeypatch.setattr(sys, "argv", ["gnomon-run", "--service", "s", "--config", "c.toml", *command])
    run.main()
    assert executed == [(sys.executable, command)]
    assert (os.environ["GNOMON_SERVICE_NAME"], os.environ["GNOMON_CONFIG"]) == ("s", "c.toml")
    assert os.environ["GNOMON_EXPORT_ENDPOINT"] == "before"
    assert os.environ["PYTHONPATH"] == f"{run.ONSTART}{os.pathsep}/theirs"


def test_the_start_of_a_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It starts the SDK and then runs another `sitecustomize`; wrong settings stop neither."""
    (tmp_path / "sitecustomize.py").write_text("print('theirs')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(run.ONSTART)
    monkeypatch.setenv("GNOMON_EXPORT_PROTOCOL", "none")
    runpy.run_path(str(run.ONSTART / "sitecustomize.py"))
    assert ObservabilityManager.running is not None
    assert trace.get_tracer_provider() is ObservabilityManager.running.recorders.tracers
    gnomon.shutdown()
    monkeypatch.setenv("GNOMON_METRICS_PORT", "-1")
    runpy.run_path(str(run.ONSTART / "sitecustomize.py"))
    told = capsys.readouterr()
    assert told.out == "theirs\ntheirs\n"
    assert "not instrumented" in told.err
