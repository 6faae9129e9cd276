"""The sender against receivers that are away, slow, broken or hostile."""

import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from tests.sdk.export.receivers import Answering, Receiver, Request, reply, saying
from tests.waiting import until

from gnomon.errors import ExportError
from gnomon.export.http import LONGEST_WAIT_S, Address, HttpSender
from gnomon.export.outlet import Signal
from gnomon.export.sender import Answer, Verdict

SLACK_S = 1.5


def partial(rejected: int, why: str) -> bytes:
    """A response that took the rest."""
    response = ExportLogsServiceResponse()
    response.partial_success.rejected_log_records = rejected
    response.partial_success.error_message = why
    return response.SerializeToString()


def dripping(sock: socket.socket, drops: bytes = b"HTTP/1.1 200 OK\r\n", every_s: float = 0.05) -> None:
    """Byte for byte, for as long as it is listened to."""
    for _ in range(400):
        for drop in drops:
            sock.sendall(bytes([drop]))
            time.sleep(every_s)


def test_a_request_is_what_the_standard_says(receiver: Receiver, sender: HttpSender) -> None:
    """Each signal has its path; the body arrives as it was, on one connection."""
    for signal in Signal:
        assert sender.send(signal, signal.encode(), 5.0) == Answer(Verdict.TAKEN)
    assert [one.line for one in receiver.requests] == [f"POST /v1/{signal} HTTP/1.1" for signal in Signal]
    assert [one.body for one in receiver.requests] == [signal.encode() for signal in Signal]
    assert {one.headers["content-type"] for one in receiver.requests} == {"application/x-protobuf"}
    assert receiver.requests[0].headers["host"] == f"localhost:{receiver.port}"
    assert receiver.connections == 1


def test_headers_and_gzip(receiver: Receiver) -> None:
    """Headers are sent along, and not shown; bodies are packed when told, as any gzip reads them."""
    sender = HttpSender(receiver.addresses, {"Authorization": "Bearer t"}, compress=True)
    assert sender.send(Signal.LOGS, b"a" * 100_000, 5.0).verdict is Verdict.TAKEN
    (seen,) = receiver.requests
    assert seen.headers["authorization"] == "Bearer t"
    assert seen.headers["content-encoding"] == "gzip"
    assert len(seen.raw) < 2000
    assert seen.body == b"a" * 100_000
    assert "Bearer" not in repr(sender)
    sender.close()


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.TAKEN),
        (202, Verdict.TAKEN),
        (204, Verdict.TAKEN),
        (301, Verdict.NEVER),
        (307, Verdict.NEVER),
        (400, Verdict.NEVER),
        (401, Verdict.NEVER),
        (403, Verdict.NEVER),
        (404, Verdict.NEVER),
        (413, Verdict.TOO_LARGE),
        (429, Verdict.AGAIN),
        (500, Verdict.NEVER),
        (502, Verdict.AGAIN),
        (503, Verdict.AGAIN),
        (504, Verdict.AGAIN),
    ],
)
def test_what_a_status_means(receiver: Receiver, sender: HttpSender, status: int, verdict: Verdict) -> None:
    """As the OTLP specification says; a redirection is not followed; the connection is kept."""
    receiver.answer = saying(reply(status, b"" if status == 204 else b"what is wrong", "Location: /elsewhere"))
    answer = sender.send(Signal.LOGS, b"x", 5.0)
    assert answer.verdict is verdict
    if verdict is not Verdict.TAKEN:
        assert f"HTTP {status} Some Words: what is wrong" in answer.why
    sender.send(Signal.LOGS, b"y", 5.0)
    assert (len(receiver.requests), receiver.connections) == (2, 1)


