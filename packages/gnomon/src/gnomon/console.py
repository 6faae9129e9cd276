"""Protocol `console`: what would be sent, as lines for people to read, while a service is being written.

Log lines have their own console (`logs.console`); here are spans when they end, and metrics when they are collected.
"""

from collections.abc import Callable, Iterable

from gnomon.tracing.span import Span
from gnomon.wire.metrics import Buckets, Exponential, Family, Number, Quantiles

Put = Callable[[bytes], object]
"""Takes a line, with its end; must not wait."""


def shows_spans(put: Put) -> Callable[[Span], None]:
    """What writes a line for each span that it is told of."""

    def show(span: Span) -> None:
        took_ms = ((span.end_time or 0) - span.start_time) / 1e6
        told = " ".join(f"{key}={value}" for key, value in span.attributes.items())
        above = span.parent.hex() if span.parent else "-"
        ids = f"{span.trace.hex()} {span.id.hex()} {above}"
        line = f"span {span.name} {took_ms:.3f} ms {span.status.status_code.name} {ids} {told}"
        put(line.encode("utf-8", "replace") + b"\n")

    return show


def show_metrics(families: Iterable[Family], put: Put) -> None:
    """A line for each point."""
    for family in families:
        for point in family.points:
            labels = " ".join(f"{key}={value}" for key, value in point.labels)
            put(f"metric {family.name} {_said(point)} {labels}\n".encode("utf-8", "replace"))


def _said(point: Number | Buckets | Exponential | Quantiles) -> str:
    if isinstance(point, Number):
        return f"{point.value:g}"
    if isinstance(point, Buckets):
        return f"count={sum(point.counts)} sum={point.sum:g}"
    if isinstance(point, Quantiles):
        return f"count={point.count} sum={point.sum:g}"
    counts = [count for side in (point.positive, point.negative) for _, count in side]
    return f"count={sum(counts) + point.zeros} sum={point.sum:g}"
