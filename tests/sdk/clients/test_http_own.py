"""What each HTTP client has of its own."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import pytest
import requests
from aiohttp import web
from requests.adapters import HTTPAdapter
from requests.auth import HTTPDigestAuth
from tests.sdk.clients.seen import Seen
from tests.sdk.clients.servers import application

from gnomon.context import SPAN_KEY, current
from gnomon.integrations import aiohttp as ours_aiohttp
from gnomon.integrations import httpx as ours_httpx
from gnomon.integrations import requests as ours_requests
from gnomon.integrations.starlette import instrument_app


def test_httpx_transports_of_any_kind(seen: Seen) -> None:
    """Custom and mounted ones are seen, in clients that were there before us; inside our span is current."""
    inside = []

    def handler(request: httpx.Request) -> httpx.Response:
        inside.append((current().get(SPAN_KEY), request.headers["traceparent"]))
        return httpx.Response(200)

    mocked = httpx.MockTransport(handler)
    with httpx.Client(mounts={"http://mounted": mocked}, transport=mocked) as client, seen.installed(ours_httpx):
        client.get("http://mounted/x")
        client.get("https://other/x")
    assert [span for span, _ in inside] == seen.clients
    assert [sent[36:52] for _, sent in inside] == [span.id.hex() for span in seen.clients]
    assert [span.attributes["server.port"] for span in seen.clients] == [80, 443]
    assert current().get(SPAN_KEY) is None


def test_httpx_a_transport_that_takes_headers_away(seen: Seen) -> None:
    """What is gone already need not be taken back."""

    def handler(request: httpx.Request) -> httpx.Response:
        del request.headers["traceparent"]
        return httpx.Response(200)

    with httpx.Client(transport=httpx.MockTransport(handler)) as client, seen.installed(ours_httpx):
        assert client.get("http://x/").status_code == 200
    assert seen.client.name == "GET"


async def test_httpx_into_an_application(seen: Seen) -> None:
    """Through an ASGITransport client and server are one trace, though they share a task."""
    app = application()
    instrument_app(app, seen.telemetry)
    with seen.installed(ours_httpx):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
            assert (await client.get("/headers")).status_code == 200
    (server,) = seen.servers
    assert (server.trace, server.parent) == (seen.client.trace, seen.client.id)


async def test_httpx_streams(seen: Seen, url: str) -> None:
    """The span ends with the headers; the body is read afterwards, in full."""
    with seen.installed(ours_httpx):
        async with httpx.AsyncClient() as client, client.stream("GET", f"{url}/stream") as response:
            assert len(seen.clients) == 1
            assert sum([len(piece) async for piece in response.aiter_bytes()]) == 20_000
        with httpx.Client() as blocking, blocking.stream("GET", f"{url}/stream") as answered:  # noqa: ASYNC212 - the other kind
            assert sum(len(piece) for piece in answered.iter_bytes()) == 20_000
    assert len(seen.clients) == 2


def test_httpx_event_hooks_and_digests(seen: Seen, url: str) -> None:
    """Hooks run as they did, and the answer to a challenge is a request of its own."""
    heard: list[str] = []
    hooks: Any = {
        "request": [lambda r: heard.append(r.method)],
        "response": [lambda r: heard.append(str(r.status_code))],
    }
    with seen.installed(ours_httpx), httpx.Client(event_hooks=hooks, auth=httpx.DigestAuth("a", "b")) as client:
        assert client.get(f"{url}/challenge").text == "in"
    assert heard == ["GET", "401", "GET", "200"]
    assert [span.attributes.get("http.request.resend_count") for span in seen.clients] == [None, 1]


def test_requests_sessions_digests_and_streams(seen: Seen, url: str) -> None:
    """Sessions and their adapters are seen, those that were there before us too; an answer to a challenge counts."""

    class Own(HTTPAdapter):
        """A host's adapter."""

        def send(self, *args: Any, **options: Any) -> Any:
            return super().send(*args, **options)

    with requests.Session() as session:
        session.mount("http://", Own())
        with seen.installed(ours_requests):
            assert session.get(f"{url}/challenge", auth=HTTPDigestAuth("a", "b")).text == "in"
            with session.get(f"{url}/stream", stream=True) as response:
                assert len(seen.clients) == 3
                assert len(response.content) == 20_000
    assert [span.attributes.get("http.request.resend_count") for span in seen.clients] == [None, 1, None]


