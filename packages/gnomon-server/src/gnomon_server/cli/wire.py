"""What verbs speak to a server: HTTP and TLS as an application would, and a look at what a port speaks at all."""

import http.client
import json
import re
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gnomon_server.transport.strangers import PROBE_NAME

TIMEOUT_S = 10.0
_SNIFF_S = 1.0
_HTTP2_SETTINGS = 4  # the type of the first frame of an HTTP/2 server (RFC 9113, 3.4)
_FRAME_HEAD = 9
_CODE = re.compile(r"\[([a-z_0-9]+)\]")
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL's x509_vfy.h


class NotAnAddressError(ValueError):
    """Neither HOST:PORT nor a URL."""


@dataclass(frozen=True, slots=True)
class Target:
    """One listener as an application is told it. `name` is the server's name of it: otlp-grpc, otlp-http, http."""

    name: str
    host: str
    port: int
    tls: bool
    path: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """With scheme and path, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{self.path}"


def target_of(name: str, address: str, *, tls: bool, port: int) -> Target:
    """Of `HOST:PORT` or a URL; the scheme, where there is one, decides about TLS.

    Raises:
        NotAnAddressError: it is neither.
    """
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        port = parts.port or port
    except ValueError as error:
        raise NotAnAddressError(f"{address} is no address: {error}") from error
    scheme_tls = {"http": False, "grpc": False, "https": True, "grpcs": True}.get(parts.scheme, tls)
    host = parts.hostname or "127.0.0.1"
    return Target(name, _reachable(host), port, scheme_tls, parts.path.rstrip("/"))


def _reachable(host: str) -> str:
    """What is bound to every address is reached at loopback."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  (read, not bound)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, or the words of a gRPC status."""

    status: int
    body: bytes = field(default=b"", repr=False)

    def json(self) -> dict[str, Any]:
        """The body's object; empty for anything else."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def letter(self) -> "Letter":
        """What a refusal says."""
        tree = self.json()
        error = tree.get("error", tree)
        if isinstance(error, dict) and "what" in error:
            return Letter(str(error["code"]), str(error["what"]), str(error.get("hint", "")))
        text = str(tree.get("message", "")) or self.body[:400].decode("utf-8", "replace")
        return letter_of(text or f"HTTP status {self.status}")


@dataclass(frozen=True, slots=True)
class Letter:
    """A refusal: its reason, its words, the cure it names."""

    code: str
    what: str
    hint: str = ""


def letter_of(text: str) -> Letter:
    """Of an error's text, as GnomonError writes it."""
    head, _, hint = text.partition("\n  hint: ")
    line = head.splitlines()[0] if head.strip() else text
    code = _CODE.search(line)
    return Letter(code[1] if code else "", _CODE.sub("", line).strip(), hint.strip())


def trusting(ca: Path | None) -> ssl.SSLContext:
    """A client's context: these authorities (a server's own certificate among them), or the system's."""
    context = ssl.create_default_context(cafile=str(ca) if ca else None)
    if ca:
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    return context


def ask(
    target: Target, method: str, path: str, context: ssl.SSLContext | None, body: bytes | None = None,
    headers: dict[str, str] | None = None, timeout_s: float = TIMEOUT_S,
) -> Answer:  # fmt: skip
    """One request on a connection of its own. OSError and HTTPException are the caller's to understand."""
    connection = (
        http.client.HTTPSConnection(target.host, target.port, timeout=timeout_s, context=context)
        if target.tls
        else http.client.HTTPConnection(target.host, target.port, timeout=timeout_s)
    )
    try:
        connection.request(method, f"{target.path}{path}", body, headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, answer.read())
    finally:
        connection.close()


def spoken_at(target: Target) -> str:
    """What a port speaks: `gRPC`, `HTTP`, `TLS with gRPC`, `TLS with HTTP`, or `something else`.

    TLS is tried before plain HTTP, so that the server can tell our attempt (by `PROBE_NAME`) from an application's.
    """
    if target.name == "otlp-grpc" and not target.tls and _greets_as_http2(target):
        return "gRPC"
    protocol = _alpn(target)
    if protocol is not None:
        return "TLS with gRPC" if protocol == "h2" else "TLS with HTTP"
    plain = Target(target.name, target.host, target.port, tls=False)
    try:
        ask(plain, "GET", "/healthz", None, timeout_s=2 * _SNIFF_S)
    except (OSError, http.client.HTTPException):
        return "gRPC" if _greets_as_http2(target) else "something else"
    return "HTTP"


def _greets_as_http2(target: Target) -> bool:
    """A gRPC server sends its settings before it is asked anything."""
    try:
        with socket.create_connection((target.host, target.port), _SNIFF_S) as connection:
            connection.settimeout(_SNIFF_S)
            head = connection.recv(_FRAME_HEAD)
    except OSError:
        return False
    return len(head) == _FRAME_HEAD and head[3] == _HTTP2_SETTINGS


def _alpn(target: Target) -> str | None:
    """The protocol that a TLS server chooses (empty: none); None when it does not speak TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        with socket.create_connection((target.host, target.port), _SNIFF_S) as connection:
            connection.settimeout(2 * _SNIFF_S)
            with context.wrap_socket(connection, server_hostname=PROBE_NAME) as secured:
                return secured.selected_alpn_protocol() or ""
    except OSError:
        return None


def certificate_in(context: ssl.SSLContext, certificate: Path) -> dict[str, Any]:
    """What the certificate of a server's context says: `notBefore`, `notAfter`, `subject`, `subjectAltName`.

    A handshake in memory with a client that trusts just this file and no clock; ssl.SSLError where they do not fit.
    """
    client_context = trusting(certificate)
    client_context.check_hostname = False
    client_context.verify_flags |= _NO_CHECK_TIME
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_side=False)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return dict(client.getpeercert() or {})
