"""OTLP messages as *wire-compatible lazy descriptors*.

The field numbers and names are those of opentelemetry-proto 1.x, but records (spans, log records, data points) are
declared as `bytes`: upb walks only the envelope, and NumPy reads all records together (scan.py). Strings are declared
as bytes too, so that one invalid UTF-8 sequence costs one replacement character and not the whole request.

`MESSAGES` is the one table of the protocol: the descriptors here, the scanner's field numbers and the JSON form
(from_json.py) all come from it.
"""

from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_Proto = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "bytes": _Proto.TYPE_BYTES,
    "string": _Proto.TYPE_BYTES,
    "id": _Proto.TYPE_BYTES,  # bytes that OTLP/JSON writes in hex
    "fixed64": _Proto.TYPE_FIXED64,
    "sfixed64": _Proto.TYPE_SFIXED64,
    "fixed32": _Proto.TYPE_FIXED32,
    "double": _Proto.TYPE_DOUBLE,
    "int64": _Proto.TYPE_INT64,
    "uint64": _Proto.TYPE_UINT64,
    "uint32": _Proto.TYPE_UINT32,
    "sint32": _Proto.TYPE_SINT32,
    "bool": _Proto.TYPE_BOOL,
    "SpanKind": _Proto.TYPE_INT32,
    "StatusCode": _Proto.TYPE_INT32,
    "SeverityNumber": _Proto.TYPE_INT32,
    "AggregationTemporality": _Proto.TYPE_INT32,
}

