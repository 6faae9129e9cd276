"""The trace across processes: W3C trace context and baggage, B3 in one header or several.

https://www.w3.org/TR/trace-context/, https://www.w3.org/TR/baggage/, https://github.com/openzipkin/b3-propagation

What is malformed is read as absent: a new trace begins, and nobody's request fails.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.textmap import (
    DefaultGetter,
    DefaultSetter,
    Getter,
    Setter,
    TextMapPropagator,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from gnomon.context import SPAN_KEY, Context, current, with_span
from gnomon.errors import TracingError
from gnomon.tracing.provider import Remote

CarrierT = TypeVar("CarrierT")

TRACEPARENT, TRACESTATE, BAGGAGE = "traceparent", "tracestate", "baggage"
B3, B3_TRACE, B3_SPAN, B3_SAMPLED, B3_FLAGS = "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-flags"
FORMATS = ("tracecontext", "baggage", "b3", "b3multi")
# https://www.w3.org/TR/trace-context/#tracestate-header: members by key and value, 32 at most, some may be empty.
_MEMBER = r"[ \t]*(?:[a-z0-9][a-z0-9_\-*/@]{0,255}=[ -+\--<>-~]{0,256})?[ \t]*"
_state = re.compile(f"{_MEMBER}(?:,{_MEMBER}){{0,31}}").fullmatch
LONGEST_STATE = 512  # what the standard asks everyone to carry on at least; more is dropped, as it allows

_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)
_baggage = W3CBaggagePropagator()


def parsed_traceparent(header: str, state: str = "") -> Remote | None:
    """A `traceparent` header, or None when it is malformed.

    Versions after 00 may carry more at the end; version ff is forbidden.
    """
    if len(header) < 55 or header[2] != "-" or header[35] != "-" or header[52] != "-" or header[:2] == "ff":  # noqa: PLR2004 - positions in the header
        return None
    if len(header) > 55 and (header[:2] == "00" or header[55] != "-"):  # noqa: PLR2004 - likewise
        return None
    trace, identity, flags = _hex(header[3:35]), _hex(header[36:52]), _hex(header[53:55])
    if not trace or not identity or flags is None or _hex(header[:2]) is None:
        return None
    if trace == _NO_TRACE or identity == _NO_SPAN:
        return None
    if state and (len(state) > LONGEST_STATE or _state(state) is None):
        state = ""
    return Remote(trace, identity, bool(flags[0] & 1), state)


def traceparent(span: Any) -> str:
    """The header for what a span calls."""
    return f"00-{span.trace.hex()}-{span.id.hex()}-{'01' if span.sampled else '00'}"


def _hex(digits: str) -> bytes | None:
    """Lower-case hex only, as the standard says; `fromhex` alone would also take capitals and spaces."""
    try:
        read = bytes.fromhex(digits)
    except ValueError:
        return None
    return read if read.hex() == digits else None


def _parsed_b3(value: str) -> Remote | None:
    """`{trace}-{span}[-{sampled}[-{parent}]]`; a lone `0` or `1` decides about no trace, and is left aside."""
    parts = value.strip().lower().split("-")
    if len(parts) < 2:  # noqa: PLR2004 - a trace and a span
        return None
    return _b3(parts[0], parts[1], parts[2] if len(parts) > 2 else "1")  # noqa: PLR2004 - the third is optional


def _b3(trace: str, span: str, sampled: str) -> Remote | None:
    """Traces of 64 bits are filled up from the left."""
    read, identity = _hex(trace.rjust(32, "0")), _hex(span)
    if not read or not identity or len(read) != len(_NO_TRACE) or len(identity) != len(_NO_SPAN):
        return None
    if read == _NO_TRACE or identity == _NO_SPAN:
        return None
    return Remote(read, identity, sampled in {"1", "d", "true"})


class Propagator(TextMapPropagator):
    """Reads and writes the formats it is given: the API's global propagator, and faster doors for our own parts.

    Args:
        formats: of `FORMATS`, in order: the first that is found is read, all are written.
    """

    def __init__(self, formats: Sequence[str] = ("tracecontext", "baggage")) -> None:
        for name in formats:
            if name not in FORMATS:
                raise TracingError(f"there is no propagator {name!r}", hint=f"Known are {', '.join(FORMATS)}")
        self.formats = tuple(formats)
        self._carries_baggage = "baggage" in formats
        # Then a request without a baggage header has nothing to read but its traceparent.
        self.w3c = self.formats in {("tracecontext", "baggage"), ("tracecontext",)}

    @property
    def fields(self) -> set[str]:
        """All headers that may be written."""
        names = {
            "tracecontext": {TRACEPARENT, TRACESTATE},
            "baggage": {BAGGAGE},
            "b3": {B3},
            "b3multi": {B3_TRACE, B3_SPAN, B3_SAMPLED},
        }
        return set().union(*(names[name] for name in self.formats))

    def remote(self, get: Callable[[str], str | None]) -> Remote | None:
        """The caller, from its headers; None when there is none, or none that can be read.

        Args:
            get: the value of a header by its lower-case name.
        """
        for name in self.formats:
            found = _READ[name](get)
            if found is not None:
                return found
        return None

    def received(self, get: Callable[[str], str | None]) -> tuple[Remote | None, Context]:
        """The caller, and the current context with the baggage it sent along."""
        context = current()
        if self._carries_baggage and (sent := get(BAGGAGE)):
            context = _baggage.extract({BAGGAGE: sent}, context)
        return self.remote(get), context

    def headers(self, context: Context | None = None) -> dict[str, str]:
        """What goes along with a call made now; empty outside of any trace and without baggage."""
        context = current() if context is None else context
        span: Any = context.get(SPAN_KEY)
        sent: dict[str, str] = {}
        if span is not None:
            if not hasattr(span, "trace"):  # another provider's
                described = span.get_span_context()
                span = Remote.of(described) if described.is_valid else None
            if span is not None:
                self._write(span, sent)
        # A context holds nothing but the span in most requests.
        if self._carries_baggage and len(context) > (SPAN_KEY in context):
            _baggage.inject(sent, context)
        return sent

    def _write(self, span: Any, sent: dict[str, str]) -> None:
        for name in self.formats:
            if name == "tracecontext":
                sent[TRACEPARENT] = traceparent(span)
                state = span.state if span.__class__ is Remote else span.local.state
                if state:
                    sent[TRACESTATE] = state
            elif name == "b3":
                sent[B3] = f"{span.trace.hex()}-{span.id.hex()}-{int(span.sampled)}"
            elif name == "b3multi":
                sent |= {B3_TRACE: span.trace.hex(), B3_SPAN: span.id.hex(), B3_SAMPLED: str(int(span.sampled))}

    # The API's form, for third-party instrumentations.

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] | None = None
    ) -> Context:
        """A context with the caller's span and baggage."""
        getting: Any = getter or DefaultGetter()

        def get(name: str) -> str | None:
            values = getting.get(carrier, name)
            return ",".join(values) if values else None

        found = Context(current() if context is None else context)
        if self._carries_baggage and (sent := get(BAGGAGE)):
            found = _baggage.extract({BAGGAGE: sent}, found)
        remote = self.remote(get)
        return found if remote is None else with_span(NonRecordingSpan(_described(remote)), found)

    def inject(self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] | None = None) -> None:
        """Write the headers of a context."""
        setting: Any = setter or DefaultSetter()
        for name, value in self.headers(context).items():
            setting.set(carrier, name, value)


