"""The stacks that are compared: what each is, where it is installed, and what of a request must arrive.

Every module here has one function, `start(app, sink) -> Stack`, which does what the stack's own documentation says.
Where a stack makes more of a request than the two spans that are compared (`receive` and `send`, dependencies,
serialisation), that is switched off if it can be; `otel-default` shows what it costs when it is not.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Stack:
    """What a handler uses of a stack, by the stack's own functions.

    Attributes:
        span: a span around a block.
        log: `log(message, **fields)` at level info.
        flush: send what waits.
        access: whether the access log line is ours to write (by `log`).
        observe: `observe(seconds, bytes)`: the histograms that the stack does not keep by itself.
    """

    span: Callable[[str], AbstractContextManager[Any]]
    log: Callable[..., Any]
    flush: Callable[[], Any]
    access: bool = True
    observe: Callable[[float, int], Any] | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table.

    Attributes:
        module: in this package.
        venv: under `.venvs/`.
        spans, logs, metrics: records of one request that must arrive; metrics are counts of histograms.
        environment: of its process.
        lines: log lines go to standard output, where an agent collects them, and are counted there.
        scraped: its metrics are read at `/metrics`.
        otlp: the real server can count what it sends.
    """

    module: str
    venv: str
    spans: int = 2
    logs: int = 3
    metrics: int = 2
    environment: tuple[tuple[str, str], ...] = ()
    lines: bool = False
    scraped: bool = False
    otlp: bool = True


_STABLE = ("OTEL_SEMCONV_STABILITY_OPT_IN", "http")

KINDS = {
    "bare": Kind("bare", "gnomon", 0, 0, 0),
    "bare-again": Kind("bare", "gnomon", 0, 0, 0),  # the same once more: what is added here is noise
    "gnomon": Kind("ours", "gnomon"),
    "gnomon-traces": Kind("ours", "gnomon", 2, 0, 0, (("PILLARS", "traces"),)),
    "gnomon-metrics": Kind("ours", "gnomon", 0, 0, 2, (("PILLARS", "metrics"),)),
    "gnomon-logs": Kind("ours", "gnomon", 0, 3, 0, (("PILLARS", "logs"),)),
    "gnomon-json": Kind("ours", "gnomon", environment=(("CONSOLE", "json"),)),
    "otel": Kind("otel", "otel", environment=(_STABLE, ("CONSOLE", "json")), scraped=True),
    "otel-quiet": Kind("otel", "otel", environment=(_STABLE,), scraped=True),
    "otel-default": Kind("otel", "otel", 4, environment=(_STABLE, ("ALL_SPANS", "1")), scraped=True),
    "fastapi-native": Kind("native", "otel"),
    "logfire": Kind("pydantic_logfire", "logfire", environment=(_STABLE,), otlp=False),  # its log lines are spans
    "sentry": Kind("sentry", "sentry", otlp=False),
    "ddtrace": Kind("datadog_apm", "ddtrace", 3, lines=True, otlp=False),  # it has one of serialisation
    "elastic": Kind("elastic", "elastic", lines=True, otlp=False),
}
