"""grpc: every kind of call, every way it can end, over a socket."""

import gc
import threading
from concurrent import futures
from typing import Any

import grpc
import pytest
from grpc.experimental import ChannelOptions
from opentelemetry.trace import StatusCode
from tests.sdk.grpc.services import KINDS, MESSAGES, SERVICE, Blocking, Seen, call, code, serving
from tests.waiting import until

STREAMS = ("unary_stream", "stream_stream")
Pair = tuple[Blocking, grpc.Channel]


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_is_one_trace(seen: Seen, blocking: Pair, kind: str) -> None:
    """Client and server make one trace with the conventions' attributes, and the handler runs inside its span."""
    service, channel = blocking
    assert call(channel, kind, b"ok") == b"ok"
    server, client = seen.pair()
    for span in (server, client):
        assert span.name == f"{SERVICE}/{kind}"
        assert span.status.status_code is StatusCode.UNSET
        assert {
            "rpc.system": "grpc",
            "rpc.service": SERVICE,
            "rpc.method": kind,
            "rpc.grpc.status_code": 0,
        }.items() <= span.attributes.items()
    assert server.attributes["client.address"] == "127.0.0.1"
    assert server.attributes["network.peer.address"] == "127.0.0.1"
    assert server.attributes["network.peer.port"] > 0
    assert client.attributes["server.address"] == "127.0.0.1"
    assert client.attributes["server.port"] > 0
    assert server.attributes.get("rpc.messages.received") == (2 if kind.startswith("stream") else None)
    sent = {"unary_stream": MESSAGES + 1, "stream_stream": 2}.get(kind)
    assert server.attributes.get("rpc.messages.sent") == sent
    assert service.inside[-1] == (server.trace, server.id, True)
    assert client.parent is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("what", "number", "server_error"), [(b"abort", 5, False), (b"fatal", 14, True), (b"code", 8, False)]
)
def test_a_status_is_written_down(
    seen: Seen, blocking: Pair, kind: str, what: bytes, number: int, server_error: bool
) -> None:
    """Aborting and set_code give both spans their status; it is an error where it is the server's fault."""
    _, channel = blocking
    with pytest.raises(grpc.RpcError) as raised:
        call(channel, kind, what)
    assert raised.value.code().value[0] == number
    server, client = seen.pair()
    assert code(server) == code(client) == number
    assert client.status.status_code is StatusCode.ERROR
    assert client.status.description == raised.value.details()
    assert client.attributes["error.type"] == raised.value.code().name
    assert (server.status.status_code is StatusCode.ERROR) is server_error
    assert ("error.type" in server.attributes) is server_error
    assert server._events is None


