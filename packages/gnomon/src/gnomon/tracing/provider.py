"""Tracers, behind OpenTelemetry's API: third-party instrumentations make our spans without knowing us."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry.trace import Link, SpanContext, SpanKind
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import Tracer as ApiTracer
from opentelemetry.trace import TracerProvider as ApiTracerProvider

from gnomon.context import SPAN_KEY, Context, current
from gnomon.export.outlet import Lane, Outlet
from gnomon.process.ids import Ids
from gnomon.tracing.current import CurrentSpan
from gnomon.tracing.passing import PassingSpan
from gnomon.tracing.sampling import Always, Sampler
from gnomon.tracing.span import Local, Recording, Span
from gnomon.wire.envelope import Scope


class Remote:
    """A parent in another process, as its headers gave it; or another provider's in this one, which is `near`."""

    __slots__ = ("id", "near", "sampled", "state", "trace")

    def __init__(self, trace: bytes, identity: bytes, sampled: bool, state: str = "", *, near: bool = False) -> None:
        self.trace, self.id, self.sampled, self.state, self.near = trace, identity, sampled, state, near

    @classmethod
    def of(cls, context: SpanContext) -> "Remote":
        """From the API's form."""
        return cls(
            context.trace_id.to_bytes(16, "big"),
            context.span_id.to_bytes(8, "big"),
            context.trace_flags.sampled,
            context.trace_state.to_header() if context.trace_state else "",
            near=not context.is_remote,
        )


class TracerProvider(ApiTracerProvider):
    """Makes tracers that record into an outlet.

    Args:
        outlet: where encoded spans go.
        sampler: decides for traces that begin here.
        parent_based: whether a parent in another process decides for its children; else the sampler does.
        ids: makes ids.
    """

    def __init__(
        self, outlet: Outlet, sampler: Sampler | None = None, *, parent_based: bool = True, ids: Ids | None = None
    ) -> None:
        self.outlet, self.sampler, self.parent_based = outlet, sampler or Always(), parent_based
        self.ids, self.recording = ids or Ids(), Recording()
        # What the overhead budget says of traces that a caller has sampled; None: there is none, or it has room.
        self.thin: Callable[[bytes], bool] | None = None
        self.baggage_as_attributes: Callable[[Context], Mapping[str, Any] | None] | None = None

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> "Tracer":
        """A tracer for a library or module."""
        told = tuple(sorted((key, _fixed(value)) for key, value in attributes.items())) if attributes else ()
        scope = Scope(instrumenting_module_name or "", instrumenting_library_version or "", schema_url or "", told)
        return Tracer(self, self.outlet.lane(scope))

    def add_ended(self, tell: Callable[[Span], object]) -> Callable[[], None]:
        """Tell someone of every span that ends; returns what stops it."""
        self.recording.ended.append(tell)
        return functools.partial(self.recording.ended.remove, tell)


class Tracer(ApiTracer):
    """Makes spans of one scope."""

    __slots__ = ("_lane", "_provider")

    def __init__(self, provider: TracerProvider, lane: Lane) -> None:
        self._provider, self._lane = provider, lane

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: ARG002 - of `start_as_current_span`, in the API's list for both
        set_status_on_exception: bool = True,  # noqa: ARG002 - likewise
    ) -> Any:
        """A span that is not made current; end it yourself."""
        if context is None:
            context = current()
        fit = attributes and len(attributes) <= self._provider.recording.most_attributes
        given = dict(attributes) if attributes and fit else None
        span = self.begin(name, kind, context.get(SPAN_KEY), given, start_time, context)
        if attributes and not fit:
            span.set_attributes(attributes)  # which counts what is too much
        for link in links or ():
            span.add_link(link.context, link.attributes)
        return span

    def start_as_current_span(  # type: ignore[override]  # usable as context manager and decorator, as the API's is
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> "CurrentSpan":
        """A span that is current inside a `with` block, or around every call of what it decorates."""
        args = (name, context, kind, attributes, links, start_time)
        return CurrentSpan(self.start_span, args, record_exception, set_status_on_exception, end_on_exit)

    def begin(
        self,
        name: str,
        kind: SpanKind,
        parent: Any,
        attributes: dict[str, Any] | None = None,
        start_time: int | None = None,
        context: Context | None = None,
    ) -> Any:
        """The same for our own parts, without the API's ceremony.

        Args:
            name: low in cardinality.
            kind: the API's.
            parent: a span of ours, a `Remote`, another provider's span, or None.
            attributes: taken over, not copied.
            start_time: Unix nanoseconds; None: now.
            context: where baggage is read from, if any of it becomes attributes.
        """
        provider = self._provider
        remote = False
        if parent is None:
            identity, local = None, self._root()
        elif parent.__class__ is Span or parent.__class__ is PassingSpan:
            identity, local = parent.id, parent.local
        else:
            known = parent if parent.__class__ is Remote else _foreign(parent)
            if known is None:
                identity, local = None, self._root()
            else:
                identity, local, remote = known.id, self._continued(known), True
        if not (local.sampled or local.held is not None):
            return PassingSpan(local, provider.ids.span())
        ids, recording = provider.ids.span(), provider.recording
        span = Span(recording, self._lane, local, ids, identity, remote, name, kind, attributes, start_time)
        if provider.baggage_as_attributes is not None and (
            carried := provider.baggage_as_attributes(current() if context is None else context)
        ):
            span.set_attributes(carried)
        return span

    def _root(self) -> Local:
        provider = self._provider
        trace = provider.ids.trace()
        decided = provider.sampler.decide(trace)
        return Local(trace, decided.sampled, decided.state, held=not decided.sampled and provider.recording.keep)

    def _continued(self, remote: Remote) -> Local:
        provider = self._provider
        sampled, state = remote.sampled, remote.state
        if not (provider.parent_based or remote.near):  # whoever decided in this process did so for us too
            decided = provider.sampler.decide(remote.trace)
            sampled = decided.sampled
            if state or decided.state:
                state = _restated(state, decided.state)
        elif sampled and provider.thin is not None:
            sampled = provider.thin(remote.trace)
        return Local(remote.trace, sampled, state, held=not sampled and provider.recording.keep)


def _fixed(value: Any) -> Any:
    """An attribute of a scope, which is looked up by all it says."""
    if isinstance(value, list | tuple):
        return tuple(map(_fixed, value))
    return value if isinstance(value, str | bool | int | float) else str(value)


def _restated(state: str, ours: str) -> str:
    """A caller's trace state with our threshold in the place of its own: ours is what the trace was kept by."""
    others = [entry for entry in state.split(",") if not entry.strip().startswith("ot=")]
    return ",".join([ours, *others] if ours else others)


def _foreign(span: Any) -> Remote | None:
    """The parent that another provider's span, or a propagator's, is."""
    if not isinstance(span, ApiSpan):
        return None
    context = span.get_span_context()
    return Remote.of(context) if context.is_valid else None
