"""One side (positive or negative) of the buckets of many histograms: spans and counts as indices and counts.

The index of `native_histograms` is Prometheus' own: it names the bucket's upper bound, base^index with
base = 2^2^-schema, or for custom buckets the index-th bound (the one past the last bound is +Inf).
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp.bounds import MAX_FIELDS, check_count
from gnomon_server.decode.otlp.columns import offsets
from gnomon_server.decode.otlp.scan import Scanned
from gnomon_server.decode.remote_write.scan import packed_doubles, packed_varints, scan, stretches, zigzag
from gnomon_server.decode.remote_write.wire import Messages

_INT32 = np.iinfo(np.int32)


@dataclass(frozen=True, slots=True)
class Side:
    """Buckets of n histograms, one after the other: `widths` int64[n], `index` int64[m], `count` float64[m].

    `shaped` bool[n]: spans and counts fit together; a histogram where they do not has no buckets here.
    `whole` int64[n]: the observations of an integer histogram's buckets, by which its count is checked.
    """

    widths: np.ndarray
    index: np.ndarray
    count: np.ndarray
    shaped: np.ndarray
    whole: np.ndarray

    @property
    def owner(self) -> np.ndarray:
        """The histogram of each bucket, int64[m]."""
        return np.repeat(np.arange(len(self.widths)), self.widths)

    def any_of(self, bad: np.ndarray) -> np.ndarray:
        """bool[n]: which histograms have a bucket that is bad, bool[m]."""
        return np.bincount(self.owner[bad], minlength=len(self.widths)).astype(np.bool_)

    def columns(self) -> list[pa.Array]:
        """Lists of indices and of counts, empty buckets left out."""
        filled = self.count != 0
        begins = offsets(np.bincount(self.owner[filled], minlength=len(self.widths)))
        return [
            pa.ListArray.from_arrays(begins, pa.array(self.index[filled].astype(np.int32))),
            pa.ListArray.from_arrays(begins, pa.array(self.count[filled])),
        ]


def side(messages: Messages, histograms: Scanned, name: str, is_float: np.ndarray) -> Side:
    """The side `name` of these histograms; `is_float` bool[n] says which have counts and not differences."""
    span_counts, pieces = histograms.repeated(f"{name}_spans")
    spans = scan(messages, "BucketSpan", pieces)
    lengths = (spans.varints("length") & np.uint64(0xFFFFFFFF)).astype(np.int64)
    offset = zigzag(spans.varints("offset") & np.uint64(0xFFFFFFFF))
    widths, count, whole = _counts(histograms, name, is_float)
    first, owner = _firsts(span_counts), np.repeat(np.arange(len(span_counts)), span_counts)
    start = _starts(offset, lengths, span_counts)
    amiss = ((offset < 0) & ~first) | (start < _INT32.min) | (start + lengths - 1 > _INT32.max)
    shaped = np.bincount(owner, lengths, len(widths)) == widths
    shaped &= ~np.bincount(owner[amiss], minlength=len(widths)).astype(np.bool_)
    if not shaped.all():
        count, widths = count[np.repeat(shaped, widths)], np.where(shaped, widths, 0)
        start, lengths = start[shaped[owner]], lengths[shaped[owner]]
    return Side(widths, stretches(start, lengths), count, shaped, whole)


def _counts(histograms: Scanned, name: str, is_float: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Widths int64[n], counts float64[m]; and of integer ones the sums, int64[n]."""
    delta_widths, deltas = packed_varints(histograms.pieces(f"{name}_deltas"))
    count_widths, counts = packed_doubles(histograms.pieces(f"{name}_counts"))
    widths = np.where(is_float, count_widths, delta_widths)
    check_count(int(widths.sum()), MAX_FIELDS, "buckets")
    ends = np.cumsum(delta_widths)
    absolute = _since(np.cumsum(zigzag(deltas)), ends, delta_widths)
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(absolute)])
    result = np.empty(int(widths.sum()))
    of_float = np.repeat(is_float, widths)
    result[of_float] = counts[np.repeat(is_float, count_widths)]
    result[~of_float] = absolute[~np.repeat(is_float, delta_widths)]
    return widths, result, sums[ends] - sums[ends - delta_widths]


def _since(running: np.ndarray, ends: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Running sums over all as running sums of each; wrapping around does no harm to differences."""
    before = np.concatenate([np.zeros(1, np.int64), running])[ends - widths]
    result: np.ndarray = running - np.repeat(before, widths)
    return result


def _starts(offset: np.ndarray, lengths: np.ndarray, span_counts: np.ndarray) -> np.ndarray:
    """The index of each span's first bucket: an offset is the gap to the span before, or where the first one begins."""
    result: np.ndarray = _since(np.cumsum(offset + lengths), np.cumsum(span_counts), span_counts) - lengths
    return result


def _firsts(counts: np.ndarray) -> np.ndarray:
    """bool[sum of counts]: the first of each."""
    result = np.zeros(int(counts.sum()), np.bool_)
    result[(np.cumsum(counts) - counts)[counts > 0]] = True
    return result
