"""The span of a trace that is not recorded: it carries the context on, and nothing else."""

from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceState

from gnomon.tracing.span import NOT_SAMPLED, Local


class PassingSpan(ApiSpan):
    """Ids and a decision that children and other services follow; every call does nothing."""

    __slots__ = ("block", "id", "local", "name", "parent", "remote", "sampled", "trace")

    def __init__(self, local: Local, identity: bytes) -> None:
        self.local, self.trace, self.id = local, local.trace, identity
        self.sampled, self.remote, self.parent = False, False, None
        self.name, self.block = "", None

    def get_span_context(self) -> SpanContext:
        """Ids as the API has them."""
        state = TraceState.from_header([self.local.state]) if self.local.state else None
        trace, identity = int.from_bytes(self.trace, "big"), int.from_bytes(self.id, "big")
        return SpanContext(trace, identity, False, NOT_SAMPLED, state)  # noqa: FBT003 - the API's form

    def is_recording(self) -> bool:
        """No."""
        return False

    def set_attribute(self, key: str, value: Any) -> None:
        """Nothing."""

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Nothing."""

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        """Nothing."""

    def add_link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        """Nothing."""

    def update_name(self, name: str) -> None:
        """Nothing."""

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Nothing."""

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Nothing."""

    def failed(self, exception: BaseException) -> None:
        """Nothing."""

    def end(self, end_time: int | None = None) -> None:
        """Nothing."""
