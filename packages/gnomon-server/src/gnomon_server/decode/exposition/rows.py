"""Scraped series as rows of the tables."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gnomon_server.decode.exposition.exposition import NO_TIME, Exemplar, Exposition, Family, NativeHistogram
from gnomon_server.decode.exposition.histograms import STALE, histogram_rows, stale_histograms, times_column
from gnomon_server.decode.exposition.series import SeriesTable
from gnomon_server.decode.otlp.context import Seen
from gnomon_server.model.batch import Batch, Rejections
from gnomon_server.model.series import Kind, meta_key
from gnomon_server.model.tables import (
    ATTRIBUTES,
    EXEMPLARS,
    METRIC_META,
    SAMPLES,
    SERIES,
    SPAN_ID,
    TRACE_ID,
)

_HEX = re.compile("[0-9a-f]+")
_MS_PER_DAY = 86_400_000
_CUMULATIVE = 2  # OTLP's AggregationTemporality
_TOTALS = {"counter", "histogram", "summary"}

_KINDS: dict[tuple[str, str], Kind] = {
    ("gauge", ""): Kind.GAUGE,
    ("counter", ""): Kind.COUNTER,
    ("counter", "_total"): Kind.COUNTER,
    ("histogram", "_bucket"): Kind.BUCKET,
    ("histogram", "_sum"): Kind.HISTOGRAM_SUM,
    ("histogram", "_count"): Kind.HISTOGRAM_COUNT,
    ("summary", ""): Kind.QUANTILE,
    ("summary", "_sum"): Kind.SUMMARY_SUM,
    ("summary", "_count"): Kind.SUMMARY_COUNT,
    ("info", "_info"): Kind.INFO,
    ("stateset", ""): Kind.GAUGE,
    ("gaugehistogram", "_bucket"): Kind.GAUGE,
    ("gaugehistogram", "_gsum"): Kind.GAUGE,
    ("gaugehistogram", "_gcount"): Kind.GAUGE,
}  # a gauge histogram's buckets do not count up: no rate is to be taken of them
_SUFFIXES = ("", "_bucket", "_total", "_sum", "_count", "_info", "_gsum", "_gcount", "_created")


@dataclass(frozen=True, slots=True)
class Described:
    """A series as its row says it; `labels` with `__name__`, `family` the metric family's name."""

    labels: dict[str, str]
    kind: int
    family: str


def kind_of(name: str, families: dict[str, Family]) -> tuple[Kind, str]:
    """The kind of a series by the name that the target gives it, and its family's name."""
    for suffix in _SUFFIXES:
        base = name.removesuffix(suffix)
        family = families.get(base)
        if family is not None and name.endswith(suffix):
            return _KINDS.get((family.type, suffix), Kind.GAUGE if suffix == "_created" else Kind.UNKNOWN), base
    return Kind.UNKNOWN, name


