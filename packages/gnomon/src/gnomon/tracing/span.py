"""The span. It stands behind OpenTelemetry's API, and is encoded the moment it ends.

Everything here is on the way of every request. What is unusual for it: no locks (each statement that changes shared
state is one the interpreter does not interrupt), no validation (what OTLP cannot carry is written as text), no copies.
"""

import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from gnomon.export.outlet import Lane
from gnomon.privacy.errors import shown
from gnomon.wire import spans as wire
from gnomon.wire.attributes import KeyValues

# Of attributes, events and links each, unless settings say otherwise: the number of the standard.
MOST = 128
NAMES_REMEMBERED = 4096
# The API's kinds count from 0, the wire's from 1, where 0 means that nothing is said.
KINDS = {kind: kind.value + 1 for kind in SpanKind}
SAMPLED, NOT_SAMPLED = TraceFlags(TraceFlags.SAMPLED), TraceFlags(TraceFlags.DEFAULT)
ERROR = StatusCode.ERROR

_log = logging.getLogger("gnomon.tracing")
_names: dict[tuple[str, SpanKind], bytes] = {}
_no_attributes: dict[str, Any] = {}

Described = Callable[[BaseException], Mapping[str, Any]]
"""An exception as the attributes of its event."""


def described(exception: BaseException) -> Mapping[str, Any]:
    """What OpenTelemetry's conventions ask for; a manager puts grouped issues in its place."""
    kind = type(exception)
    return {
        "exception.type": kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}",
        "exception.message": message(exception),
        "exception.stacktrace": "".join(traceback.format_exception(exception, limit=-50)),
    }


def message(exception: BaseException) -> str:
    """Its text, without the data that database drivers put into theirs; the host's `__str__` may fail."""
    return shown(exception)


class Local:
    """What the spans of one trace in this process share: one object from the local root to its last descendant.

    Attributes:
        trace: the trace's id.
        sampled: the decision.
        state: the W3C trace state, as a header; mostly empty.
        held: records that wait for the root's end, when only errors and slow traces are kept; None: they go at once.
        failed: whether any span of it ended in an error.
    """

    __slots__ = ("failed", "held", "sampled", "state", "trace")

    def __init__(self, trace: bytes, sampled: bool, state: str = "", *, held: bool = False) -> None:
        self.trace, self.sampled, self.state = trace, sampled, state
        self.held: list[tuple[Lane, bytes]] | None = [] if held else None
        self.failed = False


class Recording:
    """What spans need of their provider: how attributes are encoded, exceptions described, and who else is told."""

    __slots__ = (
        "attributes",
        "describe",
        "ended",
        "events",
        "keep",
        "keep_errors",
        "links",
        "most_attributes",
        "most_events",
        "most_links",
        "slower_than_ns",
        "time_ns",
    )

    def __init__(self) -> None:
        self.attributes, self.events, self.links = KeyValues(9), KeyValues(3), KeyValues(4)
        self.describe: Described = described
        self.ended: list[Callable[[Span], object]] = []
        self.time_ns = time.time_ns
        self.keep = self.keep_errors = False
        self.most_attributes = self.most_events = self.most_links = MOST
        self.slower_than_ns: int | None = None


