"""What a query gave, as the `data` of Prometheus' JSON: in blocks, so that a large answer is never whole in memory.

Source: Prometheus web/api/v1/json_codec.go. Nothing here looks at single samples: their texts come as columns
(`numbers`) and are joined a series at a time.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from gnomon_server.api.prometheus import texts
from gnomon_server.api.prometheus.histogram_texts import histograms
from gnomon_server.api.prometheus.numbers import floats, points, times
from gnomon_server.query.promql.door import Answer
from gnomon_server.query.promql.histograms.block import Histograms, begins_of
from gnomon_server.query.promql.values import NO_ROW, Labels, Samples, Scalar, String, Vector

_BLOCK = 200_000  # samples whose texts are made at a time: some 20 MB


def data(answer: Answer, *, is_range: bool, limit: int = 0, stats: bytes = b"") -> tuple[Iterator[bytes], bool]:
    """The blocks of the object `data`, and whether series were left out.

    Args:
        answer: of the door.
        is_range: whether it is one of a range query.
        limit: of series; 0 for none.
        stats: the JSON of the member `stats`, or nothing.
    """
    kind, found, cut = _result(answer, is_range=is_range, limit=limit)
    tail = b',"stats":' + stats + b"}" if stats else b"}"
    return _framed(b'{"resultType":"%b","result":' % kind, found, tail), cut


def _framed(head: bytes, blocks: Iterator[bytes], tail: bytes) -> Iterator[bytes]:
    yield head
    yield from blocks
    yield tail


def _result(answer: Answer, *, is_range: bool, limit: int) -> tuple[bytes, Iterator[bytes], bool]:
    match answer.value:
        case Scalar(values=values) if is_range:
            row = Vector.of_floats([()], values[None, :], np.ones((1, len(values)), np.bool_))
            return b"matrix", _array(_grid_series(row, answer.grid.times, np.zeros(1, np.int64))), False
        case Scalar(values=values):
            return b"scalar", iter([_point(answer, b'"%b"' % floats(values[:1])[0])]), False
        case String(text=text):
            return b"string", iter([_point(answer, texts.dump(texts.clean(text)))]), False
        case Samples() as samples:
            order, cut = _chosen(samples.labels, limit, samples.begins[1:] > samples.begins[:-1])
            return b"matrix", _array(_sample_series(samples, order)), cut
        case Vector() as vector if is_range:
            order, cut = _chosen(vector.labels, limit, np.asarray(vector.present.any(axis=1)))
            return b"matrix", _array(_grid_series(vector, answer.grid.times, order)), cut
        case vector:
            order, cut = _chosen(vector.labels, limit, vector.present[:, 0], keep_order=vector.ordered)
            return b"vector", _array(_instant_series(vector.take(order), answer.grid.times)), cut


def _chosen(
    labels: Sequence[Labels], limit: int, there: np.ndarray, *, keep_order: bool = False
) -> tuple[np.ndarray, bool]:
    """The series to show, in their order: int64[k]; and whether some were left out."""
    places = np.flatnonzero(there).tolist()
    if not keep_order:
        places.sort(key=labels.__getitem__)
    cut = 0 < limit < len(places)
    return np.array(places[:limit] if cut else places, np.int64), cut


def _array(blocks: Iterator[list[bytes]]) -> Iterator[bytes]:
    """JSON values, a block at a time, as one array."""
    opening = b"["
    for block in blocks:
        if block:
            yield opening + b",".join(block)
            opening = b","
    yield b"[]" if opening == b"[" else b"]"


def _point(answer: Answer, value: bytes) -> bytes:
    return b"[" + times(answer.grid.times[:1])[0] + b"," + value + b"]"


def _instant_series(vector: Vector, at: np.ndarray) -> Iterator[list[bytes]]:
    time = times(at)[0]
    for start in range(0, len(vector.labels), _BLOCK):
        some = vector.take(np.arange(start, min(start + _BLOCK, len(vector.labels))))
        values = [b',"value":[' + time + b',"' + value + b'"]}' for value in floats(some.values[:, 0])]
        there = np.flatnonzero(some.histogram_there[:, 0])
        if len(there) and some.rows is not None and some.histograms is not None:
            shown = histograms(some.histograms.take(some.rows[there, 0]))
            for place, text in zip(there.tolist(), shown, strict=True):
                values[place] = b',"histogram":[' + time + b"," + text + b"]}"
        sets = texts.label_sets(some.labels)
        yield [b'{"metric":' + labels + value for labels, value in zip(sets, values, strict=True)]


def _grid_series(vector: Vector, at: np.ndarray, order: np.ndarray) -> Iterator[list[bytes]]:
    """Series that have samples at the steps of a grid, whose times are written once for all."""
    stamps = times(at)
    a_block = max(1, _BLOCK // len(stamps))
    for start in range(0, len(order), a_block):
        some = vector.take(order[start : start + a_block])
        there = some.floats
        shown = points(some.values[there], stamps, np.nonzero(there)[1], there.sum(axis=1))
        natives = [b""] * len(shown)
        if some.rows is not None and some.histograms is not None:
            there = some.histogram_there
            when = [stamps[step] for step in np.nonzero(there)[1].tolist()]
            natives = _natives(some.histograms, some.rows[there], when, there.sum(axis=1))
        yield _series(some.labels, shown, natives)


def _sample_series(samples: Samples, order: np.ndarray) -> Iterator[list[bytes]]:
    """Series that have samples at times of their own, a block of series at a time."""
    counts = np.diff(samples.begins)[order]
    for some in np.split(order, np.flatnonzero(np.diff(np.cumsum(counts) // _BLOCK)) + 1):
        counts = np.diff(samples.begins)[some]
        begins = np.cumsum(counts) - counts
        places = np.repeat(samples.begins[some] - begins, counts) + np.arange(int(counts.sum()))
        owner = np.repeat(np.arange(len(some)), counts)
        native = np.zeros(len(places), np.bool_) if samples.rows is None else samples.rows[places] != NO_ROW
        plain = places[~native]
        widths = np.bincount(owner[~native], minlength=len(some))
        shown = points(samples.v[plain], times(samples.ts[plain]), np.arange(len(plain)), widths)
        natives = [b""] * len(some)
        if samples.rows is not None and samples.histograms is not None:
            mine, widths = places[native], np.bincount(owner[native], minlength=len(some))
            natives = _natives(samples.histograms, samples.rows[mine], times(samples.ts[mine]), widths)
        yield _series([samples.labels[one] for one in some.tolist()], shown, natives)


def _natives(block: Histograms, rows: np.ndarray, stamps: list[bytes], widths: np.ndarray) -> list[bytes]:
    """The member `histograms` of each series. `rows`: int64[n] into `block`; `widths`: of each series' share."""
    shown = [
        b"[" + stamp + b"," + text + b"]" for stamp, text in zip(stamps, histograms(block.take(rows)), strict=True)
    ]
    edges = pairwise(begins_of(widths).tolist())
    return [b',"histograms":' + texts.listed(shown[begin:end]) if begin < end else b"" for begin, end in edges]


def _series(labels: Sequence[Labels], values: list[bytes], natives: list[bytes]) -> list[bytes]:
    return [
        b'{"metric":' + mine + shown + native + b"}"
        for mine, shown, native in zip(texts.label_sets(labels), values, natives, strict=True)
    ]
