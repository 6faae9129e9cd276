"""Remote write, read back by protobuf's own classes: made here from Prometheus' `remote.proto` and `types.proto`."""

import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

from cramjam import snappy
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tests.sdk.export.receivers import Receiver, Request

STALE_BITS = 0x7FF0000000000002
_FIELD = descriptor_pb2.FieldDescriptorProto
_MESSAGES: dict[str, dict[str, Any]] = {
    "Label": {"name": _FIELD.TYPE_STRING, "value": _FIELD.TYPE_STRING},
    # Read as bits, for a NaN's are meant.
    "Sample": {"value": _FIELD.TYPE_FIXED64, "timestamp": _FIELD.TYPE_INT64},
    "TimeSeries": {"labels": "Label", "samples": "Sample"},
    "WriteRequest": {"timeseries": "TimeSeries"},
}


def _write_request() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="remote.proto", package="prometheus", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            if isinstance(kind, str):
                told = {"type": _FIELD.TYPE_MESSAGE, "type_name": f".prometheus.{kind}", "label": _FIELD.LABEL_REPEATED}
            else:
                told = {"type": kind, "label": _FIELD.LABEL_OPTIONAL}
            message.field.add(name=field, number=number, **told)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("prometheus.WriteRequest"))


WriteRequest = _write_request()


class Sample(NamedTuple):
    """One sample of a series."""

    labels: tuple[tuple[str, str], ...]
    """As they stand in the message."""
    value: float
    time_ms: int
    stale: bool

    @property
    def name(self) -> str:
        """Of the metric."""
        return self.of("__name__")

    def of(self, label: str) -> str:
        """A label's value, or nothing."""
        return dict(self.labels).get(label, "")


def read(body: bytes) -> list[Sample]:
    """The samples of a WriteRequest."""
    request = WriteRequest.FromString(body)
    size = request.ByteSize()
    request.DiscardUnknownFields()
    assert request.ByteSize() == size, "fields that no reader knows"
    return [
        Sample(
            tuple((label.name, label.value) for label in series.labels),
            struct.unpack("<d", struct.pack("<Q", sample.value))[0],
            sample.timestamp,
            sample.value == STALE_BITS,
        )
        for series in request.timeseries
        for sample in series.samples
    ]


def written(requests: Iterable[Request], name: str = "") -> list[Sample]:
    """All samples that came, in order; of one metric, or of all."""
    found = [sample for one in requests for sample in read(bytes(snappy.decompress_raw(one.raw)))]
    return [sample for sample in found if name in ("", sample.name)]


def url(receiver: Receiver) -> str:
    """Where a receiver takes it."""
    return f"http://127.0.0.1:{receiver.port}/api/v1/write"
