"""Spans of OpenTelemetry's own SDK, sent by us, as they would have been by its exporter."""

from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags, TraceState
from tests.sdk.receiver import attributes
from tests.sdk.tracing.traces import Traces

from gnomon.context import Context, with_span
from gnomon.export.outlet import Reason
from gnomon.recorders import Recorders
from gnomon.tracing.adopt import AdoptedSpans

REMOTE = SpanContext(0xA1, 0xB2, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("v", "1")]))


def scenario(tracer: Any) -> None:
    """A bit of everything."""
    parent = with_span(NonRecordingSpan(REMOTE), Context())
    server = tracer.start_span("server", parent, SpanKind.SERVER, {"a": 1, "b": ["x", "y"], "c": 1.5, "d": True})
    child = tracer.start_span("child", with_span(server), links=[Link(REMOTE, {"l": "m"})])
    child.add_event("e", {"f": "g"})
    child.record_exception(ValueError("bad"))
    child.set_status(StatusCode.ERROR, "no")
    child.end()
    server.set_status(StatusCode.OK)
    server.end()


def test_as_its_own_exporter_sends_them(traces: Traces) -> None:
    """Field by field as the SDK's own encoder writes them, scope included."""
    own = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(own))
    provider.add_span_processor(AdoptedSpans(traces.outlet, traces.provider.recording))
    scenario(provider.get_tracer("lib", "1.2", "http://schema"))
    assert provider.force_flush()
    provider.shutdown()
    [theirs] = encode_spans(own.get_finished_spans()).resource_spans[0].scope_spans
    ours = {span.name: span for span in traces.spans}
    [scope] = traces.scopes
    assert (scope.scope, scope.schema_url) == (theirs.scope, theirs.schema_url)
    for span in theirs.spans:
        mine = ours.pop(span.name)
        assert attributes(mine).keys() == attributes(span).keys()
        assert mine.flags & 1
        assert [link.trace_state for link in mine.links] == ["v=1"] * len(span.links)
        for one in (mine, span):  # the SDK leaves the sampled flag out, and the state of links
            one.ClearField("attributes")
            one.flags &= 0x300
            for link in one.links:
                link.flags &= 0x300
                link.ClearField("trace_state")
        assert mine == span
    assert not ours


def test_what_is_not_sampled_is_left() -> None:
    """The provider's decision is its own."""
    traces = Traces()
    provider = TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(AdoptedSpans(traces.outlet, traces.provider.recording))
    scenario(provider.get_tracer("lib"))
    assert traces.spans == []


def test_a_mistake_of_ours_costs_a_span(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's `end` does not hear of it, and it is counted."""
    adopted = AdoptedSpans(traces.outlet, traces.provider.recording)
    monkeypatch.setattr(adopted, "_encoded", lambda _: 1 / 0)
    provider = TracerProvider()
    provider.add_span_processor(adopted)
    provider.get_tracer("lib").start_span("x").end()
    assert traces.outlet.counts.dropped == {Reason.FAULT: 1}


def test_a_provider_is_adopted_once() -> None:
    """It keeps its processors for good."""
    recorders, provider = Recorders(), TracerProvider()
    recorders.adopt(provider)
    recorders.adopt(provider)
    assert len(provider._active_span_processor._span_processors) == 1