def test_requests_with_a_port_that_is_none(seen: Seen) -> None:
    """An address that cannot be read is the host's error, raised as ever."""
    request = requests.Request("GET", "http://shop/").prepare()
    request.url = "http://shop:eighty/"
    with seen.installed(ours_requests), requests.Session() as session, pytest.raises(requests.RequestException):
        session.send(request)
    assert seen.told()["server.address"] == ""


@pytest.fixture
async def own_url() -> AsyncIterator[str]:
    """The server of aiohttp: a websocket, and a connection that is cut the first time."""
    asked: list[int] = []

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(await socket.receive_str())
        await socket.close()
        return socket

    async def cut_once(request: web.Request) -> web.Response:
        asked.append(1)
        if len(asked) == 1 and request.transport is not None:
            request.transport.abort()
            await asyncio.sleep(1)
        return web.Response()

    async def never(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    app = web.Application()
    app.add_routes([web.get("/echo", echo), web.get("/cut", cut_once), web.get("/never", never)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_aiohttp_websockets_are_one_span(seen: Seen, own_url: str) -> None:
    """That of the handshake."""
    with seen.installed(ours_aiohttp):
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{own_url}/echo") as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"
    assert seen.told()["http.response.status_code"] == 101


async def test_aiohttp_retries_are_requests(seen: Seen, own_url: str) -> None:
    """What aiohttp sends again by itself is counted: the attempt that failed, and the one that did not."""
    with seen.installed(ours_aiohttp):
        async with aiohttp.ClientSession() as session, session.get(f"{own_url}/cut") as response:
            assert response.status == 200
    told = [(s.attributes.get("error.type"), s.attributes.get("http.request.resend_count")) for s in seen.clients]
    assert told == [("ServerDisconnectedError", None), (None, 1)]


async def test_aiohttp_leaves_the_hosts_own_parts(seen: Seen, url: str) -> None:
    """Its trace configurations and middlewares, of the session and of a call, work as they did."""
    heard: list[str] = []

    async def begun(*_: Any) -> None:
        heard.append("trace")

    def middleware(name: str) -> Any:
        async def through(request: aiohttp.ClientRequest, handler: Any) -> Any:
            heard.append(name)
            return await handler(request)

        return through

    config = aiohttp.TraceConfig()
    config.on_request_start.append(begun)
    async with aiohttp.ClientSession(trace_configs=[config], middlewares=(middleware("session"),)) as session:
        with seen.installed(ours_aiohttp):
            async with session.get(f"{url}/headers"):
                pass
            async with session.get(f"{url}/headers", middlewares=(middleware("call"),)):
                pass
    assert heard == ["trace", "session", "trace", "call"]
    assert len(seen.clients) == 2
    assert len(session.trace_configs) == 1


async def test_aiohttp_an_impatient_middleware(seen: Seen, own_url: str) -> None:
    """An attempt that the host's middleware gives up ends before the next, and nothing of it stays current."""

    async def twice(request: aiohttp.ClientRequest, handler: Any) -> Any:
        for _ in range(2):
            try:
                async with asyncio.timeout(0.2):
                    return await handler(request)
            except TimeoutError:
                continue
        raise aiohttp.ClientError("given up")

    with seen.installed(ours_aiohttp):
        async with aiohttp.ClientSession(middlewares=(twice,)) as session:
            with pytest.raises(aiohttp.ClientError, match="given up"):
                await session.get(f"{own_url}/never")
    assert [span.attributes["error.type"] for span in seen.clients] == ["CancelledError", "ClientError"]
    assert len({span.trace for span in seen.clients}) == 2  # neither is the other's parent
    assert current().get(SPAN_KEY) is None
