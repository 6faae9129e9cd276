"""Remote read's messages: requests parsed, answers written.

Source: Prometheus prompb/remote.proto and prompb/types.proto. Protobuf declared here as far as it is used; what is sent
in thousands is written as columns of bytes.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from gnomon_server.query.promql.histograms.block import CUSTOM, MIDDLE, Histograms
from gnomon_server.query.promql.values import NO_ROW, Labels, Samples

_PACKAGE = "gnomon.remote_read"
_Proto = descriptor_pb2.FieldDescriptorProto
_KINDS = {
    "int32": _Proto.TYPE_INT32,
    "sint32": _Proto.TYPE_SINT32,
    "uint32": _Proto.TYPE_UINT32,
    "int64": _Proto.TYPE_INT64,
    "double": _Proto.TYPE_DOUBLE,
    "bytes": _Proto.TYPE_BYTES,
}
# number name kind; `*` is repeated.
_MESSAGES = {
    "Matcher": "1 type int32, 2 name bytes, 3 value bytes",
    "Query": "1 start_ms int64, 2 end_ms int64, 3 matchers *Matcher",
    "Request": "1 queries *Query, 2 accepted *int32",
    "Label": "1 name bytes, 2 value bytes",
    "Labels": "1 labels *Label",
    "Span": "1 offset sint32, 2 length uint32",
    "Histogram": "2 count double, 3 sum double, 4 schema sint32, 5 zero_threshold double, 7 zero_count double, "
    "8 negative_spans *Span, 10 negative_counts *double, 11 positive_spans *Span, 13 positive_counts *double, "
    "14 reset_hint int32, 15 timestamp int64, 16 custom_values *double",
    "Chunk": "1 min_ms int64, 2 max_ms int64, 3 type int32, 4 data bytes",
    "ChunkedSeries": "1 labels *Label, 2 chunks *Chunk",
}
_VARINT_BYTES = 7  # a time in milliseconds, as long as it may be: 49 bits; varints may have leading zeros
_SAMPLE_BYTES = 2 + 9 + 1 + _VARINT_BYTES
XOR = 1


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields.split(", "):
            number, field, kind = text.split()
            repeated, kind = kind.startswith("*"), kind.removeprefix("*")
            declared = message.field.add(name=field, number=int(number))
            declared.label = _Proto.LABEL_REPEATED if repeated else _Proto.LABEL_OPTIONAL
            if kind in _KINDS:
                declared.type = _KINDS[kind]
            else:
                declared.type, declared.type_name = _Proto.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


MESSAGES = _classes()


def read_response(results: Sequence[Samples]) -> bytes:
    """`ReadResponse`: the samples of each query."""
    return b"".join(field(1, b"".join(field(1, series) for series in _series(result))) for result in results)


def _series(samples: Samples) -> Iterator[bytes]:
    """`TimeSeries`, of those that have samples."""
    native = np.zeros(len(samples.ts), np.bool_) if samples.rows is None else samples.rows != NO_ROW
    plain = _samples(samples.ts[~native], samples.v[~native])
    bounds = _SAMPLE_BYTES * np.concatenate([[0], np.cumsum(~native)])[samples.begins]
    histograms: list[bytes] = []
    if samples.rows is not None and samples.histograms is not None:
        histograms = _histograms(samples.histograms.take(samples.rows[native]), samples.ts[native])
    places = np.concatenate([[0], np.cumsum(native)])[samples.begins].tolist()
    for labels, (start, end), (first, last) in zip(
        samples.labels, pairwise(bounds.tolist()), pairwise(places), strict=True
    ):
        if start < end or first < last:
            yield label_fields(labels) + plain[start:end] + b"".join(field(4, one) for one in histograms[first:last])


def _samples(ts: np.ndarray, v: np.ndarray) -> bytes:
    """`TimeSeries.samples`, all of the same length."""
    rows = np.empty((len(ts), _SAMPLE_BYTES), np.uint8)
    rows[:, :3] = 0x12, _SAMPLE_BYTES - 2, 0x09  # samples (2); in it value (1) of 64 bits
    rows[:, 3:11] = v.astype("<f8").view(np.uint8).reshape(-1, 8)
    rows[:, 11] = 0x10  # timestamp (2), a varint
    shifts = 7 * np.arange(_VARINT_BYTES)
    rows[:, 12:] = (ts[:, None] >> shifts) & 0x7F
    rows[:, 12:-1] |= 0x80
    return rows.tobytes()


def _histograms(block: Histograms, ts: np.ndarray) -> list[bytes]:
    """`Histogram` of each."""
    both = zip(sides(block, positive=True), sides(block, positive=False), strict=True)
    shown = []
    for row, ((positive, positive_counts), (negative, negative_counts)) in enumerate(both):
        custom = block.schema[row] == CUSTOM
        message = MESSAGES["Histogram"](
            count=block.count[row],
            sum=block.sum[row],
            schema=int(block.schema[row]),
            zero_threshold=block.zero_threshold[row],
            zero_count=block.zero_count[row],
            positive_spans=positive,
            positive_counts=positive_counts,
            negative_spans=negative,
            negative_counts=negative_counts,
            reset_hint=int(block.hint[row]),
            timestamp=int(ts[row]),
            custom_values=block.bounds_of[block.layout[row]] if custom else (),
        )
        shown.append(message.SerializeToString())
    return shown


def sides(block: Histograms, *, positive: bool) -> list[tuple[list[dict[str, int]], list[float]]]:
    """Of each histogram: its buckets on one side as spans (`offset`: the gap before, `length`), and their counts."""
    cells = np.flatnonzero((block.place > 0) == positive)
    owner, index = block.owner[cells], np.abs(block.place[cells]) - MIDDLE
    order = np.lexsort((index, owner))
    owner, index, counts = owner[order], index[order], block.counts[cells][order]
    before = np.concatenate([[-1], index[:-1]])
    first = np.concatenate([[True], owner[1:] != owner[:-1]])[: len(owner)]
    begins = np.flatnonzero(first | (index != before + 1)[: len(owner)])
    gap = np.where(first[begins], index[begins], index[begins] - before[begins] - 1).tolist()
    length = np.diff(np.append(begins, len(owner))).tolist()
    spans = [{"offset": offset, "length": width} for offset, width in zip(gap, length, strict=True)]
    of_spans = np.searchsorted(owner[begins], np.arange(len(block) + 1)).tolist()
    of_counts = np.searchsorted(owner, np.arange(len(block) + 1)).tolist()
    return [
        (spans[a:b], counts[c:d].tolist())
        for (a, b), (c, d) in zip(pairwise(of_spans), pairwise(of_counts), strict=True)
    ]


def label_fields(labels: Labels) -> bytes:
    """`labels` (1) of a series."""
    found: bytes = MESSAGES["Labels"](
        labels=[{"name": name.encode(), "value": value.encode()} for name, value in labels]
    ).SerializeToString()
    return found


def field(number: int, payload: bytes) -> bytes:
    """A field of the length-delimited kind."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    found = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