class Span(ApiSpan):
    """A span that records. Ends once; what is set afterwards is ignored, as the API says.

    Attributes:
        trace, id, parent: on the wire: 16, 8 and 8 bytes (`parent` None for a root).
        remote: whether the parent is in another process.
        block: attributes that are encoded already, and what they are: a server's, which repeat from request to
            request; see `integrations.asgi`.
    """

    __slots__ = (
        "_attributes", "_context", "_dropped", "_events", "_lane", "_links", "_recording", "_status", "block",
        "end_time",
        "id", "kind", "local", "name", "parent", "remote", "sampled", "start_time", "trace",
    )  # fmt: skip

    def __init__(
        self,
        recording: Recording,
        lane: Lane,
        local: Local,
        identity: bytes,
        parent: bytes | None,
        remote: bool,
        name: str,
        kind: SpanKind,
        attributes: dict[str, Any] | None,
        start_time: int | None,
    ) -> None:
        self._recording, self._lane, self.local = recording, lane, local
        self.trace, self.sampled, self.id, self.parent, self.remote = (
            local.trace,
            local.sampled,
            identity,
            parent,
            remote,
        )
        self.name, self.kind, self._attributes = name, kind, attributes
        self.start_time = recording.time_ns() if start_time is None else _moment(start_time)
        self.end_time: int | None = None
        self.block: tuple[bytes, Mapping[str, Any]] | None = None
        self._events: list[bytes] | None = None
        self._links: list[bytes] | None = None
        self._status: tuple[StatusCode, str] | None = None
        self._context: SpanContext | None = None
        self._dropped: list[int] | None = None

    # What the API asks for.

    def get_span_context(self) -> SpanContext:
        """Ids as the API has them; made when first asked for."""
        context = self._context
        if context is None:
            state = TraceState.from_header([self.local.state]) if self.local.state else None
            context = self._context = SpanContext(
                int.from_bytes(self.trace, "big"),
                int.from_bytes(self.id, "big"),
                False,  # noqa: FBT003 - the API's form
                SAMPLED if self.sampled else NOT_SAMPLED,
                state,
            )
        return context

    def is_recording(self) -> bool:
        """Until it ends."""
        return self.end_time is None

    def set_attribute(self, key: str, value: Any) -> None:
        """Set one."""
        if self.end_time is not None:
            return
        attributes = self._attributes
        if attributes is None:
            self._attributes = {key: value}
        elif len(attributes) < self._recording.most_attributes or key in attributes:
            attributes[key] = value
        else:
            self._drop(0)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set several."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        """Something that happened at a moment."""
        if self.end_time is not None:
            return
        events = self._events
        if events is None:
            events = self._events = []
        if len(events) >= self._recording.most_events:
            self._drop(1)
            return
        recording = self._recording
        when_ns = recording.time_ns() if timestamp is None else _moment(timestamp)
        try:
            events.append(wire.event(when_ns, name, recording.events.encode(attributes) if attributes else b""))
        except Exception:  # noqa: BLE001 - a name or attributes of no type that there is: the host's work goes on
            self._drop(1)

    def add_link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        """Another span that has to do with this one."""
        if self.end_time is not None or not context.is_valid:
            return
        links = self._links
        if links is None:
            links = self._links = []
        if len(links) >= self._recording.most_links:
            self._drop(2)
            return
        flags = int(context.trace_flags) | (wire.REMOTE_PARENT if context.is_remote else wire.LOCAL_PARENT)
        identity, trace = context.span_id.to_bytes(8, "big"), context.trace_id.to_bytes(16, "big")
        try:
            encoded = self._recording.links.encode(attributes) if attributes else b""
            links.append(wire.link(trace, identity, context.trace_state.to_header(), flags, encoded))
        except Exception:  # noqa: BLE001 - as of an event
            self._drop(2)

    def update_name(self, name: str) -> None:
        """Another name."""
        if self.end_time is None:
            self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """OK is final, and UNSET changes nothing (OpenTelemetry's rules)."""
        code, words = (status.status_code, status.description) if isinstance(status, Status) else (status, description)
        if self.end_time is not None or code is StatusCode.UNSET:
            return
        if self._status is None or self._status[0] is not StatusCode.OK:
            self._status = (code, str(words) if words and code is ERROR else "")

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """An event that describes the exception."""
        if self.end_time is not None:
            return
        told = dict(self._recording.describe(exception))
        if escaped:
            told["exception.escaped"] = "True"
        if attributes:
            told.update(attributes)
        self.add_event("exception", told, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """End, encode, hand over."""
        if self.end_time is not None:
            return
        recording, local = self._recording, self.local
        ended = recording.time_ns() if end_time is None else _moment(end_time)
        self.end_time = max(self.start_time, ended)
        try:
            record = self._encoded()
        except Exception:  # noqa: BLE001 - attributes of a kind that nobody thought of: the host's work goes on
            if self._lane.fault() == 1:
                _log.warning("a span could not be encoded; further ones are counted only", exc_info=True)
            return
        for tell in recording.ended:
            with contextlib.suppress(Exception):  # whoever wants to know: neither the host's nor our loss
                tell(self)
        held = local.held
        if held is None:
            self._lane.put(record)
            return
        self._held(held, record)

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; an exception that passes through is recorded."""
        if exception is not None:
            self.failed(exception)
        self.end()

    # What our own parts use beside it.

    @property
    def attributes(self) -> Mapping[str, Any]:
        """All attributes, as set."""
        own = self._attributes or _no_attributes
        return {**self.block[1], **own} if self.block else own

    @property
    def status(self) -> Status:
        """The status, as the API has it."""
        code, words = self._status or (StatusCode.UNSET, "")
        return Status(code, words or None)

    @property
    def context(self) -> SpanContext:
        """As the SDK's spans have it."""
        return self.get_span_context()

    def failed(self, exception: BaseException) -> None:
        """An exception ended what this span stands for. Cancellation is no error: someone else decided it."""
        if isinstance(exception, Exception):
            self.record_exception(exception, escaped=True)
            if self._status is None:
                self._status = (ERROR, f"{type(exception).__name__}: {message(exception)}")
        else:
            self.set_attribute("error.type", type(exception).__qualname__)

    def _encoded(self) -> bytes:
        local, key = self.local, (self.name, self.kind)
        named = _names.get(key)
        if named is None:
            named = _name(key)
        attributes, block = self._attributes, self.block
        rest = named
        if block is not None:
            rest += block[0]
        if attributes:
            rest += self._recording.attributes.encode(attributes)
        if self._events is not None:
            rest += b"".join(self._events)
        if self._links is not None:
            rest += b"".join(self._links)
        status = self._status
        if status is not None:
            if status[0] is ERROR:
                local.failed = True
            rest += wire.status(status[0].value, self._worded(status[1]) if status[1] else "")
        if local.state:
            rest += wire.state(local.state)
        if self._dropped is not None:
            rest += wire.dropped(*self._dropped)
        flags = (wire.REMOTE_PARENT if self.remote else wire.LOCAL_PARENT) | self.sampled
        return wire.span(self.trace, self.id, self.parent, self.start_time, self.end_time or 0, flags, rest)

    def _worded(self, words: str) -> str:
        """A status's description as it may leave."""
        texts = self._recording.attributes
        return (texts.mask("status", words) if texts.mask else words)[: texts.longest]

    def _held(self, held: list[tuple[Lane, bytes]], record: bytes) -> None:
        """Keep back a record of a trace that was not sampled; its root decides whether it was worth keeping."""
        inner = self.parent is not None and not self.remote
        if len(held) < MOST_HELD or not inner:
            held.append((self._lane, record))
        if inner:
            return
        local, slower_ns = self.local, self._recording.slower_than_ns
        local.held = []  # what ends after its root (background work) begins a new account, and is let go
        slow = slower_ns is not None and (self.end_time or 0) - self.start_time >= slower_ns
        if slow or (local.failed and self._recording.keep_errors):
            for lane, kept in held:
                lane.put(kept)

    def _drop(self, which: int) -> None:
        if self._dropped is None:
            self._dropped = [0, 0, 0]
        self._dropped[which] += 1


# Of a trace that is held back; more than any request that a person will read.
MOST_HELD = 512


def _moment(given: Any) -> int:
    """Unix nanoseconds that a host gave: `time.time() * 1e9` is a float. What is no time at all is now."""
    try:
        return max(0, min(int(given), (1 << 64) - 1))
    except (TypeError, ValueError, OverflowError):
        return time.time_ns()


def _name(key: tuple[str, SpanKind]) -> bytes:
    if len(_names) >= NAMES_REMEMBERED:
        _names.clear()
    encoded = _names[key] = wire.named(str(key[0])[:1024], KINDS[key[1]])
    return encoded
