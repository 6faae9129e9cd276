"""OTLP over HTTP, protobuf bodies, on the standard library: one connection, kept alive.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

import http.client
import io
import socket
import ssl
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from gnomon.errors import ExportError
from gnomon.export.outlet import Signal
from gnomon.export.partial import partial_success
from gnomon.export.proxy import Proxy
from gnomon.export.sender import Answer, Verdict

# What the specification calls retryable; all else that is not 2xx is for ever.
RETRYABLE = {429, 502, 503, 504}
TOO_LARGE = 413
# A proxy's own answer: the receiver has not seen the request.
PROXY_AUTHENTICATION = 407
LONGEST_ANSWER = 64 << 10
LONGEST_WAIT_S = 300.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where one signal goes: a URL in its parts."""

    secure: bool
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> "Address":
        """Read a URL; ExportError says what is wrong with it."""
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port = parts.port
            # As the socket will; here, for it imports a module, and a fork while the export thread imports breaks it.
            (parts.hostname or "").encode("idna")
        except ValueError as error:
            raise ExportError(
                f"the endpoint {url!r} has no valid host and port: {error}", hint="Ports are 1 to 65535"
            ) from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ExportError(f"the endpoint {url!r} is not an http:// or https:// URL")
        secure = parts.scheme == "https"
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        return cls(secure, parts.hostname, port or (443 if secure else 80), path)

    @property
    def authority(self) -> str:
        """Host and port as they are written: ASCII, an IPv6 address in its brackets."""
        host = self.host.encode("idna").decode()
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


class _Deadlined(io.RawIOBase):
    """Reads under one deadline: a receiver that drips bytes cannot hold us longer than one that hangs.

    Args:
        raw: the socket's own file: as long as it is open, so is the socket, whoever else has closed it.
        sock: the socket.
        deadline_s: on the monotonic clock.
    """

    def __init__(self, raw: Any, sock: socket.socket, deadline_s: float) -> None:
        super().__init__()
        self._raw, self._socket, self._deadline_s = raw, sock, deadline_s

    def readable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Let go of the socket too."""
        self._raw.close()
        super().close()

    def readinto(self, buffer: Any) -> int | None:
        """As a socket's, but never beyond the deadline."""
        self._socket.settimeout(_left_s(self._deadline_s))
        read: int | None = self._raw.readinto(buffer)
        return read


class _Response(http.client.HTTPResponse):
    """A response that is read under a deadline."""

    def __init__(self, sock: socket.socket, *args: Any, deadline_s: float, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_Deadlined(self.fp.detach(), sock, deadline_s))


