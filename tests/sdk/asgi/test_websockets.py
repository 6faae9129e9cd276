"""One span a connection: accepted, refused, closed well and badly."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from opentelemetry.trace import SpanKind, StatusCode
from starlette.testclient import TestClient

import gnomon
from gnomon.testing import Capture
from gnomon.tracing.span import Span


def application() -> FastAPI:
    """Every way that a connection goes."""
    app = FastAPI()

    @app.websocket("/echo/{room}")
    async def echo(socket: WebSocket, room: str) -> None:
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                with gnomon.span("handled"):
                    pass
                await socket.send_text(await socket.receive_text())

    @app.websocket("/ends")
    async def ends(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close(4001)

    @app.websocket("/refuses")
    async def refuses(socket: WebSocket) -> None:
        await socket.close()

    @app.websocket("/raises")
    async def raises(socket: WebSocket) -> None:
        await socket.accept()
        raise RuntimeError("no")

    return app


def span_of(captured: Capture, talk: Callable[[TestClient], Any]) -> Span:
    """The span of one connection."""
    with TestClient(application()) as client:
        talk(client)
    [span] = [span for span in captured.spans if span.kind is SpanKind.SERVER]
    return span


def seen(span: Span) -> dict[str, Any]:
    """Status and close code."""
    names = ("http.response.status_code", "websocket.close_code")
    return {name: span.attributes[name] for name in names if name in span.attributes}


def test_a_conversation(captured: Capture) -> None:
    """Messages are counted, not traced; work inside is its child."""

    def talk(client: TestClient) -> None:
        with client.websocket_connect("/echo/blue") as socket:
            for number in range(5):
                socket.send_text(str(number))
                assert socket.receive_text() == str(number)

    span = span_of(captured, talk)
    assert span.name == "WEBSOCKET /echo/{room}"
    told = span.attributes
    assert (told["websocket.messages.received"], told["websocket.messages.sent"]) == (5, 5)
    assert (told["http.route"], told["url.path"]) == ("/echo/{room}", "/echo/blue")
    assert seen(span) == {"http.response.status_code": 101, "websocket.close_code": 1000}
    assert {child.parent for child in captured.spans if child.name == "handled"} == {span.id}


@pytest.mark.parametrize(
    ("path", "status", "code", "error"),
    [
        ("/ends", 101, 4001, StatusCode.UNSET),
        ("/refuses", 403, 1000, StatusCode.UNSET),
        ("/raises", 101, None, StatusCode.ERROR),
        ("/nowhere", 403, 1000, StatusCode.UNSET),
    ],
)
def test_endings(captured: Capture, path: str, status: int, code: int | None, error: StatusCode) -> None:
    """By the application, before and after it has accepted; an exception is an error, and goes on."""

    def talk(client: TestClient) -> None:
        with (
            contextlib.suppress(WebSocketDisconnect, RuntimeError),
            client.websocket_connect(path) as socket,
        ):
            socket.receive_text()

    span = span_of(captured, talk)
    expected = {"http.response.status_code": status} | ({"websocket.close_code": code} if code else {})
    assert seen(span) == expected
    assert span.status.status_code is error


def test_a_client_that_is_gone(captured: Capture) -> None:
    """An abnormal close has its code."""

    def talk(client: TestClient) -> None:
        with client.websocket_connect("/echo/x") as socket:
            socket.close(1006)

    assert seen(span_of(captured, talk))["websocket.close_code"] == 1006


def test_excluded(captured: Capture) -> None:
    """A path that is left alone is so for connections too."""
    app = application()

    @app.websocket("/live/health")
    async def health(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    with TestClient(app) as client, client.websocket_connect("/live/health"):
        pass
    assert captured.spans == []
