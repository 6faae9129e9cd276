"""grpc.aio: every kind of call, every way it can end, over a socket."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from opentelemetry.trace import StatusCode
from tests.sdk.grpc.services import (
    KINDS,
    MESSAGES,
    SERVICE,
    Asyncio,
    Blocking,
    Reading,
    Seen,
    acall,
    aio_serving,
    begun,
    code,
)
from tests.waiting import soon

STREAMS = ("unary_stream", "stream_stream")
Pair = tuple[Asyncio, grpc.aio.Channel]


async def _pair(seen: Seen) -> Any:
    await soon(lambda: seen.servers and seen.clients)
    return seen.pair()


async def _read_on(rpc: Any, kind: str, first: asyncio.Event) -> None:
    """Wait for all of a call's answers, and say when the first of several is here."""
    if not kind.endswith("stream"):
        await rpc
        return
    async for _ in rpc:
        first.set()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("service", [Asyncio, Reading, Blocking])
async def test_a_call_is_one_trace(seen: Seen, kind: str, service: Any) -> None:
    """Coroutines, generators, readers and writers, plain handlers: one trace, and the handler runs inside its span."""
    made = service()
    server, address = await aio_serving(made)
    async with grpc.aio.insecure_channel(address) as channel:
        assert await acall(channel, kind, b"ok") == b"ok"
        ours, client = await _pair(seen)
    await server.stop(0)
    assert ours.name == client.name == f"{SERVICE}/{kind}"
    assert code(ours) == code(client) == 0
    assert ours.status.status_code is client.status.status_code is StatusCode.UNSET
    assert ours.attributes["client.address"] == client.attributes["server.address"] == "127.0.0.1"
    assert made.inside[-1] == (ours.trace, ours.id, True)
    if service is not Reading:
        assert ours.attributes.get("rpc.messages.received") == (2 if kind.startswith("stream") else None)
        sent = {"unary_stream": MESSAGES + 1, "stream_stream": 2}.get(kind)
        assert ours.attributes.get("rpc.messages.sent") == sent


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("service", [Asyncio, Reading, Blocking])
@pytest.mark.parametrize(
    ("what", "number", "server_error"), [(b"abort", 5, False), (b"fatal", 14, True), (b"code", 8, False)]
)
async def test_a_status_is_written_down(
    seen: Seen, kind: str, service: Any, what: bytes, number: int, server_error: bool
) -> None:
    """Aborting and set_code give both spans their status, whatever kind the handler is."""
    server, address = await aio_serving(service())
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.RpcError) as raised:
            await acall(channel, kind, what)
        ours, client = await _pair(seen)
    await server.stop(0)
    assert raised.value.code().value[0] == code(ours) == code(client) == number
    assert client.status.description == raised.value.details()
    assert (ours.status.status_code is StatusCode.ERROR) is server_error
    assert ours._events is None


@pytest.mark.parametrize("kind", KINDS)
async def test_an_exception_is_recorded(seen: Seen, asyncio_pair: Pair, kind: str) -> None:
    """What a handler raises is an event of its span, and UNKNOWN to both sides."""
    _, channel = asyncio_pair
    with pytest.raises(grpc.RpcError):
        await acall(channel, kind, b"raise")
    server, client = await _pair(seen)
    assert code(server) == code(client) == 2
    assert server.status.description == "LookupError: the shelf is empty"
    assert server._events is not None


@pytest.mark.parametrize("kind", KINDS)
async def test_the_deadline_passes(seen: Seen, asyncio_pair: Pair, kind: str) -> None:
    """Both sides say DEADLINE_EXCEEDED, and the handler is cancelled."""
    _, channel = asyncio_pair
    with pytest.raises(grpc.RpcError) as raised:
        await acall(channel, kind, b"wait", timeout=0.2)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    server, client = await _pair(seen)
    assert code(server) == code(client) == 4


@pytest.mark.parametrize("kind", KINDS)
async def test_a_caller_cancels_the_call(seen: Seen, asyncio_pair: Pair, kind: str) -> None:
    """`call.cancel()` ends both spans, once each, as CANCELLED."""
    service, channel = asyncio_pair
    rpc = begun(channel, kind, b"wait")
    await service.waiting.wait()
    assert rpc.cancel()
    assert await rpc.code() is grpc.StatusCode.CANCELLED
    server, client = await _pair(seen)
    assert code(server) == code(client) == 1
    assert server.status.status_code is StatusCode.UNSET
    await soon(lambda: seen.active() == [0, 0])
    assert len(seen.spans) == 2


