"""HTTPS_PROXY, HTTP_PROXY, NO_PROXY: through a real proxy to real receivers, and what a proxy may do to us."""

import base64
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from tests.sdk.export.built import CERTIFICATE, build, context
from tests.sdk.export.proxies import proxy
from tests.sdk.export.receivers import Receiver, Request, put, reply, saying
from tests.waiting import until

from gnomon.export.http import Address, HttpSender
from gnomon.export.outlet import Outlet, Signal
from gnomon.export.proxy import Proxy, proxy_for
from gnomon.export.pump import Pump
from gnomon.export.sender import Answer, Verdict

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "GRPC_PROXY", "NO_GRPC_PROXY", "REQUEST_METHOD")
PASSWORD = "s3cr3t/#@:word"
ENCODED = "s3cr3t%2F%23%40%3Aword"


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A proxy, and an environment that names none as yet."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    made = proxy()
    yield made
    made.stop()


@pytest.fixture
def secure() -> Iterator[Receiver]:
    """A receiver that speaks TLS."""
    made = Receiver(context=context())
    yield made
    made.stop()


@pytest.fixture
def started() -> Iterator[Callable[..., tuple[Pump, Outlet]]]:
    """Makes the pump of traces, from settings; ends it."""
    made: list[Pump] = []

    def make(receiver: Receiver, **settings: Any) -> tuple[Pump, Outlet]:
        scheme = "https" if receiver.context else "http"
        (pump,), outlets = build(endpoint=f"{scheme}://localhost:{receiver.port}", certificate=CERTIFICATE, **settings)
        pump.start()
        made.append(pump)
        return pump, outlets[Signal.TRACES]

    yield make
    for pump in made:
        pump.shutdown(0.2)


def url(between: Receiver, user: str = "") -> str:
    """A proxy's, as a variable has it."""
    return f"http://{user}localhost:{between.port}"


def let_in(seen: Request) -> str:
    """The user and password that a proxy was told."""
    kind, _, words = seen.headers.get("proxy-authorization", "").partition(" ")
    assert kind == "Basic"
    return base64.b64decode(words).decode()


