"""Both consoles: log lines, and protocol `console` with spans and metrics as lines."""

import io
import json
from typing import Any

import pytest
from tests.sdk.lifecycle.processes import ran

import gnomon
from gnomon.components import State
from gnomon.console import Shown, show_metrics
from gnomon.logging.writer import Writer
from gnomon.metrics import Counter, ExponentialHistogram, Histogram, Registry, Summary

SCRIPT = """
    import gnomon
    gnomon.instrument(service_name="s", **{"logs.console": "off", "metrics.process": False, "metrics.runtime": False})
    with gnomon.span("reserve", attributes={"items": 2, "mail": "jo@example.com", "note": "one\\ntwo"}):
        with gnomon.span("inner"):
            pass
    gnomon.Counter("orders_total", "o", ["country"]).inc(12_345_678, country="ES")
"""


def lines(standard: str, kind: str) -> list[str]:
    """Those that begin with a word."""
    return [line for line in standard.splitlines() if line.startswith(f"{kind} ")]


def test_spans_and_metrics() -> None:
    """A line a span with its parent, masked, on one line whatever is in it; a line a point, in full, at the end too."""
    done = ran(SCRIPT, GNOMON_EXPORT_PROTOCOL="console")
    assert done.returncode == 0, done.stderr
    inner, outer = lines(done.stderr, "span")
    assert outer.startswith("span reserve ")
    assert outer.endswith(" - items=2 mail=<email> note='one\\ntwo'")
    trace, identity = outer.split(" UNSET ")[1].split()[:2]
    assert f"{trace} " in inner
    assert inner.endswith(f" {identity}")
    assert "metric orders_total 12345678 country=ES" in lines(done.stderr, "metric")
    assert done.stdout == ""


@pytest.mark.parametrize(("variable", "kind"), [("OTEL_TRACES_EXPORTER", "span"), ("OTEL_METRICS_EXPORTER", "metric")])
def test_one_signal(variable: str, kind: str) -> None:
    """What the standard's variable asks for, and no more."""
    done = ran(SCRIPT, **{"GNOMON_EXPORT_PROTOCOL": "none", variable: "console"})
    assert done.returncode == 0, done.stderr
    assert {line.split()[0] for line in done.stderr.splitlines()} == {kind}


PIPED = """
    import gnomon
    gnomon.instrument(service_name="s", **{"logs.console": "json", "metrics.enabled": False})
    with gnomon.span("reserve"):
        gnomon.get_logger("orders").info("hello")
    print("data")
    gnomon.shutdown()
    print("more")
"""


@pytest.mark.parametrize("stream", [None, "stderr", "StdOut"])
def test_where_the_consoles_write(stream: str | None) -> None:
    """To standard error, so that what a program prints is its own; to standard output where it is asked for."""
    chosen = {} if stream is None else {"GNOMON_LOGS_STREAM": stream}
    done = ran(PIPED, GNOMON_EXPORT_PROTOCOL="console", **chosen)
    ours, theirs = (done.stdout, "") if stream == "StdOut" else (done.stderr, "data\nmore\n")
    written = [line for line in ours.splitlines() if line not in {"data", "more"}]
    span, line = sorted(written, key=lambda one: one.startswith("{"))
    assert (span.split()[:2], json.loads(line)["message"]) == (["span", "reserve"], "hello")
    assert (done.stderr if stream == "StdOut" else done.stdout) == theirs


def test_it_ends_with_the_sdk(capfd: pytest.CaptureFixture[str]) -> None:
    """After the shutdown nobody listens; what was not sampled is not shown."""
    quiet: dict[str, Any] = {"export.protocol": "console", "logs.console": "off", "integrations": {"*": False}}
    manager = gnomon.instrument(**quiet, **{"metrics.enabled": False})
    with gnomon.span("shown"):
        pass
    gnomon.shutdown()
    with gnomon.span("late"):
        pass
    gnomon.instrument(**quiet, **{"traces.sampler": "always_off"})
    with gnomon.span("held"):
        pass
    gnomon.shutdown()
    assert [line.split()[1] for line in lines(capfd.readouterr().err, "span")] == ["shown"]
    assert manager.recorders.tracers.recording.ended == []


def test_every_kind_of_point() -> None:
    """Sums and counts of what is not one number."""
    registry, shown = Registry(), list[bytes]()
    Counter("c_total", "c", registry=registry).inc()
    for kind in (Histogram, ExponentialHistogram, Summary):
        one = kind(kind.__name__.lower(), "h", registry=registry)
        one.observe(2.0)
        one.observe(3.0)
    show_metrics(registry.collect(), shown.append, lambda _, text: text)
    assert {line.split()[1]: line.split()[2:] for line in shown} == {
        b"c_total": [b"1"],
        b"histogram": [b"count=2", b"sum=5.0"],
        b"exponentialhistogram": [b"count=2", b"sum=5.0"],
        b"summary": [b"count=2", b"sum=5.0"],
    }


def test_lines_that_are_lost_are_told() -> None:
    """The component is degraded."""
    writer = Writer(io.StringIO(), most_lines=0)
    shown = Shown(None, None, lambda _, text: text, writer)
    assert shown.health().state is State.HEALTHY
    writer.put(b"x\n")
    assert shown.health().why == "lost 1 lines"
    shown.shutdown(0.1)
