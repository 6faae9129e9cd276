"""OTLP/JSON means the same as OTLP protobuf: protobuf's own JSON mapping, with ids in hex."""

import base64
from typing import Any

import orjson
import otlp_requests as requests
import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gnomon_server.decode.otlp.from_json import to_protobuf
from gnomon_server.errors import InvalidInput

IDS = {"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"}
quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def hex_ids(content: Any) -> Any:
    """The same JSON with base64 ids in hex."""
    if isinstance(content, list):
        return [hex_ids(item) for item in content]
    if not isinstance(content, dict):
        return content
    return {
        key: base64.b64decode(value).hex() if key in IDS and isinstance(value, str) else hex_ids(value)
        for key, value in content.items()
    }


@quick
@given(
    st.one_of(
        st.tuples(st.just("traces"), requests.trace_requests),
        st.tuples(st.just("logs"), requests.log_requests),
        st.tuples(st.just("metrics"), requests.metric_requests),
    ),
    st.booleans(),
    st.booleans(),
)
def test_json_is_the_message_it_was_written_from(sent: Any, snake_case: bool, enums_as_numbers: bool) -> None:
    """Whatever protobuf writes as JSON comes back as the same message."""
    signal, request = sent
    content = json_format.MessageToDict(
        request, preserving_proto_field_name=snake_case, use_integers_for_enums=enums_as_numbers
    )
    raw = to_protobuf(orjson.dumps(hex_ids(content)), signal)
    back = type(request).FromString(raw)
    back.DiscardUnknownFields()
    expected = json_format.ParseDict(content, type(request)())  # JSON has one NaN, the wire has many
    assert back.SerializeToString() == expected.SerializeToString()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "resourceSpans",
                    "scopeSpans",
                    "spans",
                    "traceId",
                    "attributes",
                    "key",
                    "value",
                    "intValue",
                    "stringValue",
                    "arrayValue",
                    "values",
                    "kind",
                    "startTimeUnixNano",
                    "resource",
                    "unknown",
                    "bytesValue",
                    "doubleValue",
                    "status",
                    "code",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@quick
@given(json_values)
def test_any_json_is_read_or_refused(content: Any) -> None:
    """No other exception than InvalidInput, and what is read is protobuf."""
    try:
        raw = to_protobuf(orjson.dumps(content), "traces")
    except InvalidInput as refused:
        assert refused.code == "undecodable_json"  # noqa: PT017 - some are read, some refused
    else:
        requests.ExportTraceServiceRequest.FromString(raw)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 2000 + b"1" + b"}" * 2000, b"null", b"3"]
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    """Broken, hostile and merely wrong documents are 400."""
    with pytest.raises(InvalidInput, match="undecodable_json"):
        to_protobuf(body, "traces")
