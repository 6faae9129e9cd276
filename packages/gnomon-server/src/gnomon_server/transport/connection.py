"""One HTTP/1.1 connection that cannot be held open for nothing: uvicorn's httptools protocol with deadlines.

A connection is always in one phase, and each phase but the application's own has a clock:

    IDLE --first byte--> HEAD --headers complete--> BODY --body complete--> ANSWER --answer sent--> IDLE
    any of them --refused--> OVER

uvicorn by itself only times IDLE, and only after a first request (docs/decisions/0003-http-server.md has the figures).
"""

import asyncio
import enum
from http import HTTPStatus
from typing import Any

import httptools
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gnomon_server.errors import GnomonError, InvalidInput, TooLarge, Unavailable
from gnomon_server.transport.greeting import OnStranger
from gnomon_server.transport.limits import HttpLimits
from gnomon_server.transport.reply import HttpReply, http_reply
from gnomon_server.transport.strangers import by_first_bytes

# A chunked body spends bytes on chunk sizes, extensions and trailers, and the parser keeps an unfinished trailer
# whole. One-byte chunks, the honest extreme, spend 5 bytes on each.
_FRAMING_BYTES_PER_BODY_BYTE = 8
# After a refusal the sender's bytes are dropped for so long: closing while it still sends resets the connection, and
# it would see that in place of the answer. A round trip to the other side of the world and back is 0.4 s.
_LINGER_S = 2.0


