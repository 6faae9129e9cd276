"""The messages of remote write as *wire-compatible lazy descriptors*; decode/otlp/wire.py says why.

Sources: prometheus/prompb/{remote,types}.proto (1.0: `prometheus.WriteRequest`) and
prometheus/prompb/io/prometheus/write/v2/types.proto (2.0: `io.prometheus.write.v2.Request`).
"""

from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from gnomon_server.decode.otlp.fields import I64, LEN, VARINT
from gnomon_server.decode.otlp.wire import Field

_Proto = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bytes": (_Proto.TYPE_BYTES, LEN),
    "string": (_Proto.TYPE_BYTES, LEN),  # as bytes: one invalid text must not cost the whole request
    "double": (_Proto.TYPE_DOUBLE, I64),
    "int64": (_Proto.TYPE_INT64, VARINT),
    "uint64": (_Proto.TYPE_UINT64, VARINT),
    "sint64": (_Proto.TYPE_SINT64, VARINT),
    "uint32": (_Proto.TYPE_UINT32, VARINT),
    "sint32": (_Proto.TYPE_SINT32, VARINT),
    "enum": (_Proto.TYPE_INT32, VARINT),
}
_HISTOGRAM = (
    "1 count_int ?uint64, 2 count_float ?double, 3 sum double, 4 schema sint32, 5 zero_threshold double, "
    "6 zero_count_int uint64, 7 zero_count_float double, 8 negative_spans *!BucketSpan, 9 negative_deltas *sint64, "
    "10 negative_counts *double, 11 positive_spans *!BucketSpan, 12 positive_deltas *sint64, "
    "13 positive_counts *double, 14 reset_hint enum, 15 timestamp int64, 16 custom_values *double, "
    "17 start_timestamp int64"
)
_SPAN = "1 offset sint32, 2 length uint32"
# One field a line: number name kind; `*` repeated, `?` with presence, `!` a message that is first left as bytes.
_V1 = {
    "Label": "1 name string, 2 value string",
    "Labels": "1 labels *Label",  # the labels of a series, cut out of it
    "Sample": "1 value double, 2 timestamp int64",
    "Exemplar": "1 labels *Label, 2 value double, 3 timestamp int64",
    "BucketSpan": _SPAN,
    "Histogram": _HISTOGRAM,
    "TimeSeries": "1 labels *!Label, 2 samples *!Sample, 3 exemplars *!Exemplar, 4 histograms *!Histogram",
    "MetricMetadata": "1 type enum, 2 metric_family_name string, 4 help string, 5 unit string",
    "Request": "1 timeseries *!TimeSeries, 3 metadata *MetricMetadata",
}
_V2 = {
    "Sample": "1 value double, 2 timestamp int64, 3 start_timestamp int64",
    "Exemplar": "1 labels_refs *uint32, 2 value double, 3 timestamp int64",
    "BucketSpan": _SPAN,
    "Histogram": _HISTOGRAM,
    "Metadata": "1 type enum, 3 help_ref uint32, 4 unit_ref uint32",
    # created_timestamp: of the drafts before 2.0-rc.4, which moved it into the samples.
    "TimeSeries": "1 labels_refs *uint32, 2 samples *!Sample, 3 histograms *!Histogram, 4 exemplars *!Exemplar, "
    "5 metadata !Metadata, 6 created_timestamp int64",
    "Request": "4 symbols *string, 5 timeseries *!TimeSeries",
}


@dataclass(frozen=True, slots=True)
class Messages:
    """The messages of one version: `layouts` for the scanner, classes with lazy fields and without."""

    layouts: dict[str, dict[str, Field]]
    lazy: dict[str, Any]
    whole: dict[str, Any]

    def canonical(self, body: bytes) -> bytes:
        """The same request as upb writes it: each field once, in order, packed, without unknown ones."""
        parsed = self.whole["Request"].FromString(body)
        parsed.DiscardUnknownFields()
        encoded: bytes = parsed.SerializeToString()
        return encoded


def wire_type(field: Field) -> int:
    """How the field stands on the wire; repeated numbers are packed."""
    return LEN if field.repeated or field.kind not in _SCALARS else _SCALARS[field.kind][1]


def stands_once(field: Field) -> bool:
    """Whether a second one in the same message would have to be merged with the first."""
    return (
        (field.kind in _SCALARS and field.kind not in ("string", "bytes"))
        if field.repeated
        else (field.kind not in _SCALARS)
    )


def _messages(version: str, table: dict[str, str]) -> Messages:
    layouts = {
        name: {field.name: field for field in map(Field.parse, fields.split(", "))} for name, fields in table.items()
    }
    return Messages(layouts, _classes(f"{version}.lazy", layouts, lazy=True), _classes(version, layouts, lazy=False))


def _classes(package: str, layouts: dict[str, dict[str, Field]], *, lazy: bool) -> dict[str, Any]:
    package = f"gnomon.remote_write.{package}"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in layouts.items():
        message = file.message_type.add(name=name)
        for field in fields.values():
            declared = message.field.add(name=field.name, number=field.number)
            declared.label = _Proto.LABEL_REPEATED if field.repeated else _Proto.LABEL_OPTIONAL
            if field.kind in _SCALARS:
                declared.type = _SCALARS[field.kind][0]
            elif lazy and field.lazy:
                declared.type = _Proto.TYPE_BYTES
            else:
                declared.type, declared.type_name = _Proto.TYPE_MESSAGE, f".{package}.{field.kind}"
            if field.optional:
                declared.proto3_optional, declared.oneof_index = True, len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field.name}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in layouts}


V1, V2 = _messages("v1", _V1), _messages("v2", _V2)
