"""io.prometheus.client.MetricFamily as descriptors, labels left as bytes: they are looked up, not read.

Source: https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto. Optional fields have
presence there (proto2); where it matters, in exemplars and timestamps, they are messages, which have it in proto3 too.
Texts are declared as bytes, so that text that is no UTF-8 is refused with its place.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Proto = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "bytes": _Proto.TYPE_BYTES,
    "double": _Proto.TYPE_DOUBLE,
    "int64": _Proto.TYPE_INT64,
    "int32": _Proto.TYPE_INT32,
    "uint64": _Proto.TYPE_UINT64,
    "uint32": _Proto.TYPE_UINT32,
    "sint32": _Proto.TYPE_SINT32,
    "sint64": _Proto.TYPE_SINT64,
}
# One field a line: number name kind; `*` repeated.
_TABLE = {
    "LabelPair": "1 name bytes, 2 value bytes",
    "Timestamp": "1 seconds int64, 2 nanos int32",
    "Exemplar": "1 label *LabelPair, 2 value double, 3 timestamp Timestamp",
    "Number": "1 value double",
    "Counter": "1 value double, 2 exemplar Exemplar, 3 created Timestamp",
    "Quantile": "1 quantile double, 2 value double",
    "Summary": "1 sample_count uint64, 2 sample_sum double, 3 quantile *Quantile, 4 created Timestamp",
    "Bucket": "1 cumulative_count uint64, 2 upper_bound double, 3 exemplar Exemplar, 4 cumulative_count_float double",
    "Span": "1 offset sint32, 2 length uint32",
    "Histogram": "1 sample_count uint64, 2 sample_sum double, 3 bucket *Bucket, 4 sample_count_float double, "
    "5 schema sint32, 6 zero_threshold double, 7 zero_count uint64, 8 zero_count_float double, 9 negative_span *Span, "
    "10 negative_delta *sint64, 11 negative_count *double, 12 positive_span *Span, 13 positive_delta *sint64, "
    "14 positive_count *double, 15 created Timestamp, 16 exemplars *Exemplar",
    "Metric": "1 label *bytes, 2 gauge Number, 3 counter Counter, 4 summary Summary, 5 untyped Number, "
    "6 timestamp_ms int64, 7 histogram Histogram",
    "MetricFamily": "1 name bytes, 2 help bytes, 3 type int32, 4 metric *Metric, 5 unit bytes",
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="gnomon/exposition.proto", package="gnomon.exposition")
    file.syntax = "proto3"
    for name, fields in _TABLE.items():
        message = file.message_type.add(name=name)
        for declared in fields.split(", "):
            number, field, kind = declared.split(" ")
            bare = kind.lstrip("*")
            added = message.field.add(name=field, number=int(number))
            added.label = _Proto.LABEL_REPEATED if kind[0] == "*" else _Proto.LABEL_OPTIONAL
            added.type = _TYPES.get(bare, _Proto.TYPE_MESSAGE)
            if bare not in _TYPES:
                added.type_name = f".gnomon.exposition.{bare}"
    return file


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())


def message_class(name: str) -> Any:
    """The class of a message of the table."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"gnomon.exposition.{name}"))
