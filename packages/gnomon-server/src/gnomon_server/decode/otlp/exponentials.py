"""Exponential histograms as native ones."""

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp import wire
from gnomon_server.decode.otlp.columns import milliseconds, offsets
from gnomon_server.decode.otlp.exemplars import Exemplars
from gnomon_server.decode.otlp.points import STALE, Group, Points, series_ids
from gnomon_server.decode.otlp.records import refuse
from gnomon_server.decode.otlp.rounds import I64
from gnomon_server.decode.otlp.scan import Pieces
from gnomon_server.model.series import Kind
from gnomon_server.model.tables import NATIVE_HISTOGRAMS

_GAUGE_HINT = 3  # a native histogram that is not cumulative
_LARGEST_SCALE = 20  # finer does not help a float64; SDKs start here
_SMALLEST_SCALE = -10
_LARGEST_INDEX = (1 << 31) - 2


def exponential_groups(points: Points, exemplars: Exemplars) -> tuple[list[Group], pa.RecordBatch | None]:
    """The rows of `native_histograms`, and the group that describes their series."""
    sides = _sides(points, "positive"), _sides(points, "negative")
    good = _refuse_misshapen(points, sides)
    if not good.all():
        points.keep(good)
        sides = _sides(points, "positive"), _sides(points, "negative")
    if not len(points):
        return [], None
    define = points.definer(Kind.EXPONENTIAL, "", flagged=True)
    ids = series_ids(points, define)
    exemplars.add(points, lambda owner, _: ids[owner])
    none = np.zeros(len(points))
    group = Group(define, ids, points.at, points.start, none, points.delta, native=True)
    return [group], _rows(points, ids, sides)


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
    return pa.RecordBatch.from_arrays(
        [
            pa.array(ids),
            milliseconds(points.at),
            milliseconds(points.start),
            pa.array(_scales(points).astype(np.int8)),
            pa.array(np.where(points.delta, _GAUGE_HINT, 0).astype(np.uint8)),
            pa.array(np.zeros(len(points), np.bool_)),
            pa.array(points.scanned.words("count").astype(np.float64)),
            pa.array(total),
            pa.array(_or_nan(points, "min")),
            pa.array(_or_nan(points, "max")),
            pa.array(points.scanned.doubles("zero_threshold")),
            pa.array(points.scanned.words("zero_count").astype(np.float64)),
            *sides[0].columns(),
            *sides[1].columns(),
            pa.ListArray.from_arrays(offsets(np.zeros(len(points))), pa.array([], pa.float64())),
        ],
        schema=NATIVE_HISTOGRAMS,
    )


def _or_nan(points: Points, name: str) -> np.ndarray:
    return np.where(points.scanned.present(name, I64), points.scanned.doubles(name), np.nan)
