"""What is known of a gRPC call, on either side of it.

Most of what is written about a call repeats: its service, method, status and peer. All of that is encoded once for each
combination, with the cell of its metric beside it. The names are those of the conventions up to 1.37 (`rpc.system`,
`rpc.service`, `rpc.method`, `rpc.grpc.status_code`): their successors are a release candidate that gives `rpc.method`
another meaning, and both what is stored and what other SDKs send by default have these.
https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/rpc/grpc.md
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import Any

import grpc
from opentelemetry.trace import SpanKind, StatusCode

from gnomon.context import SPAN_KEY, Context, current, with_span
from gnomon.integrations.grpc.addresses import Pairs, client_of
from gnomon.integrations.grpc.status import CANCELLED, CLIENT_ERRORS, CODES, SERVER_ERRORS, UNKNOWN, number, text
from gnomon.integrations.telemetry import Known, Telemetry
from gnomon.metrics.said import say_once
from gnomon.tracing.propagation import BAGGAGE, TRACEPARENT, TRACESTATE, parsed_traceparent, traceparent

# Probes and tools, not the service's own work: counted, but no spans.
QUIET_SERVICES = (
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
)
# Of a side, and of the outcomes of one method. Peers change with every connection; methods are few, unless a proxy
# serves whatever it is asked for.
MOST_METHODS = MOST_OUTCOMES = 1024
OTHER = "_OTHER"


@dataclass(frozen=True, slots=True)
class Outcome(Known):
    """All that repeats of the calls of one method that end in the same way.

    Attributes:
        error: whether the status is an error on this side.
    """

    error: bool


class Side:
    """What all calls of one side share.

    Args:
        telemetry: the pillars; `excluded_services` among its options takes the place of `QUIET_SERVICES`.
        kind: SERVER or CLIENT.
    """

    def __init__(self, telemetry: Telemetry, kind: SpanKind) -> None:
        server = kind is SpanKind.SERVER
        word = "server" if server else "client"
        self.kind, self.propagator = kind, telemetry.propagator
        self.live = True
        self.errors = SERVER_ERRORS if server else CLIENT_ERRORS
        self.quiet = frozenset(telemetry.options.get("excluded_services", QUIET_SERVICES))
        self.begin_span = telemetry.tracer("gnomon.integrations.grpc").begin
        self.attributes = telemetry.tracers.recording.attributes
        named = ("rpc.system", "rpc.service", "rpc.method")
        self.duration = telemetry.histogram(
            f"rpc.{word}.duration", f"Duration of gRPC calls, as their {word} sees them.",
            (*named, "rpc.grpc.status_code"), unit="s",
        )  # fmt: skip
        self.active = telemetry.up_down_counter(
            f"rpc.{word}.active_requests", f"gRPC calls in progress, as their {word} sees them.",
            named, unit="{request}",
        )  # fmt: skip
        self._methods: dict[str, Method] = {}

    @cached_property
    def other(self) -> "Method":
        """All methods that nobody serves; the span's name is the one that the conventions have for them."""
        return Method(self, f"/{OTHER}/{OTHER}", "grpc")

    def method(self, path: str | bytes) -> "Method":
        """The method of a path: `/package.Service/Method`."""
        shown = path.decode("utf-8", "replace") if isinstance(path, bytes) else path
        found = self._methods.get(shown)
        if found is None:
            if len(self._methods) >= MOST_METHODS:
                self._methods.clear()
            found = self._methods[shown] = Method(self, shown)
        return found


class Method:
    """One method, seen from one side."""

    __slots__ = ("_outcomes", "active", "labels", "name", "side", "traced")

    def __init__(self, side: Side, path: str, name: str = "") -> None:
        self.side, self.name = side, name or path.removeprefix("/")
        service, _, method = path.removeprefix("/").rpartition("/")
        self.labels = {"rpc.system": "grpc", "rpc.service": service or OTHER, "rpc.method": method}
        self.traced = service not in side.quiet
        self.active = side.active(**self.labels)
        self._outcomes: dict[tuple[int, Pairs], Outcome] = side.attributes.blocks()

    def outcome(self, code: int, peer: Pairs) -> Outcome:
        """What is known of calls that end so; worked out the first time."""
        found = self._outcomes.get((code, peer))
        return self._learnt(code, peer) if found is None else found

    def _learnt(self, code: int, peer: Pairs) -> Outcome:
        side = self.side
        error = code in side.errors
        pairs = {**self.labels, "rpc.grpc.status_code": code, **dict(peer)}
        if error:
            pairs["error.type"] = CODES.get(code, str(code))
        labels = {**self.labels, "rpc.grpc.status_code": str(code)}
        outcome = Outcome(
            (side.attributes.encode(pairs), pairs),
            side.duration(**labels),
            error,
        )
        if len(self._outcomes) >= MOST_OUTCOMES:
            self._outcomes.clear()
        self._outcomes[code, peer] = outcome
        return outcome


