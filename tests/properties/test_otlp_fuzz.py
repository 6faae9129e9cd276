"""Hostile bytes: nothing but InvalidInput is ever raised, nothing hangs, caches stay bounded.

GNOMON_FUZZ_CASES makes it longer.
"""

import contextlib
import os
import random
import struct
import tracemalloc
from typing import Any

import otlp_reference as reference
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gnomon_server.decode.otlp.context import DecodeContext
from gnomon_server.decode.otlp.from_json import to_protobuf
from gnomon_server.decode.otlp.logs import decode_logs
from gnomon_server.decode.otlp.metrics import decode_metrics
from gnomon_server.decode.otlp.traces import decode_traces
from gnomon_server.errors import InvalidInput

CASES = int(os.environ.get("GNOMON_FUZZ_CASES", "1000"))
NOW_NS = 1_790_000_000_000_000_000
VALUES = [
    {"string_value": "x" * 40},
    {"int_value": -5},
    {"double_value": 0.5},
    {"bool_value": True},
    {"bytes_value": b"\0\1"},
    {"array_value": {"values": [{"int_value": 1}]}},
    {"kvlist_value": {"values": [{"key": "k"}]}},
    {},
]
PAIRS = [{"key": f"key.{number}", "value": value} for number, value in enumerate(VALUES)]


def trace_request() -> Any:
    """Eight spans with everything a span can carry."""
    request = ExportTraceServiceRequest()
    scoped = request.resource_spans.add(resource={"attributes": PAIRS}).scope_spans.add(scope={"name": "s"})
    for number in range(8):
        scoped.spans.add(
            trace_id=b"t" * 16, span_id=bytes([number + 1]) * 8, name=f"n{number}", kind=2, start_time_unix_nano=NOW_NS,
            end_time_unix_nano=NOW_NS + 9, attributes=PAIRS, flags=257, status={"code": 2, "message": "no"},
            events=[{"name": "e", "attributes": PAIRS}], links=[{"trace_id": b"l" * 16, "span_id": b"m" * 8}],
        )  # fmt: skip
    return request


def log_request() -> Any:
    """A record for each type of value."""
    request = ExportLogsServiceRequest()
    scoped = request.resource_logs.add(resource={"attributes": PAIRS}).scope_logs.add()
    for value in VALUES:
        scoped.log_records.add(time_unix_nano=NOW_NS, body=value, attributes=PAIRS, severity_number=9)
    return request


def metric_request() -> Any:
    """Every kind of metric."""
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add(resource={"attributes": PAIRS}).scope_metrics.add().metrics
    point = {"time_unix_nano": NOW_NS, "start_time_unix_nano": NOW_NS - 5, "attributes": PAIRS}
    exemplars = [{"time_unix_nano": NOW_NS, "as_double": 0.5, "trace_id": b"t" * 16}]
    metrics.add(name="g", gauge={"data_points": [{**point, "as_int": 5, "exemplars": exemplars}] * 7})
    metrics.add(name="s", sum={"data_points": [{**point, "as_double": 5.5}], "aggregation_temporality": 1})
    buckets = {
        "explicit_bounds": [0.1, 1.0],
        "bucket_counts": [1, 2, 3],
        "count": 6,
        "sum": 2.0,
        "exemplars": exemplars,
    }
    metrics.add(name="h", histogram={"data_points": [{**point, **buckets}] * 7})
    native = {"scale": 3, "positive": {"offset": -2, "bucket_counts": [1, 0, 300]}, "exemplars": exemplars}
    metrics.add(name="e", exponential_histogram={"data_points": [{**point, **native}] * 7})
    metrics.add(
        name="q", summary={"data_points": [{**point, "quantile_values": [{"quantile": 0.5, "value": 1.0}]}] * 7}
    )
    return request


DECODERS = {
    "traces": (trace_request, lambda body, context: decode_traces(body, "t", context), reference.traces),
    "logs": (
        log_request,
        lambda body, context: decode_logs(body, "t", context, NOW_NS),
        lambda b: reference.logs(b, NOW_NS),
    ),
    "metrics": (metric_request, lambda body, context: decode_metrics(body, "t", context), reference.metrics),
}


def mutated(body: bytes, chance: random.Random) -> bytes:
    """Bytes flipped, set, cut out, doubled, or the end cut off."""
    body = bytearray(body)
    for _ in range(chance.choice([1, 1, 2, 8])):
        at = chance.randrange(max(1, len(body)))
        match chance.randrange(6):
            case 0:
                body[at : at + 1] = bytes([body[at] ^ 1 << chance.randrange(8)]) if body else b""
            case 1:
                body[at : at + 1] = chance.choice([b"\x00", b"\x7f", b"\x80", b"\xff", b"\x0a", b"\x0b", b"\x12"])
            case 2:
                del body[at : at + chance.randrange(1, 20)]
            case 3:
                body[at:at] = body[at : at + chance.randrange(1, 40)]
            case 4:
                body[at:at] = b"\xff" * chance.randrange(1, 11)
            case _:
                del body[at:]
    return bytes(body)


@pytest.mark.parametrize("signal", DECODERS)
def test_mutated_requests_are_read_or_refused(signal: str) -> None:
    """Thousands of damaged requests through one context: InvalidInput or a valid batch, nothing else."""
    make, decode, _ = DECODERS[signal]
    body, chance, context, read = make().SerializeToString(), random.Random(7), DecodeContext(), 0
    for _ in range(CASES):
        try:
            batch = decode(mutated(body, chance), context)
        except InvalidInput:
            continue
        read += 1
        for table in batch.tables.values():
            table.validate(full=True)
    assert read > CASES // 50  # the damage is not always fatal, else little was tried