def test_https_goes_through_a_tunnel(
    between: Receiver, secure: Receiver, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One CONNECT a connection, which is kept; the proxy's password is for the proxy alone, our headers for beyond."""
    monkeypatch.setenv("HTTPS_PROXY", url(between, f"jo:{ENCODED}@"))
    pump, outlet = started(secure, headers={"X-Token": "t"})
    for name in "abc":
        put(outlet, name)
        assert pump.flush(5.0)
    (asked,) = between.requests
    assert asked.line == f"CONNECT localhost:{secure.port} HTTP/1.1"
    assert asked.headers["host"] == f"localhost:{secure.port}"
    assert let_in(asked) == f"jo:{PASSWORD}"
    assert "x-token" not in asked.headers
    assert (secure.names, secure.connections) == ([*"abc"], 1)
    assert secure.requests[0].headers["host"] == f"localhost:{secure.port}"
    assert not [name for one in secure.requests for name in one.headers if name.startswith("proxy")]
    between.hang_up()
    put(outlet, "d")
    assert pump.flush(5.0)
    assert (secure.names, len(between.requests)) == ([*"abcd"], 2)


def test_http_is_asked_for_in_absolute_form(
    between: Receiver, receiver: Receiver, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the receiver's whole URL; what is for the proxy goes no further."""
    monkeypatch.setenv("HTTP_PROXY", url(between, f"jo:{ENCODED}@"))
    pump, outlet = started(receiver)
    for name in "ab":
        put(outlet, name)
        assert pump.flush(5.0)
    assert {one.line for one in between.requests} == {f"POST http://localhost:{receiver.port}/v1/traces HTTP/1.1"}
    assert {one.headers["host"] for one in between.requests} == {f"localhost:{receiver.port}"}
    assert {let_in(one) for one in between.requests} == {f"jo:{PASSWORD}"}
    assert (receiver.names, between.connections) == ([*"ab"], 1)


@pytest.mark.parametrize(
    ("variables", "through"),
    [
        ({"https_proxy": ""}, True),
        ({"HTTPS_PROXY": ""}, True),
        ({"HTTP_PROXY": ""}, False),
        ({"HTTPS_PROXY": "http://localhost:1", "https_proxy": ""}, True),
        ({"HTTPS_PROXY": "", "NO_PROXY": "other.example,localhost"}, False),
        ({"HTTPS_PROXY": "", "no_proxy": "localhost:{port}"}, False),
        ({"HTTPS_PROXY": "", "NO_PROXY": "localhost:1"}, True),
        ({"HTTPS_PROXY": "", "NO_PROXY": "*"}, False),
        ({"HTTPS_PROXY": "", "NO_PROXY": "host"}, True),
    ],
)
def test_the_variables(
    between: Receiver, secure: Receiver, started: Any, monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str], through: bool,
) -> None:  # fmt: skip
    """As everywhere in Python: the scheme's own, small letters before large ones, and hosts that are left out."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(port=secure.port) or url(between))
    pump, outlet = started(secure)
    put(outlet, "a")
    assert pump.flush(5.0)
    assert (secure.names, bool(between.requests)) == (["a"], through)


@pytest.mark.parametrize(
    ("host", "left_out"), [("::1", "::1"), ("::1", "[::1]"), ("::1", "[::1]:4318"), ("a.example", ".example")]
)
def test_hosts_that_are_left_out(between: Receiver, monkeypatch: pytest.MonkeyPatch, host: str, left_out: str) -> None:
    """IPv6 addresses and domains, too."""
    monkeypatch.setenv("HTTP_PROXY", url(between))
    assert proxy_for(host, 4318, secure=False) == Proxy("localhost", between.port)
    monkeypatch.setenv("NO_PROXY", left_out)
    assert proxy_for(host, 4318, secure=False) is None


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_proxy_that_refuses(
    between: Receiver, secure: Receiver, started: Any, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, status: int,
) -> None:  # fmt: skip
    """The warning says who, what and how; the password stands nowhere; when the proxy relents everything arrives."""
    monkeypatch.setenv("HTTPS_PROXY", url(between, f"jo:{ENCODED}@"))
    lets_through, between.answer = between.answer, saying(reply(status, b"no"))
    pump, outlet = started(secure)
    put(outlet, "a")
    until(lambda: not pump.flush(0.05) and pump.failing)
    (told,) = [one.getMessage() for one in caplog.records if one.name == "gnomon.export"]
    assert f"CONNECT was answered with HTTP {status} Some Words (through the proxy localhost:{between.port})" in told
    between.answer = lets_through
    assert pump.flush(5.0)
    assert secure.names == ["a"]
    words = base64.b64encode(f"jo:{PASSWORD}".encode()).decode()
    for secret in ("s3cr3t", words):
        assert secret not in caplog.text + repr(pump.sender._sender)  # type: ignore[attr-defined]


def sender(receiver: Receiver, between: Receiver) -> HttpSender:
    """One that goes through the proxy."""
    return HttpSender(
        receiver.addresses, context=None if receiver.context is None else trusting(), proxy=Proxy.of(url(between))
    )


def trusting() -> ssl.SSLContext:
    """TLS that knows the receivers' certificate."""
    return ssl.create_default_context(cafile=CERTIFICATE)


def test_a_proxy_that_refuses_in_the_clear(between: Receiver, receiver: Receiver) -> None:
    """407 is the proxy's own, so the batch is kept; other answers may be the receiver's, and are judged as such."""
    made = sender(receiver, between)
    for status, verdict in ((407, Verdict.AGAIN), (502, Verdict.AGAIN), (403, Verdict.NEVER)):
        between.answer = saying(reply(status, b"no"))
        answer = made.send(Signal.LOGS, b"x", 5.0)
        why = f"HTTP {status} Some Words: no (through the proxy localhost:{between.port})"
        assert answer == Answer(verdict, why)
    assert not receiver.requests
    made.close()


def _hangs(sock: socket.socket, _: Request) -> bool:
    return sock.recv(1) != b""


def _drips(sock: socket.socket, _: Request) -> bool:
    """Until we are gone."""
    sock.settimeout(0.02)
    while True:
        sock.sendall(b"H")
        with contextlib.suppress(TimeoutError):
            return sock.recv(1) != b""


@pytest.mark.parametrize("answer", [_hangs, _drips])
def test_the_deadline_holds_for_the_proxy_too(between: Receiver, secure: Receiver, answer: Any) -> None:
    """One that hangs or drips for ever does not hold us; the next request finds it mended."""
    lets_through, between.answer = between.answer, answer
    made = sender(secure, between)
    late = made.send(Signal.LOGS, b"x", 0.3)
    assert (late.verdict, "Timeout" in late.why) == (Verdict.AGAIN, True)
    between.answer = lets_through
    assert made.send(Signal.LOGS, b"y", 5.0) == Answer(Verdict.TAKEN)
    made.close()


@pytest.mark.parametrize(
    "answer",
    [saying(b"SSH-2.0-OpenSSH\r\n", then=False), saying(b"", then=False), saying(b"\x00" * 100_000, then=False)],
)
def test_a_proxy_that_is_none(
    between: Receiver, secure: Receiver, open_sockets: Callable[[], int], answer: Any
) -> None:
    """Whatever answers there, it is a failure like others, and no socket is left open."""
    before = open_sockets()
    between.answer = answer
    made = sender(secure, between)
    for _ in range(3):
        assert made.send(Signal.LOGS, b"x", 5.0).verdict is Verdict.AGAIN
    until(lambda: open_sockets() == before)


def test_nobody_is_there(between: Receiver, secure: Receiver, receiver: Receiver) -> None:
    """No proxy, or no receiver beyond it; the words name the proxy."""
    between.stop()
    for one in (secure, receiver):
        answer = sender(one, between).send(Signal.LOGS, b"x", 5.0)
        assert answer.verdict is Verdict.AGAIN
        assert answer.why.endswith(f"refused (through the proxy localhost:{between.port})")


def test_a_tunnel_is_no_trust(between: Receiver, secure: Receiver) -> None:
    """The receiver's certificate is looked at as without a proxy, by the system's authorities if none are given."""
    made = HttpSender(secure.addresses, proxy=Proxy.of(url(between)))
    answer = made.send(Signal.LOGS, b"x", 5.0)
    assert (answer.verdict, "certificate is not trusted" in answer.why) == (Verdict.AGAIN, True)
    assert not secure.requests


@pytest.mark.parametrize(
    ("endpoint", "authority"),
    [
        ("https://[::1]:4318", "[::1]:4318"),
        ("https://h", "h:443"),
        ("https://bücher.example:8443/x", "xn--bcher-kva.example:8443"),
    ],
)
def test_whom_the_proxy_is_asked_for(between: Receiver, endpoint: str, authority: str) -> None:
    """Always with a port, IPv6 in brackets, in ASCII; in the clear as well."""
    between.answer = saying(reply(407))
    for scheme in ("https", "http"):
        address = Address.of(endpoint.replace("https", scheme))
        made = HttpSender({Signal.LOGS: address}, proxy=Proxy.of(url(between)))
        made.send(Signal.LOGS, b"x", 5.0)
        made.close()
    tunnel, clear = between.requests
    assert tunnel.line == f"CONNECT {authority} HTTP/1.1"
    assert clear.line.startswith(f"POST http://{authority.removesuffix(':443')}")
    assert clear.headers["host"] in clear.line


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://p:3128", Proxy("p", 3128)),
        ("p:3128/", Proxy("p", 3128)),
        ("http://p", Proxy("p", 80)),
        ("http://[::1]:3128", Proxy("::1", 3128)),
        ("jo@p:1", Proxy("p", 1, {"Proxy-Authorization": "Basic am86"})),
        ("http://jo:a:b@p:1", Proxy("p", 1, {"Proxy-Authorization": "Basic am86YTpi"})),
        ("https://p:3128", None),
        ("socks5://p:1080", None),
        ("http://p:99999", None),
        ("http://p:0", None),
        ("http://", None),
        ("http://a..b:1", None),
        ("http://jo:12/34@p:1", None),
        ("http://jo:12#34@p:1", None),
        ("http://jo:12?34@p:1", None),
        ("http://jo:se/cret@p:1", None),
    ],
)
def test_urls_of_proxies(text: str, proxy: Proxy | None) -> None:
    """What a variable may hold; half of a password is not taken for a port."""
    assert Proxy.of(text) == proxy
    assert str(Proxy("::1", 3128)) == "[::1]:3128"


