"""A real server in a thread, clients that speak to its socket, and what is to be seen of them."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from tests.waiting import until

from gnomon.testing import Capture


@contextmanager
def serving(app: Any, **options: Any) -> Iterator[int]:
    """An application behind uvicorn; its port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1, ws="none", **options)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        until(lambda: server.started or not thread.is_alive())
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def raw(port: int, request: bytes, *, read: bool = True) -> bytes:
    """The answer to what is written on a socket, until the server closes; or nothing, and the client is gone."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        if not read:
            connection.recv(1)
            return b""
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer


def counts(captured: Capture, *labels: str) -> Counter[tuple[Any, ...]]:
    """How many requests were measured, by these labels."""
    family = captured.metrics().get("http.server.request.duration")
    found: Counter[tuple[Any, ...]] = Counter()
    for point in family.points if family else ():
        told = dict(point.labels)
        found[tuple(told.get(label) for label in labels)] += sum(point.counts)  # type: ignore[union-attr]
    return +found  # without what earlier tests have left at nothing


def sizes(captured: Capture, name: str, route: str) -> tuple[int, float]:
    """How many bodies were measured, and their bytes."""
    points = [point for point in captured.metrics()[name].points if dict(point.labels).get("http.route") == route]
    return sum(sum(point.counts) for point in points), sum(point.sum for point in points)  # type: ignore[union-attr]


def active(captured: Capture) -> float:
    """Requests that are in progress."""
    return sum(point.value for point in captured.metrics()["http.server.active_requests"].points)  # type: ignore[union-attr]


async def connected(app: Any, path: str, *messages: dict[str, Any], code: int = 1000) -> list[dict[str, Any]]:
    """What an application sends to a websocket that says this, and leaves; no server here speaks the protocol."""
    coming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    for message in ({"type": "websocket.connect"}, *messages, {"type": "websocket.disconnect", "code": code}):
        coming.put_nowait(message)
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "websocket", "path": path, "raw_path": path.encode(), "headers": [(b"host", b"h")], "subprotocols": [],
        "query_string": b"", "root_path": "", "scheme": "ws", "client": ("127.0.0.1", 1), "http_version": "1.1",
    }  # fmt: skip
    await app(scope, coming.get, send)
    return sent