@pytest.mark.parametrize(
    ("value", "least_s", "most_s"),
    [
        ("7", 7, 7),
        (" 0 ", 0, 0),
        ("999999", LONGEST_WAIT_S, LONGEST_WAIT_S),
        ("9" * 400, LONGEST_WAIT_S, LONGEST_WAIT_S),
        ("in a minute", 30, 60),
        pytest.param(format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True), 0, 0, id="yesterday"),
        ("soon", None, None),
        ("-5", None, None),
        ("²", None, None),
        ("", None, None),
        ("Fri, 99 Foo 2026 00:00:00 GMT", None, None),
    ],
)
def test_retry_after(receiver: Receiver, sender: HttpSender, value: str, least_s: Any, most_s: Any) -> None:
    """In seconds or as a date, never beyond the longest wait; what is neither is passed over."""
    if value == "in a minute":  # of the test, not of when it was collected
        value = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    for status in (429, 503):
        receiver.answer = saying(reply(status, b"", f"Retry-After: {value}").decode().encode("latin-1"))
        answer = sender.send(Signal.LOGS, b"x", 5.0)
        assert answer.verdict is Verdict.AGAIN
        if least_s is None:
            assert answer.after_s is None
        else:
            assert answer.after_s is not None
            assert least_s <= answer.after_s <= most_s


@pytest.mark.parametrize(
    ("body", "rejected", "why"),
    [
        (b"", 0, ""),
        (partial(3, "too old"), 3, "too old"),
        (partial(0, "a warning"), 0, "a warning"),
        (partial(-4, "less than nothing"), 0, "less than nothing"),
        (b"<html>not protobuf at all</html>", 0, ""),
        (b"{}", 0, ""),
        (b"\xff" * 3000, 0, ""),
        (b"\x0a\x7f\x08", 0, ""),  # cut short
        (b"\x0a\x02\x08", 0, ""),
        (b"\x08\x05", 0, ""),  # a number where the message should be
        (b"\x0a\x04\x0a\x00\x10\x01", 0, ""),  # a text where the number should be, and a number for the text
        (b"\x0d\x00\x00\x00\x00", 0, ""),
    ],
)
def test_partial_success(receiver: Receiver, sender: HttpSender, body: bytes, rejected: int, why: str) -> None:
    """What was rejected is read; a body that is no such message is passed over, for the status said yes."""
    receiver.answer = saying(reply(200, body))
    assert sender.send(Signal.LOGS, b"x", 5.0) == Answer(Verdict.TAKEN, why, rejected=rejected)


def _closes_at_once(_: socket.socket, __: Request) -> bool:
    return False