class Phase(enum.Enum):
    """What the connection waits for."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    ANSWER = "answer"
    OVER = "over"


class Connections(ServerState):
    """The connections of one listener."""

    def __init__(self) -> None:
        super().__init__()
        # In the order in which they began to wait; IDLE, HEAD and OVER only: all that may be closed for a newcomer.
        self.waiting: dict[Connection, None] = {}
        self.emptied = asyncio.Event()


class Connection(HttpToolsProtocol):
    """uvicorn's protocol, with a clock for every phase and a ceiling for the bytes of the head."""

    def __init__(
        self,
        config: Config,
        connections: Connections,
        limits: HttpLimits,
        loop: asyncio.AbstractEventLoop,
        on_stranger: OnStranger = lambda _error, _peer, _data: None,
    ) -> None:
        super().__init__(config, connections, {}, loop)
        self.access_log = False  # uvicorn decides by whether the root logger has handlers
        self._all = connections
        self._limits = limits
        self._on_stranger = on_stranger
        self._phase = Phase.IDLE
        self._phase_start_s = 0.0
        self._clock: asyncio.TimerHandle | None = None
        self._write_clock: asyncio.TimerHandle | None = None
        self._phase_bytes = 0  # received in this phase, as they came
        self._body_bytes = 0
        self._half_closed = False
        self._last_answer = False

    # -- the life of a connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too
        """Take the connection, in the place of one that waits if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections and not self._make_room():
            what = f"all {self._limits.max_connections} connections are at work"
            self._refuse(Unavailable("too_many_connections", what))
            return
        self._enter(Phase.IDLE)

    def _make_room(self) -> bool:
        """Close the connection that has waited longest without a complete request head."""
        oldest = next(iter(self._all.waiting), None)
        if oldest is None:
            return False
        oldest.cut()
        return True

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and stop when head or chunk framing outgrow their limits."""
        phase, cycle = self._phase, self.cycle
        if phase is Phase.OVER:
            return
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            if self._phase is not Phase.OVER:
                self._refuse(self._stranger(data, error))
            return
        # A read that brought the end of one message and the start of the next counts for neither: it is bounded itself.
        if self._phase is Phase.HEAD and phase is not Phase.BODY and self.cycle is cycle:
            self._phase_bytes += len(data)
            if self._phase_bytes > self._limits.max_header_bytes:
                self._refuse_head()
        elif self._phase is Phase.BODY and phase is Phase.BODY and self.cycle is cycle:
            self._phase_bytes += len(data)
            framing_bytes = self._limits.max_header_bytes + _FRAMING_BYTES_PER_BODY_BYTE * self._body_bytes
            if self._phase_bytes > framing_bytes:
                self._refuse(InvalidInput("http_malformed", "the chunks are nearly all framing"))

    def _stranger(self, data: bytes, error: httptools.HttpParserError) -> GnomonError:
        """What somebody is told who does not speak HTTP/1.1."""
        # Only a connection's first bytes tell; later ones are somebody's headers or body, and nobody's to see.
        is_first = not self._phase_bytes and self.cycle is None
        known = by_first_bytes(data) if is_first else None
        found = known or InvalidInput("http_malformed", f"this is not HTTP/1.1: {error}")
        self._on_stranger(found, self.client[0] if self.client else "", data if is_first else b"")
        return found

    def _feed(self, data: bytes) -> None:
        """Feed the parser; an offered upgrade (h2c, from Java's HTTP client) is declined by not seeing it.

        The parser takes whatever follows such a head for the other protocol, so that the body would be lost and an
        empty one acknowledged. The head is fed again without the offer.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            head = _without_upgrade(self.parser.get_method(), self.url, self.headers)
            self.parser = httptools.HttpRequestParser(self)
            self.parser.feed_data(head + data[offer.args[0] :])

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn closes at once, asyncio lets us stay
        """Let a client that only closed its sending side have its answer; anything incomplete is over.

        Returns:
            Whether the transport stays open.
        """
        if self._phase is Phase.ANSWER and self.scheme == "http":  # TLS has no half-closed connection in asyncio
            self._half_closed = True
            self.cycle.keep_alive = False
            self.cycle.message_event.set()
            return True
        if self._phase in {Phase.HEAD, Phase.BODY}:
            self._refuse(InvalidInput("http_truncated", "the connection was closed before the request was complete"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        super().connection_lost(exc)
        self._all.waiting.pop(self, None)
        self._stop(self._clock)
        self._stop(self._write_clock)
        if not self.connections:
            self._all.emptied.set()

    def cut(self) -> None:
        """Close at once, whatever is unsent."""
        self._all.waiting.pop(self, None)
        self.transport.abort()

    # -- phases: told by the parser (head, body) and by uvicorn (answer sent)

    def on_message_begin(self) -> None:
        """Start the clock of the head."""
        super().on_message_begin()
        self._enter(Phase.HEAD)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers, which come after the request was judged, are dropped."""
        if self._phase is Phase.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the clock of the body, and the application."""
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > (
            self._limits.max_header_bytes
        ):
            self._refuse_head()  # all of it came in one read
            raise httptools.HttpParserError("head too large")
        if self.parser.get_method() == b"CONNECT":
            raise httptools.HttpParserError("CONNECT is for proxies")
        if self.parser.should_upgrade():
            return  # `_feed` brings it again
        self._enter(Phase.BODY)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count what the application gets."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Leave the clock to the application."""
        if self._phase is Phase.HEAD:
            return  # an upgrade, see `_feed`
        super().on_message_complete()
        self._enter(Phase.IDLE if self.cycle.response_complete else Phase.ANSWER)

    def on_response_complete(self) -> None:
        """Wait for the next request, if the last one was read to its end."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # uvicorn's own idle clock, which any byte resets
        if self.transport.is_closing():
            self._linger()
        elif self._phase is Phase.BODY:
            # Answered early (413, 401). The rest is read and dropped for a while: closing now would reset the
            # connection, and the sender would see that in place of its answer.
            if self._last_answer:
                self._enter(Phase.OVER)
                if self.transport.can_write_eof():
                    self.transport.write_eof()
            self._stop(self._clock)
            self._clock = self.loop.call_later(self._limits.body_grace_s, self.cut)
        elif self._phase is Phase.ANSWER and not self.pipeline:
            self._enter(Phase.IDLE)

    def _enter(self, phase: Phase) -> None:
        self._phase, self._phase_start_s = phase, self.loop.time()
        self._phase_bytes = self._body_bytes = 0
        self._stop(self._clock)
        self._clock = None
        if phase in {Phase.IDLE, Phase.HEAD, Phase.OVER}:
            self._all.waiting[self] = None
        else:
            self._all.waiting.pop(self, None)
        limits = self._limits
        if phase is Phase.IDLE:
            self._clock = self.loop.call_later(limits.idle_timeout_s, self.transport.close)
        elif phase is Phase.HEAD:
            self._clock = self.loop.call_later(limits.header_deadline_s, self._head_late)
        elif phase is Phase.BODY:
            self._clock = self.loop.call_later(min(limits.body_grace_s, limits.body_deadline_s), self._body_late)
        elif phase is Phase.OVER:
            self._clock = self.loop.call_later(_LINGER_S, self.cut)

    # -- clocks

    def _head_late(self) -> None:
        error = InvalidInput("header_deadline", "the request's headers did not arrive in time")
        self._refuse(error, HTTPStatus.REQUEST_TIMEOUT)

    def _body_late(self) -> None:
        """Give the body the time its size so far has earned, or end it."""
        limits, elapsed_s = self._limits, self.loop.time() - self._phase_start_s
        earned_s = min(limits.body_grace_s + self._body_bytes / limits.body_min_bytes_per_s, limits.body_deadline_s)
        if self.flow.read_paused and elapsed_s < limits.body_deadline_s:
            earned_s = elapsed_s + 1.0  # it is the application that does not read on
        if elapsed_s < earned_s:
            self._clock = self.loop.call_later(earned_s - elapsed_s, self._body_late)
        else:
            error = InvalidInput("body_deadline", f"the body did not arrive in time: {self._body_bytes} bytes so far")
            self._refuse(error, HTTPStatus.REQUEST_TIMEOUT)

    def pause_writing(self) -> None:
        """Start the clock of a client that does not read."""
        super().pause_writing()
        self._write_clock = self.loop.call_later(self._limits.write_stall_s, self.cut)

    def resume_writing(self) -> None:
        """Stop it."""
        super().resume_writing()
        self._stop(self._write_clock)
        self._write_clock = None

    def _linger(self) -> None:
        """A closing connection whose last bytes nobody takes is cut."""
        self._stop(self._clock)
        self._clock = self.loop.call_later(self._limits.write_stall_s, self.transport.abort)

    @staticmethod
    def _stop(clock: asyncio.TimerHandle | None) -> None:
        if clock is not None:
            clock.cancel()

    # -- refusals

    def _refuse_head(self) -> None:
        what = f"request line and headers exceed {self._limits.max_header_bytes} bytes"
        self._refuse(TooLarge("header_too_large", what), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _refuse(self, error: GnomonError, status: HTTPStatus | None = None) -> None:
        """Answer `error` and close. While an earlier request is still being answered, that answer is the last."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            if self._phase is not Phase.BODY:
                self._all.waiting.pop(self, None)
                self._stop(self._clock)
                cycle.keep_alive = False
                self.pipeline.clear()
                self.flow.pause_reading()
                return
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.cut()
                return
        self.transport.write(_last_words(http_reply(error, status)))
        self._enter(Phase.OVER)
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:  # TLS: there is no half-closed connection to linger on
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        super()._start_asgi_task(cycle, _Leaving(self, app))  # type: ignore[arg-type]  # uvicorn's ASGI types are its own

    @property
    def half_closed(self) -> bool:
        """Whether the client has closed its sending side."""
        return self._half_closed

    def before_the_end_of_an_answer(self) -> None:
        """Keep uvicorn from closing while the request is still being sent; `on_response_complete` closes later."""
        if self._phase is Phase.BODY and not self.cycle.keep_alive:
            self._last_answer = self.cycle.keep_alive = True


