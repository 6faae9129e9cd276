"""An HTTP server inside the caller's event loop: binds, serves, drains; no signal handlers, no process of its own."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from email.utils import formatdate

from starlette.types import ASGIApp
from uvicorn.config import Config

from gnomon_server.errors import GnomonError
from gnomon_server.transport.connection import Connection, Connections
from gnomon_server.transport.greeting import Greeting, OnStranger
from gnomon_server.transport.limits import HttpLimits
from gnomon_server.transport.tls import TlsSettings, server_context

# Connections that the kernel completes while the loop is busy; the kernel clips it to net.core.somaxconn.
_BACKLOG = 2048


class HttpServer:
    """One ASGI application on one address.

    The application's lifespan is not run: what it needs is built and stopped by its composer.

    Args:
        app: the ASGI 3 application.
        listen: host and port; port 0 takes a free one (see `address`). One address is bound, the host's first.
        tls: certificate settings; None serves plain HTTP.
        limits: deadlines and ceilings.
        on_stranger: hears of connections that do not speak HTTP/1.1, or not TLS, or the other way round.
    """

    def __init__(
        self,
        app: ASGIApp,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        tls: TlsSettings | None = None,
        limits: HttpLimits | None = None,
        on_stranger: OnStranger = lambda _error, _peer, _data: None,
    ) -> None:
        self._app = app
        self._listen = listen
        self._tls = tls
        self._limits = limits or HttpLimits()
        self._on_stranger = on_stranger
        self._connections = Connections()
        self._handshakes: dict[asyncio.Task[None], None] = {}
        self._server: asyncio.Server | None = None
        self._dating: asyncio.Task[None] | None = None
        self._address = listen

    @property
    def address(self) -> tuple[str, int]:
        """Host and port as bound."""
        return self._address

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._connections.connections)

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            GnomonError: `port_taken`, `port_forbidden`, `address_unknown`, or `tls_unusable`.
        """
        context = server_context(self._tls) if self._tls else None
        config = Config(self._app, http=Connection, ws="none", lifespan="off", log_config=None, proxy_headers=False)
        config.load()
        loop = asyncio.get_running_loop()
        listener = _bind(*self._listen)
        self._address = listener.getsockname()[:2]

        def connection() -> asyncio.Protocol:
            return Connection(config, self._connections, self._limits, loop, self._on_stranger)

        self._server = await self._serve(listener, context, connection)
        self._dating = loop.create_task(self._keep_date(), name="http date")

    async def _serve(
        self, listener: socket.socket, context: ssl.SSLContext | None, connection: Callable[[], asyncio.Protocol]
    ) -> asyncio.Server:
        loop, deadline_s = asyncio.get_running_loop(), self._limits.header_deadline_s
        if context is None:
            return await loop.create_server(connection, sock=listener, backlog=_BACKLOG)
        if not isinstance(loop, asyncio.BaseEventLoop):
            # uvloop reads at once, whatever `connection_made` says: there a failed handshake passes unnoticed.
            return await loop.create_server(
                connection, sock=listener, backlog=_BACKLOG, ssl=context, ssl_handshake_timeout=deadline_s
            )

        def greeting() -> asyncio.Protocol:
            return Greeting(
                context, deadline_s, connection, self._on_stranger, self._handshakes, self._limits.max_connections
            )

        return await loop.create_server(greeting, sock=listener, backlog=_BACKLOG)

    async def stop(self, drain_s: float = 10.0) -> None:
        """Accept no more, let requests in flight finish for up to `drain_s` seconds, then cut what is left."""
        if self._server is None or self._dating is None:
            return
        self._server.close()
        for handshake in list(self._handshakes):
            handshake.cancel()
        connections = self._connections
        for connection in list(connections.connections):
            connection.shutdown()
        if connections.connections:
            connections.emptied.clear()
            try:
                async with asyncio.timeout(drain_s):
                    await connections.emptied.wait()
            except TimeoutError:
                await self._cut()
        self._dating.cancel()
        await asyncio.gather(*connections.tasks, self._dating, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _cut(self) -> None:
        for connection in list(self._connections.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # `connection_lost`: the applications that listen for it end by themselves
        for task in self._connections.tasks:
            task.cancel()

    async def _keep_date(self) -> None:
        """The `Date` header, made once a second for all answers."""
        while True:
            self._connections.default_headers = [(b"date", formatdate(usegmt=True).encode())]
            await asyncio.sleep(1)


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as error:
        raise _cannot_bind(error, f"{host}:{port}") from error
    # Connections inherit it. asyncio would set it on them, but for sockets whose protocol is not named: then an answer
    # in two writes waits 40 ms for the client's acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _cannot_bind(error: OSError, where: str) -> GnomonError:
    if error.errno == errno.EADDRINUSE:
        return GnomonError(
            "port_taken", f"another program listens on {where}", where, hint="stop it, or choose another port"
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return GnomonError(
            "port_forbidden", f"this user may not listen on {where}", where, hint="choose a port above 1023"
        )
    return GnomonError("address_unknown", f"{where} is not an address of this machine ({error.strerror})", where)