@pytest.mark.parametrize(
    "answer",
    [
        saying(b"SSH-2.0-OpenSSH_9.2\r\n", then=False),
        saying(b"\x00\x01\x02\x03" * 1000, then=False),
        saying(b"HTTP/1.1 abc Words\r\n\r\n", then=False),
        saying(b"HTTP/1.1 99999 Words\r\n\r\n", then=False),
        saying(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 1000, then=False),
        saying(b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * 100_000, then=False),
        saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nnot a chunk", then=False),
        saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", then=False),
        _closes_at_once,
    ],
)
def test_no_answer_at_all(
    receiver: Receiver, sender: HttpSender, answer: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not HTTP, or ends in its midst, is no answer: later again; and the next request is sound."""
    monkeypatch.setattr("http.client._MAXHEADERS", 100)  # some libraries raise it for the whole process
    orderly, receiver.answer = receiver.answer, answer
    spoilt = sender.send(Signal.LOGS, b"x", 5.0)
    assert spoilt.verdict is Verdict.AGAIN
    assert spoilt.why
    receiver.answer = orderly
    assert sender.send(Signal.LOGS, b"y", 5.0) == Answer(Verdict.TAKEN)


@pytest.mark.parametrize("rest", [b"Content-Le", b"Content-Length: 100\r\n\r\nabc", b"Content-Length: x\r\n\r\n"])
def test_a_yes_that_is_cut_short(receiver: Receiver, sender: HttpSender, rest: bytes) -> None:
    """Once the status has said yes, the records are there: they are not sent again for want of the rest."""
    receiver.answer = saying(b"HTTP/1.1 200 OK\r\n" + rest, then=False)
    assert sender.send(Signal.LOGS, b"x", 5.0) == Answer(Verdict.TAKEN)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nX-Length: %d\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
    ],
)
def test_forms_of_an_answer(receiver: Receiver, sender: HttpSender, head: bytes) -> None:
    """A receiver may close after each answer, speak HTTP/1.0, or send its body in chunks: it is read to its end."""
    body = partial(3, "w" * 500)

    def answer(sock: socket.socket, _: Request) -> bool:
        sock.sendall(head % len(body))
        time.sleep(0.05)  # the body in a packet of its own
        sock.sendall(body + (b"\r\n0\r\n\r\n" if b"chunked" in head else b""))
        return b"chunked" in head and b"close" not in head

    receiver.answer = answer
    for _ in range(3):
        assert sender.send(Signal.LOGS, b"x", 5.0) == Answer(Verdict.TAKEN, "w" * 500, rejected=3)
    assert len(receiver.requests) == 3


def _hangs(sock: socket.socket, _: Request) -> bool:
    sock.settimeout(10)
    sock.recv(1)
    return False


def _drips_the_head(sock: socket.socket, _: Request) -> bool:
    dripping(sock)
    return False


def _drips_the_body(sock: socket.socket, _: Request) -> bool:
    sock.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 100000\r\n\r\n")
    dripping(sock)
    return False


def _drips_chunks(sock: socket.socket, _: Request) -> bool:
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    dripping(sock, b"1\r\nx\r\n")
    return False


def _continues(sock: socket.socket, _: Request) -> bool:
    for _ in range(1000):
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("answer", [_hangs, _drips_the_head, _drips_the_body, _drips_chunks, _continues])
def test_the_deadline_holds_for_the_whole_request(receiver: Receiver, sender: HttpSender, answer: Answering) -> None:
    """Whether a receiver hangs or drips, on a new connection or a kept one, it cannot hold us beyond the deadline."""
    orderly = receiver.answer
    for _ in range(2):
        receiver.answer = answer
        begun_s = time.monotonic()
        late = sender.send(Signal.LOGS, b"x", 0.4)
        assert time.monotonic() - begun_s < 0.4 + SLACK_S
        assert late.verdict is Verdict.AGAIN
        assert "Timeout" in late.why
        receiver.answer = orderly
        assert sender.send(Signal.LOGS, b"y", 5.0) == Answer(Verdict.TAKEN)
    assert sender.send(Signal.LOGS, b"z", 0.0) == Answer(Verdict.AGAIN, "TimeoutError: no time left")


def test_a_receiver_that_does_not_read(receiver: Receiver) -> None:
    """A body larger than the sockets' buffers to one who reads none of it ends at the deadline."""
    listener = socket.create_server(("127.0.0.1", 0))
    sender = HttpSender({Signal.LOGS: Address.of(f"http://127.0.0.1:{listener.getsockname()[1]}/")})
    begun_s = time.monotonic()
    assert sender.send(Signal.LOGS, bytes(32 << 20), 0.4).verdict is Verdict.AGAIN
    assert time.monotonic() - begun_s < 2 * 0.4 + SLACK_S
    listener.close()


def test_an_endless_body_is_not_read(receiver: Receiver, sender: HttpSender) -> None:
    """What is longer than any answer is cut; the status counts, and the next request has a connection of its own."""
    sent: list[int] = []

    def answer(sock: socket.socket, _: Request) -> bool:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        for _ in range(1000):
            sock.sendall(b"x" * 65536)
            sent.append(65536)
        return False

    orderly, receiver.answer = receiver.answer, answer
    assert sender.send(Signal.LOGS, b"x", 5.0).verdict is Verdict.TAKEN
    receiver.answer = orderly
    assert sender.send(Signal.LOGS, b"y", 5.0).verdict is Verdict.TAKEN
    assert receiver.connections == 2
    assert sum(sent) < 32 << 20


def test_nobody_listens() -> None:
    """A refused connection is said in words; as soon as somebody listens it is used."""
    receiver = Receiver()
    receiver.stop()
    sender = HttpSender(receiver.addresses)
    refused = sender.send(Signal.LOGS, b"x", 5.0)
    assert refused.verdict is Verdict.AGAIN
    assert "refused" in refused.why
    receiver = Receiver(port=receiver.port)
    assert sender.send(Signal.LOGS, b"x", 5.0) == Answer(Verdict.TAKEN)
    sender.close()
    receiver.stop()


def test_no_such_host() -> None:
    """A name that does not resolve is an answer like any other."""
    sender = HttpSender({Signal.LOGS: Address.of("http://no-such-host.invalid:4318/v1/logs")})
    assert sender.send(Signal.LOGS, b"x", 5.0).verdict is Verdict.AGAIN


def test_a_kept_connection_that_was_closed_meanwhile(receiver: Receiver, sender: HttpSender) -> None:
    """A receiver may close what is idle: the request goes out again at once, on a new connection, and only once."""
    for number in range(3):
        assert sender.send(Signal.LOGS, b"%d" % number, 5.0) == Answer(Verdict.TAKEN)
        receiver.hang_up()
    assert [one.body for one in receiver.requests] == [b"0", b"1", b"2"]
    assert receiver.connections == 3


def test_a_receiver_that_took_it_and_went_away(receiver: Receiver, sender: HttpSender) -> None:
    """Delivery is at least once: a request whose answer was lost is sent again, once, and arrives twice."""
    assert sender.send(Signal.LOGS, b"first", 5.0) == Answer(Verdict.TAKEN)
    receiver.answer = _closes_at_once
    assert sender.send(Signal.LOGS, b"second", 5.0).verdict is Verdict.AGAIN
    assert [one.body for one in receiver.requests] == [b"first", b"second", b"second"]


def test_headers_that_http_cannot_carry(receiver: Receiver) -> None:
    """A line break in a token does not become a header of its own, nor an exception."""
    for value in ("a\r\nX-Injected: yes", "\u20ac"):
        sender = HttpSender(receiver.addresses, {"Authorization": value})
        assert sender.send(Signal.LOGS, b"x", 5.0).verdict is Verdict.AGAIN
        sender.close()
    assert not receiver.requests


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://h", Address(secure=False, host="h", port=80, path="/")),
        ("https://h/v1/logs", Address(secure=True, host="h", port=443, path="/v1/logs")),
        ("h:4318", Address(secure=False, host="h", port=4318, path="/")),
        ("http://[::1]:4318/x", Address(secure=False, host="::1", port=4318, path="/x")),
        ("https://h/otlp?tenant=1&x=%20", Address(secure=True, host="h", port=443, path="/otlp?tenant=1&x=%20")),
        ("http://h?tenant=1", Address(secure=False, host="h", port=80, path="/?tenant=1")),
    ],
)
def test_addresses(url: str, address: Address) -> None:
    """A URL in its parts, the query among them."""
    assert Address.of(url) == address