def _read_tracecontext(get: Callable[[str], str | None]) -> Remote | None:
    header = get(TRACEPARENT)
    return parsed_traceparent(header.strip(), get(TRACESTATE) or "") if header else None


def _read_b3(get: Callable[[str], str | None]) -> Remote | None:
    header = get(B3)
    return _parsed_b3(header) if header else None


def _read_b3multi(get: Callable[[str], str | None]) -> Remote | None:
    trace, span = get(B3_TRACE), get(B3_SPAN)
    if not trace or not span:
        return None
    debug = "1" if get(B3_FLAGS) == "1" else None
    return _b3(trace.lower(), span.lower(), debug or (get(B3_SAMPLED) or "1").lower())


def _read_nothing(_: Callable[[str], str | None]) -> Remote | None:
    return None


_READ: Mapping[str, Callable[[Callable[[str], str | None]], Remote | None]] = {
    "tracecontext": _read_tracecontext,
    "baggage": _read_nothing,  # travels beside the span, not as one
    "b3": _read_b3,
    "b3multi": _read_b3multi,
}


def _described(remote: Remote) -> SpanContext:
    return SpanContext(
        int.from_bytes(remote.trace, "big"),
        int.from_bytes(remote.id, "big"),
        True,  # noqa: FBT003 - the API's form
        TraceFlags(int(remote.sampled)),
        TraceState.from_header([remote.state]) if remote.state else None,
    )