class _Leaving:
    """Tell the application that the client has left (probably), and the connection that the answer ends."""

    def __init__(self, connection: Connection, app: ASGIApp) -> None:
        self._connection = connection
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body_ended = False

        async def receive_or_left() -> Message:
            nonlocal body_ended
            message = await receive()
            if body_ended and self._connection.half_closed:
                return {"type": "http.disconnect"}
            body_ended = body_ended or not message.get("more_body", False)
            return message

        async def send_then_linger(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                self._connection.before_the_end_of_an_answer()
            await send(message)

        try:
            await self._app(scope, receive_or_left, send_then_linger)
        except asyncio.CancelledError:
            if not self._connection.transport.is_closing():
                raise
            # Cut at the end of the drain: nobody is left to tell, and uvicorn would log it as a fault.


def _without_upgrade(method: bytes, url: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    hop = {b"connection", b"upgrade", b"http2-settings"}
    lines = [b"%s %s HTTP/1.1" % (method, url), *(b"%s: %s" % header for header in headers if header[0] not in hop)]
    return b"\r\n".join([*lines, b"", b""])


def _last_words(reply: HttpReply) -> bytes:
    """A whole HTTP/1.1 answer after which the connection closes."""
    status = HTTPStatus(reply.status)
    headers = {**reply.headers, "content-length": str(len(reply.body)), "connection": "close"}
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + reply.body