@dataclass(slots=True)
class HttpSender:
    """Sends to one host.

    Args:
        addresses: by signal; all of the same host.
        headers: sent along (tokens).
        compress: gzip bodies.
        context: TLS, for https.
        user_agent: who we say we are.
        proxy: who stands between; None: nobody.
    """

    addresses: Mapping[Signal, Address]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    compress: bool = False
    context: ssl.SSLContext | None = None
    user_agent: str = "gnomon-python"
    proxy: Proxy | None = None
    _connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    def send(self, signal: Signal, body: bytes, timeout_s: float) -> Answer:
        """One POST; on a connection that was closed while it was idle, once more on a new one."""
        answer = self._sent(signal, body, timeout_s)
        if self.proxy is None or answer.verdict is Verdict.TAKEN:
            return answer
        return replace(answer, why=f"{answer.why} (through the proxy {self.proxy})")

    def _sent(self, signal: Signal, body: bytes, timeout_s: float) -> Answer:
        headers = {"Content-Type": "application/x-protobuf", "User-Agent": self.user_agent, **self.headers}
        if self.compress:
            body = _gzipped(body)
            headers["Content-Encoding"] = "gzip"
        deadline_s = time.monotonic() + timeout_s
        kept = self._connection is not None and self._connection.sock is not None
        try:
            try:
                return self._post(self.addresses[signal], body, headers, deadline_s)
            except (ConnectionError, http.client.BadStatusLine):
                self.close()
                if not kept:
                    raise
                return self._post(self.addresses[signal], body, headers, deadline_s)
        except ssl.SSLCertVerificationError as error:
            self.close()
            return Answer(Verdict.AGAIN, f"its certificate is not trusted ({error.verify_message})")
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return Answer(Verdict.AGAIN, f"{type(error).__name__}: {error}")

    def _post(self, address: Address, body: bytes, headers: Mapping[str, str], deadline_s: float) -> Answer:
        connection = self._connection
        if connection is None or connection.sock is None:  # without a socket: the receiver closed it after its answer
            connection = self._connection = self._made(address, _left_s(deadline_s))
            self._connect(connection, address, deadline_s)
        target = address.path
        if self.proxy is not None and not address.secure:
            target, headers = f"http://{address.authority}{target}", {**headers, **self.proxy.headers}
        connection.sock.settimeout(_left_s(deadline_s))
        connection.response_class = partial(_Response, deadline_s=deadline_s)  # type: ignore[assignment]
        connection.request("POST", target, body, dict(headers))
        response = connection.getresponse()
        content = response.read(LONGEST_ANSWER)
        if not response.isclosed():  # more than anyone has to say: not worth reading to its end
            self.close()
        return _judged(response, content)

    def _made(self, address: Address, timeout_s: float) -> http.client.HTTPConnection:
        if address.secure:
            return http.client.HTTPSConnection(address.host, address.port, timeout=timeout_s, context=self.context)
        next_hop = self.proxy or address
        return http.client.HTTPConnection(next_hop.host, next_hop.port, timeout=timeout_s)

    def _connect(self, connection: http.client.HTTPConnection, address: Address, deadline_s: float) -> None:
        """Connect; to a TLS receiver through a tunnel: of what is sent the proxy sees the receiver's name alone.

        `http.client` has tunnels too: without a deadline for the proxy's answer, nor IPv6 before Python 3.12.
        """
        if self.proxy is None or not address.secure:
            connection.connect()
            return
        connection.sock = socket.create_connection((self.proxy.host, self.proxy.port), _left_s(deadline_s))
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _tunnel(connection.sock, self.proxy, address.authority, deadline_s)
        connection.sock.settimeout(_left_s(deadline_s))
        context = self.context or ssl.create_default_context()
        connection.sock = context.wrap_socket(connection.sock, server_hostname=address.host)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abandon(self) -> None:
        """Close our copy of the socket without a TLS goodbye: the parent still uses the connection."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.sock is not None:
            socket.close(connection.sock.detach())


def _tunnel(sock: socket.socket, proxy: Proxy, authority: str, deadline_s: float) -> None:
    """Have a proxy connect us to a receiver (RFC 9110, 9.3.6)."""
    headers = {"Host": authority, **proxy.headers}
    lines = [f"CONNECT {authority} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    sock.sendall("\r\n".join(lines).encode())
    response = _Response(sock, method="CONNECT", deadline_s=deadline_s)
    try:
        response.begin()
        if not 200 <= response.status < 300:  # noqa: PLR2004 - success, in HTTP
            raise ConnectionRefusedError(f"CONNECT was answered with HTTP {response.status} {response.reason}")
    finally:
        response.close()  # ours to read it; the socket stays open


def _left_s(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("no time left")
    return left_s


def _gzipped(body: bytes) -> bytes:
    """Level 1: telemetry repeats itself, so higher levels give a few per cent for several times the time."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()


def _judged(response: http.client.HTTPResponse, content: bytes) -> Answer:
    status = response.status
    if 200 <= status < 300:  # noqa: PLR2004 - success, in HTTP
        rejected, why = partial_success(content)
        return Answer(Verdict.TAKEN, why, rejected=rejected)
    why = f"HTTP {status} {response.reason}: {content[:300].decode('utf-8', 'replace')}".strip(": ")
    if status in RETRYABLE or status == PROXY_AUTHENTICATION:
        return Answer(Verdict.AGAIN, why, _retry_after_s(response.headers.get("Retry-After")))
    return Answer(Verdict.TOO_LARGE if status == TOO_LARGE else Verdict.NEVER, why)


def _retry_after_s(value: str | None) -> float | None:
    """`Retry-After` in seconds: a number or a date (RFC 9110, 10.2.3); None for neither."""
    if not value:
        return None
    try:
        wait_s = float(value) if value.strip().isdigit() else parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(wait_s, 0.0), LONGEST_WAIT_S)
