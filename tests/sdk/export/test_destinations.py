"""From settings to pumps: who goes together, and over what TLS."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.export.built import CERTIFICATE, KEY, TLS, build, context
from tests.sdk.export.receivers import Receiver, put, saying
from tests.waiting import until

from gnomon.config.export import SignalExport
from gnomon.errors import ExportError
from gnomon.export.grpc import GrpcSender
from gnomon.export.outlet import Reason, Signal
from gnomon.export.pump import Pump


def flushed(pump: Pump, timeout_s: float = 5.0) -> bool:
    """Start, flush, end."""
    pump.start()
    sent = pump.flush(timeout_s)
    pump.shutdown(0.2)
    return sent


def test_one_host_one_pump(receiver: Receiver) -> None:
    """Signals that go to one host share a pump, a connection and a thread; each has its own path."""
    (pump,), outlets = build(endpoint=f"http://localhost:{receiver.port}", headers={"X-Token": "t"}, compression="gzip")
    for outlet in outlets.values():
        put(outlet, "a")
    assert flushed(pump)
    assert {one.line.split()[1] for one in receiver.requests} == {"/v1/traces", "/v1/metrics", "/v1/logs"}
    assert {one.headers["x-token"] for one in receiver.requests} == {"t"}
    assert {one.headers["content-encoding"] for one in receiver.requests} == {"gzip"}
    assert receiver.connections == 1


def test_what_differs_goes_apart() -> None:
    """Another host, other headers, another protocol: a pump of its own."""
    made, _ = build(
        endpoint="http://a:1",
        schedule_s=5.0,
        logs=SignalExport(endpoint="http://b:1/logs", schedule_s=2.0),
        metrics=SignalExport(headers={"x": "y"}, timeout_s=3.0),
    )
    assert [[str(outlet.signal) for outlet in pump.outlets] for pump in made] == [["traces"], ["metrics"], ["logs"]]
    assert [pump.schedule_s for pump in made] == [5.0, 5.0, 2.0]
    assert [pump.timeout_s for pump in made] == [10.0, 3.0, 10.0]


def test_a_signals_own_times_hold() -> None:
    """Also where all go to one host: a pump of its own, for the others keep theirs."""
    made, _ = build(endpoint="http://a:1", traces=SignalExport(schedule_s=5.0, timeout_s=30.0, retry_max_elapsed_s=9.0))
    assert [[str(outlet.signal) for outlet in pump.outlets] for pump in made] == [["traces"], ["metrics", "logs"]]
    assert [(pump.schedule_s, pump.timeout_s, pump.retry_s) for pump in made] == [(5.0, 30.0, 9.0), (1.0, 10.0, 300.0)]


@pytest.mark.parametrize("protocol", ["none", "console"])
def test_nowhere(protocol: Any) -> None:
    """Where nothing is sent, third parties are still handed everything, and it counts as delivered."""
    handed: list[tuple[Signal, bytes]] = []
    (pump,), outlets = build(lambda signal, body: handed.append((signal, body)), protocol=protocol)
    put(outlets[Signal.TRACES], "a")
    pump.sender.abandon()
    assert flushed(pump)
    assert [signal for signal, _ in handed] == [Signal.TRACES]
    assert outlets[Signal.TRACES].counts.sent == 1


def test_others_are_handed_what_was_taken_and_nothing_else(receiver: Receiver) -> None:
    """A copy goes to third parties once the receiver has it."""
    handed: list[Signal] = []
    (pump,), outlets = build(lambda signal, _: handed.append(signal), endpoint=f"http://localhost:{receiver.port}")
    receiver.answer = saying(
        b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    )
    pump.start()
    for name in "ab":
        put(outlets[Signal.TRACES], name)
        assert pump.flush(5.0)
    pump.shutdown(1.0)
    assert handed == [Signal.TRACES]


def test_grpc_addresses() -> None:
    """Host and port, an IPv6 address in its brackets."""
    for endpoint, target in (("http://h:4317", "h:4317"), ("http://[::1]:4317", "[::1]:4317")):
        (pump,), _ = build(endpoint=endpoint, protocol="grpc")
        sender: Any = pump.sender
        assert isinstance(sender._sender, GrpcSender)
        assert sender._sender._target == target
        sender.close()


def test_several_pumps_share_a_spool(receiver: Receiver, tmp_path: Path) -> None:
    """A request goes back to where it was meant to go; the spool's drops are counted with their signal."""
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    (traces, logs), outlets = build(
        endpoint=f"http://localhost:{port}",
        protocol="none",
        traces=SignalExport(protocol="http/protobuf"),
        logs=SignalExport(protocol="http/protobuf", endpoint=f"http://localhost:{receiver.port}/v1/logs"),
        metrics=SignalExport(protocol="http/protobuf"),
        spool_dir=str(tmp_path),
        spool_bytes=2 * 4096,
    )
    put(outlets[Signal.TRACES], "a")
    assert flushed(traces)
    assert len(list(tmp_path.iterdir())) == 1
    put(outlets[Signal.LOGS], "b")
    assert flushed(logs)
    assert [one.line for one in receiver.requests] == ["POST /v1/logs HTTP/1.1"]
    assert len(list(tmp_path.iterdir())) == 1
    assert logs.spool is not None
    for _ in range(2):
        assert logs.spool.put(Signal.LOGS, b"x", 1)
    assert outlets[Signal.TRACES].counts.dropped == {Reason.SPOOL_FULL: 1}


