"""A small HTTP proxy over real sockets: CONNECT to anywhere, and requests in absolute form."""

import http.client
import select
import socket
from urllib.parse import urlsplit

from tests.sdk.export.receivers import Receiver, Request, reply

GONE_S = 5


def proxying(sock: socket.socket, seen: Request) -> bool:
    """What a proxy does that lets everybody through; an answer for `Receiver`."""
    method, target, _ = seen.line.split()
    if method == "CONNECT":
        _connect(sock, target)
        return False
    _forward(sock, seen, target)
    return True


def proxy() -> Receiver:
    """One that listens."""
    return Receiver(answer=proxying)


def _connect(sock: socket.socket, authority: str) -> None:
    host, _, port = authority.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), GONE_S) as beyond:
        sock.sendall(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 tests\r\n\r\n")
        while True:
            ready, _, _ = select.select((sock, beyond), (), ())
            for one, other in ((sock, beyond), (beyond, sock)):
                if one in ready:
                    data = one.recv(65536)
                    if not data:
                        return
                    other.sendall(data)


def _forward(sock: socket.socket, seen: Request, url: str) -> None:
    parts = urlsplit(url)
    beyond = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=GONE_S)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    kept = {name: value for name, value in seen.headers.items() if not name.startswith("proxy-")}
    beyond.request("POST", path, seen.raw, kept)
    answer = beyond.getresponse()
    body = answer.read()
    sock.sendall(reply(answer.status, body))
    beyond.close()
