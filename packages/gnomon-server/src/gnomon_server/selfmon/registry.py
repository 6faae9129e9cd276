"""The server's own counters, gauges and histograms, and their text for `/metrics`.

Names and labels are Prometheus'; the text is exposition format 0.0.4
(https://prometheus.io/docs/instrumenting/exposition_formats/). Every metric is declared here, with its help.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

# name -> (type, help). A name that is not here is an error: an undocumented metric is an unknown one.
DECLARED: dict[str, tuple[str, str]] = {
    "gnomon_received_records_total": ("counter", "Records received, by signal and protocol."),
    "gnomon_received_bytes_total": ("counter", "Request bodies received, as sent, by signal and protocol."),
    "gnomon_refused_records_total": ("counter", "Records refused, by signal and reason; the sender was told."),
    "gnomon_altered_records_total": ("counter", "Records stored with something cut, by signal and reason."),
    "gnomon_refused_requests_total": ("counter", "Requests refused whole, by signal and reason."),
    "gnomon_intake_dropped_total": ("counter", "Rows taken out before the store, by reason."),
    "gnomon_intake_retries_total": ("counter", "Commits tried again, by reason."),
    "gnomon_intake_queued_bytes": ("gauge", "Decoded rows waiting for their commit."),
    "gnomon_query_cache_bytes": ("gauge", "Kept answers of PromQL range queries."),
    "gnomon_query_cache_lookups_total": ("counter", "Looks for kept answers and samples, by cache and outcome."),
    "gnomon_query_samples_bytes": ("gauge", "Samples that PromQL queries find in memory."),
    "gnomon_bodies_in_flight_bytes": ("gauge", "Request bodies in memory."),
    "gnomon_commit_seconds": ("histogram", "From a group's first try to its synced commit."),
    "gnomon_engine_restarts_total": ("counter", "Times the embedded engine was started again."),
    "gnomon_disk_used_bytes": ("gauge", "Bytes of all parts in the store."),
    "gnomon_disk_free_bytes": ("gauge", "Bytes free on the data directory's disk."),
    "gnomon_partitions_dropped_total": ("counter", "Partitions dropped, by table and reason."),
    "gnomon_events_total": ("counter", "Named events of the server, by event."),
    "gnomon_turned_away_total": ("counter", "Senders refused for what they sent, by listener and reason."),
    "gnomon_sources": ("gauge", "Sources (tenant, service, instance, signal), by state."),
    "gnomon_source_silent_seconds": ("gauge", "How long a silent source sends nothing; 0 when it is back."),
    "gnomon_sources_forgotten_total": ("counter", "Sources no longer watched, by reason."),
    "gnomon_ready": ("gauge", "1 when the server accepts and commits."),
}

_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Histogram:
    """Counts by bucket (not cumulative, one more than bounds) and their sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(_BOUNDS) + 1))
    sum: float = 0.0

    @property
    def bounds(self) -> tuple[float, ...]:
        """Upper bounds, inclusive, in seconds."""
        return _BOUNDS


class Registry:
    """All metrics of the process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[str, dict[Labels, float]] = {}
        self._histograms: dict[str, dict[Labels, Histogram]] = {}
        self._read: dict[str, Callable[[], float]] = {}

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        """Add to a counter."""
        key = _declared(name, "counter", labels)
        with self._lock:
            series = self._numbers.setdefault(name, {})
            series[key] = series.get(key, 0.0) + value

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        key = _declared(name, "gauge", labels)
        with self._lock:
            self._numbers.setdefault(name, {})[key] = value

    def read(self, name: str, source: Callable[[], float]) -> None:
        """A gauge whose value is asked for when it is wanted."""
        _declared(name, "gauge", {})
        self._read[name] = source

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add to a histogram; seconds."""
        key = _declared(name, "histogram", labels)
        with self._lock:
            histogram = self._histograms.setdefault(name, {}).setdefault(key, Histogram())
            histogram.counts[bisect_left(_BOUNDS, value)] += 1
            histogram.sum += value

    def total(self, name: str, **labels: str) -> float:
        """The sum of a counter's series that carry these labels."""
        wanted = set(labels.items())
        with self._lock:
            return sum(value for key, value in self._numbers.get(name, {}).items() if wanted <= set(key))

    def numbers(self) -> Iterator[tuple[str, str, Labels, float]]:
        """Name, type, labels, value of every counter and gauge."""
        for name, source in self._read.items():
            self.set(name, source())
        with self._lock:
            found = [(name, key, value) for name, series in self._numbers.items() for key, value in series.items()]
        yield from ((name, DECLARED[name][0], key, value) for name, key, value in sorted(found))

    def histograms(self) -> Iterator[tuple[str, Labels, Histogram]]:
        """Name, labels and a copy of every histogram."""
        with self._lock:
            found = [
                (name, key, Histogram(list(histogram.counts), histogram.sum))
                for name, series in self._histograms.items()
                for key, histogram in series.items()
            ]
        yield from sorted(found, key=lambda item: item[:2])

    def text(self, *, with_tenants: bool = True) -> str:
        """The exposition of everything, or of what names no tenant."""
        lines: list[str] = []
        for name, kind, labels, value in self.numbers():
            if not with_tenants and any(key == "tenant" for key, _ in labels):
                continue
            _head(lines, name, kind)
            lines.append(f"{name}{_braces(labels)} {value:.17g}")
        for name, labels, histogram in self.histograms():
            _head(lines, name, "histogram")
            running = 0
            for bound, count in zip((*map(repr, _BOUNDS), "+Inf"), histogram.counts, strict=True):
                running += count
                lines.append(f"{name}_bucket{_braces((*labels, ('le', bound)))} {running}")
            lines.append(f"{name}_sum{_braces(labels)} {histogram.sum:.17g}")
            lines.append(f"{name}_count{_braces(labels)} {running}")
        return "\n".join(lines) + "\n"


def _declared(name: str, kind: str, labels: dict[str, str]) -> Labels:
    if DECLARED[name][0] != kind:
        raise ValueError(f"{name} is declared a {DECLARED[name][0]}, used as a {kind}")
    return tuple(sorted(labels.items()))


def _head(lines: list[str], name: str, kind: str) -> None:
    head = f"# TYPE {name} {kind}"
    if head not in lines:
        lines += [f"# HELP {name} {DECLARED[name][1]}", head]


def _braces(labels: Labels) -> str:
    if not labels:
        return ""
    escaped = (f'{key}="{value}"' for key, value in ((k, _escaped(v)) for k, v in labels))
    return "{" + ",".join(escaped) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
