"""The HTTP server against clients that mean no good, over real sockets."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from tests.waiting import soon

from gnomon_server.transport.body import BodyBudget, read_body
from gnomon_server.transport.http_server import HttpServer
from gnomon_server.transport.limits import BodyLimits, HttpLimits
from gnomon_server.transport.reply import EXCEPTION_HANDLERS
from gnomon_server.transport.tls import TlsSettings

HEAD = b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\n"
BODY_LIMITS = BodyLimits(max_request_bytes=1_000_000, max_decoded_bytes=1_000_000, max_in_flight_bytes=4_000_000)
# Deadlines short enough for a test; which answer comes is asserted, never when.
QUICK = HttpLimits(header_deadline_s=0.3, body_grace_s=0.3, body_deadline_s=1, idle_timeout_s=0.3, write_stall_s=0.3)
PATIENT = HttpLimits()
CASES = Path(__file__).parents[1] / "cases" / "tls"
TLS = TlsSettings(cert=CASES / "cert.pem", key=CASES / "key.pem")


async def echo(request: Request) -> PlainTextResponse:
    """The request's body and its headers' names."""
    with BodyBudget(BODY_LIMITS).lease() as lease:
        body = await read_body(request.receive, request.headers, BODY_LIMITS, lease)
    return PlainTextResponse(body, headers={"x-names": ",".join(request.headers)})


async def flood(_request: Request) -> PlainTextResponse:
    """An answer larger than any socket buffer."""
    return PlainTextResponse(bytes(50_000_000))


APP = Starlette(
    routes=[Route("/echo", echo, methods=["POST"]), Route("/flood", flood)], exception_handlers=EXCEPTION_HANDLERS
)


@contextlib.asynccontextmanager
async def serving(limits: HttpLimits) -> AsyncIterator[HttpServer]:
    """A server for the length of a block."""
    server = HttpServer(APP, limits=limits)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


async def say(server: HttpServer, *parts: bytes, eof: bool = False) -> bytes:
    """Send the parts, a little apart, and return all that comes back until the server closes."""
    reader, writer = await asyncio.open_connection(*server.address)
    with contextlib.suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.02)
        if eof:
            writer.write_eof()
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()


async def normal_request(server: HttpServer) -> None:
    """What everybody else does meanwhile."""
    answer = await say(server, HEAD + b"connection: close\r\ncontent-length: 5\r\n\r\nhello")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"hello")


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (HEAD, b"header_deadline"),
        (b"P", b"header_deadline"),
        (HEAD + b"content-length: 100\r\n\r\nabc", b"body_deadline"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nab", b"body_deadline"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\ntrailer: ", b"body_deadline"),
    ],
)
async def test_an_unfinished_request_ends_in_408(part: bytes, reason: bytes) -> None:
    """Head and body each have a deadline."""
    async with serving(QUICK) as server:
        answer = await say(server, part)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert reason in answer


@pytest.mark.parametrize("start", [HEAD + b"x: ", HEAD + b"content-length: 1000000\r\n\r\n"])
async def test_dripping_does_not_extend_a_deadline(start: bytes) -> None:
    """A byte now and then keeps neither head nor body alive."""
    async with serving(QUICK) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(start)
        answering = asyncio.create_task(reader.readline())
        async with asyncio.timeout(20):
            while not answering.done():
                writer.write(b"a")
                await asyncio.sleep(0.02)
        assert answering.result().startswith(b"HTTP/1.1 408 ")
        writer.close()


@pytest.mark.parametrize("noise", [b"", b"\r\n"])
async def test_an_idle_connection_is_closed_without_a_word(noise: bytes) -> None:
    """Also one that sends empty lines, which begin no request."""
    async with serving(QUICK) as server:
        assert await say(server, *[noise] * 5) == b""


async def test_a_thousand_half_open_and_a_thousand_idle_do_not_keep_others_out() -> None:
    """Half-open requests end by their deadline, and normal ones are answered all along."""
    limits = HttpLimits(header_deadline_s=1, max_connections=3_000)
    async with serving(limits) as server:
        loop = asyncio.get_running_loop()
        idle = [await loop.create_connection(asyncio.Protocol, *server.address) for _ in range(1_000)]
        half_open = [await loop.create_connection(asyncio.Protocol, *server.address) for _ in range(1_000)]
        for transport, _ in half_open:
            transport.write(HEAD)
        await normal_request(server)
        await soon(lambda: server.open_connections <= 1_000)
        await normal_request(server)
        for transport, _ in idle + half_open:
            transport.abort()


async def test_past_the_maximum_the_longest_waiting_makes_room() -> None:
    """Idle and half-open connections never fill the server."""
    async with serving(HttpLimits(max_connections=5)) as server:
        waiting = [await asyncio.open_connection(*server.address) for _ in range(5)]
        await soon(lambda: server.open_connections == 5)
        await normal_request(server)
        with contextlib.suppress(ConnectionResetError):
            assert await waiting[0][0].read() == b""
        waiting[4][1].write(HEAD + b"connection: close\r\ncontent-length: 2\r\n\r\nhi")
        assert (await waiting[4][0].read()).endswith(b"hi")
        for _, writer in waiting:
            writer.close()


async def test_those_who_never_shake_hands_make_room() -> None:
    """A connection that says nothing to a TLS port holds a quarter of a megabyte: the oldest goes for a newcomer."""
    limits = HttpLimits(max_connections=3)
    server = HttpServer(APP, tls=TLS, limits=limits)
    await server.start()
    silent = [await asyncio.open_connection(*server.address) for _ in range(5)]
    async with asyncio.timeout(5):
        assert [await reader.read() for reader, _ in silent[:2]] == [b"", b""]
    context = ssl.create_default_context(cafile=str(TLS.cert))
    reader, writer = await asyncio.open_connection(*server.address, ssl=context, server_hostname="localhost")
    writer.write(HEAD + b"connection: close\r\ncontent-length: 5\r\n\r\nhello")
    assert (await reader.read()).endswith(b"hello")
    for _, other in (*silent, (reader, writer)):
        other.close()
    await server.stop(0)


async def test_only_first_bytes_are_noted() -> None:
    """What is no HTTP is noted with how it begins; what comes later may be a secret."""
    noted: list[tuple[str, bytes]] = []
    server = HttpServer(APP, on_stranger=lambda error, _peer, data: noted.append((error.code, data)))
    await server.start()
    await say(server, b"\x16\x03\x01\x02\x00")
    await say(server, HEAD + b"Authorization: Bearer ", b"a-secret\x00\r\n\r\n")
    await say(server, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"no chunk, but a secret")
    await server.stop(0)
    assert noted == [("tls_on_plain_port", b"\x16\x03\x01\x02\x00"), ("http_malformed", b""), ("http_malformed", b"")]


async def test_when_all_connections_are_at_work_a_newcomer_is_told_to_come_again() -> None:
    """503 with Retry-After; those at work are not disturbed."""
    async with serving(HttpLimits(max_connections=2)) as server:
        busy = [await asyncio.open_connection(*server.address) for _ in range(2)]
        for _, writer in busy:
            writer.write(HEAD + b"connection: close\r\ncontent-length: 2\r\n\r\nh")
            await asyncio.sleep(0.05)
        answer = await say(server)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in answer
        for reader, writer in busy:
            writer.write(b"i")
            assert (await reader.read()).endswith(b"hi")
            writer.close()


@pytest.mark.parametrize(
    "parts",
    [
        [HEAD + b"x: " + b"a" * 40_000 + b"\r\n\r\n"],
        [HEAD + b"x: ", *[b"a" * 5_000] * 10],
        [HEAD, *[b"x: " + b"a" * 1_000 + b"\r\n"] * 50],
        [b"POST /" + b"a" * 40_000],
    ],
)
async def test_an_oversized_head_ends_in_431(parts: list[bytes]) -> None:
    """One header or many, at once or in pieces, or an endless request line."""
    async with serving(PATIENT) as server:
        answer = await say(server, *parts)
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert b"header_too_large" in answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"content-length: abc\r\n\r\n",
        HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab",
        HEAD + b"content-length: 99999999999999999999999\r\n\r\n",
        HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nabcdef\r\n0\r\n\r\n",
        HEAD + b"bad header\r\n\r\n",
        HEAD + b"x: a\0b\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"\0" * 1_000,
    ],
)
async def test_what_is_no_http_ends_in_400(request_bytes: bytes) -> None:
    """Bad lengths, smuggling, chunk garbage, TLS and HTTP/2 on a plain port, proxy requests."""
    async with serving(PATIENT) as server:
        assert (await say(server, request_bytes)).startswith(b"HTTP/1.1 400 ")
        await normal_request(server)


async def test_a_body_that_is_nearly_all_framing_is_refused() -> None:
    """Chunk extensions and trailers are held by the parser, so they are bounded too."""
    async with serving(PATIENT) as server:
        chunk = b"1;" + b"e" * 10_000 + b"\r\na\r\n"
        assert b"nearly all framing" in await say(server, HEAD + b"transfer-encoding: chunked\r\n\r\n", *[chunk] * 20)


async def test_one_byte_chunks_are_honest_and_taken() -> None:
    """The most that an honest sender spends on framing."""
    async with serving(PATIENT) as server:
        chunks = b"1\r\na\r\n" * 30_000 + b"0\r\n\r\n"
        answer = await say(server, HEAD + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n", chunks)
        assert answer.endswith(b"a" * 30_000)


async def test_trailers_do_not_become_headers() -> None:
    """A trailer comes after the request was judged: `Authorization` in one must not count."""
    async with serving(PATIENT) as server:
        request = (
            HEAD + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nauthorization: x\r\n\r\n"
        )
        answer = await say(server, request)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"authorization" not in answer


@pytest.mark.parametrize("part", [b"P", HEAD, HEAD + b"content-length: 10\r\n\r\nabc"])
async def test_a_half_closed_unfinished_request_ends_in_400(part: bytes) -> None:
    """Nothing more can come, so it is over at once."""
    async with serving(PATIENT) as server:
        answer = await say(server, part, eof=True)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"http_truncated" in answer


async def test_a_half_closed_finished_request_is_answered() -> None:
    """A client may close its sending side and wait."""
    async with serving(PATIENT) as server:
        assert (await say(server, HEAD + b"content-length: 2\r\n\r\nhi", eof=True)).endswith(b"hi")


async def test_an_offered_upgrade_does_not_cost_the_body() -> None:
    """Java's HTTP client offers h2c on its first request; an empty body acknowledged would be data lost."""
    async with serving(PATIENT) as server:
        offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAA\r\n"
        request = HEAD + offer + b"content-length: 5\r\n\r\nhello"
        final = HEAD + b"connection: close\r\ncontent-length: 2\r\n\r\nhi"
        whole = await say(server, request, final)
        pieces = await say(server, *[request[i : i + 40] for i in range(0, len(request), 40)], final)
        for answer in (whole, pieces):
            assert answer.count(b"HTTP/1.1 200 ") == 2
            assert b"\r\n\r\nhello" in answer