@pytest.mark.parametrize(
    "files",
    [
        {"certificate": "/no/such/file.pem"},
        {"certificate": str(TLS / "README.md")},
        {"client_certificate": CERTIFICATE, "client_key": str(TLS / "other_key.pem")},
        {"client_certificate": CERTIFICATE, "client_key": "/no/such/key.pem"},
    ],
)
def test_files_that_are_no_certificates(files: dict[str, str]) -> None:
    """Said when it is set up, with the names of the files."""
    with pytest.raises(ExportError, match=r"TLS cannot be set up from .*pem|README"):
        build(endpoint="https://localhost:1", **files)


# Over TLS.


@pytest.fixture
def secure() -> Iterator[Callable[..., Receiver]]:
    """Makes receivers that speak TLS."""
    made: list[Receiver] = []

    def make(host: str = "127.0.0.1", **options: Any) -> Receiver:
        made.append(Receiver(context=context(**options), host=host))
        return made[-1]

    yield make
    for receiver in made:
        receiver.stop()


def test_tls_with_an_authority_of_our_own(secure: Callable[..., Receiver]) -> None:
    """A certificate that the given file vouches for is trusted; the connection is kept, and opened anew when closed."""
    receiver = secure()
    (pump,), outlets = build(endpoint=f"https://localhost:{receiver.port}", certificate=CERTIFICATE)
    pump.start()
    for name in "abc":
        put(outlets[Signal.TRACES], name)
        assert pump.flush(5.0)
    assert receiver.connections == 1
    receiver.hang_up()
    put(outlets[Signal.TRACES], "d")
    assert pump.flush(5.0)
    pump.shutdown(1.0)
    assert (receiver.names, receiver.connections) == ([*"abcd"], 2)


@pytest.mark.parametrize(
    ("host", "certificate", "trusted", "why"),
    [
        ("localhost", CERTIFICATE, None, "self-signed"),
        ("127.0.0.2", CERTIFICATE, CERTIFICATE, "IP address mismatch"),
        ("localhost", str(TLS / "expired.pem"), str(TLS / "expired.pem"), "expired"),
    ],
)
def test_certificates_that_are_not_trusted(
    secure: Callable[..., Receiver], host: str, certificate: str, trusted: str | None, why: str
) -> None:
    """An unknown authority, another name, a day too late: nothing is sent, and the reason is said."""
    receiver = secure(certificate=certificate, host="127.0.0.1" if host == "localhost" else host)
    (pump,), outlets = build(endpoint=f"https://{host}:{receiver.port}", certificate=trusted)
    put(outlets[Signal.TRACES], "a")
    pump.start()
    until(lambda: not pump.flush(0.05) and pump.failing)
    assert "its certificate is not trusted" in pump.failing[Signal.TRACES]
    assert why in pump.failing[Signal.TRACES].replace("self signed", "self-signed")
    pump.shutdown(0.2)
    assert not receiver.requests
    assert outlets[Signal.TRACES].counts.dropped == {Reason.SHUTDOWN: 1}


def test_a_receiver_that_asks_who_we_are(secure: Callable[..., Receiver]) -> None:
    """With our certificate we are let in; without one nothing arrives."""
    receiver = secure(asks=True)
    known = {"certificate": CERTIFICATE, "client_certificate": CERTIFICATE, "client_key": KEY}
    for files, arrived in (({"certificate": CERTIFICATE}, 0), (known, 1)):
        (pump,), outlets = build(endpoint=f"https://localhost:{receiver.port}", **files)
        put(outlets[Signal.TRACES], "a")
        assert flushed(pump, 5.0 if arrived else 0.3) is bool(arrived)
        assert len(receiver.requests) == arrived


def test_tls_to_one_who_does_not_speak_it(receiver: Receiver) -> None:
    """A plain receiver behind an https address, and one that never answers the handshake, are failures like others."""
    silent = socket.create_server(("127.0.0.1", 0))
    for port in (receiver.port, silent.getsockname()[1]):
        (pump,), outlets = build(endpoint=f"https://localhost:{port}", certificate=CERTIFICATE, timeout_s=0.2)
        put(outlets[Signal.TRACES], "a")
        receiver.hang_up()
        assert not flushed(pump, 0.5)
        assert outlets[Signal.TRACES].counts.dropped == {Reason.SHUTDOWN: 1}
    silent.close()
