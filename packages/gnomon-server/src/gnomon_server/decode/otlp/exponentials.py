"""Exponential histograms as native ones."""

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp import wire
from gnomon_server.decode.otlp.columns import milliseconds, offsets
from gnomon_server.decode.otlp.exemplars import Exemplars
from gnomon_server.decode.otlp.fields import I64
from gnomon_server.decode.otlp.points import STALE, Group, Points, series_ids
from gnomon_server.decode.otlp.records import refuse
from gnomon_server.decode.otlp.scan import Pieces
from gnomon_server.model.series import Kind
from gnomon_server.model.tables import HISTOGRAM_VALUES, NATIVE_HISTOGRAMS

_LARGEST_SCALE = 20  # finer does not help a float64; SDKs start here
_SMALLEST_SCALE = -10
_LARGEST_INDEX = (1 << 31) - 2


def exponential_groups(points: Points, exemplars: Exemplars) -> tuple[list[Group], dict[str, pa.RecordBatch]]:
    """The group that describes the series; rows of `native_histograms` and, in the same columns, `delta_histograms`."""
    sides = _sides(points, "positive"), _sides(points, "negative")
    good = _refuse_misshapen(points, sides)
    if not good.all():
        points.keep(good)
        sides = _sides(points, "positive"), _sides(points, "negative")
    if not len(points):
        return [], {}
    define = points.definer(Kind.EXPONENTIAL, "", flagged=True)
    ids = series_ids(points, define)
    exemplars.add(points, lambda owner, _: ids[owner])
    none = np.zeros(len(points))
    group = Group(define, ids, points.at, points.start, none, points.delta, native=True)
    rows = _rows(points, ids, sides)
    chosen = {"native_histograms": ~points.delta, "delta_histograms": points.delta}
    return [group], {
        table: _with_sent(rows.filter(pa.array(mine)), changes=table == "delta_histograms")
        for table, mine in chosen.items()
        if mine.any()
    }


class _Side:
    """The positive or negative buckets of all points."""

    def __init__(self, pieces: Pieces) -> None:
        self.offset = np.zeros(len(pieces.starts), np.int64)
        self.widths = np.zeros(len(pieces.starts), np.int64)
        counts: list[int] = []
        for position, raw in enumerate(pieces.raws()):
            if raw:  # most histograms have no negative side
                side = wire.parse("Buckets", raw)
                self.offset[position], self.widths[position] = side.offset, len(side.bucket_counts)
                counts.extend(side.bucket_counts)
        self._counts = np.array(counts, np.uint64)

    def fits(self) -> np.ndarray:
        """bool[n]: whether the indices of a point fit 32 bits."""
        result: np.ndarray = self.offset + self.widths <= _LARGEST_INDEX
        return result

    def columns(self) -> list[pa.Array]:
        """Lists of indices and of counts, empty buckets left out.

        Prometheus' index is OTLP's plus one: it names the upper bound, OTLP's the lower.
        """
        place = np.arange(len(self._counts)) - np.repeat(np.cumsum(self.widths) - self.widths, self.widths)
        index = np.repeat(self.offset, self.widths) + place + 1
        filled = self._counts > 0
        owner = np.repeat(np.arange(len(self.widths)), self.widths)[filled]
        begins = offsets(np.bincount(owner, minlength=len(self.widths)))
        return [
            pa.ListArray.from_arrays(begins, pa.array(index[filled].astype(np.int32))),
            pa.ListArray.from_arrays(begins, pa.array(self._counts[filled].astype(np.float64))),
        ]


def _sides(points: Points, name: str) -> _Side:
    return _Side(points.scanned.pieces(name))


def _scales(points: Points) -> np.ndarray:
    """int64[n]; on the wire the sign is the lowest bit (sint32)."""
    raw = points.scanned.varints("scale").astype(np.uint32).astype(np.int64)
    return (raw >> 1) ^ -(raw & 1)


def _refuse_misshapen(points: Points, sides: tuple[_Side, _Side]) -> np.ndarray:
    scale = _scales(points)
    scaled = (scale >= _SMALLEST_SCALE) & (scale <= _LARGEST_SCALE)
    message = f"the scale of an exponential histogram is from {_SMALLEST_SCALE} to {_LARGEST_SCALE}"
    refuse(points.rejections, ~scaled, "exponential_scale", message)
    placed = sides[0].fits() & sides[1].fits()
    message = "bucket indices of an exponential histogram are 32-bit numbers"
    refuse(points.rejections, scaled & ~placed, "exponential_offset", message)
    good: np.ndarray = scaled & placed
    return good


def _rows(points: Points, ids: np.ndarray, sides: tuple[_Side, _Side]) -> pa.RecordBatch:
    total = points.scanned.doubles("sum")
    total[points.stale] = STALE
    positive, negative = sides[0].columns(), sides[1].columns()
    return pa.RecordBatch.from_pydict(
        {
            "id": pa.array(ids),
            "ts": milliseconds(points.at),
            "start": milliseconds(points.start),
            "hint": pa.array(np.zeros(len(points), np.uint8)),
            "is_float": pa.array(np.zeros(len(points), np.bool_)),
            "min": pa.array(_or_nan(points, "min")),
            "max": pa.array(_or_nan(points, "max")),
            "bounds": pa.ListArray.from_arrays(offsets(np.zeros(len(points))), pa.array([], pa.float64())),
            "schema": pa.array(_scales(points).astype(np.int8)),
            "count": pa.array(points.scanned.words("count").astype(np.float64)),
            "sum": pa.array(total),
            "zero_threshold": pa.array(points.scanned.doubles("zero_threshold")),
            "zero_count": pa.array(points.scanned.words("zero_count").astype(np.float64)),
            "p_idx": positive[0],
            "p_cnt": positive[1],
            "n_idx": negative[0],
            "n_cnt": negative[1],
        }
    )


def _with_sent(rows: pa.RecordBatch, *, changes: bool) -> pa.RecordBatch:
    """With the columns `sent_*`: what a change says, nothing beside a total."""
    sent = [
        rows.column(name) if changes else pa.repeat(pa.scalar([] if pa.types.is_list(kind) else 0, kind), len(rows))
        for name, kind in HISTOGRAM_VALUES
    ]
    return pa.RecordBatch.from_arrays([*rows.columns, *sent], schema=NATIVE_HISTOGRAMS)


def _or_nan(points: Points, name: str) -> np.ndarray:
    return np.where(points.scanned.present(name, I64), points.scanned.doubles(name), np.nan)
