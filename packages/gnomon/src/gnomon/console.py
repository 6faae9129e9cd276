"""Protocol `console`: what would be sent, as lines for people to read, while a service is being written.

Log lines have their own console (`logs.console`); here are spans when they end, and metrics when they are collected.
"""

from collections.abc import Callable, Iterable
from typing import Any

from gnomon.components import Health, State
from gnomon.logging.writer import Writer
from gnomon.metrics.component import MetricsPart
from gnomon.tracing.provider import TracerProvider
from gnomon.tracing.span import Span
from gnomon.wire.attributes import Mask
from gnomon.wire.metrics import Buckets, Family, Number, Point

Put = Callable[[bytes], object]
"""Takes a line, with its end; must not wait."""


class Shown:
    """Spans and metrics as lines. A component.

    Args:
        tracers: whose spans are shown; None: none are.
        metrics: whose pushes are shown; None: none are.
        mask: what texts pass through, as on their way to a receiver: a container's output is kept somewhere, too.
        writer: takes the lines.
    """

    def __init__(self, tracers: TracerProvider | None, metrics: MetricsPart | None, mask: Mask, writer: Writer) -> None:
        self._tracers, self._metrics, self._mask, self._writer = tracers, metrics, mask, writer
        self._forget: Callable[[], object] = lambda: None

    def start(self) -> None:
        """Listen from now on."""
        if self._tracers is not None:
            self._forget = self._tracers.add_ended(shows_spans(self._writer.put, self._mask))
        if self._metrics is not None:
            self._metrics.shown = lambda families: show_metrics(families, self._writer.put, self._mask)

    def shutdown(self, deadline_s: float) -> None:
        """Listen no more, and write what is left."""
        self._forget()
        if self._metrics is not None:
            self._metrics.shown = None
        self._writer.shutdown(deadline_s)

    def health(self) -> Health:
        """Whether lines were lost."""
        dropped = self._writer.dropped
        return Health(State.DEGRADED, f"lost {dropped} lines") if dropped else Health()


def shows_spans(put: Put, mask: Mask) -> Callable[[Span], None]:
    """What writes a line for each sampled span that it is told of."""

    def show(span: Span) -> None:
        if not span.sampled:  # held back until its root has ended, and mostly let go then
            return
        took_ms = ((span.end_time or 0) - span.start_time) / 1e6
        told = " ".join(f"{key}={_text(value, key, mask)}" for key, value in span.attributes.items())
        above = span.parent.hex() if span.parent else "-"
        ids = f"{span.trace.hex()} {span.id.hex()} {above}"
        status = span.status.status_code.name
        put(_line(f"span {_text(span.name)} {took_ms:.3f} ms {status} {ids} {told}"))

    return show


def show_metrics(families: Iterable[Family], put: Put, mask: Mask) -> None:
    """A line for each point."""
    for family in families:
        for point in family.points:
            labels = " ".join(f"{key}={_text(value, key, mask)}" for key, value in point.labels)
            put(_line(f"metric {family.name} {_said(point)} {labels}"))


def _said(point: Point) -> str:
    if isinstance(point, Number):
        return str(point.value)
    count = sum(point.counts) if isinstance(point, Buckets) else point.count
    return f"count={count} sum={point.sum}"


def _text(value: Any, key: str = "", mask: Mask | None = None) -> str:
    """A value on one line: a line break in it would begin a line that nobody wrote."""
    written = str(value)
    shown = mask(key, written) if mask is not None else written
    return shown if shown.isprintable() else repr(shown)


def _line(text: str) -> bytes:
    return text.rstrip().encode("utf-8", "replace") + b"\n"
