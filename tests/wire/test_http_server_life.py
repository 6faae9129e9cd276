"""The HTTP server's life: bind, serve, drain, TLS, several in one loop."""

import asyncio
import contextlib
import pathlib
import signal
import ssl
from collections.abc import Callable

import httpx
import pytest
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gnomon_server.errors import GnomonError
from gnomon_server.transport.http_server import HttpServer
from gnomon_server.transport.limits import HttpLimits
from gnomon_server.transport.reply import EXCEPTION_HANDLERS
from gnomon_server.transport.tls import TlsSettings

CASES = pathlib.Path(__file__).parents[1] / "cases" / "tls"
TLS = TlsSettings(cert=CASES / "cert.pem", key=CASES / "key.pem")
GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Gate:
    """An application whose answers wait until `opened`."""

    def __init__(self) -> None:
        self.entered, self.opened = asyncio.Event(), asyncio.Event()
        self.app = Starlette(routes=[Route("/", self.answer)], exception_handlers=EXCEPTION_HANDLERS)

    async def answer(self, _request: Request) -> PlainTextResponse:
        """Wait for the gate."""
        self.entered.set()
        await self.opened.wait()
        return PlainTextResponse("done")


async def hello(scope: Scope, _receive: Receive, send: Send) -> None:
    """The smallest application."""
    await PlainTextResponse("hello")(scope, _receive, send)


async def left(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers once it was told that the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
    await PlainTextResponse("you left")(scope, receive, send)


async def test_port_zero_takes_a_free_one_and_a_taken_one_is_named() -> None:
    """The second server on an address says which one is taken."""
    first = HttpServer(hello)
    await first.start()
    host, port = first.address
    assert port > 0
    second = HttpServer(hello, (host, port))
    with pytest.raises(GnomonError) as refusal:
        await second.start()
    assert (refusal.value.code, refusal.value.where) == ("port_taken", f"{host}:{port}")
    await second.stop()
    await first.stop()


@pytest.mark.parametrize("host", ["203.0.113.1", "no-such-name.invalid"])
async def test_an_address_that_is_not_ours_is_named(host: str) -> None:
    """A documentation address, and a name that resolves to nothing."""
    with pytest.raises(GnomonError) as refusal:
        await HttpServer(hello, (host, 0)).start()
    assert refusal.value.code == "address_unknown"


async def test_stop_lets_a_request_finish_and_takes_no_new_one() -> None:
    """Graceful: in flight is answered, idle is closed, a newcomer is refused."""
    gate = Gate()
    server = HttpServer(gate.app)
    await server.start()
    reader, writer = await asyncio.open_connection(*server.address)
    idle_reader, idle_writer = await asyncio.open_connection(*server.address)
    writer.write(GET)
    await gate.entered.wait()
    stopping = asyncio.create_task(server.stop(30))
    assert await idle_reader.read() == b""
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*server.address)
    gate.opened.set()
    answer = await reader.read()
    assert answer.endswith(b"done")
    assert b"connection: close" in answer
    await stopping
    writer.close()
    idle_writer.close()


async def test_stop_cuts_what_does_not_finish(caplog: pytest.LogCaptureFixture) -> None:
    """After the drain nothing is left, neither a connection nor a task nor a traceback in the log."""
    gate = Gate()
    server = HttpServer(gate.app)
    await server.start()
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(GET)
    await gate.entered.wait()
    await server.stop(0.05)
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    assert server.open_connections == 0
    assert not caplog.records
    writer.close()


async def test_the_application_learns_that_a_half_closed_client_left() -> None:
    """So that a query is cancelled when the client leaves; the answer still goes out."""
    server = HttpServer(left)
    await server.start()
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(GET)
    writer.write_eof()
    assert (await reader.read()).endswith(b"you left")
    writer.close()
    await server.stop()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_two_servers_share_one_loop_with_and_without_tls(run: Callable[..., None]) -> None:
    """Two listeners in the caller's loop, asyncio's or uvloop's, and no signal handler is touched."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    async def both() -> None:
        plain, secure = HttpServer(hello), HttpServer(hello, ("localhost", 0), TLS)
        await asyncio.gather(plain.start(), secure.start())
        context = ssl.create_default_context(cafile=str(TLS.cert))
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            assert (await client.get(f"http://127.0.0.1:{plain.address[1]}/")).text == "hello"
            assert (await client.get(f"https://localhost:{secure.address[1]}/")).text == "hello"
        assert signal.getsignal(signal.SIGTERM) == before[0]
        await asyncio.gather(plain.stop(), secure.stop())

    run(both())
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


async def test_a_client_certificate_is_demanded_when_an_authority_is_set() -> None:
    """Mutual TLS: with the certificate in, without out."""
    server = HttpServer(hello, ("localhost", 0), TLS.model_copy(update={"client_ca": TLS.cert}))
    await server.start()
    url = f"https://localhost:{server.address[1]}/"
    known, stranger = (ssl.create_default_context(cafile=str(TLS.cert)) for _ in range(2))
    known.load_cert_chain(TLS.cert, TLS.key)
    async with httpx.AsyncClient(verify=known, trust_env=False) as client:
        assert (await client.get(url)).text == "hello"
    async with httpx.AsyncClient(verify=stranger, trust_env=False) as client:
        with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)):
            await client.get(url)
    await server.stop()


async def test_unknown_paths_and_methods_are_answered_in_our_words() -> None:
    """Starlette's own 404 and 405 have the shape of every other error."""
    gate = Gate()
    gate.opened.set()
    server = HttpServer(gate.app)
    await server.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.address[1]}", trust_env=False) as client:
        missing, wrong = await client.get("/nowhere"), await client.post("/")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert "GET" in wrong.headers["allow"]
    await server.stop()


async def test_a_tls_handshake_has_a_deadline() -> None:
    """A connection that never speaks TLS is closed, like one that never ends its headers."""
    server = HttpServer(hello, ("localhost", 0), TLS, HttpLimits(header_deadline_s=0.3))
    await server.start()
    reader, writer = await asyncio.open_connection(*server.address)
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()
    await server.stop()