@pytest.mark.parametrize("value", ["socks5://jo:s3cr3t@p:1080", "http://jo:s3/cr3t@localhost:1"])
def test_a_proxy_that_we_cannot_use(
    between: Receiver, secure: Receiver, started: Any, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, value: str,
) -> None:  # fmt: skip
    """The host starts, is told once without the password, and is sent for directly."""
    monkeypatch.setenv("HTTPS_PROXY", value)
    pump, outlet = started(secure)
    put(outlet, "a")
    assert pump.flush(5.0)
    (told,) = [one.getMessage() for one in caplog.records if one.name == "gnomon.export"]
    assert told.startswith("HTTPS_PROXY is passed over")
    assert "directly" in told
    assert not [part for part in ("s3", "cr3t", "jo") if part in told]
    assert secure.names == ["a"]


def test_grpc_has_its_own(between: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library itself reads `https_proxy` in small letters, for channels in the clear too, as the page says."""
    monkeypatch.setenv("https_proxy", url(between, "jo:word@"))
    between.answer = saying(reply(403), then=False)
    with grpc.insecure_channel("receiver.example:4317") as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary("/S/M")(b"x", timeout=0.5)
    asked = between.requests[0]
    assert (asked.line, let_in(asked)) == ("CONNECT receiver.example:4317 HTTP/1.1", "jo:word")
