"""One case of `micro.py`, in the environment of its stack: `cases.py NAME SINK`. Prints JSON.

Two figures an operation: CPU of the calling thread, and CPU of the whole process until what was made has been sent.
Both are less what a call of an empty function costs in the same loop.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any

REPEATS, CHUNKS, CHUNK = 7, 5, 1000
FIELDS = {"order_id": 1, "user": "u"}
LABELS = {"method": "GET", "status": "200"}
ATTRIBUTES = {
    "db.system.name": "postgresql", "db.operation.name": "SELECT", "db.namespace": "shop",
    "server.address": "db.local", "server.port": 5432,
}  # fmt: skip

Case = tuple[Callable[[], Any], Callable[[], Any]]
"""The operation, and what sends what it made."""


def _gnomon(sink: str) -> Any:
    import gnomon  # noqa: PLC0415 - in its own environment only

    console = {"console": os.environ.get("CONSOLE", "off"), "stream": "stdout"}  # the report goes to standard error
    gnomon.instrument(service_name="bench", endpoint=sink, logs=console)
    return gnomon


def _gnomon_span(sink: str, attributes: dict[str, Any] | None = None) -> Case:
    gnomon = _gnomon(sink)
    from opentelemetry import trace  # noqa: PLC0415 - likewise

    return _span(trace.get_tracer("bench"), attributes), gnomon.flush


def _gnomon_histogram(sink: str, *, kept: bool) -> Case:
    gnomon = _gnomon(sink)
    histogram = gnomon.Histogram("bench.duration", "", [*LABELS], unit="s")
    if kept:
        observe = histogram.labels(**LABELS).observe
        return lambda: observe(0.003), gnomon.flush
    observe = histogram.observe
    return lambda: observe(0.003, method="GET", status="200"), gnomon.flush


def _gnomon_counter(sink: str) -> Case:
    gnomon = _gnomon(sink)
    add = gnomon.Counter("bench.orders", "", [*LABELS]).labels(**LABELS).add
    return lambda: add(1), gnomon.flush


def _gnomon_log(sink: str) -> Case:
    gnomon = _gnomon(sink)
    info = gnomon.logging.create_structured_logger("bench").info
    return lambda: info("loaded", order_id=1, user="u"), gnomon.flush


def _gnomon_stdlib(sink: str) -> Case:
    """The standard library's logger, with our handler behind it."""
    gnomon = _gnomon(sink)
    logging.getLogger().setLevel(logging.INFO)
    info = logging.getLogger("bench").info
    return lambda: info("loaded", extra=FIELDS), gnomon.flush


def _span(tracer: Any, attributes: dict[str, Any] | None) -> Callable[[], None]:
    begin = tracer.start_as_current_span

    def span() -> None:
        with begin("load", attributes=attributes):
            pass

    return span


def _otel_span(sink: str, attributes: dict[str, Any] | None = None) -> Case:
    from stacks import exporting  # noqa: PLC0415 - in its own environment only

    provider = exporting.traces(sink)
    return _span(provider.get_tracer("bench"), attributes), provider.force_flush


def _otel_histogram(sink: str) -> Case:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415 - likewise
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - likewise
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415 - likewise

    provider = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(f"{sink}/v1/metrics"))])
    record = provider.get_meter("bench").create_histogram("bench.duration", "s").record
    return lambda: record(0.003, LABELS), provider.force_flush


def _otel_structlog(sink: str) -> Case:
    from stacks import exporting  # noqa: PLC0415 - likewise

    logger, provider = exporting.logs(sink)
    info = logger.info
    return lambda: info("loaded", order_id=1, user="u"), provider.force_flush


def _otel_stdlib(sink: str) -> Case:
    from stacks import exporting  # noqa: PLC0415 - likewise

    _, provider = exporting.logs(sink)
    info = logging.getLogger("bench").info
    return lambda: info("loaded", extra=FIELDS), provider.force_flush


def _prometheus(*, kept: bool) -> Case:
    from prometheus_client import Histogram  # noqa: PLC0415 - likewise

    histogram = Histogram("bench_duration_seconds", "Duration", [*LABELS])
    if kept:
        observe = histogram.labels(**LABELS).observe
        return lambda: observe(0.003), _nothing
    labels = histogram.labels
    return lambda: labels("GET", "200").observe(0.003), _nothing


def _structlog_json() -> Case:
    from stacks import agent_lines  # noqa: PLC0415 - likewise

    info = agent_lines.logger(lambda _logger, _method, event: event).info
    return lambda: info("loaded", order_id=1, user="u"), _nothing


def _stdlib() -> Case:
    """A line of text on a stream, as `basicConfig` does."""
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    info = logging.getLogger("bench").info
    return lambda: info("loaded order_id=%s user=%s", 1, "u"), _nothing


def _nothing() -> None:
    """Nothing is sent."""


CASES: dict[str, Callable[[str], Case]] = {
    "gnomon span": _gnomon_span,
    "gnomon span5": lambda sink: _gnomon_span(sink, ATTRIBUTES),
    "gnomon histogram": lambda sink: _gnomon_histogram(sink, kept=False),
    "gnomon histogram-kept": lambda sink: _gnomon_histogram(sink, kept=True),
    "gnomon counter-kept": _gnomon_counter,
    "gnomon log": _gnomon_log,
    "gnomon stdlib": _gnomon_stdlib,
    "otel span": _otel_span,
    "otel span5": lambda sink: _otel_span(sink, ATTRIBUTES),
    "otel histogram": _otel_histogram,
    "otel structlog": _otel_structlog,
    "otel stdlib": _otel_stdlib,
    "prometheus histogram": lambda _: _prometheus(kept=False),
    "prometheus histogram-kept": lambda _: _prometheus(kept=True),
    "structlog json": lambda _: _structlog_json(),
    "logging text": lambda _: _stdlib(),
}


def thread_ns(call: Callable[[], Any]) -> int:
    """CPU of this thread for a chunk of calls."""
    began_ns = time.thread_time_ns()
    for _ in range(CHUNK):
        call()
    return time.thread_time_ns() - began_ns


def measure(call: Callable[[], Any], flush: Callable[[], Any]) -> tuple[float, float]:
    """Microseconds an operation: of the calling thread, and of the process until everything is sent."""
    called_ns, empty_ns, all_ns = 0, 0, 0
    for _ in range(CHUNKS):
        empty_ns += thread_ns(_nothing)
        began_ns = time.process_time_ns()
        called_ns += thread_ns(call)
        flush()
        all_ns += time.process_time_ns() - began_ns
    operations = CHUNKS * CHUNK
    return (called_ns - empty_ns) / operations / 1e3, (all_ns - empty_ns) / operations / 1e3


def main() -> None:
    """Measure the case that is named; the first repeat warms up."""
    call, flush = CASES[sys.argv[1]](sys.argv[2])
    figures = [measure(call, flush) for _ in range(REPEATS)][1:]
    report = {"calling_us": [one[0] for one in figures], "all_us": [one[1] for one in figures]}
    print(json.dumps({**report, "operations": REPEATS * CHUNKS * CHUNK}), file=sys.stderr)


if __name__ == "__main__":
    main()
