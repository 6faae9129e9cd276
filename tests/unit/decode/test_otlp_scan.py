"""What ordinary encoders do not write, and what must not be confused."""

import struct

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from gnomon_server.decode.otlp.context import DecodeContext
from gnomon_server.decode.otlp.fields import UnusualError, varints
from gnomon_server.decode.otlp.metrics import decode_metrics
from gnomon_server.decode.otlp.scan import Messages, scan
from gnomon_server.decode.otlp.wire import DecodeError
from gnomon_server.model.batch import Batch

NOW_NS = 1_790_000_000_000_000_000
TIME = b"\x19" + struct.pack("<Q", NOW_NS)


def prefixed(tag: bytes, content: bytes) -> bytes:
    """A field of bytes shorter than 16 KiB."""
    size = len(content)
    return tag + (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + content


def decoded(shape: bytes, *points: bytes) -> Batch:
    """The batch of one metric named `m`, of the shape (its tag in Metric) with these points."""
    metric = b"\x0a\x01m" + prefixed(shape, b"".join(prefixed(b"\x0a", point) for point in points))
    body = prefixed(b"\x0a", prefixed(b"\x12", prefixed(b"\x12", metric)))
    ExportMetricsServiceRequest.FromString(body)  # it is legal protobuf
    return decode_metrics(body, "t", DecodeContext())


def test_unpacked_buckets_are_those_of_packed_ones() -> None:
    """proto3 packs repeated numbers; a parser must take both, also mixed in one request."""
    counts = [struct.pack("<Q", count) for count in (1, 2, 3)]
    bounds = [struct.pack("<d", bound) for bound in (0.5, 1.5)]
    head = TIME + b"\x21" + struct.pack("<Q", 6)
    packed = head + prefixed(b"\x32", b"".join(counts)) + prefixed(b"\x3a", b"".join(bounds))
    unpacked = head + b"".join(b"\x31" + count for count in counts) + b"".join(b"\x39" + bound for bound in bounds)
    halves = prefixed(b"\x32", counts[0]) + prefixed(b"\x32", counts[1] + counts[2])
    split = head + halves + prefixed(b"\x3a", b"".join(bounds))
    expected = decoded(b"\x4a", packed, packed, packed).tables["samples"]
    assert decoded(b"\x4a", packed, unpacked, split).tables["samples"].equals(expected)


def test_of_both_members_of_a_oneof_the_last_one_counts() -> None:
    """A point with as_double and then as_int is an integer, and the other way round."""
    double, integer = b"\x21" + struct.pack("<d", 0.5), b"\x31" + struct.pack("<q", 7)
    batch = decoded(b"\x2a", TIME + double + integer, TIME + integer + double)
    assert batch.tables["samples"].column("v").to_pylist() == [7.0, 0.5]


def test_attributes_whose_bytes_join_to_the_same_are_different_series() -> None:
    """A key without a value before a value without a key is not the pair of both."""
    key, value = b"\x0a\x01a", b"\x12\x03\x0a\x01x"
    apart = prefixed(b"\x3a", key) + prefixed(b"\x3a", value)
    together = prefixed(b"\x3a", key + value)
    number = TIME + b"\x31" + struct.pack("<q", 7)
    batch = decoded(b"\x2a", number + apart, number + together)
    labels = {row["id"]: dict(row["labels"]) for row in batch.tables["series"].to_pylist()}
    first, second = batch.tables["samples"].column("id").to_pylist()
    assert labels[first] == {"job": "unknown_service", "key_": "x"}
    assert labels[second] == {"job": "unknown_service", "a": "x"}


def test_unknown_fields_are_passed_over() -> None:
    """Of every wire type, before, between and after what is known."""
    fields = [b"\xc8\x06\x96\x01", b"\xc9\x06" + bytes(8), b"\xca\x06\x02hi", b"\xcd\x06" + bytes(4)]
    unknown = b"".join([*fields, b"\xcb\x06\x08\x01\xcc\x06"])
    number = b"\x31" + struct.pack("<q", 7)
    batch = decoded(b"\x2a", unknown + TIME + unknown + number + unknown, TIME + number)
    assert batch.tables["samples"].column("v").to_pylist() == [7.0, 7.0]


@pytest.mark.parametrize(
    "raw",
    [
        b"\x19\x01",
        b"\x3a\x05abc",
        b"\x40",
        b"\x40\xff",
        b"\x40\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x07",
        b"\x00\x01",
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x3b\x08\x01",
        b"\x3c",
    ],
)
def test_a_broken_message_is_not_read(raw: bytes) -> None:
    """Cut short, too long a varint, field number 0, a group that never ends."""
    with pytest.raises(DecodeError):
        scan("NumberDataPoint", [b"", raw, TIME])


def test_varints_have_up_to_ten_bytes() -> None:
    """Each value with its width; what has more than 64 bits is refused."""
    raws = [b"\x00", b"\x7f", b"\x80\x01", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x85\x80\x00"]
    messages = Messages.joined(raws)
    value, width = varints(messages.data, messages.starts)
    assert value.tolist() == [0, 127, 128, 2**64 - 1, 5]
    assert width.tolist() == [1, 1, 2, 10, 3]
    messages = Messages.joined([b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"])
    with pytest.raises(UnusualError):
        varints(messages.data, messages.starts)
