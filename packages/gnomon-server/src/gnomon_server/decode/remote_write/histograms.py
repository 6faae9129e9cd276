"""Native histograms: rows of `native_histograms`. What is refused is what Prometheus' own `Validate` refuses.

Source: prometheus/model/histogram/{histogram,float_histogram,generic}.go.
"""

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp.bounds import MAX_RECORDS
from gnomon_server.decode.otlp.columns import no_rows, offsets
from gnomon_server.decode.otlp.fields import I64, VARINT
from gnomon_server.decode.otlp.scan import Scanned
from gnomon_server.decode.remote_write.buckets import Side, side
from gnomon_server.decode.remote_write.context import MAX_MS, WriteContext
from gnomon_server.decode.remote_write.points import owned, timely
from gnomon_server.decode.remote_write.scan import packed_doubles, scan, zigzag
from gnomon_server.decode.remote_write.series import Request, SeriesOf
from gnomon_server.model.tables import HISTOGRAM_VALUES, MS, NATIVE_HISTOGRAMS

_FINEST, _COARSEST, _CUSTOM = 8, -4, -53
_LARGEST_HINT = 3

_MESSAGES = {
    "histogram_schema": f"the schema of a native histogram is from {_COARSEST} to {_FINEST}, or {_CUSTOM}",
    "histogram_kind": "a native histogram has an integer count or a float one, not both",
    "histogram_spans": "the spans of a native histogram lie apart, in rising order, and hold as many buckets as it has",
    "histogram_negative": "the counts of a native histogram are not negative",
    "histogram_count": "the count of a native histogram is that of its buckets, and not less when its sum is NaN",
    "histogram_bounds": "custom bounds are finite and rising, with no bucket beyond and no other kind of buckets",
}
"""By reason; the first that holds is told."""


class Histograms:
    """Those of one request. `owner`: the series of each, int64[m]; `at`: its time, int64[m] in ms; `good`: bool[m]."""

    def __init__(self, request: Request) -> None:
        found = owned(*request.series.repeated("histograms"), MAX_RECORDS, "histograms")
        self.owner = found.owner
        self._started = request.started
        self._scanned = scanned = scan(request.messages, "Histogram", found.pieces)
        self.at = scanned.varints("timestamp").view(np.int64)
        self.good = np.zeros(len(self.at), np.bool_)
        self._is_float = scanned.present("count_float", I64)
        self._schema = zigzag(scanned.varints("schema") & np.uint64(0xFFFFFFFF))
        self._sides = {name: side(request.messages, scanned, name, self._is_float) for name in ("positive", "negative")}
        self._bound_counts, self._bounds = packed_doubles(scanned.pieces("custom_values"))

    def check(self, series: SeriesOf, context: WriteContext) -> None:
        """Find out which can be stored."""
        good = timely(series, self.owner, self.at, context.latest_ms, "a histogram")
        for reason, bad in self._faults().items():
            series.refuse(reason, _MESSAGES[reason], self.owner[good & bad])
            good = good & ~bad
        self.good = good

    def _faults(self) -> dict[str, np.ndarray]:
        """bool[m] by reason."""
        custom = self._schema == _CUSTOM
        sides = self._sides.values()
        negative = ~self._is_float & False
        for each in sides:
            negative |= each.any_of(each.count < 0)
        negative |= self._is_float & ((self._count() < 0) | (self._zero_count() < 0))
        return {
            "histogram_schema": ~custom & ((self._schema < _COARSEST) | (self._schema > _FINEST)),
            "histogram_kind": self._is_float & self._scanned.present("count_int", VARINT),
            "histogram_spans": ~np.all([each.shaped for each in sides], axis=0),
            "histogram_negative": negative,
            "histogram_count": self._miscounted(),
            "histogram_bounds": np.where(custom, self._unbounded(), self._bound_counts > 0),
        }

    def _miscounted(self) -> np.ndarray:
        """Integer histograms whose buckets hold another number of observations than they say."""
        said = self._scanned.varints("count_int")
        held = self._scanned.varints("zero_count_int")
        for each in self._sides.values():
            held = held + each.whole.view(np.uint64)
        wrong = np.where(np.isnan(self._scanned.doubles("sum")), held > said, held != said)
        result: np.ndarray = ~self._is_float & wrong
        return result

    def _unbounded(self) -> np.ndarray:
        """Histograms of custom buckets that are not as these must be."""
        count, bounds = self._bound_counts, self._bounds
        owner = np.repeat(np.arange(len(count)), count)
        falling = np.zeros(len(bounds), np.bool_)
        falling[1:] = (bounds[1:] <= bounds[:-1]) & (owner[1:] == owner[:-1])
        positive, negative = self._sides["positive"], self._sides["negative"]
        beyond = (positive.index < 0) | (positive.index > count[positive.owner])
        bad = np.bincount(owner[falling | ~np.isfinite(bounds)], minlength=len(count)).astype(np.bool_)
        bad |= positive.any_of(beyond) | (negative.widths > 0)
        result: np.ndarray = bad | (self._zero_count() != 0) | (self._scanned.doubles("zero_threshold") != 0)
        return result

    def _count(self) -> np.ndarray:
        return _either(self._scanned, "count", self._is_float)

    def _zero_count(self) -> np.ndarray:
        return _either(self._scanned, "zero_count", self._is_float)

    def rows(self, series: SeriesOf) -> pa.RecordBatch:
        """Rows of the good ones."""
        if not self.good.any():
            return no_rows(NATIVE_HISTOGRAMS)
        scanned, size = self._scanned, len(self.at)
        hint = scanned.varints("reset_hint")
        start = scanned.varints("start_timestamp").view(np.int64)
        start = np.where(start != 0, start, self._started[self.owner])
        bounds = pa.ListArray.from_arrays(offsets(self._bound_counts), pa.array(self._bounds))
        columns = {
            "id": pa.array(series.rows["id"][self.owner]),
            "ts": pa.array(self.at).view(MS),
            "start": pa.array(np.clip(start, 0, MAX_MS)).view(MS),
            "hint": pa.array(np.where(hint <= _LARGEST_HINT, hint, 0).astype(np.uint8)),
            "is_float": pa.array(self._is_float),
            "min": pa.array(np.full(size, np.nan)),
            "max": pa.array(np.full(size, np.nan)),
            "bounds": bounds,
            "schema": pa.array(self._schema.astype(np.int8)),
            "count": pa.array(self._count()),
            "sum": pa.array(scanned.doubles("sum")),
            "zero_threshold": pa.array(scanned.doubles("zero_threshold")),
            "zero_count": pa.array(self._zero_count()),
            **_lists("p", self._sides["positive"]),
            **_lists("n", self._sides["negative"]),
            **{
                f"sent_{name}": pa.repeat(pa.scalar([] if pa.types.is_list(kind) else 0, kind), size)
                for name, kind in HISTOGRAM_VALUES
            },
        }
        rows = pa.RecordBatch.from_arrays([columns[name] for name in NATIVE_HISTOGRAMS.names], schema=NATIVE_HISTOGRAMS)
        return rows if self.good.all() else rows.filter(pa.array(self.good))


def _either(scanned: Scanned, name: str, is_float: np.ndarray) -> np.ndarray:
    return np.where(is_float, scanned.doubles(f"{name}_float"), scanned.varints(f"{name}_int").astype(np.float64))


def _lists(letter: str, each: Side) -> dict[str, pa.Array]:
    index, count = each.columns()
    return {f"{letter}_idx": index, f"{letter}_cnt": count}
