"""`/metrics`: one answer, given as an ASGI app, as a WSGI app, or by a small server of our own."""

import asyncio
import contextlib
import gzip
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from gnomon.errors import MetricsError
from gnomon.metrics import foreign
from gnomon.metrics.collect import Family
from gnomon.metrics.exposition import CONTENT_TYPES, negotiate, render
from gnomon.metrics.registry import Registry, default_registry
from gnomon.metrics.said import say_once
from gnomon.metrics.workers import Workers
from gnomon.process.forks import after_fork

# Below it the header costs more than gzip saves.
WORTH_PACKING_BYTES = 1024

Headers = list[tuple[str, str]]


class Endpoint:
    """What a scrape is answered with: the instruments of all workers, and what the host keeps with prometheus_client.

    Args:
        registry: whose instruments; the process's own if None.
        resource: the service's attributes, shown as `target_info`; `service.name` tells groups of workers apart.
        registries: those of prometheus_client; its own if None, as soon as the host imports it. Empty for none.
        created: whether OpenMetrics says when each count began.
    """

    def __init__(
        self,
        registry: Registry | None = None,
        *,
        resource: Mapping[str, Any] | None = None,
        registries: Iterable[Any] | None = None,
        created: bool = False,
    ) -> None:
        self._registry = registry or default_registry()
        self._resource = dict(resource or {})
        self._registries = None if registries is None else list(registries)
        self._created = created
        self._server: ThreadingHTTPServer | None = None
        self.workers = Workers(self._own, str(self._resource.get("service.name", "")))
        self.workers.start()
        after_fork(self._forked)

    def _forked(self) -> None:
        """The server's thread is the parent's; to stop it here would be to wait for it for ever."""
        if self._server is not None:
            self._server.socket.close()
            self._server = None

    def _own(self) -> list[Family]:
        return [*self._registry.collect(), *foreign.families(self._registries)]

    def answer(self, accept: str = "", accept_encoding: str = "") -> tuple[int, Headers, bytes]:
        """Status, headers and body of a scrape. It may take a second, if another worker has been stopped."""
        try:
            form = negotiate(accept)
            body = render(self.workers.collect(), form, resource=self._resource, created=self._created)
        except Exception as error:  # noqa: BLE001 - a guest does not break its host's server
            say_once("endpoint", f"/metrics could not be rendered: {error!r}")
            return 500, [("content-type", "text/plain")], b"the metrics could not be rendered; see the log\n"
        headers = [("content-type", CONTENT_TYPES[form]), ("vary", "accept, accept-encoding")]
        if len(body) >= WORTH_PACKING_BYTES and _takes_gzip(accept_encoding):
            body = gzip.compress(body, 1, mtime=0)
            headers.append(("content-encoding", "gzip"))
        return 200, [*headers, ("content-length", str(len(body)))], body

    async def asgi(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """The ASGI application: `app.mount("/metrics", endpoint.asgi)`."""
        del receive  # a scrape has no body
        if scope["type"] != "http":
            return
        asked = {name: value.decode("latin-1") for name, value in scope["headers"]}
        # On a thread: other workers are waited for.
        status, headers, body = await asyncio.to_thread(
            self.answer, asked.get(b"accept", ""), asked.get(b"accept-encoding", "")
        )
        encoded = [(name.encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": status, "headers": encoded})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def wsgi(self, environ: Mapping[str, Any], start_response: Callable[[str, Headers], Any]) -> list[bytes]:
        """The WSGI application."""
        status, headers, body = self.answer(environ.get("HTTP_ACCEPT", ""), environ.get("HTTP_ACCEPT_ENCODING", ""))
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else body]

    def serve(self, port: int, host: str = "127.0.0.1") -> int:
        """Answer on a port of our own, whatever path is asked for; returns the port, which matters for port 0.

        Args:
            port: 0 takes a free one.
            host: the address, or the name of one, to listen on. `::` is every address, IPv4's too; nobody is asked who
                they are.

        Raises:
            MetricsError: the port is taken or not allowed, or the address is not this machine's.
        """
        try:
            server = _Server(host, port, _handler(self.answer))
        except OSError as error:
            hint = (
                "Choose another port, or an address of this machine; under several workers only one of them can have "
                "the port, so mount the endpoint there"
            )
            raise MetricsError(f"/metrics cannot be served at {host}, port {port}: {error}", hint=hint) from error
        self._server = server
        threading.Thread(target=server.serve_forever, name="gnomon-metrics", daemon=True).start()
        return int(server.server_address[1])

    def close(self) -> None:
        """End the server, if there is one, and save our numbers for the other workers."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        self.workers.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        found: list[Any] = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        # Of a name with both kinds of address the older: `localhost` is scraped as 127.0.0.1.
        self.address_family, *_, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """As TCP servers do: one for HTTP would look its own name up in the DNS, which may take seconds."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A scraper that hung up is none of the host's business; the default prints a traceback."""


def _handler(answer: Callable[[str, str], tuple[int, Headers, bytes]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30  # seconds; a scraper's idle connection, beyond the usual interval

        def do_GET(self) -> None:
            self._reply(with_body=True)

        def do_HEAD(self) -> None:
            self._reply(with_body=False)

        def _reply(self, *, with_body: bool) -> None:
            status, headers, body = answer(self.headers.get("accept", ""), self.headers.get("accept-encoding", ""))
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            if status != HTTPStatus.OK:
                self.send_header("content-length", str(len(body)))
            with contextlib.suppress(ConnectionError):
                self.end_headers()
                if with_body:
                    self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing: the host's stderr is the host's."""

    return Handler


def _takes_gzip(accept_encoding: str) -> bool:
    for part in accept_encoding.lower().split(","):
        coding, _, quality = part.partition(";")
        if coding.strip() == "gzip":
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
