"""A websocket: one span from the request to the close, with the number of messages, not a span for each."""

import contextlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gnomon.context import attach, detach
from gnomon.integrations.http_server import correlation_id
from gnomon.logging.binding import Binding

if TYPE_CHECKING:
    from gnomon.integrations.asgi import Message, Middleware, Receive, Scope, Send

UPGRADED, REFUSED = 101, 403
NORMAL, ABNORMAL = 1000, 1006


class Connection:
    """What is seen of one connection."""

    __slots__ = ("_receive", "_send", "code", "received", "sent", "status")

    def __init__(self, receive: "Receive", send: "Send") -> None:
        self._receive, self._send = receive, send
        self.received = self.sent = self.code = 0
        self.status = REFUSED  # a handler that ends without accepting has refused

    async def receive(self) -> "Message":
        """Count what comes."""
        message: Message = await self._receive()
        if message["type"] == "websocket.receive":
            self.received += 1
        elif message["type"] == "websocket.disconnect":
            self.code = message.get("code") or ABNORMAL
        return message

    async def send(self, message: "Message") -> None:
        """Count what goes."""
        kind = message["type"]
        if kind == "websocket.accept":
            self.status = UPGRADED
        elif kind == "websocket.send":
            self.sent += 1
        elif kind == "websocket.close":
            self.code = self.code or message.get("code") or NORMAL
        elif kind == "websocket.http.response.start":
            self.status = message["status"]
        await self._send(message)

    def attributes(self) -> dict[str, Any]:
        """What there is to say in the end."""
        told = {
            "http.response.status_code": self.status,
            "websocket.messages.received": self.received,
            "websocket.messages.sent": self.sent,
        }
        return {**told, "websocket.close_code": self.code} if self.code else told


async def connected(middleware: "Middleware", scope: "Scope", receive: "Receive", send: "Send") -> None:
    """Serve one connection inside of its span."""
    try:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        attributes: dict[str, Any] = {"url.path": scope["path"], "network.protocol.name": "websocket"}
        span, context = middleware.begin("WEBSOCKET", scope, headers, attributes, time.time_ns())
        bound = _bound(middleware, headers, span)
    except Exception:  # noqa: BLE001 - a connection is served, whatever becomes of us
        middleware.fault()
        await middleware.app(scope, receive, send)
        return
    connection = Connection(receive, send)
    token = attach(context)
    try:
        with bound:
            await middleware.app(scope, connection.receive, connection.send)
    except BaseException as error:
        span.failed(error)
        raise
    finally:
        detach(token)
        try:
            if route := middleware.route(scope):
                span.update_name(f"WEBSOCKET {route}")
                span.set_attribute("http.route", route)
            span.set_attributes(connection.attributes())
            span.end()
        except Exception:  # noqa: BLE001 - likewise
            middleware.fault()


def _bound(middleware: "Middleware", headers: Mapping[bytes, bytes], span: Any) -> Any:
    """What binds the caller's correlation id to the lines of a connection; nothing, if it has none."""
    given = correlation_id(headers) if middleware.correlates else ""
    if not given:
        return contextlib.nullcontext()
    span.set_attribute("correlation_id", given)
    return Binding({"correlation_id": given})
