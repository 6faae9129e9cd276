"""One span a connection: accepted, refused, closed well and badly."""

import asyncio
import contextlib
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from opentelemetry.trace import SpanKind, StatusCode
from tests.sdk.asgi.served import connected

import gnomon
from gnomon.testing import Capture


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


def seen(captured: Capture) -> dict[str, Any]:
    """Status and close code of the one connection."""
    [span] = [span for span in captured.spans if span.kind is SpanKind.SERVER]
    names = ("http.response.status_code", "websocket.close_code")
    return {name: span.attributes[name] for name in names if name in span.attributes}


async def test_a_conversation(captured: Capture) -> None:
    """Messages are counted, not traced; work inside is its child."""
    said = [{"type": "websocket.receive", "text": str(number)} for number in range(5)]
    sent = await connected(application(), "/echo/blue", *said)
    assert [message.get("text") for message in sent[1:]] == ["0", "1", "2", "3", "4"]
    span = captured.span("WEBSOCKET /echo/{room}")
    told = span.attributes
    assert (told["websocket.messages.received"], told["websocket.messages.sent"]) == (5, 5)
    assert (told["http.route"], told["url.path"]) == ("/echo/{room}", "/echo/blue")
    assert seen(captured) == {"http.response.status_code": 101, "websocket.close_code": 1000}
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
async def test_endings(captured: Capture, path: str, status: int, code: int | None, error: StatusCode) -> None:
    """By the application, before and after it has accepted; an exception is an error, and goes on."""
    with pytest.raises(RuntimeError) if error is StatusCode.ERROR else contextlib.nullcontext():
        await connected(application(), path)
    assert seen(captured) == {"http.response.status_code": status} | ({"websocket.close_code": code} if code else {})
    [span] = captured.spans
    assert span.status.status_code is error


async def test_refused_with_an_answer(captured: Capture) -> None:
    """A server that can send a response in the place of an upgrade: its status is told."""

    async def refuses(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b""})

    from gnomon.integrations.asgi import Middleware  # noqa: PLC0415 - used by hand here alone

    await connected(Middleware(refuses, captured.manager.telemetry, lambda _: ""), "/x")
    assert seen(captured) == {"http.response.status_code": 401}


@pytest.mark.parametrize(("code", "told"), [(1006, 1006), (0, 1006), (1001, 1001)])
async def test_a_client_that_is_gone(captured: Capture, code: int, told: int) -> None:
    """An abnormal close has its code."""
    await connected(application(), "/echo/x", code=code)
    assert seen(captured)["websocket.close_code"] == told


async def test_cancelled(captured: Capture) -> None:
    """A server that ends cancels its connections: the span ends, without an error."""
    app = application()

    @app.websocket("/waits")
    async def waits(socket: WebSocket) -> None:
        await socket.accept()
        await asyncio.sleep(60)

    task = asyncio.create_task(connected(app, "/waits"))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert captured.span("WEBSOCKET /waits").status.status_code is StatusCode.UNSET


async def test_excluded(captured: Capture) -> None:
    """A path that is left alone is so for connections too."""
    app = application()

    @app.websocket("/live/health")
    async def health(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    assert len(await connected(app, "/live/health")) == 2
    assert captured.spans == []


@pytest.mark.parametrize(("given", "kept"), [(b"c-1", "c-1"), (b"x" * 129, None)])
async def test_the_callers_correlation_id(captured: Capture, given: bytes, kept: str | None) -> None:
    """Stands in every line of the connection, and on its span; without one lines stand under the trace's."""
    app = application()

    @app.websocket("/logs")
    async def logs(socket: WebSocket) -> None:
        gnomon.get_logger("shop").info("heard")
        await socket.close()

    async def from_one_who_names_it(scope: Any, receive: Any, send: Any) -> None:
        scope["headers"].append((b"x-correlation-id", given))
        await app(scope, receive, send)

    await connected(from_one_who_names_it, "/logs")
    [span] = captured.spans
    assert captured.log("heard")["context"]["correlation_id"] == (kept or span.trace.hex())
    assert span.attributes.get("correlation_id") == kept
