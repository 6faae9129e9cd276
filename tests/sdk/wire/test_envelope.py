"""Requests: the envelope around encoded records, read by the generated classes."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gnomon.wire import envelope, logs, spans
from gnomon.wire.envelope import RECORD, Scope
from gnomon.wire.protobuf import delimited, length, text

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
scopes = st.builds(Scope, texts, texts, texts, st.lists(st.tuples(texts, texts), max_size=2, unique=True).map(tuple))


@given(
    st.dictionaries(texts, texts, max_size=3),
    st.lists(st.tuples(scopes, st.lists(texts, max_size=4)), max_size=4),
    texts,
)
def test_several_scopes(attributes: dict[str, str], groups: list[Any], schema_url: str) -> None:
    """Resource, scopes with all that they have, and the records of each in their order."""
    encoded = [
        (scope, [spans.span(b"t" * 16, b"s" * 8, None, 1, 2, 1, spans.named(name, 1)) for name in names])
        for scope, names in groups
    ]
    (resource,) = ExportTraceServiceRequest.FromString(
        envelope.request(envelope.resource(attributes), encoded, schema_url)
    ).resource_spans
    assert {one.key: one.value.string_value for one in resource.resource.attributes} == attributes
    assert resource.schema_url == schema_url
    assert len(resource.scope_spans) == len(groups)
    for seen, (scope, names) in zip(resource.scope_spans, groups, strict=True):
        assert (seen.scope.name, seen.scope.version, seen.schema_url) == (scope.name, scope.version, scope.schema_url)
        # A dictionary is made of a scope's attributes: the last of a name counts.
        assert {one.key: one.value.string_value for one in seen.scope.attributes} == dict(scope.attributes)
        assert [span.name for span in seen.spans] == names


def test_the_three_signals_have_the_same_envelope() -> None:
    """Records of logs and metrics stand under the same numbers as spans."""
    scope, resource = Scope("s", "1"), envelope.resource({"service.name": "x"})
    record = logs.record(5, None, logs.severity(9, "info"))
    request = ExportLogsServiceRequest.FromString(envelope.request(resource, [(scope, [record, record])]))
    assert len(request.resource_logs[0].scope_logs[0].log_records) == 2
    metric = text(1, "m")
    request = ExportMetricsServiceRequest.FromString(
        envelope.request(resource, [(scope, [RECORD + length(len(metric)) + metric])])
    )
    assert request.resource_metrics[0].scope_metrics[0].metrics[0].name == "m"
    assert delimited(2, metric) == RECORD + length(len(metric)) + metric