@pytest.mark.parametrize("kind", KINDS)
async def test_a_caller_is_cancelled(seen: Seen, asyncio_pair: Pair, kind: str) -> None:
    """A task that is cancelled while it waits for a call cancels the call, down to the server's handler.

    But for one moment, which is grpc's: a task that is cancelled between a stream's opening and its first read leaves
    the call open (`_StreamResponseMixin._read` awaits its preparation where no one minds the cancellation), with us
    and without. So the first answer comes before the cancellation.
    """
    service, channel = asyncio_pair
    first = asyncio.Event()
    task = asyncio.create_task(_read_on(begun(channel, kind, b"wait"), kind, first))
    await service.waiting.wait()
    if kind.endswith("stream"):
        await first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server, client = await _pair(seen)
    assert code(server) == code(client) == 1
    await soon(lambda: seen.active() == [0, 0])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_is_cancelled_before_it_began(seen: Seen, asyncio_pair: Pair, kind: str) -> None:
    """A call cancelled in the step of the loop that made it ends its span, too."""
    _, channel = asyncio_pair
    rpc = begun(channel, kind, b"wait")
    assert rpc.cancel()
    await soon(lambda: len(seen.clients) == 1)
    assert code(seen.clients[0]) == 1


@pytest.mark.parametrize("kind", STREAMS)
async def test_a_stream_is_left(seen: Seen, asyncio_pair: Pair, kind: str) -> None:
    """A stream that nobody reads to its end is closed with its channel at the latest, and its spans end."""
    service, channel = asyncio_pair
    rpc = begun(channel, kind, b"wait")
    await service.waiting.wait()
    del rpc
    gc.collect()
    await channel.close()
    server, client = await _pair(seen)
    assert code(server) == code(client) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_the_server_stops(seen: Seen, kind: str) -> None:
    """A server that stops without grace cancels what it serves."""
    service = Asyncio()
    server, address = await aio_serving(service)
    async with grpc.aio.insecure_channel(address) as channel:
        task = asyncio.create_task(acall(channel, kind, b"wait"))
        await service.waiting.wait()
        await server.stop(0)
        with pytest.raises(grpc.RpcError) as raised:
            await task
        ours, client = await _pair(seen)
    assert code(ours) == 1
    assert code(client) == raised.value.code().value[0]


async def test_a_client_leaves_between_two_messages(seen: Seen) -> None:
    """A generator that grpc drops while a message is on its way is closed, and its span ends."""

    class Endless(Asyncio):
        async def unary_stream(self, _request: bytes, _context: Any) -> AsyncIterator[bytes]:
            while True:
                yield bytes(1 << 20)

    server, address = await aio_serving(Endless())
    async with grpc.aio.insecure_channel(address) as channel:
        rpc = channel.unary_stream(f"/{SERVICE}/unary_stream")(b"")
        await rpc.read()
        rpc.cancel()
        ours, client = await _pair(seen)
        assert code(ours) == code(client) == 1
        assert ours.attributes["rpc.messages.sent"] >= 1
    await server.stop(0)


async def test_nobody_serves_the_method(seen: Seen, asyncio_pair: Pair) -> None:
    """What a caller invents stands in an attribute, not in the span's name."""
    _, channel = asyncio_pair
    with pytest.raises(grpc.RpcError):
        await channel.unary_unary("/shop.Cart/Invented123")(b"")
    server, client = await _pair(seen)
    assert server.name == "grpc"
    assert server.attributes["rpc.method_original"] == "shop.Cart/Invented123"
    assert code(server) == code(client) == 12


async def test_a_call_that_cannot_begin(seen: Seen) -> None:
    """A closed channel raises as ever, and the span says what."""
    channel = grpc.aio.insecure_channel("127.0.0.1:1")
    method = channel.unary_unary(f"/{SERVICE}/unary_unary")
    await channel.close()
    with pytest.raises(grpc.aio.UsageError):
        await method(b"")
    (span,) = seen.clients
    assert code(span) == 2


async def test_many_calls_at_once(seen: Seen, asyncio_pair: Pair) -> None:
    """Calls at once end once each; each is a trace of its own."""
    _, channel = asyncio_pair
    await asyncio.gather(*(acall(channel, kind, b"ok") for kind in KINDS for _ in range(10)))
    await soon(lambda: len(seen.spans) == 80)
    assert len({span.trace for span in seen.spans}) == 40
    await soon(lambda: seen.active() == [0, 0])
