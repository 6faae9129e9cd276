"""What becomes of a target's answer: rows, the scrape's own metrics, markers for what has vanished.

Source: Prometheus scrape/scrape.go (append, report, updateStaleMarkers) and
https://prometheus.io/docs/concepts/jobs_instances/.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from gnomon_server.decode.exposition.exposition import NO_TIME, Exposition, Family
from gnomon_server.decode.exposition.formats import Readers
from gnomon_server.decode.exposition.protobuf import HistogramWish
from gnomon_server.decode.exposition.rows import Described, Rows
from gnomon_server.decode.exposition.series import SeriesTable
from gnomon_server.decode.otlp.context import Seen
from gnomon_server.errors import GnomonError, InvalidInput, TooLarge
from gnomon_server.model.batch import Batch
from gnomon_server.model.relabel import Relabeller
from gnomon_server.model.series import Kind, series_id
from gnomon_server.receive.scrape.client import Answer
from gnomon_server.receive.scrape.labels import SampleLabels
from gnomon_server.receive.scrape.settings import ScrapeConfig
from gnomon_server.receive.scrape.targets import Target
from gnomon_server.transport.compression import decompress

_NONE = np.zeros(0, np.uint64)


@dataclass(slots=True)
class Counts:
    """What `scrape_*` say of one scrape."""

    scraped: int = 0
    kept: int = 0
    added: int = 0
    body_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Times:
    """Of one scrape, ms since the epoch: the time of its samples, and the newest time a sample may have."""

    at_ms: int
    latest_ms: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What a scrape came to: its rows, why it failed (empty: it did not), what is wrong else, the metadata it said."""

    batch: Batch
    problem: str = ""
    warning: str = ""
    families: dict[str, Family] = field(default_factory=dict)


@dataclass(slots=True)
class TargetDigest:
    """The series of one target from scrape to scrape."""

    target: Target
    config: ScrapeConfig
    tenant: str
    seen: Seen
    _described: dict[str, Family] = field(default_factory=dict)
    _last: np.ndarray = field(default_factory=lambda: _NONE)
    _last_histograms: np.ndarray = field(default_factory=lambda: _NONE)
    _table: SeriesTable = field(init=False)
    _readers: Readers = field(init=False)

    def __post_init__(self) -> None:
        config = self.config
        rules = Relabeller(config.metric_relabel_configs)
        self._table = SeriesTable(SampleLabels(self.target.labels, config, rules))
        wish = HistogramWish(config.scrape_native_histograms, config.always_scrape_classic_histograms)
        self._readers = Readers(self._table, wish, config.fallback_scrape_protocol)

    def answered(self, answer: Answer, times: Times, elapsed_s: Callable[[], float]) -> Taken:
        """An answer taken in, usable or not. `elapsed_s`: since the scrape began."""
        counts, rows = Counts(), self._rows(times)
        known = len(self._table)
        try:
            body = decompress(answer.body, answer.encoding, self.config.body_size_limit)
            counts.body_bytes = len(body)
            found = self._readers.of(answer.content_type).read(body)
            self._count(found, counts, known)
        except GnomonError as error:
            if isinstance(error, TooLarge) and not counts.body_bytes:
                counts.body_bytes = -1
            self._table.cut(known)
            return self.failed(times, elapsed_s(), str(error), counts)
        rows.scraped(found, self._table, times.at_ms)
        self._mark_vanished(rows, found, times.at_ms)
        if found.families != self._described:
            rows.metadata(found.families)
        self._report(rows, times, elapsed_s(), counts, up=True)
        batch = rows.batch()  # describes series by their slots, which trimming gives to others
        self._table.trim(np.concatenate([found.slots, np.array([row.slot for row in found.histograms], np.int64)]))
        return Taken(batch, "", "" if found.broken is None else str(found.broken), found.families)

    def failed(self, times: Times, duration_s: float, problem: str, counts: Counts | None = None) -> Taken:
        """A scrape without a usable answer: all series have ended, and the target is down."""
        rows = self._rows(times)
        self._end_series(rows, times.at_ms)
        self._report(rows, times, duration_s, counts or Counts(), up=False)
        return Taken(rows.batch(), problem)

    def removed(self, times: Times) -> Batch:
        """The rows of a target that is no longer there: all its series have ended, those of the scrape itself too."""
        rows = self._rows(times)
        self._end_series(rows, times.at_ms)
        ids = np.array([self._own_id(name) for name in self._own(Counts(), 0.0, up=False)], np.uint64)
        rows.stale(ids, _NONE, times.at_ms)
        return rows.batch()

    def stored(self, families: dict[str, Family]) -> None:
        """A scrape's rows are in the store, its metadata too, which need not be offered again while it is the same."""
        self._described = families or self._described

    def _rows(self, times: Times) -> Rows:
        return Rows(self.tenant, self.seen, times.latest_ms)

    def _count(self, found: Exposition, counts: Counts, known: int) -> None:
        _, kept = self._table.columns()
        if not self.config.honor_timestamps:
            found.times[:] = NO_TIME
        histogram_slots = np.array([row.slot for row in found.histograms], np.int64)
        every = np.concatenate([found.slots, histogram_slots])
        counts.scraped, counts.kept = found.scraped, int(kept[every].sum())
        limit = self.config.sample_limit
        if limit and counts.kept > limit:
            raise InvalidInput("sample_limit", f"{counts.kept} samples, sample_limit is {limit}")
        counts.added = int(kept[known:].sum())

    def _mark_vanished(self, rows: Rows, found: Exposition, at_ms: int) -> None:
        """Series that were there and are not: those with timestamps of their own are left alone, unless tracked."""
        ids, kept = self._table.columns()
        tracked = kept[found.slots]
        if not self.config.track_timestamps_staleness:
            tracked &= found.times == NO_TIME
        now = ids[found.slots[tracked]]
        histograms = ids[[row.slot for row in found.histograms if kept[row.slot]]] if found.histograms else _NONE
        rows.stale(_gone(self._last, now), _gone(self._last_histograms, histograms), at_ms)
        self._last, self._last_histograms = now, histograms

    def _end_series(self, rows: Rows, at_ms: int) -> None:
        rows.stale(np.unique(self._last), np.unique(self._last_histograms), at_ms)
        self._last = self._last_histograms = _NONE

    def _own(self, counts: Counts, duration_s: float, *, up: bool) -> dict[str, float]:
        own = {
            "up": float(up),
            "scrape_duration_seconds": duration_s,
            "scrape_samples_scraped": float(counts.scraped),
            "scrape_samples_post_metric_relabeling": float(counts.kept),
            "scrape_series_added": float(counts.added),
        }
        if self.config.extra_scrape_metrics:
            own["scrape_timeout_seconds"] = self.target.timeout_ms / 1000
            own["scrape_sample_limit"] = float(self.config.sample_limit)
            own["scrape_body_size_bytes"] = float(counts.body_bytes)
        return own

    def _own_id(self, name: str) -> int:
        return series_id(name, self.target.labels)

    def _report(self, rows: Rows, times: Times, duration_s: float, counts: Counts, *, up: bool) -> None:
        own = self._own(counts, duration_s, up=up)
        names = list(own)

        def describe(position: int) -> Described:
            return Described({"__name__": names[position], **self.target.labels}, Kind.GAUGE, names[position])

        ids = np.array([self._own_id(name) for name in names], np.uint64)
        at = np.full(len(names), times.at_ms)
        rows.samples(ids, at, np.array(list(own.values())), np.zeros(len(names), np.int64), describe)


def _gone(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    return before[:0] if np.array_equal(before, now) else np.setdiff1d(before, now)
