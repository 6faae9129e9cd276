"""Remote write as senders encode it: Google's own encoder, with messages declared here from Prometheus' .proto files.

1.0: prompb/remote.proto and prompb/types.proto; 2.0: prompb/io/prometheus/write/v2/types.proto.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import Any

from cramjam import snappy
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

V1, V2 = "prometheus.WriteRequest", "io.prometheus.write.v2.Request"
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
TYPES = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")

_HISTOGRAM = """
    oneof count { uint64 count_int = 1; double count_float = 2; }
    double sum = 3;
    sint32 schema = 4;
    double zero_threshold = 5;
    oneof zero_count { uint64 zero_count_int = 6; double zero_count_float = 7; }
    repeated BucketSpan negative_spans = 8;
    repeated sint64 negative_deltas = 9;
    repeated double negative_counts = 10;
    repeated BucketSpan positive_spans = 11;
    repeated sint64 positive_deltas = 12;
    repeated double positive_counts = 13;
    int32 reset_hint = 14;
    int64 timestamp = 15;
    repeated double custom_values = 16;
"""
_SPAN = "sint32 offset = 1; uint32 length = 2;"
_V1 = {
    "MetricMetadata": "int32 type = 1; string metric_family_name = 2; string help = 4; string unit = 5;",
    "Label": "string name = 1; string value = 2;",
    "Sample": "double value = 1; int64 timestamp = 2;",
    "Exemplar": "repeated Label labels = 1; double value = 2; int64 timestamp = 3;",
    "BucketSpan": _SPAN,
    "Histogram": _HISTOGRAM,
    "TimeSeries": "repeated Label labels = 1; repeated Sample samples = 2; repeated Exemplar exemplars = 3; "
    "repeated Histogram histograms = 4;",
    "WriteRequest": "repeated TimeSeries timeseries = 1; repeated MetricMetadata metadata = 3;",
}
_V2 = {
    "Metadata": "int32 type = 1; uint32 help_ref = 3; uint32 unit_ref = 4;",
    "Sample": "double value = 1; int64 timestamp = 2; int64 start_timestamp = 3;",
    "Exemplar": "repeated uint32 labels_refs = 1; double value = 2; int64 timestamp = 3;",
    "BucketSpan": _SPAN,
    "Histogram": _HISTOGRAM + "int64 start_timestamp = 17;",
    "TimeSeries": "repeated uint32 labels_refs = 1; repeated Sample samples = 2; repeated Histogram histograms = 3; "
    "repeated Exemplar exemplars = 4; Metadata metadata = 5; int64 created_timestamp = 6;",
    "Request": "repeated string symbols = 4; repeated TimeSeries timeseries = 5;",
}


def classes(package: str, messages: Mapping[str, str]) -> dict[str, Any]:
    """The messages of a package; of the .proto language as much is read as stands here."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, text in messages.items():
        message = file.message_type.add(name=name)
        inside = False
        for statement in text.replace("{", ";").replace("}", "; end ;").split(";"):
            words = statement.split()
            if words[:1] == ["oneof"]:
                message.oneof_decl.add(name=words[1])
                inside = True
            elif words == ["end"]:
                inside = False
            elif words:
                *repeated, kind, label, _, number = words
                declared = message.field.add(name=label, number=int(number))
                declared.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
                if kind in messages:
                    declared.type, declared.type_name = field.TYPE_MESSAGE, f".{package}.{kind}"
                else:
                    declared.type = getattr(field, f"TYPE_{kind.upper()}")
                if inside:
                    declared.oneof_index = len(message.oneof_decl) - 1
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}


PRW1, PRW2 = classes("prometheus", _V1), classes("io.prometheus.write.v2", _V2)


class Symbols:
    """The table of strings of a request of 2.0."""

    def __init__(self) -> None:
        self.texts = {"": 0}

    def ref(self, text: str) -> int:
        """The number of a text."""
        return self.texts.setdefault(text, len(self.texts))

    def refs(self, pairs: Iterable[tuple[str, str]]) -> list[int]:
        """Names and values in turn."""
        return [self.ref(text) for pair in pairs for text in pair]


def sorted_pairs(labels: Mapping[str, str]) -> list[tuple[str, str]]:
    """Labels in the order that the protocol asks for: by the bytes of their names."""
    return sorted(labels.items(), key=lambda pair: pair[0].encode())


def request(message: str, series: Iterable[Mapping[str, Any]], metadata: Iterable[Mapping[str, Any]] = ()) -> bytes:
    """A request, not compressed.

    A series is `labels` (a map, sorted here, or pairs, taken as they are), `samples` (value, time, and in 2.0 start),
    `histograms` (fields of the message), `exemplars` (labels, value, time), and in 2.0 `type`, `help`, `unit`,
    `created`.
    """
    return _request_1(series, metadata) if message == V1 else _request_2(series)


def _pairs(labels: Any) -> list[tuple[str, str]]:
    return sorted_pairs(labels) if isinstance(labels, Mapping) else list(labels)


def _request_1(series: Iterable[Mapping[str, Any]], metadata: Iterable[Mapping[str, Any]]) -> bytes:
    built = PRW1["WriteRequest"]()
    for one in series:
        added = built.timeseries.add()
        for name, value in _pairs(one["labels"]):
            added.labels.add(name=name, value=value)
        for value, at, *_ in one.get("samples", ()):
            added.samples.add(value=value, timestamp=at)
        for histogram in one.get("histograms", ()):
            added.histograms.add(**histogram)
        for labels, value, at in one.get("exemplars", ()):
            exemplar = added.exemplars.add(value=value, timestamp=at)
            for name, text in _pairs(labels):
                exemplar.labels.add(name=name, value=text)
    for fields in metadata:
        built.metadata.add(**fields)
    return bytes(built.SerializeToString())


def _request_2(series: Iterable[Mapping[str, Any]]) -> bytes:
    built, symbols = PRW2["Request"](), Symbols()
    for one in series:
        added = built.timeseries.add(labels_refs=symbols.refs(_pairs(one["labels"])))
        for value, at, *start in one.get("samples", ()):
            added.samples.add(value=value, timestamp=at, start_timestamp=start[0] if start else 0)
        for histogram in one.get("histograms", ()):
            added.histograms.add(**histogram)
        for labels, value, at in one.get("exemplars", ()):
            added.exemplars.add(value=value, timestamp=at, labels_refs=symbols.refs(_pairs(labels)))
        if {"type", "help", "unit"} & set(one):
            added.metadata.type = TYPES.index(one.get("type", "unknown"))
            added.metadata.help_ref = symbols.ref(one.get("help", ""))
            added.metadata.unit_ref = symbols.ref(one.get("unit", ""))
        added.created_timestamp = one.get("created", 0)
    built.symbols.extend(symbols.texts)
    return bytes(built.SerializeToString())


def compressed(body: bytes) -> bytes:
    """In snappy's block format."""
    return bytes(snappy.compress_raw(body))


def content_type(message: str) -> str:
    """The header by which a receiver knows the message."""
    return f"application/x-protobuf;proto={message}"