class Rows:
    """Collects the rows of one scrape.

    `latest_ms`: the newest acceptable time; samples that are later, or before 1970, are refused.
    """

    def __init__(self, tenant: str, seen: Seen, latest_ms: int) -> None:
        self._tenant = tenant
        self._seen = seen
        self._latest_ms = latest_ms
        self._rejections = Rejections()
        self._samples: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
        self._histograms: list[pa.RecordBatch] = []
        self._described: list[tuple[np.ndarray, np.ndarray, Callable[[int], Described]]] = []
        self._exemplars: pa.RecordBatch | None = None
        self._meta: pa.RecordBatch | None = None

    def scraped(self, found: Exposition, table: SeriesTable, at_ms: int) -> None:
        """What a target said; `at_ms` is the time of samples that have none."""
        ids, kept = table.columns()
        times = np.where(found.times == NO_TIME, at_ms, found.times)
        good = kept[found.slots] & self._in_time(times)
        slots = found.slots[good]

        def describe(position: int) -> Described:
            return _described(table, int(slots[position]), found.families, None)

        self.samples(ids[slots], times[good], found.values[good], found.starts[good], describe)
        self._native([row for row in found.histograms if kept[row.slot]], table, found.families, at_ms)
        self._exemplars = self._exemplar_rows([row for row in found.exemplars if kept[row.slot]], ids, times, at_ms)

    def samples(
        self, ids: np.ndarray, times: np.ndarray, values: np.ndarray, starts: np.ndarray,
        describe: Callable[[int], Described] | None,
    ) -> None:  # fmt: skip
        """Samples: uint64[n], int64[n] ms, float64[n], int64[n] ms. Without `describe` their series are known."""
        if len(ids):
            self._samples.append((ids, times, values, starts))
            if describe is not None:
                self._described.append((ids, times, describe))

    def stale(self, ids: np.ndarray, histogram_ids: np.ndarray, at_ms: int) -> None:
        """Markers that these series have ended."""
        count = len(ids)
        self.samples(ids, np.full(count, at_ms), np.full(count, STALE), np.zeros(count, np.int64), None)
        if len(histogram_ids):
            self._histograms.append(stale_histograms(histogram_ids, at_ms))

    def metadata(self, families: dict[str, Family]) -> None:
        """Descriptions that the store does not have yet."""
        rows = [
            {
                "metric": name, "type": family.type, "unit": family.unit, "help": family.help,
                "temporality": _CUMULATIVE if family.type in _TOTALS else 0, "monotonic": family.type == "counter",
                "s": [],
            }
            for name, family in families.items()
        ]  # fmt: skip
        keys = np.array([meta_key(row) for row in rows], np.uint64)
        unseen = self._seen.unseen(self._tenant, "meta", keys, np.zeros(len(keys), np.int32))
        new = [row for row, is_new in zip(rows, unseen.tolist(), strict=True) if is_new]
        self._meta = pa.RecordBatch.from_pylist(new, schema=METRIC_META)

    def batch(self) -> Batch:
        """Everything collected."""
        tables = {
            "metric_meta": self._meta,
            "series": self._series(),
            "samples": self._sample_rows(),
            "native_histograms": pa.concat_batches(self._histograms) if self._histograms else None,
            "exemplars": self._exemplars,
        }
        kept = {name: rows for name, rows in tables.items() if rows is not None and rows.num_rows}
        records = sum(kept[name].num_rows for name in ("samples", "native_histograms") if name in kept)
        return Batch(self._tenant, kept, records, sum(rows.nbytes for rows in kept.values()), self._rejections)

    def _in_time(self, times: np.ndarray) -> np.ndarray:
        good = (times >= 0) & (times <= self._latest_ms)
        if not good.all():
            message = "a timestamp is before 1970 or too far in the future"
            self._rejections.refuse("time_out_of_bounds", message, int((~good).sum()))
        return np.asarray(good)

    def _native(self, rows: list[NativeHistogram], table: SeriesTable, families: dict[str, Family], at_ms: int) -> None:
        times = np.array([at_ms if row.time_ms == NO_TIME else row.time_ms for row in rows], np.int64)
        good = self._in_time(times)
        rows, times = [row for row, right in zip(rows, good.tolist(), strict=True) if right], times[good]
        if not rows:
            return
        ids = table.columns()[0][[row.slot for row in rows]]
        self._histograms.append(histogram_rows(rows, ids, times))
        self._described.append(
            (ids, times, lambda position: _described(table, rows[position].slot, families, Kind.EXPONENTIAL))
        )

    def _series(self) -> pa.RecordBatch:
        told: dict[tuple[int, int], Described] = {}
        for ids, times, describe in self._described:
            days = (times // _MS_PER_DAY).astype(np.int32)
            for position in np.flatnonzero(self._seen.unseen(self._tenant, "series", ids, days)).tolist():
                key = int(ids[position]), int(days[position])
                if key not in told:
                    told[key] = describe(position)
        return _series_rows(list(told), list(told.values()))

    def _sample_rows(self) -> pa.RecordBatch | None:
        if not self._samples:
            return None
        ids, times, values, starts = (np.concatenate(column) for column in zip(*self._samples, strict=True))
        totals = [pa.array(np.zeros(len(ids))), pa.array(np.zeros(len(ids), np.int64))]  # what deltas add up to: none
        columns = [pa.array(ids), times_column(times), pa.array(values), times_column(starts), *totals]
        return pa.RecordBatch.from_arrays(columns, schema=SAMPLES)

    def _exemplar_rows(
        self, rows: list[Exemplar], ids: np.ndarray, times: np.ndarray, at_ms: int
    ) -> pa.RecordBatch | None:
        if not rows:
            return None
        own = [row.time_ms if row.time_ms != NO_TIME else int(times[row.at]) if row.at >= 0 else at_ms for row in rows]
        stamps = np.array(own, np.int64)
        good = (stamps >= 0) & (stamps <= self._latest_ms)
        labels = [dict(row.labels) for row in rows]
        columns = [
            pa.array(ids[[row.slot for row in rows]]),
            times_column(stamps),
            pa.array([row.value for row in rows], pa.float64()),
            pa.array([_take_id(each, "trace_id", 16) for each in labels], TRACE_ID),
            pa.array([_take_id(each, "span_id", 8) for each in labels], SPAN_ID),
            pa.array([list(each.items()) for each in labels], EXEMPLARS.field("s").type),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=EXEMPLARS).filter(pa.array(good))


def _described(table: SeriesTable, slot: int, families: dict[str, Family], kind: Kind | None) -> Described:
    found, family = kind_of(table.exposed_name(slot), families)
    return Described(table.stored(slot), int(found if kind is None else kind), family)


def _series_rows(keys: list[tuple[int, int]], said: list[Described]) -> pa.RecordBatch:
    """`keys`: id and day of each."""
    labels = [sorted((name, value) for name, value in one.labels.items() if name != "__name__") for one in said]
    columns: dict[str, list[object]] = {
        "day": [day for _, day in keys],
        "metric": [one.labels["__name__"] for one in said],
        "id": [identity for identity, _ in keys],
        "kind": [one.kind for one in said],
        "rid": [0] * len(said),
        "service": [one.labels.get("job", "") for one in said],
        "scope": [""] * len(said),
        "name": [one.family for one in said],
        "labels": list(labels),
        **{name: [[]] * len(said) for name, _ in ATTRIBUTES},
    }
    return pa.RecordBatch.from_arrays([pa.array(columns[field.name], field.type) for field in SERIES], schema=SERIES)


def _take_id(labels: dict[str, str], name: str, width: int) -> bytes:
    """The id under this label, taken out of the labels; zero where there is none."""
    if _HEX.fullmatch(labels.get(name, "")) and len(labels[name]) == 2 * width:
        return bytes.fromhex(labels.pop(name))
    return bytes(width)
