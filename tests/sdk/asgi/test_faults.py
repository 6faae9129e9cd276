"""A mistake of ours never changes an answer: each of our parts is broken in turn."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from tests.sdk.asgi.served import connected, serving

from gnomon.integrations import asgi
from gnomon.integrations.http_server import Served
from gnomon.integrations.websocket import Connection
from gnomon.logging.pipeline import Pipeline
from gnomon.logging.source import Source
from gnomon.testing import Capture
from gnomon.tracing.provider import Tracer
from gnomon.tracing.span import Recording, Span

BROKEN: list[tuple[Any, str]] = [
    (asgi.Exchange, "__init__"), (asgi.Exchange, "begin"), (asgi.Exchange, "_written"), (asgi.Exchange, "_log"),
    (asgi.Middleware, "begin"), (asgi.Middleware, "active"), (Served, "known"), (Served, "_learnt"),
    (Span, "end"), (Span, "failed"), (Span, "_encoded"), (Span, "set_status"), (Source, "log"),
    (asgi, "attach"), (asgi, "with_span"), (asgi, "parsed_traceparent"), (asgi.Binding, "__enter__"),
]  # fmt: skip


def application() -> FastAPI:
    """Good, bad, and in pieces."""
    app = FastAPI()

    @app.get("/good")
    async def good() -> str:
        return "good"

    @app.get("/bad")
    async def bad() -> None:
        raise RuntimeError

    @app.get("/pieces")
    async def pieces() -> StreamingResponse:
        async def some() -> AsyncIterator[bytes]:
            yield b"a"
            yield b"b"

        return StreamingResponse(some())

    return app


def fails(*_: Any, **__: Any) -> Any:
    """A mistake."""
    raise ZeroDivisionError


@pytest.mark.parametrize(("owner", "name"), BROKEN, ids=[f"{owner.__name__}.{name}" for owner, name in BROKEN])
async def test_an_answer_stays_what_it_is(
    captured: Capture, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, owner: Any, name: str
) -> None:
    """Broken before or after the application is built: the same status and body; no more than one warning."""
    monkeypatch.setattr(owner, name, fails)
    headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-correlation-id": "c"}
    transport = httpx.ASGITransport(application(), raise_app_exceptions=False)
    with caplog.at_level(logging.WARNING, "gnomon"):
        async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=headers) as client:
            for _ in range(3):
                assert (await client.get("/good")).json() == "good"
                assert (await client.get("/pieces")).text == "ab"
                assert (await client.get("/nowhere")).status_code == 404
                assert (await client.get("/bad")).status_code == 500
    told = [record for record in caplog.records if record.name == "gnomon.integrations"]
    assert len(told) <= 1


@pytest.mark.parametrize(("owner", "name"), [(asgi.Middleware, "begin"), (Connection, "attributes"), (Span, "end"),
                                             (Span, "set_attributes")])  # fmt: skip
async def test_a_connection_stays_what_it_is(
    captured: Capture, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    """Websockets likewise."""
    app = application()

    @app.websocket("/echo")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    monkeypatch.setattr(owner, name, fails)
    sent = await connected(app, "/echo", {"type": "websocket.receive", "text": "hello"})
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send", "websocket.close"]


def test_the_ends_of_an_application(captured: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush that fails does not keep a server from ending."""
    monkeypatch.setattr(type(captured.manager), "flush", fails)
    monkeypatch.setattr(Pipeline, "flush", fails)
    with serving(application(), lifespan="on") as port:
        assert httpx.get(f"http://127.0.0.1:{port}/good").json() == "good"


async def test_a_describer_that_fails(captured: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exceptions are described by a part of its own: without it the error is the application's still."""
    recording: Recording = captured.manager.recorders.tracers.recording
    monkeypatch.setattr(recording, "describe", fails)
    monkeypatch.setattr(Tracer, "_root", Tracer._root)
    transport = httpx.ASGITransport(application())
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        with pytest.raises(RuntimeError):
            await client.get("/bad")
