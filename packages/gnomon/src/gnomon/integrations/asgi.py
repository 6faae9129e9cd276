"""ASGI applications (https://asgi.readthedocs.io/): one span a request, its metrics, its line in the access log.

The span ends with the last byte of the response, not with the background tasks that a framework runs after it. There
are no spans for `receive` and `send`: they say nothing that the request's own span does not.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from struct import Struct
from typing import Any

from opentelemetry.trace import SpanKind, StatusCode

from gnomon.context import attach, current, detach, with_span
from gnomon.integrations import websocket
from gnomon.integrations.http_server import (
    CLIENT_GONE,
    CORRELATION,
    SERVER_ERROR,
    Known,
    Served,
    correlation_id,
    excluding,
)
from gnomon.integrations.telemetry import Measure, Telemetry
from gnomon.logging.binding import Binding
from gnomon.logging.categories import LogCategory, LogLevel
from gnomon.logging.source import Source
from gnomon.tracing.propagation import parsed_traceparent
from gnomon.wire.attributes import KeyValues
from gnomon.wire.logs import ATTRIBUTES
from gnomon.wire.protobuf import tag

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Any]
Send = Callable[[Message], Any]
App = Callable[[Scope, Receive, Send], Any]

log = logging.getLogger("gnomon.integrations")
SERVER = SpanKind.SERVER
SEEN = "gnomon.seen"  # our mark in a scope
INFO, ERROR, ACCESS = LogLevel.INFO, LogLevel.ERROR, LogCategory.ACCESS
# The tag of an attribute in a log record, and all of the one that holds the duration but its number.
LOGGED = tag(ATTRIBUTES, 2)
_DURATION = KeyValues(ATTRIBUTES).one("duration_ms", 0.0)[:-8]
_pack = Struct("<d").pack
_none: dict[str, Any] = {}


class Exchange:
    """One request and its response."""

    __slots__ = (
        "_active", "_bound", "_correlation", "_middleware", "_send", "_sent_ns", "_token", "complete", "ended_ns",
        "error", "headers", "method", "path", "scope",
        "sent_bytes", "span", "started_ns", "status",
    )  # fmt: skip

    def __init__(self, middleware: "Middleware", scope: Scope, send: Send) -> None:
        self._middleware, self.scope, self._send = middleware, scope, send
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        given = scope["headers"]
        self.headers: dict[bytes, bytes] = dict(given)
        if len(self.headers) != len(given):
            self.headers = joined(given)
        self.status = self.sent_bytes = self.ended_ns = self._sent_ns = 0
        self.error, self.complete = "", False
        self.span: Any = None
        self._correlation = b""
        self._bound: Binding | None = None
        self.started_ns = time.time_ns()
        self._active: Measure | None = None

    def begin(self) -> Any:
        """Start the span; return the context in which the application is to run."""
        attributes: dict[str, Any] = {"url.path": self.path}
        middleware, headers = self._middleware, self.headers
        span, context = middleware.begin(self.method, self.scope, headers, attributes, self.started_ns)
        self.span = span
        if middleware.correlates:
            given = correlation_id(headers)
            if given:
                self._correlation = given.encode()
                self._bound = Binding({"correlation_id": given})
                span.set_attribute("correlation_id", given)
            else:
                # Logs without a correlation id of their own stand under the trace's.
                self._correlation = span.trace.hex().encode()
        self._active = middleware.active(self.method, self.scope)
        return context

    def enter(self) -> None:
        """Begin, and be what is current."""
        self._token = attach(self.begin())
        if self._bound is not None:
            self._bound.__enter__()

    def leave(self) -> None:
        """The application is done, and what was current before is so again."""
        if not self.ended_ns:
            self.left()
        if self._bound is not None:
            self._bound.__exit__(None, None, None)
        detach(self._token)

    def send(self, message: Message) -> Any:
        """Watch what is sent. Not a coroutine itself, for most messages pass through as they are."""
        kind = message["type"]
        if kind == "http.response.start":
            self.status = message["status"]
            if self._correlation:
                # The message stays as it is: it is the application's, which may send it again. So does its own id.
                own = message.get("headers", ())
                if CORRELATION not in [name for name, _ in own]:
                    message = {**message, "headers": [*own, (CORRELATION, self._correlation)]}
        elif kind == "http.response.body":
            self.sent_bytes += len(message.get("body", b""))
            if not message.get("more_body", False):
                return self._last(message)
        return self._send(message)

    async def _last(self, message: Message) -> None:
        await self._send(message)
        self.complete, self._sent_ns = True, time.time_ns()
        # An error page may be followed by the exception that it stands for: frameworks raise it again.
        if self.status < SERVER_ERROR:
            self.finish()

    def failed(self, error: BaseException) -> None:
        """The application raised. After us a server answers 500, if nothing was sent yet."""
        if isinstance(error, Exception):
            self.error = type(error).__qualname__
            if not self.status:
                self.status = SERVER_ERROR
        try:
            self.span.failed(error)
        except Exception:  # noqa: BLE001 - the application's error goes on, not ours
            self._middleware.fault()

    def left(self) -> None:
        """The application is done. Without a whole response, whoever asked for it is gone."""
        if not self.error and not self.complete:
            self.error = "client_disconnected"
            self.status = self.status or CLIENT_GONE
        self.finish()

    def finish(self) -> None:
        """The last byte is out: write down everything, once."""
        if self.ended_ns:
            return
        self.ended_ns = self._sent_ns or time.time_ns()
        if self._active is not None:
            self._active(-1)
        try:
            self._written(self.ended_ns)
        except Exception:  # noqa: BLE001 - the answer is the application's; what we make of it changes nothing
            self._middleware.fault()

    def _written(self, ended_ns: int) -> None:
        scope, headers, status = self.scope, self.headers, self.status
        error = self.error or (str(status) if status >= SERVER_ERROR else "")
        served = self._middleware.served
        known = served.known((
            self.method, self._middleware.route(scope), status, scope.get("scheme", "http"),
            headers.get(b"host", b"").decode("latin-1"), scope.get("http_version", ""), error,
        ))  # fmt: skip
        span, taken_ns = self.span, ended_ns - self.started_ns
        span.block, span.name = known.block, known.name
        if status >= SERVER_ERROR and not self.error:
            span.set_status(StatusCode.ERROR)
        known.duration(taken_ns / 1e9)
        known.response_size(0 if self.method == "HEAD" else self.sent_bytes)  # servers leave it out
        if length := headers.get(b"content-length"):
            known.request_size(_number(length))
        span.end(ended_ns)
        access = self._middleware.access
        if access is not None:
            self._log(access, known, taken_ns)

    def _log(self, access: Source, known: Known, taken_ns: int) -> None:
        """A line of the access log: what repeats is encoded already, and the console is told it in words."""
        status, span = self.status, self.span
        level = ERROR if status >= SERVER_ERROR else INFO
        if level < access.level:
            return
        ids, client = (span.trace, span.id, span.sampled), self.scope.get("client")
        if access.pipeline.console is None:
            under = self._middleware.encoded.under
            more = known.logged + under(LOGGED, "url.path", self.path) + _DURATION + _pack(taken_ns / 1e6)
            if client:
                more += under(LOGGED, "client.address", client[0])
            access.log(level, known.message, ACCESS, _none, None, more, None, ids)
        else:
            fields = {**known.block[1], "url.path": self.path, "duration_ms": taken_ns / 1e6}
            if client:
                fields["client.address"] = client[0]
            access.log(level, known.message, ACCESS, fields, ids=ids)


class Middleware:
    """Around a whole application, outside of its own middleware, so that nothing of a request is missed.

    Args:
        app: any ASGI application.
        telemetry: the pillars. With an endpoint, the path `metrics_path` is answered here, before the application.
        route: the template of the route that a request took, from its scope; "" for none.
    """

    def __init__(self, app: App, telemetry: Telemetry, route: Callable[[Scope], str]) -> None:
        self.app, self.route = app, route
        self.served = Served(telemetry)
        self._propagator = telemetry.propagator
        self._w3c = telemetry.propagator.w3c
        self._begin = telemetry.tracer("gnomon.integrations.asgi").begin
        self.encoded = telemetry.tracers.recording.attributes
        self.access, self._opened, self._flush = telemetry.access, telemetry.opened, telemetry.flush
        self.correlates = telemetry.correlates or telemetry.access is not None
        self._faults = 0
        self._endpoint, self._metrics_path = telemetry.endpoint, telemetry.options.get("metrics_path", "")
        self._excluded = excluding(telemetry.options.get("excluded_urls", ()))
        self._adds: dict[tuple[str, str], Measure] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, connection or lifespan."""
        kind = scope["type"]
        if kind == "lifespan":
            await self.app(scope, receive, self._lifespan(send))
            return
        if SEEN in scope:  # an application inside of another one: the outer has it
            await self.app(scope, receive, send)
            return
        scope[SEEN] = True
        path: str = scope["path"]
        if path.endswith(self._metrics_path) and self._endpoint is not None and self._is_scrape(scope):
            await self._endpoint.asgi(scope, receive, send)
            return
        if self._excluded is not None and self._excluded(path):
            await self.app(scope, receive, send)
            return
        if kind == "websocket":
            await websocket.connected(self, scope, receive, send)
            return
        request = self._received(scope, send)  # found by this name on the stack when the event loop stalls
        if request is None:
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, request.send)
        except BaseException as error:
            request.failed(error)
            raise
        finally:
            request.leave()

    def _is_scrape(self, scope: Scope) -> bool:
        """Servers differ in whether the path has what they are told to be mounted at (`--root-path`) before it."""
        mounted = scope.get("root_path", "") + self._metrics_path
        return scope["type"] == "http" and scope["path"] in {self._metrics_path, mounted}

    def _received(self, scope: Scope, send: Send) -> Exchange | None:
        """A request, in whose context we are from now on; None: it is served all the same, whatever became of us."""
        try:
            request = Exchange(self, scope, send)
            request.enter()
        except Exception:  # noqa: BLE001 - as said
            self.fault()
            return None
        return request

    def begin(
        self, name: str, scope: Scope, headers: Mapping[bytes, bytes], attributes: dict[str, Any], started_ns: int
    ) -> tuple[Any, Any]:
        """The span of a request or connection that was received, and the context to serve it in."""
        parent, context = None, current()
        if self._w3c and b"baggage" not in headers:
            if sent := headers.get(b"traceparent"):
                state = headers.get(b"tracestate", b"")
                parent = parsed_traceparent(sent.decode("latin-1"), state.decode("latin-1"))
        else:
            parent, context = self._propagator.received(_getting(headers))
        if client := scope.get("client"):
            attributes["client.address"] = client[0]
        if agent := headers.get(b"user-agent"):
            attributes["user_agent.original"] = agent.decode("latin-1")
        if query := scope.get("query_string"):
            attributes["url.query"] = query.decode("latin-1")
        span = self._begin(name, SERVER, parent, attributes, started_ns, context)
        return span, with_span(span, context)

    def fault(self) -> None:
        """Something of ours failed, in whose `except` we are: told once, and the application does not notice."""
        self._faults += 1
        if self._faults == 1:
            log.warning("a request could not be observed; further ones are left aside in silence", exc_info=True)  # noqa: LOG014 - as said

    def _lifespan(self, send: Send) -> Send:
        """Be told of the application's start and end, the end before its server, which may end the process then."""

        async def sending(message: Message) -> None:
            try:
                if message["type"] == "lifespan.startup.complete" and self._opened is not None:
                    self._opened()
                elif message["type"] == "lifespan.shutdown.complete" and self._flush is not None:
                    await asyncio.to_thread(self._flush)
            except Exception:  # noqa: BLE001 - the server waits for this message
                self.fault()
            await send(message)

        return sending

    def active(self, method: str, scope: Scope) -> Measure:
        """One more request in progress; returns what takes it away again."""
        key = (method, scope.get("scheme", "http"))
        try:
            add = self._adds[key]
        except KeyError:
            if len(self._adds) > 64:  # noqa: PLR2004 - a client has invented methods
                self._adds.clear()
            add = self._adds[key] = self.served.active(*key)
        add(1)
        return add


def joined(given: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers of which some came more than once, which is one list in several lines (RFC 9110, 5.3).

    Two parents are none: such a `traceparent` is malformed then.
    """
    headers: dict[bytes, bytes] = {}
    for name, value in given:
        headers[name] = headers[name] + b"," + value if name in headers else value
    return headers


def _getting(headers: Mapping[bytes, bytes]) -> Callable[[str], str | None]:
    def get(name: str) -> str | None:
        value = headers.get(name.encode("latin-1"))
        return None if value is None else value.decode("latin-1")

    return get


def _number(digits: bytes) -> int:
    return int(digits) if digits.isdigit() and len(digits) < 19 else 0  # noqa: PLR2004 - below 2^63