# One field a line: number name kind; `*` repeated, `?` with presence, `|` a member of the message's oneof,
# `!` a message that the descriptors leave as bytes.
_TABLE = {
    "AnyValue": "1 string_value |string, 2 bool_value |bool, 3 int_value |int64, 4 double_value |double, "
    "5 array_value |ArrayValue, 6 kvlist_value |KeyValueList, 7 bytes_value |bytes",
    "ArrayValue": "1 values *AnyValue",
    "KeyValueList": "1 values *KeyValue",
    "KeyValue": "1 key string, 2 value ?AnyValue",
    "Resource": "1 attributes *!KeyValue, 2 dropped_attributes_count uint32",
    "InstrumentationScope": "1 name string, 2 version string, 3 attributes *!KeyValue, "
    "4 dropped_attributes_count uint32",
    # traces
    "TracesRequest": "1 resource_spans *ResourceSpans",
    "ResourceSpans": "1 resource ?Resource, 2 scope_spans *ScopeSpans, 3 schema_url string",
    "ScopeSpans": "1 scope ?InstrumentationScope, 2 spans *!Span, 3 schema_url string",
    "Span": "1 trace_id id, 2 span_id id, 3 trace_state string, 4 parent_span_id id, 5 name string, 6 kind SpanKind, "
    "7 start_time_unix_nano fixed64, 8 end_time_unix_nano fixed64, 9 attributes *!KeyValue, "
    "10 dropped_attributes_count uint32, 11 events *!Event, 12 dropped_events_count uint32, 13 links *!Link, "
    "14 dropped_links_count uint32, 15 status ?Status, 16 flags fixed32",
    "Event": "1 time_unix_nano fixed64, 2 name string, 3 attributes *KeyValue, 4 dropped_attributes_count uint32",
    "Link": "1 trace_id id, 2 span_id id, 3 trace_state string, 4 attributes *KeyValue, "
    "5 dropped_attributes_count uint32, 6 flags fixed32",
    "Status": "2 message string, 3 code StatusCode",
    # logs
    "LogsRequest": "1 resource_logs *ResourceLogs",
    "ResourceLogs": "1 resource ?Resource, 2 scope_logs *ScopeLogs, 3 schema_url string",
    "ScopeLogs": "1 scope ?InstrumentationScope, 2 log_records *!LogRecord, 3 schema_url string",
    "LogRecord": "1 time_unix_nano fixed64, 2 severity_number SeverityNumber, 3 severity_text string, "
    "5 body ?AnyValue, 6 attributes *!KeyValue, 7 dropped_attributes_count uint32, 8 flags fixed32, 9 trace_id id, "
    "10 span_id id, 11 observed_time_unix_nano fixed64, 12 event_name string",
    # metrics
    "MetricsRequest": "1 resource_metrics *ResourceMetrics",
    "ResourceMetrics": "1 resource ?Resource, 2 scope_metrics *ScopeMetrics, 3 schema_url string",
    "ScopeMetrics": "1 scope ?InstrumentationScope, 2 metrics *Metric, 3 schema_url string",
    "Metric": "1 name string, 2 description string, 3 unit string, 5 gauge |Gauge, 7 sum |Sum, "
    "9 histogram |Histogram, 10 exponential_histogram |ExponentialHistogram, 11 summary |Summary, "
    "12 metadata *!KeyValue",
    "Gauge": "1 data_points *!NumberDataPoint",
    "Sum": "1 data_points *!NumberDataPoint, 2 aggregation_temporality AggregationTemporality, 3 is_monotonic bool",
    "Histogram": "1 data_points *!HistogramDataPoint, 2 aggregation_temporality AggregationTemporality",
    "ExponentialHistogram": "1 data_points *!ExponentialHistogramDataPoint, "
    "2 aggregation_temporality AggregationTemporality",
    "Summary": "1 data_points *!SummaryDataPoint",
    "NumberDataPoint": "2 start_time_unix_nano fixed64, 3 time_unix_nano fixed64, 4 as_double |double, "
    "5 exemplars *!Exemplar, 6 as_int |sfixed64, 7 attributes *!KeyValue, 8 flags uint32",
    "HistogramDataPoint": "2 start_time_unix_nano fixed64, 3 time_unix_nano fixed64, 4 count fixed64, 5 sum ?double, "
    "6 bucket_counts *fixed64, 7 explicit_bounds *double, 8 exemplars *!Exemplar, 9 attributes *!KeyValue, "
    "10 flags uint32, 11 min ?double, 12 max ?double",
    "Buckets": "1 offset sint32, 2 bucket_counts *uint64",
    "ExponentialHistogramDataPoint": "1 attributes *!KeyValue, 2 start_time_unix_nano fixed64, "
    "3 time_unix_nano fixed64, 4 count fixed64, 5 sum ?double, 6 scale sint32, 7 zero_count fixed64, "
    "8 positive ?Buckets, 9 negative ?Buckets, 10 flags uint32, 11 exemplars *!Exemplar, 12 min ?double, "
    "13 max ?double, 14 zero_threshold double",
    "SummaryDataPoint": "2 start_time_unix_nano fixed64, 3 time_unix_nano fixed64, 4 count fixed64, 5 sum double, "
    "6 quantile_values *!ValueAtQuantile, 7 attributes *!KeyValue, 8 flags uint32",
    "ValueAtQuantile": "1 quantile double, 2 value double",
    "Exemplar": "2 time_unix_nano fixed64, 3 as_double |double, 4 span_id id, 5 trace_id id, 6 as_int |sfixed64, "
    "7 filtered_attributes *KeyValue",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message; `kind` is a key of the scalar types, the name of an enum, or the name of a message."""

    number: int
    name: str
    kind: str
    repeated: bool
    optional: bool
    in_oneof: bool
    lazy: bool

    @property
    def is_message(self) -> bool:
        """Whether `kind` names a message."""
        return self.kind not in _TYPES

    @classmethod
    def parse(cls, declared: str) -> "Field":
        """A field from its line in the table."""
        number, name, kind = declared.split(" ")
        return cls(int(number), name, kind.lstrip("*?|!"), "*" in kind, "?" in kind, "|" in kind, "!" in kind)


MESSAGES = {
    message: {field.name: field for field in map(Field.parse, fields.split(", "))} for message, fields in _TABLE.items()
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="gnomon/otlp.proto", package="gnomon.otlp", syntax="proto3")
    for message_name, fields in MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for field in fields.values():
            _declare(message, field)
        # proto3 `optional` scalars live in a synthetic oneof each; these come after the real ones.
        for field, declared in zip(fields.values(), message.field, strict=True):
            if field.optional and declared.type != _Proto.TYPE_MESSAGE:
                declared.proto3_optional, declared.oneof_index = True, len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field.name}")
    return file


def _declare(message: descriptor_pb2.DescriptorProto, field: Field) -> None:
    declared = message.field.add(name=field.name, number=field.number)
    declared.label = _Proto.LABEL_REPEATED if field.repeated else _Proto.LABEL_OPTIONAL
    if field.lazy:
        declared.type = _Proto.TYPE_BYTES
    elif field.is_message:
        declared.type, declared.type_name = _Proto.TYPE_MESSAGE, f".gnomon.otlp.{field.kind}"
    else:
        declared.type = _TYPES[field.kind]
    if field.in_oneof:
        if not message.oneof_decl:
            message.oneof_decl.add(name="which")
        declared.oneof_index = 0


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())
CLASSES: dict[str, Any] = {
    name: message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"gnomon.otlp.{name}")) for name in MESSAGES
}


def parse(message: str, raw: bytes) -> Any:
    """A message from its bytes. Raises DecodeError when they are none."""
    return CLASSES[message].FromString(raw)


def canonical(message: str, raw: bytes) -> bytes:
    """The same message as upb writes it: each field once, in order, packed, without unknown ones."""
    parsed = parse(message, raw)
    parsed.DiscardUnknownFields()
    encoded: bytes = parsed.SerializeToString()
    return encoded


__all__ = ["CLASSES", "MESSAGES", "DecodeError", "Field", "canonical", "parse"]