@pytest.mark.parametrize("signal", DECODERS)
def test_random_bytes_are_read_or_refused(signal: str) -> None:
    """Noise, and noise in the frame of a request."""
    _, decode, _ = DECODERS[signal]
    chance, context = random.Random(11), DecodeContext()
    for _ in range(CASES):
        noise = chance.randbytes(chance.randrange(60))
        framed = noise
        for tag in (0x12, 0x12, 0x0A):
            framed = bytes([tag, len(framed)]) + framed
        for body in (noise, framed):
            with contextlib.suppress(InvalidInput):
                decode(body, context)


@pytest.mark.parametrize("signal", DECODERS)
def test_damage_that_protobuf_accepts_reads_as_protobuf_reads_it(signal: str) -> None:
    """Where the generated classes still read the damaged bytes, the rows are those of the reference."""
    make, decode, expected_of = DECODERS[signal]
    body, chance, compared = make().SerializeToString(), random.Random(13), 0
    for _ in range(CASES // 3):
        damaged = mutated(body, chance)
        try:
            expected = expected_of(damaged)
        except Exception:  # noqa: BLE001, S112 - the generated classes refuse invalid UTF-8 and more, each in its way
            continue
        batch = decode(damaged, DecodeContext())
        assert batch.rejections.refused == expected.refused
        for name, table in batch.tables.items():
            assert reference.arrow_rows(table) == reference.table_of(expected.tables[name]), name
        compared += 1
    assert compared > CASES // 200


def nested(depth: int) -> bytes:
    """An AnyValue of arrays in arrays."""
    value = b"\x18\x01"
    for _ in range(depth):
        inner = b"\x0a" + length(len(value)) + value
        value = b"\x2a" + length(len(inner)) + inner
    return value


def length(number: int) -> bytes:
    """A number in its variable length."""
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])


def one_log(content: Any) -> bytes:
    """A request with one log record of these bytes."""
    for tag in (b"\x12", b"\x12", b"\x0a"):
        content = tag + length(len(content)) + content
    return content


TIME = b"\x09" + struct.pack("<Q", NOW_NS)


@pytest.mark.parametrize("depth", [10, 49, 60, 5000])
def test_hostile_nesting_is_refused_or_read(depth: int) -> None:
    """Values in values: as deep as protobuf goes, then InvalidInput; the stack is never exhausted."""
    value = nested(depth)
    pair = b"\x0a\x01k\x12" + length(len(value)) + value
    for content in (b"\x32" + length(len(pair)) + pair, b"\x2a" + length(len(value)) + value):
        try:
            assert decode_logs(one_log(TIME + content), "t", DecodeContext(), NOW_NS).records == 1
            assert depth < 60
        except InvalidInput:
            assert depth > 10


def test_a_record_of_a_million_fields_does_not_hang() -> None:
    """One message with very many fields costs a loop, not a round of array operations for each."""
    pair = b"\x32\x07\x0a\x01k\x12\x02\x18\x01"
    batch = decode_logs(one_log(TIME + pair * 300_000), "t", DecodeContext(), NOW_NS)
    assert batch.rejections.altered == {"attributes_over_limit": 299_000}


def test_extreme_values_are_stored_as_they_are() -> None:
    """A megabyte of text is cut by name; NUL bytes, NaN and infinities are values like others."""
    request = log_request()
    record = request.resource_logs[0].scope_logs[0].log_records[0]
    del record.attributes[:]
    record.attributes.add(key="long").value.string_value = "x" * 2**20
    record.attributes.add(key="nul").value.string_value = "a\0b"
    record.attributes.add(key="nan").value.double_value = float("nan")
    record.attributes.add(key="inf").value.double_value = float("-inf")
    batch = decode_logs(request.SerializeToString(), "t", DecodeContext(), NOW_NS)
    row = (
        batch.tables["logs"].to_pylist if False else batch.tables["logs"].select(["s", "f"]).slice(0, 1).to_pylist()[0]
    )
    texts = dict(row["s"])
    assert texts["nul"] == "a\0b"
    assert len(texts["long"]) == DecodeContext().attribute_limits.value_bytes
    assert str(dict(row["f"])) == "{'nan': nan, 'inf': -inf}"
    assert batch.rejections.altered == {"attribute_cut": 1}


def test_a_million_distinct_keys_do_not_fill_memory() -> None:
    """Many requests, every key new, half of them in the shapes that are remembered: what is kept stays bounded."""
    context = DecodeContext()
    tracemalloc.start()
    for first in range(0, 100_000, 10_000):
        request = ExportLogsServiceRequest()
        records = request.resource_logs.add().scope_logs.add().log_records
        for number in range(first, first + 10_000, 500):
            record = records.add(time_unix_nano=NOW_NS)
            for key in range(number, number + 500):
                record.attributes.add(key=f"k{key}", value={} if key % 2 else {"int_value": key})
        decode_logs(request.SerializeToString(), "t", context, NOW_NS)
    del request, records, record
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 40 << 20


def test_damaged_json_is_read_or_refused() -> None:
    """The same damage to OTLP/JSON."""
    body = (
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174",'
        b'"startTimeUnixNano":"1544712660000000000","kind":2,"attributes":[{"key":"a","value":{"intValue":"1"}}]}]}]}]}'
    )
    chance, context = random.Random(17), DecodeContext()
    for _ in range(CASES):
        with contextlib.suppress(InvalidInput):
            decode_traces(to_protobuf(mutated(body, chance), "traces"), "t", context)