@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_is_recorded(seen: Seen, blocking: Pair, kind: str) -> None:
    """What a handler raises is an event of its span, and UNKNOWN to both sides."""
    _, channel = blocking
    with pytest.raises(grpc.RpcError):
        call(channel, kind, b"raise")
    server, client = seen.pair()
    assert code(server) == code(client) == 2
    assert server.status.description == "LookupError: the shelf is empty"
    assert server._events is not None
    assert b"the shelf is empty" in server._events[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_deadline_passes(seen: Seen, blocking: Pair, kind: str) -> None:
    """Both sides say DEADLINE_EXCEEDED; the server's span lasts as long as its handler works on."""
    service, channel = blocking
    with pytest.raises(grpc.RpcError) as raised:
        call(channel, kind, b"wait", timeout=0.2)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    until(lambda: len(seen.clients) == 1)
    service.release_when_gone()
    server, client = seen.pair()
    assert code(server) == code(client) == 4
    assert server.status.status_code is client.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("kind", KINDS)
def test_a_caller_cancels(seen: Seen, blocking: Pair, kind: str) -> None:
    """A cancelled call ends both spans, once each, as CANCELLED."""
    service, channel = blocking
    method = getattr(channel, kind)(f"/{SERVICE}/{kind}")
    start = method if kind in STREAMS else method.future
    rpc = start(iter([b"wait"]) if kind.startswith("stream") else b"wait")
    for _ in range(MESSAGES if kind == "unary_stream" else 0):
        next(rpc)
    assert service.waiting.wait(20)
    assert rpc.cancel()
    until(lambda: len(seen.clients) == 1)
    service.release_when_gone()
    server, client = seen.pair()
    assert code(server) == code(client) == 1
    assert server.status.status_code is StatusCode.UNSET
    assert client.attributes["error.type"] == "CANCELLED"
    until(lambda: seen.active() == [0, 0])
    assert len(seen.spans) == 2


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("options", [(), ((ChannelOptions.SingleThreadedUnaryStream, 1),)])
def test_an_abandoned_stream_ends(seen: Seen, kind: str, options: Any) -> None:
    """A stream that is dropped unread is cancelled by grpc, as it is without us, and its spans end."""
    service = Blocking()
    server, address = serving(service)
    with grpc.insecure_channel(address, options=options) as channel:
        stream = getattr(channel, kind)(f"/{SERVICE}/{kind}")
        rpc = stream(iter([b"ok", b"wait"]) if kind == "stream_stream" else b"wait")
        next(rpc)
        assert service.waiting.wait(20)
        del rpc
        gc.collect()
        until(lambda: len(seen.clients) == 1)
        service.release_when_gone()
        ours, client = seen.pair()
        assert code(ours) == code(client) == 1
    server.stop(0).wait()


@pytest.mark.parametrize("kind", KINDS)
def test_the_server_stops(seen: Seen, kind: str) -> None:
    """A server that stops without grace cancels what it serves."""
    service = Blocking()
    server, address = serving(service)
    with grpc.insecure_channel(address) as channel, futures.ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(call, channel, kind, b"wait")
        assert service.waiting.wait(20)
        stopped = server.stop(0)
        with pytest.raises(grpc.RpcError) as raised:
            outcome.result(20)
        service.release_when_gone()
        ours, client = seen.pair()
        assert code(ours) == 1
        assert code(client) == raised.value.code().value[0]
        stopped.wait()


def test_nobody_serves_the_method(seen: Seen, blocking: Pair) -> None:
    """What a caller invents stands in an attribute, not in the span's name nor in a label."""
    _, channel = blocking
    with pytest.raises(grpc.RpcError):
        channel.unary_unary("/shop.Cart/Invented123")(b"")
    server, client = seen.pair()
    assert server.name == "grpc"
    assert server.attributes["rpc.method_original"] == "shop.Cart/Invented123"
    assert code(server) == code(client) == 12
    assert seen.counted("rpc.server.duration") == {("_OTHER", "_OTHER", "12"): 1}


def test_calls_are_counted(seen: Seen, blocking: Pair) -> None:
    """Both durations have service, method and status; nothing is in progress at the end."""
    _, channel = blocking
    for what in (b"ok", b"ok", b"abort"):
        try:
            call(channel, "unary_unary", what)
        except grpc.RpcError:
            assert what == b"abort"
    expected = {(SERVICE, "unary_unary", "0"): 2, (SERVICE, "unary_unary", "5"): 1}
    assert seen.counted("rpc.server.duration") == seen.counted("rpc.client.duration") == expected
    assert seen.active() == [0, 0]


def test_calls_in_progress(seen: Seen, blocking: Pair) -> None:
    """A call is in progress on both sides while its handler works."""
    service, channel = blocking
    rpc = channel.unary_unary(f"/{SERVICE}/unary_unary").future(b"wait")
    assert service.waiting.wait(20)
    assert seen.active() == [1, 1]
    service.released.set()
    assert rpc.result() == b"wait"
    until(lambda: seen.active() == [0, 0])


def test_every_way_to_call(seen: Seen, blocking: Pair) -> None:
    """Calling, with_call and future make the same span."""
    _, channel = blocking
    method = channel.unary_unary(f"/{SERVICE}/unary_unary")
    assert method(b"ok") == b"ok"
    answer, rpc = method.with_call(b"ok")
    assert answer == b"ok"
    assert rpc.code() is grpc.StatusCode.OK
    assert method.future(b"ok").result() == b"ok"
    until(lambda: len(seen.clients) == 3)
    assert {code(span) for span in seen.clients} == {0}


def test_nobody_is_there(seen: Seen) -> None:
    """A call that reaches no server is UNAVAILABLE, blocking and as a future."""
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        method = channel.unary_unary(f"/{SERVICE}/unary_unary")
        with pytest.raises(grpc.RpcError):
            method(b"")
        assert method.future(b"").exception().code() is grpc.StatusCode.UNAVAILABLE
    until(lambda: len(seen.clients) == 2)
    assert [code(span) for span in seen.clients] == [14, 14]


def test_a_call_that_cannot_begin(seen: Seen) -> None:
    """A closed channel raises as ever, and the span says what."""
    channel = grpc.insecure_channel("127.0.0.1:1")
    method = channel.unary_unary(f"/{SERVICE}/unary_unary")
    stream = channel.unary_stream(f"/{SERVICE}/unary_stream")
    channel.close()
    for start in (method, stream):
        with pytest.raises(ValueError, match="closed"):
            start(b"")
    assert [code(span) for span in seen.clients] == [2, 2]
    assert all(span.status.description.startswith("ValueError: Cannot invoke RPC") for span in seen.clients)


def test_many_threads(seen: Seen, blocking: Pair) -> None:
    """Calls at once end once each, and the count of calls in progress comes back to nothing."""
    _, channel = blocking
    threads = [
        threading.Thread(target=lambda: [call(channel, "stream_stream", b"ok") for _ in range(10)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: len(seen.spans) == 80)
    until(lambda: seen.active() == [0, 0])
    assert len({span.id for span in seen.spans}) == 80