@pytest.mark.parametrize("more", [b"", b"connection: close\r\n"])
async def test_an_early_refusal_reaches_a_sender_that_is_still_sending(more: bytes) -> None:
    """413 comes before the body was read, alone, and the rest is dropped rather than reset."""
    async with serving(QUICK) as server:
        head = HEAD + more + b"content-length: 5000000\r\n\r\n"
        answer = await say(server, head, bytes(300_000), bytes(300_000), bytes(300_000))
        assert answer.count(b"HTTP/1.1") == 1
        assert answer.startswith(b"HTTP/1.1 413 ")
        await soon(lambda: server.open_connections == 0)


async def test_a_sender_that_reads_only_after_its_whole_body_gets_an_early_refusal() -> None:
    """With `Connection: close`, over plain sockets, as http.client sends: no reset takes the answer away."""

    def post(address: tuple[str, int]) -> bytes:
        with socket.create_connection(address) as sender:
            sender.sendall(HEAD + b"connection: close\r\ncontent-length: 5000000\r\n\r\n")
            for _ in range(50):
                sender.sendall(bytes(100_000))
            return sender.recv(100)

    async with serving(PATIENT) as server:
        for _ in range(5):
            assert (await asyncio.to_thread(post, server.address)).startswith(b"HTTP/1.1 413 ")


async def test_a_client_that_does_not_read_its_answer_is_cut() -> None:
    """Its unsent answer does not stay in memory."""
    async with serving(QUICK) as server:
        reader, writer = await asyncio.open_connection(*server.address, limit=1_000)
        writer.write(b"GET /flood HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await reader.readexactly(1)
        await soon(lambda: server.open_connections == 0)
        writer.close()


async def test_pipelined_garbage_does_not_overtake_the_answer() -> None:
    """The good request before it is answered, and nothing else."""
    async with serving(PATIENT) as server:
        answer = await say(server, HEAD + b"content-length: 2\r\n\r\nhi" + b"\0\0garbage\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"hi")
