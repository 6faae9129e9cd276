"""The protobuf format: MetricFamily messages, each behind its length; classic and native histograms.

Source: Prometheus model/textparse/protobufparse.go. The names of the series that a metric stands for are made of the
family's name, the labels' bytes and what is added (`_bucket`, `le`), and looked up as those of text are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from gnomon_server.decode.exposition.exposition import (
    LARGEST_MS,
    NO_TIME,
    Exemplar,
    Exposition,
    Family,
    NativeHistogram,
)
from gnomon_server.decode.exposition.floats import open_metrics_float
from gnomon_server.decode.exposition.grammar import decoded
from gnomon_server.decode.exposition.messages import message_class
from gnomon_server.decode.exposition.series import SeriesTable
from gnomon_server.decode.exposition.spans import buckets, is_native
from gnomon_server.errors import InvalidInput

_FAMILY, _LABEL = message_class("MetricFamily"), message_class("LabelPair")
_TYPES = ("counter", "gauge", "summary", "unknown", "histogram", "gaugehistogram")
_MARK = b"\xff"  # UTF-8 never has this byte, so no key is that of a text format
_NOTHING = bytes(12)  # no suffix, no label of its own, no value of it
_SMALLEST_SCHEMA, _LARGEST_SCHEMA = -4, 8


@dataclass(frozen=True, slots=True)
class HistogramWish:
    """Which form of a histogram is wanted where the target has both."""

    native: bool = False
    classic_too: bool = False


class ProtobufReader:
    """Reads the bodies of one target."""

    def __init__(self, table: SeriesTable, wish: HistogramWish) -> None:
        self._table = table
        self._wish = wish

    def read(self, body: bytes) -> Exposition:
        """What the body says. InvalidInput when it is not of this format."""
        walk = _Walk(self._table, self._wish)
        for message in _families(body):
            walk.family(message)
        count = len(walk.slots)
        return Exposition(
            np.array(walk.slots, np.int64), np.array(walk.values, np.float64), np.array(walk.times, np.int64),
            np.array(walk.starts, np.int64) if count else np.zeros(0, np.int64), walk.families, walk.exemplars,
            walk.histograms,
        )  # fmt: skip


def _families(body: bytes) -> Iterator[Any]:
    place, end = 0, len(body)
    while place < end:
        length, shift = 0, 0
        while True:
            if place == end or shift > 28:  # noqa: PLR2004 - a length of more than 35 bits is none
                raise _malformed("it ends in the middle")
            byte = body[place]
            place += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the last byte of a varint
                break
            shift += 7
        if length > end - place:
            raise _malformed("it ends in the middle")
        try:
            yield _FAMILY.FromString(body[place : place + length])
        except DecodeError as error:
            raise _malformed(str(error)) from error
        place += length


class _Walk:
    """One pass over the families."""

    def __init__(self, table: SeriesTable, wish: HistogramWish) -> None:
        self._table = table
        self._wish = wish
        self.slots: list[int] = []
        self.values: list[float] = []
        self.times: list[int] = []
        self.starts: list[int] = []
        self.families: dict[str, Family] = {}
        self.exemplars: list[Exemplar] = []
        self.histograms: list[NativeHistogram] = []
        self._name = self._labels = b""
        self._time = self._start = 0

    def family(self, message: Any) -> None:
        if not message.metric:
            return
        if not message.name:
            raise _malformed("a metric family has no name")
        if not 0 <= message.type < len(_TYPES):
            raise _malformed(f"metric type {message.type} of {message.name[:200]!r} is not known")
        kind, self._name = _TYPES[message.type], _MARK + _part(message.name)
        self.families[decoded(message.name)] = Family(kind, decoded(message.help), decoded(message.unit))
        for metric in message.metric:
            self._labels = b"".join(map(_part, metric.label))
            self._time = metric.timestamp_ms or NO_TIME
            if kind == "counter":
                self._start = _ms(metric.counter, "created")
                self._sample(_NOTHING, metric.counter.value, metric.counter)
            elif kind == "summary":
                self._summary(metric.summary)
            elif kind in {"histogram", "gaugehistogram"}:
                self._any_histogram(metric.histogram, is_gauge=kind == "gaugehistogram")
            else:
                self._start = 0
                self._sample(_NOTHING, (metric.gauge if kind == "gauge" else metric.untyped).value)

    def _slot(self, extra: bytes = _NOTHING) -> int:
        key = self._name + extra + self._labels
        slot = self._table.slots.get(key)
        return self._table.add(key, labels_of_key) if slot is None else slot

    def _sample(self, extra: bytes, value: float, holder: Any = None) -> None:
        slot = self._slot(extra)
        if holder is not None and holder.HasField("exemplar"):
            self._exemplar(slot, len(self.slots), holder.exemplar)
        self.slots.append(slot)
        self.values.append(value)
        self.times.append(max(-LARGEST_MS, min(self._time, LARGEST_MS)) if self._time != NO_TIME else NO_TIME)
        self.starts.append(self._start)

    def _exemplar(self, slot: int, position: int, exemplar: Any) -> None:
        time_ms = _ms(exemplar, "timestamp") if exemplar.HasField("timestamp") else NO_TIME
        labels = {decoded(pair.name): decoded(pair.value) for pair in exemplar.label}
        self.exemplars.append(Exemplar(slot, position, labels, exemplar.value, time_ms))

    def _summary(self, summary: Any) -> None:
        self._start = _ms(summary, "created")
        self._sample(_COUNT, float(summary.sample_count))
        self._sample(_SUM, summary.sample_sum)
        for entry in summary.quantile:
            self._sample(_extra("", "quantile", open_metrics_float(entry.quantile)), entry.value)

    def _any_histogram(self, histogram: Any, *, is_gauge: bool) -> None:
        self._start = _ms(histogram, "created")
        native = self._wish.native and is_native(histogram)
        if native:
            self._native(histogram, is_gauge=is_gauge)
        if not native or (self._wish.classic_too and histogram.bucket):
            self._classic(histogram)

    def _classic(self, histogram: Any) -> None:
        count = histogram.sample_count_float or float(histogram.sample_count)
        self._sample(_COUNT, count)
        self._sample(_SUM, histogram.sample_sum)
        bound = 0.0
        for bucket in histogram.bucket:
            bound = bucket.upper_bound
            value = bucket.cumulative_count_float or float(bucket.cumulative_count)
            self._sample(_extra("_bucket", "le", open_metrics_float(bound)), value, bucket)
        if bound != float("inf"):
            self._sample(_extra("_bucket", "le", "+Inf"), count)

    def _native(self, histogram: Any, *, is_gauge: bool) -> None:
        slot = self._slot()
        schema = histogram.schema
        if not _SMALLEST_SCHEMA <= schema <= _LARGEST_SCHEMA:
            raise _malformed(f"a native histogram's schema is from -4 to 8, not {schema}")
        is_float = histogram.sample_count_float > 0 or histogram.zero_count_float > 0
        self.histograms.append(
            NativeHistogram(
                slot, self._time, self._start, schema,
                histogram.sample_count_float if is_float else float(histogram.sample_count), histogram.sample_sum,
                histogram.zero_threshold,
                histogram.zero_count_float if is_float else float(histogram.zero_count),
                buckets(histogram.positive_span, histogram.positive_delta, histogram.positive_count, is_float=is_float),
                buckets(histogram.negative_span, histogram.negative_delta, histogram.negative_count, is_float=is_float),
                is_float, is_gauge,
            )
        )  # fmt: skip
        # An exemplar of a native histogram needs a time of its own: without it, it cannot be told from its repetitions.
        found = list(histogram.exemplars) or [b.exemplar for b in histogram.bucket if b.HasField("exemplar")]
        for exemplar in found:
            if exemplar.HasField("timestamp"):
                self._exemplar(slot, -1, exemplar)


def labels_of_key(key: bytes) -> dict[str, str]:
    """The labels of a series by its key: FF, then name, suffix, its own label and value, the metric's labels."""
    name, suffix, label, value, *raws = _parts(key)
    labels = {"__name__": decoded(name + suffix)}
    for raw in raws:
        pair = _pair(raw)
        key_text = decoded(pair.name)
        if not key_text or key_text in labels:
            raise InvalidInput(
                "duplicate_label", f"the label {key_text!r} is empty or a repetition", where=decoded(name)[:200]
            )
        labels[key_text] = decoded(pair.value)
    if label:
        labels[label.decode()] = value.decode()
    return labels