class Call:
    """One call, from its beginning to its one end.

    Attributes:
        span: None where calls of this method make none.
        context: what is current while the call is served; where one is made, what was current then.
        received, sent: messages of streams.
    """

    __slots__ = ("_ended", "_method", "_peer", "_started_s", "context", "received", "sent", "span")

    def __init__(self, method: Method, parent: Any, context: Context, peer: Pairs) -> None:
        side = method.side
        self._method, self._peer, self._ended = method, peer, False
        self.received = self.sent = 0
        self._started_s = perf_counter()
        self.context = context
        self.span = side.begin_span(method.name, side.kind, parent, None, None, context) if method.traced else None
        method.active(1)

    def end(self, code: int, details: str = "", error: BaseException | None = None) -> None:
        """Write down how it ended; what comes after the first end is ignored.

        Args:
            code: gRPC's number.
            details: gRPC's words.
            error: what the handler, or the call itself, raised.
        """
        # Ends may race (a callback's thread, the garbage collector): no call stands between this look and the mark.
        if self._ended:
            return
        self._ended = True
        try:
            self._write(code, details, error)
        except Exception as ours:  # noqa: BLE001 - the host's call goes on, whatever we did wrong
            mistake("A gRPC call could not be written down", ours)

    def _write(self, code: int, details: str, error: BaseException | None) -> None:
        method, span = self._method, self.span
        outcome = method.outcome(code, self._peer)
        outcome.observe(perf_counter() - self._started_s)
        method.active(-1)
        if span is None:
            return
        span.block = outcome.block
        if self.received:
            span.set_attribute("rpc.messages.received", self.received)
        if self.sent:
            span.set_attribute("rpc.messages.sent", self.sent)
        if error is not None:
            if outcome.error:
                span.failed(error)
            else:
                span.record_exception(error, escaped=True)
        elif outcome.error:
            span.set_status(StatusCode.ERROR, details or CODES.get(code, ""))
        span.end()

    def failed(self, error: BaseException) -> None:
        """What a client's call raised: the status inside, or the failure that kept the call from having one."""
        code = getattr(error, "code", None)
        if isinstance(error, grpc.RpcError) and callable(code):
            self.end(number(code()), text(error.details()))
        elif isinstance(error, Exception):
            self.end(UNKNOWN, error=error)
        else:
            self.end(CANCELLED)

    def metadata(self, given: Iterable[tuple[str, Any]] | None) -> Any:
        """The caller's metadata with ours behind it; ours takes the place of what has the same name."""
        pairs = tuple(given) if given else ()
        try:
            headers = self._headers()
            return (
                (*(pair for pair in pairs if pair[0] not in headers), *headers.items())
                if pairs
                else tuple(headers.items())
            )
        except Exception as error:  # noqa: BLE001 - the host's call goes on, whatever we did wrong
            mistake("A gRPC call goes out without its trace", error)
            return pairs

    def _headers(self) -> Mapping[str, str]:
        propagator, span, context = self._method.side.propagator, self.span, self.context
        if span is None:
            return propagator.headers(context)
        # In most calls there is a span to tell of, and nothing else.
        if propagator.w3c and not span.local.state and len(context) == (SPAN_KEY in context):
            return {TRACEPARENT: traceparent(span)}
        return propagator.headers(with_span(span, context))


class ServedCall(Call):
    """One that came to us: told apart from those that we make, for requests are counted by its end."""

    __slots__ = ()


def called(method: Method, server: Pairs) -> Call | None:
    """A call that is made now; None where it shall leave no trace."""
    try:
        context = current()
        if not method.side.live or suppressed(context):
            return None
        return Call(method, context.get(SPAN_KEY), context, server)
    except Exception as error:  # noqa: BLE001 - likewise
        mistake("A gRPC call could not be followed", error)
        return None


def served(method: Method, context: Any) -> Call | None:
    """A call that is served from now on; None where it shall leave no trace.

    Args:
        method: which.
        context: grpc's.
    """
    try:
        return _served(method, context) if method.side.live else None
    except Exception as error:  # noqa: BLE001 - likewise
        mistake("A gRPC call could not be followed", error)
        return None


def _served(method: Method, context: Any) -> Call:
    propagator, sent = method.side.propagator, dict(context.invocation_metadata() or ())
    if propagator.w3c and BAGGAGE not in sent:  # what most calls bring, without the ceremony
        header, ours = sent.get(TRACEPARENT), current()
        parent = parsed_traceparent(header, sent.get(TRACESTATE, "")) if header else None
    else:
        parent, ours = propagator.received(sent.get)
    call = ServedCall(method, parent, ours, client_of(context.peer()))
    if call.span is not None:
        call.context = with_span(call.span, ours)
    return call


def mistake(what: str, error: Exception) -> None:
    """Say once that something of ours went wrong, while the host's call goes on."""
    say_once(f"grpc {what}", f"{what}: {error!r}")


def suppressed(context: Context) -> bool:
    """Whether calls made here are nobody's business: those of exporters, ours among them."""
    return bool(context.get("suppress_instrumentation"))
