"""OTLP/JSON: what is accepted beyond protobuf's mapping, and where a mistake is."""

import os
from pathlib import Path
from typing import Any

import orjson
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gnomon_server.decode.otlp.context import DecodeContext
from gnomon_server.decode.otlp.from_json import to_protobuf
from gnomon_server.decode.otlp.logs import decode_logs
from gnomon_server.decode.otlp.metrics import decode_metrics
from gnomon_server.decode.otlp.traces import decode_traces
from gnomon_server.errors import InvalidInput

CORPORA = Path(os.environ.get("GNOMON_CORPORA", Path(__file__).parents[4] / "shared" / "corpora"))


def span(**fields: Any) -> bytes:
    """The request of one span."""
    return orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{}, fields]}]}]})


def read(**fields: Any) -> Any:
    """That span, after conversion."""
    request = ExportTraceServiceRequest.FromString(to_protobuf(span(**fields), "traces"))
    return request.resource_spans[0].scope_spans[0].spans[1]


def test_ids_are_hex_of_either_case() -> None:
    """Base64, which protobuf's own mapping would use, is not what OTLP/JSON writes."""
    assert read(traceId="5B8EFFF798038103D269B633813FC60C").trace_id.hex() == "5b8efff798038103d269b633813fc60c"


def test_integers_come_as_text_or_numbers() -> None:
    """JavaScript senders write times as numbers, the specification as text."""
    assert read(startTimeUnixNano="1544712660000000000").start_time_unix_nano == 1544712660000000000
    assert read(startTimeUnixNano=1544712660000000000).start_time_unix_nano == 1544712660000000000
    assert read(startTimeUnixNano=5.0).start_time_unix_nano == 5


def test_enums_come_as_numbers_or_names() -> None:
    """OTLP prescribes numbers; protobuf's mapping writes names."""
    assert read(kind=2).kind == read(kind="SPAN_KIND_SERVER").kind == 2
    assert read(status={"code": "STATUS_CODE_ERROR"}).status.code == 2


def test_doubles_come_as_text_too() -> None:
    """JSON has no word for NaN and the infinities."""
    values = [read(attributes=[{"key": "a", "value": {"doubleValue": text}}]).attributes[0].value.double_value
              for text in ("Infinity", "-Infinity", "1.5", 2)]  # fmt: skip
    assert values == [float("inf"), float("-inf"), 1.5, 2.0]


def test_bytes_are_base64_with_or_without_padding() -> None:
    """Both alphabets, as protobuf's mapping accepts."""
    for text in ("+/8=", "+/8", "-_8"):
        found = read(attributes=[{"key": "a", "value": {"bytesValue": text}}]).attributes[0].value.bytes_value
        assert found == b"\xfb\xff"


def test_unknown_fields_and_nulls_are_ignored() -> None:
    """A later protocol version must not be refused."""
    assert read(name="n", somethingNew={"a": [1]}, traceState=None).name == "n"


@pytest.mark.parametrize(
    ("fields", "place", "got", "expected"),
    [
        ({"traceId": "xyz"}, "traceId", '"xyz"', "hexadecimal digits"),
        ({"traceId": 5}, "traceId", "5", "hexadecimal digits"),
        ({"name": 5}, "name", "5", "a string"),
        ({"kind": "SERVER"}, "kind", '"SERVER"', "SPAN_KIND_CONSUMER"),
        ({"kind": True}, "kind", "true", "an integer"),
        ({"startTimeUnixNano": -1}, "startTimeUnixNano", "-1", "an integer from 0"),
        ({"startTimeUnixNano": "1_000"}, "startTimeUnixNano", '"1_000"', "an integer from 0"),
        ({"startTimeUnixNano": 1.5}, "startTimeUnixNano", "1.5", "an integer from 0"),
        ({"flags": 2**32}, "flags", "4294967296", "an integer from 0 to 4294967295"),
        ({"attributes": {}}, "attributes", "an object of 0 keys", "an array"),
        ({"attributes": [{"key": "a", "value": 3}]}, "attributes[0].value", "3", "an object"),
        ({"events": [{}, {"name": []}]}, "events[1].name", "an array of 0 items", "a string"),
        ({"attributes": [{"value": {"bytesValue": "?"}}]}, "attributes[0].value.bytesValue", '"?"', "base64"),
        ({"attributes": [{"value": {"doubleValue": "nan"}}]}, "attributes[0].value.doubleValue", '"nan"', '"NaN"'),
        ({"attributes": [{"value": {"boolValue": 1}}]}, "attributes[0].value.boolValue", "1", "true or false"),
        ({"attributes": [None]}, "attributes[0]", "null", "an object"),
    ],
)
def test_a_mistake_is_named_with_its_place(fields: dict[str, Any], place: str, got: str, expected: str) -> None:
    """The JSON path, what was got and what was expected."""
    with pytest.raises(InvalidInput) as caught:
        to_protobuf(span(**fields), "traces")
    assert caught.value.code == "undecodable_json"
    assert caught.value.where == f"resourceSpans[0].scopeSpans[0].spans[1].{place}"
    assert f"got {got}" in caught.value.what
    assert expected in caught.value.what


def test_depth_is_limited() -> None:
    """Values within values within values end in a refusal and not in a crash."""
    value = {"intValue": 1}
    for _ in range(60):
        value = {"arrayValue": {"values": [value]}}
    with pytest.raises(InvalidInput, match="levels"):
        to_protobuf(span(attributes=[{"key": "deep", "value": value}]), "traces")


def test_the_output_is_not_longer_than_the_input() -> None:
    """The worst case that JSON allows: a number of one digit for a field of eight bytes."""
    counts = [{"timeUnixNano": 1, "bucketCounts": [1] * 1000, "explicitBounds": [1] * 1000}]
    body = orjson.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"histogram": {"dataPoints": counts}}]}]}]})
    assert len(to_protobuf(body, "metrics")) < 5 * len(body)


EXAMPLES = {
    "trace.json": ("traces", ExportTraceServiceRequest, lambda raw: decode_traces(raw, "t", DecodeContext())),
    "logs.json": ("logs", ExportLogsServiceRequest, lambda raw: decode_logs(raw, "t", DecodeContext(), 1)),
    "events.json": ("logs", ExportLogsServiceRequest, lambda raw: decode_logs(raw, "t", DecodeContext(), 1)),
    "metrics.json": ("metrics", ExportMetricsServiceRequest, lambda raw: decode_metrics(raw, "t", DecodeContext())),
}


@pytest.mark.corpus
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_protocol_are_accepted(name: str) -> None:
    """opentelemetry-proto's own examples: the message protobuf reads, and no record refused."""
    path = CORPORA / "otlp-proto" / "examples" / name
    if not path.exists():
        pytest.skip(f"no corpus at {path} (GNOMON_CORPORA)")
    signal, request_class, decode = EXAMPLES[name]
    raw = to_protobuf(path.read_bytes(), signal)
    expected = json_format.Parse(path.read_text(), request_class(), ignore_unknown_fields=True)
    found = request_class.FromString(raw)
    assert _without_ids(found) == _without_ids(expected)
    batch = decode(raw)
    assert batch.records > 0
    assert not batch.rejections.refused


def _without_ids(request: Any) -> Any:
    """The text of the message but for ids, which json_format reads as base64."""
    return [line for line in str(request).splitlines() if "_id:" not in line]