@pytest.mark.parametrize(
    "url",
    ["http://h:99999", "http://h:x", "ftp://h", "http://", "", "http://[::1", "http://a..b", f"http://{64 * 'a'}.b"],
)
def test_addresses_that_are_none(url: str) -> None:
    """What cannot be an address is said when it is set, with the address."""
    with pytest.raises(ExportError, match="endpoint"):
        Address.of(url)


def test_abandoned_connections_stay_open_for_others(receiver: Receiver, sender: HttpSender) -> None:
    """What a forked child lets go of, its parent still uses: nothing is said on the wire."""
    assert sender.send(Signal.LOGS, b"x", 5.0) == Answer(Verdict.TAKEN)
    connection = sender._connection
    assert connection is not None
    parents = connection.sock.dup()
    sender.abandon()
    sender.abandon()
    parents.sendall(b"POST /v1/logs HTTP/1.1\r\nContent-Length: 1\r\n\r\nz")
    assert parents.recv(100).startswith(b"HTTP/1.1 200")
    parents.close()
    assert sender.send(Signal.LOGS, b"y", 5.0) == Answer(Verdict.TAKEN)
    assert receiver.connections == 2


def test_no_sockets_are_left(receiver: Receiver, sender: HttpSender, open_sockets: Callable[[], int]) -> None:
    """However requests end, afterwards one connection is open at most."""
    before = open_sockets()
    answers = [saying(reply(200)), _closes_at_once, saying(reply(200, b"", "Connection: close"), then=False)]
    answers += [saying(b"garbage\r\n\r\n", then=False), saying(reply(413, b"x" * 100_000), then=False)]
    for answer in answers * 3:
        receiver.answer = answer
        sender.send(Signal.LOGS, b"x", 5.0)
    sender.close()
    until(lambda: open_sockets() == before)
