"""ClickHouse's HTTP interface over a Unix socket or a loopback port: one thread a connection, bytes passed through.

The thread of a connection reads the request, lets the crew run the statement, and moves the result from a pipe to the
socket; it watches the socket meanwhile and cancels the statement when the client leaves.
"""

import secrets
import select
import socket
import socketserver
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from os import close, read
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from . import execution, protocol, statement
from .bodies import Piece, Spool, decoded, library_compression
from .config import Layout, Limits
from .incoming import ClientGoneError, Incoming
from .protocol import EngineError, Parameters
from .session import Database

_CHUNK_BYTES = 1 << 18
# A result up to this is sent whole, with its statistics and with the right status when it fails half-way.
_HELD_BYTES = 1 << 16


class Service:
    """What every connection shares."""

    def __init__(self, database: Database, layout: Layout, limits: Limits) -> None:
        self.database = database
        self.layout = layout
        self.limits = limits
        self.crew = execution.Crew(database, limits)

    def spool(self, memory_bytes: int) -> Spool:
        """A new file for a body or a result."""
        return Spool(self.layout.spool, memory_bytes)


class Handler(BaseHTTPRequestHandler):
    """One connection, request after request."""

    protocol_version = "HTTP/1.1"
    wbufsize = _CHUNK_BYTES
    server: "UnixServer | LoopbackServer"

    def setup(self) -> None:
        """Set the idle deadline before anything is read."""
        self.service = self.server.service
        self.request.settimeout(self.service.limits.idle_s)
        super().setup()

    def version_string(self) -> str:
        """The Server header."""
        return "gnomon-engine"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Write nothing: the store that asks keeps the log."""

    def do_GET(self) -> None:
        """A read-only statement, or a check of health."""
        self._answer(read_only=True)

    def do_POST(self) -> None:
        """Any statement."""
        self._answer(read_only=False)

    def _answer(self, *, read_only: bool) -> None:
        self._query_id = str(uuid.uuid4())
        self._incoming = Incoming(self.headers, self.rfile, self.service.limits)
        self.connection.settimeout(self.service.limits.stall_s)
        path = urlsplit(self.path)
        try:
            if path.path in ("/ping", "/replicas_status"):
                self._incoming.drain()
                self.service.database.pulse()  # a library that hangs does not answer
                self._reply(HTTPStatus.OK, b"Ok.\n", {"Content-Type": "text/html; charset=UTF-8"})
            elif path.path != "/":
                self._incoming.drain()
                text = f"There is no handle {path.path}\n\nUse / for queries and /ping for health checks.\n"
                self._reply(HTTPStatus.NOT_FOUND, text.encode(), {"Content-Type": "text/plain; charset=UTF-8"})
            else:
                self._run(path.query, read_only=read_only)
            self.wfile.flush()
        except EngineError as error:
            self._reply_error(error)
        except (ClientGoneError, ConnectionError, TimeoutError):
            self.close_connection = True
        finally:
            self.connection.settimeout(self.service.limits.idle_s)

    # The request

    def _run(self, url_query: str, *, read_only: bool) -> None:
        pairs = parse_qsl(url_query, keep_blank_values=True, errors="surrogateescape")
        form = self._incoming.form()
        if form is not None:
            pairs += form
        headers = cast("Mapping[str, str]", self.headers)
        parameters = protocol.read_parameters(pairs, headers, read_only=read_only)
        self._query_id = parameters.query_id or self._query_id
        # As ClickHouse reads it: the query parameter, a line break, then the body.
        text = b"" if parameters.query is None else parameters.query.encode("utf-8", "surrogateescape")
        pieces = iter(()) if form is not None else self._incoming.pieces()
        if insert := statement.read_insert(text):
            self._run_insert(
                insert, text[insert.data_start :], pieces, parameters, library_compression(self._incoming.encoding)
            )
            return
        if not text.strip():
            # A statement in the body is encoded with it, so its data is decoded here too.
            pieces = decoded(pieces, self._incoming.encoding, self.service.limits.body_bytes)
            text, insert = self._incoming.read_text(pieces)
            if insert:
                self._run_insert(insert, text[insert.data_start :], pieces, parameters, None)
                return
        elif any(bytes(piece).strip() for piece in pieces):
            hint = "A body beside the parameter 'query' is read as the data of INSERT ... FORMAT only"
            raise EngineError(protocol.NOT_IMPLEMENTED, hint)
        self._run_query(text, parameters)

    # The statement

    def _run_insert(
        self,
        insert: statement.InsertWithData,
        inline: bytes,
        pieces: Iterator[Piece],
        parameters: Parameters,
        compression: str | None,
    ) -> None:
        # Admitted before its data is read: bodies in memory are as many as places.
        with self.service.crew.admit(), self.service.spool(self.service.limits.body_memory_bytes) as body:
            body.fill([inline])
            body.fill(pieces)
            if body.size_bytes == len(inline):
                compression = None
            job = execution.insert_job(insert, body, compression, parameters)
            self._finish(self.service.crew.start(job, parameters, self._query_id), "TabSeparated", parameters)

    def _run_query(self, text: bytes, parameters: Parameters) -> None:
        if not text.strip():
            raise EngineError(protocol.SYNTAX_ERROR, "Syntax error: Empty query")
        clause = statement.find_result_clause(text)
        output_format = clause.format or parameters.default_format
        if statement.is_kill(text):
            outcome = self.service.crew.run_control(text, parameters.default_format, parameters)
            self._reply_whole(outcome.body, outcome, self._head(output_format, parameters))
            return
        job = execution.query_job(text, clause, parameters)
        with self.service.crew.admit():
            self._finish(self.service.crew.start(job, parameters, self._query_id), output_format, parameters)

    def _finish(self, running: execution.Execution, output_format: str, parameters: Parameters) -> None:
        """Move the result to the client. Whatever goes wrong here, the statement ends before this returns."""
        pieces = self._output(running)
        head = self._head(output_format, parameters)
        try:
            held = bytearray()
            for piece in pieces:
                held += piece
                if len(held) >= _HELD_BYTES:
                    send = self._hold if parameters.wait_end_of_query else self._stream
                    send(held, pieces, running, head)
                    return
            outcome = running.future.result()
        finally:
            close(running.output)
            self.service.crew.abandon(running)
        self._reply_whole(bytes(held) or outcome.body, outcome, head)
        # While the place is still taken: a stop waits for it.
        self.wfile.flush()

    def _output(self, running: execution.Execution) -> Iterator[bytes]:
        """What the statement writes, until its end; raises ClientGoneError when the client leaves before."""
        poll = select.poll()
        poll.register(running.output, select.POLLIN)
        poll.register(self.connection, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if running.output in ready:
                piece = read(running.output, _CHUNK_BYTES)
                if not piece:
                    return
                yield piece
            elif self.connection.fileno() in ready:
                if not self.connection.recv(1, socket.MSG_PEEK):
                    raise ClientGoneError
                # The next request is already there; the connection is watched no longer.
                poll.unregister(self.connection)

    # The answer

    def _head(self, output_format: str, parameters: Parameters) -> dict[str, str]:
        return {
            "Content-Type": protocol.content_type(output_format),
            "X-ClickHouse-Query-Id": self._query_id,
            "X-ClickHouse-Format": output_format,
            "X-ClickHouse-Timezone": parameters.settings.get("session_timezone") or self.service.database.timezone,
        }

    def _reply_whole(self, body: bytes, outcome: execution.Outcome, head: Mapping[str, str]) -> None:
        self._reply(HTTPStatus.OK, body, {**head, "X-ClickHouse-Summary": outcome.statistics.summary()})

    def _hold(
        self, held: bytearray, pieces: Iterator[bytes], running: execution.Execution, head: Mapping[str, str]
    ) -> None:
        """Send a large result when it is complete, as ``wait_end_of_query`` asks: an error has its own status."""
        with self.service.spool(self.service.limits.body_memory_bytes) as whole:
            whole.fill([held])
            whole.fill(pieces)
            summary = running.future.result().statistics.summary()
            size = {"X-ClickHouse-Summary": summary, "Content-Length": str(whole.size_bytes)}
            self._reply(HTTPStatus.OK, None, {**head, **size})
            for piece in whole.pieces(_CHUNK_BYTES):
                self.wfile.write(piece)
            self.wfile.flush()

    def _stream(
        self, held: bytearray, pieces: Iterator[bytes], running: execution.Execution, head: Mapping[str, str]
    ) -> None:
        """Send a large result while it is made."""
        tag = secrets.token_hex(8)
        chunked = {"Transfer-Encoding": "chunked", "X-ClickHouse-Exception-Tag": tag}
        self._reply(HTTPStatus.OK, None, {**head, **chunked})
        self._chunk(held)
        for piece in pieces:
            self._chunk(piece)
        try:
            running.future.result()
        except EngineError as error:
            # The closing chunk is never sent: who counts chunks sees that the answer is not whole.
            self._chunk(protocol.exception_trailer(tag, error.body(self.service.database.version)))
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()

    def _chunk(self, piece: bytes | bytearray) -> None:
        self.wfile.write(b"%x\r\n" % len(piece))
        self.wfile.write(piece)
        self.wfile.write(b"\r\n")
        self.wfile.flush()

    def _reply_error(self, error: EngineError) -> None:
        head = {
            "Content-Type": "text/plain; charset=UTF-8",
            "X-ClickHouse-Exception-Code": str(error.code),
            "X-ClickHouse-Query-Id": self._query_id,
        }
        self._reply(error.status, error.body(self.service.database.version), head)

    def _reply(self, status: HTTPStatus, body: bytes | None, headers: Mapping[str, str]) -> None:
        """Send the head, and the body when it is here. An unread request body ends the connection."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, _header_text(value))
        if body is not None:
            self.send_header("Content-Length", str(len(body)))
        if self._incoming.unread:
            self.close_connection = True
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if body:
            self.wfile.write(body)


def _header_text(value: str) -> str:
    """What a client gave (query id, format) as one line of what a header can hold."""
    return value.encode("latin-1", "backslashreplace").decode("latin-1").replace("\r", " ").replace("\n", " ")


class _Serving(socketserver.ThreadingMixIn):
    """Connections, counted and bounded; at the end of the process they end with it."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024
    service: Service

    def bound(self, service: Service) -> None:
        """Attach what connections share; before this nothing is served."""
        self.service = service
        self._slots = threading.BoundedSemaphore(service.limits.connections)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection, or close it when there are too many."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)  # type: ignore[attr-defined]

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is nothing; a defect of ours is told to standard error. Others are served on."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            socketserver.BaseServer.handle_error(cast("socketserver.BaseServer", self), request, client_address)


class UnixServer(_Serving, socketserver.UnixStreamServer):
    """On a Unix socket."""


class LoopbackServer(_Serving, socketserver.TCPServer):
    """On a loopback port, for tests and for clients that speak TCP only."""

    allow_reuse_address = True
    disable_nagle_algorithm = True