def _parts(key: bytes) -> Iterator[bytes]:
    place = 1
    while place < len(key):
        length = int.from_bytes(key[place : place + 4])
        yield key[place + 4 : place + 4 + length]
        place += 4 + length


def _pair(raw: bytes) -> Any:
    try:
        return _LABEL.FromString(raw)
    except DecodeError as error:
        raise _malformed(str(error)) from error


def _part(raw: bytes) -> bytes:
    return len(raw).to_bytes(4) + raw


@lru_cache(10_000)
def _extra(suffix: str, label: str, value: str) -> bytes:
    """What a series of a metric has beside the others: a suffix of the name, a label of its own."""
    return b"".join(_part(text.encode()) for text in (suffix, label, value))


_COUNT, _SUM = _extra("_count", "", ""), _extra("_sum", "", "")


def _ms(holder: Any, name: str) -> int:
    """A Timestamp in milliseconds; 0 where there is none."""
    if not holder.HasField(name):
        return 0
    stamp = getattr(holder, name)
    return int(max(0, min(stamp.seconds * 1000 + stamp.nanos // 1_000_000, LARGEST_MS)))


def _malformed(why: str) -> InvalidInput:
    return InvalidInput("invalid_protobuf", f"the body is no stream of MetricFamily messages: {why}"[:500])
