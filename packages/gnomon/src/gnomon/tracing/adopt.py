"""Living with a tracer provider that was there before us: its spans are sent by us too, and its own way stays as it is.

OpenTelemetry allows one provider a process. Where the host has set the SDK's, we do not fight over it: what ends there
is encoded here, and parents and children fit together, for the context is shared.
"""

from typing import Any

from opentelemetry.trace import StatusCode

from gnomon.export.outlet import Outlet
from gnomon.tracing.provider import Remote
from gnomon.tracing.span import KINDS, Recording
from gnomon.wire import spans as wire
from gnomon.wire.envelope import Scope


class AdoptedSpans:
    """A span processor in the shape of the SDK's, which is not imported for it."""

    def __init__(self, outlet: Outlet, recording: Recording) -> None:
        self._outlet, self._recording = outlet, recording

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """Nothing: a span is encoded when it ends."""

    def _on_ending(self, span: Any) -> None:
        """Nothing; the SDK asks for it."""

    def on_end(self, span: Any) -> None:
        """Encode a sampled span."""
        if not span.context.trace_flags.sampled:
            return
        scope = span.instrumentation_scope
        lane = self._outlet.lane(Scope(scope.name, scope.version or "", scope.schema_url or ""))
        try:
            lane.put(self._encoded(span))
        except Exception:  # noqa: BLE001 - the host's own span has ended well, and its own exporters come next
            lane.fault()

    def shutdown(self) -> None:
        """Nothing is held here."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is held here."""
        return True

    def _encoded(self, span: Any) -> bytes:
        recording, context = self._recording, span.context
        rest = wire.named(span.name, KINDS[span.kind]) + recording.attributes.encode(span.attributes or {})
        rest += b"".join(
            wire.event(event.timestamp, event.name, recording.events.encode(event.attributes or {}))
            for event in span.events
        )
        for link in span.links:
            other = Remote.of(link.context)
            encoded = recording.links.encode(link.attributes or {})
            flags = int(link.context.trace_flags) | (
                wire.REMOTE_PARENT if link.context.is_remote else wire.LOCAL_PARENT
            )
            rest += wire.link(other.trace, other.id, other.state, flags, encoded)
        if span.status.status_code is not StatusCode.UNSET:
            words, mask = span.status.description or "", recording.attributes.mask
            rest += wire.status(span.status.status_code.value, mask("status", words) if mask and words else words)
        if context.trace_state:
            rest += wire.state(context.trace_state.to_header())
        own, parent = Remote.of(context), span.parent
        remote = parent is not None and parent.is_remote
        flags = int(context.trace_flags) | (wire.REMOTE_PARENT if remote else wire.LOCAL_PARENT)
        above = parent.span_id.to_bytes(8, "big") if parent is not None else None
        return wire.span(own.trace, own.id, above, span.start_time, span.end_time, flags, rest)
