"""Hostile OTLP against the real server: each ends in a clear refusal or a named truncation; memory stays bounded."""

import contextlib
import http.client
import math
import re
import secrets
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from backports import zstd
from tests import otlp
from tests.otlp import PROTOBUF
from tests.server import Server

MIB = 1 << 20


def send(server: Server, signal: str, body: bytes, **headers: str) -> tuple[int, int, str]:
    """Status, and the count and words of its partial success, or (0, words) of the refusal."""
    code, _, answer = server.post(f"{server.otlp_http}/v1/{signal}", body, PROTOBUF, **headers)
    if code == 200:
        return (code, *otlp.partial(signal, PROTOBUF, answer))
    return code, 0, otlp.status(PROTOBUF, answer)[1]


@contextlib.contextmanager
def peak_grows_less_than(mib: int, server: Server, *, engine: bool = False) -> Iterator[None]:
    """Assert that a process's peak of resident memory within the block is bounded."""
    pid = engine_pid(server) if engine else server.process.pid if server.process else 0
    Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")  # the peak starts anew
    before = _resident_mib(pid, "VmRSS")
    yield
    grown = _resident_mib(pid, "VmHWM") - before
    assert grown < mib, f"{grown:.0f} MiB"


def _resident_mib(pid: int, what: str) -> float:
    found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("ascii"))
    assert found
    return int(found[1]) / 1024


def engine_pid(server: Server) -> int:
    """The process of the engine that was started last."""
    return int(re.findall(r"engine_started pid (\d+)", server.log.read_text("utf-8"))[-1])


@contextlib.contextmanager
def a_neighbour(server: Server) -> Iterator[None]:
    """A normal sender meanwhile: each of its requests is taken, and stored once."""
    service, stop, codes = otlp.name("neighbour"), threading.Event(), []

    def work() -> None:
        while not stop.is_set():
            codes.append(send(server, "traces", otlp.traces(service, [otlp.span()]).SerializeToString()))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert set(codes) == {(200, 0, "")}
    assert server.sql("SELECT count() AS n FROM spans WHERE service = {s:String}", s=service)[0]["n"] == len(codes)


def _gzip_bomb(sent: int) -> bytes:
    """`sent` bytes that unfold to a thousand times as many: one block repeated, which gzip allows."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(bytes(16 * MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    return head + block * (sent // len(block)) + packer.flush() + struct.pack("<II", 0, 0)


def _zstd_bomb(sent: int, *, declared: bool) -> bytes:
    """Many frames of 64 MiB of zeros each, whose size is declared or not."""
    packer = zstd.ZstdCompressor()
    if declared:
        packer.set_pledged_input_size(64 * MIB)
    frame = packer.compress(bytes(64 * MIB)) + packer.flush()
    return frame * (sent // len(frame))


BOMBS = {
    "gzip": ("gzip", lambda: _gzip_bomb(10 * MIB)),
    "gzip members": ("gzip", lambda: zlib.compress(b"", wbits=31) * (10 * MIB // 20)),
    "deflate": ("deflate", lambda: _gzip_bomb(10 * MIB)[10:-8]),
    "zstd": ("zstd", lambda: _zstd_bomb(10 * MIB, declared=False)),
    "zstd declared": ("zstd", lambda: _zstd_bomb(10 * MIB, declared=True)),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_decompression_bombs(gnomon: Server, bomb: str) -> None:
    """10 MB that unfold to 10 GB and more are refused at the cap, and the others' requests go on."""
    encoding, make = BOMBS[bomb]
    body = make()
    assert 9 * MIB < len(body) < 11 * MIB
    with a_neighbour(gnomon), peak_grows_less_than(200, gnomon):
        code, _, words = send(gnomon, "traces", body, Content_Encoding=encoding)
    assert code in (400, 413)
    assert words


def test_a_body_too_large_as_sent(gnomon: Server) -> None:
    """A body beyond the limit is 413 before it is read: it can never be taken. The sender hears it, and goes on."""
    connection = http.client.HTTPConnection(gnomon.addresses["otlp-http"])
    with contextlib.closing(connection), peak_grows_less_than(100, gnomon):
        for body, expected in ((bytes(21 * MIB), 413), (b"", 200)):
            connection.request("POST", "/v1/logs", body, {"Content-Type": PROTOBUF})
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status == expected
            assert expected == 200 or "20971520" in otlp.status(PROTOBUF, content)[1]


# A message of two bytes costs its sender nothing and us an object: a 60 KB gzip of a million times nothing.
_NOTHINGS = {
    "resource spans": ("traces", lambda n: b"\x0a\x00" * n),
    "spans": ("traces", lambda n: _wrapped(b"\x12\x00" * n, 0x12, 0x0A)),
    "span attributes": ("traces", lambda n: _wrapped(b"\x4a\x00" * n, 0x12, 0x12, 0x0A)),
    "span events": ("traces", lambda n: _wrapped(b"\x5a\x00" * n, 0x12, 0x12, 0x0A)),
    "resource attributes": ("logs", lambda n: _wrapped(b"\x0a\x00" * n, 0x0A, 0x0A)),
    "log records": ("logs", lambda n: _wrapped(b"\x12\x00" * n, 0x12, 0x0A)),
    "metrics": ("metrics", lambda n: _wrapped(b"\x12\x00" * n, 0x12, 0x0A)),
    "points": ("metrics", lambda n: _wrapped(b"\x0a\x00" * n, 0x2A, 0x12, 0x12, 0x0A)),
    "buckets": ("metrics", lambda n: _wrapped(b"\x32" + _varint(8 * n) + bytes(8 * n), 0x0A, 0x4A, 0x12, 0x12, 0x0A)),
}


def _wrapped(inner: bytes, *tags: int) -> bytes:
    for tag in tags:
        inner = bytes([tag]) + _varint(len(inner)) + inner
    return inner


def _varint(number: int) -> bytes:
    head = b""
    while number > 127:
        head, number = head + bytes([number & 127 | 128]), number >> 7
    return head + bytes([number])


@pytest.mark.parametrize("kind", _NOTHINGS)
def test_millions_of_empty_messages(gnomon: Server, kind: str) -> None:
    """A body full of empty messages within the size limits is judged with bounded memory, while others go on."""
    signal, make = _NOTHINGS[kind]
    body = zlib.compress(make(2_000_000), 9)
    with a_neighbour(gnomon), peak_grows_less_than(1000, gnomon):
        code, refused, words = send(gnomon, signal, body, Content_Encoding="deflate")
    assert code in (200, 400, 413), (refused, words)


def test_records_over_limits_are_cut_and_named(gnomon: Server) -> None:
    """10,000 attributes, a 1 MB attribute, an overlong key and body: stored, cut, and the sender is told in words."""
    service = otlp.name("large")
    many = otlp.pairs({f"k{number}": number for number in range(10_000)})
    large = otlp.pairs({"big": "x" * 1_000_000, "k" * 5_000: "y", "small": "z"})
    request = otlp.traces(service, [otlp.span(attributes=many), otlp.span(attributes=large), otlp.span()])
    code, refused, words = send(gnomon, "traces", request.SerializeToString())
    assert (code, refused) == (200, 0)
    assert "attributes_over_limit" in words
    assert "65536" in words
    stored = gnomon.sql(
        "SELECT length(attributes) AS n, length(attributes['big']) AS big, attributes['small'] AS small "
        "FROM spans WHERE service = {s:String} ORDER BY n",
        s=service,
    )
    assert stored == [
        {"n": 0, "big": 0, "small": ""}, {"n": 3, "big": 65_536, "small": "z"}, {"n": 1000, "big": 0, "small": ""},
    ]  # fmt: skip
    code, refused, words = send(
        gnomon, "logs", otlp.logs(service, [{"body": otlp.value("b" * 2_000_000)}]).SerializeToString()
    )
    assert (code, refused) == (200, 0)
    assert "body_cut" in words


def test_odd_values_come_back(gnomon: Server) -> None:
    """NUL bytes, invalid UTF-8, NaN and infinities, an empty service name: nothing is lost, neighbours are intact."""
    marker = otlp.name("odd")
    numbers = {"nan": math.nan, "inf": math.inf, "minus": -math.inf}
    odd = otlp.span(name=f"{marker}\0\x01", attributes=otlp.pairs({"nul": "a\0b", "\0": "key", **numbers}))
    body = otlp.traces("", [odd, otlp.span(name=f"{marker}~~")]).SerializeToString()
    assert send(gnomon, "traces", body.replace(f"{marker}~~".encode(), marker.encode() + b"\xff\xfe"))[0] == 200
    stored = gnomon.sql(
        "SELECT name, service, attributes FROM spans WHERE startsWith(name, {m:String}) ORDER BY length(attributes)",
        m=marker,
    )
    assert stored[0]["service"] == stored[1]["service"]
    assert stored[0]["service"] in ("", "unknown_service")
    assert stored[0]["name"] == f"{marker}\ufffd\ufffd"
    assert stored[1]["name"] == f"{marker}\0\x01"
    assert stored[1]["attributes"] == {"nul": "a\0b", "\0": "key", "nan": "nan", "inf": "inf", "minus": "-inf"}
    points = [{"as_double": number, "attributes": otlp.pairs({"kind": kind})} for kind, number in numbers.items()]
    metric = otlp.name("odd")
    assert send(gnomon, "metrics", otlp.gauge(metric, points).SerializeToString()) == (200, 0, "")
    query = "SELECT labels['kind'] AS k, toString(value) AS v FROM metrics WHERE metric = {m:String}"
    found = gnomon.sql(query, m=metric)
    assert {row["k"]: row["v"] for row in found} == {"nan": "nan", "inf": "inf", "minus": "-inf"}


def test_a_span_is_stored_once(gnomon: Server) -> None:
    """The same span twice in a request and again in later ones is one row: the first; samples likewise."""
    service, twice = otlp.name("twice"), otlp.span(name="first")
    other = {**twice, "span_id": b"another."}
    for spans in ([twice, {**twice, "name": "second"}], [twice, other], [other]):
        body = otlp.traces(service, spans).SerializeToString()
        assert send(gnomon, "traces", body) == (200, 0, "")
    stored = gnomon.sql("SELECT name FROM spans WHERE service = {s:String}", s=service)
    assert stored == [{"name": "first"}] * 2
    metric, at = otlp.name("twice"), time.time_ns()
    for value in (1.0, 2.0):
        points = [{"time_unix_nano": at, "as_double": value}] * 2
        assert send(gnomon, "metrics", otlp.gauge(metric, points).SerializeToString())[0] == 200
    assert gnomon.sql("SELECT value FROM metrics WHERE metric = {m:String}", m=metric) == [{"value": 1.0}]


def test_a_batch_from_1970_to_today(gnomon: Server) -> None:
    """One request with a record of every half year since the epoch, each in a partition of its own, is stored whole."""
    service, now = otlp.name("ages"), time.time_ns()
    times = range(1, now, 180 * 86_400 * 10**9)
    spans = [otlp.span(start_time_unix_nano=at, end_time_unix_nano=at + 5) for at in times]
    assert send(gnomon, "traces", otlp.traces(service, spans).SerializeToString()) == (200, 0, "")
    stored = gnomon.sql("SELECT count() AS n, min(time) AS first FROM spans WHERE service = {s:String}", s=service)
    assert stored == [{"n": len(times), "first": "1970-01-01T00:00:00.000000001Z"}]


def test_a_million_attribute_keys(gnomon: Server) -> None:
    """A million keys that never come again, over many requests, leave neither server nor engine grown by much."""
    service, value = otlp.name("keys"), otlp.value("v")
    spans = [
        otlp.span(
            trace_id=b"k00_" + secrets.token_bytes(12),
            attributes=[otlp.KeyValue(key=f"k00_{span:02}_{key:03}", value=value) for key in range(1000)],
        )
        for span in range(20)
    ]
    template = otlp.traces(service, spans).SerializeToString()
    with peak_grows_less_than(300, gnomon), peak_grows_less_than(800, gnomon, engine=True):
        for request in range(50):
            body = template.replace(b"k00_", b"k%02d_" % request)
            assert send(gnomon, "traces", body) == (200, 0, "")
    stored = gnomon.sql("SELECT sum(length(attributes)) AS n FROM spans WHERE service = {s:String}", s=service)
    assert stored == [{"n": 1_000_000}]


def test_connections_that_say_nothing(gnomon: Server) -> None:
    """1,000 connections, idle, in the middle of a head, of a body, or half-closed: a normal sender goes on."""
    host, port = gnomon.addresses["otlp-http"].split(":")
    head = b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n"
    openings = (b"", head[:30], head + b"Content-Length: 100000\r\n\r\nabc")
    with contextlib.ExitStack() as open_ones:
        for number in range(1000):
            one = open_ones.enter_context(socket.create_connection((host, int(port))))
            one.sendall(openings[number % 3])
            if number % 10 == 0:
                one.shutdown(socket.SHUT_WR)
        with a_neighbour(gnomon):
            time.sleep(0.5)
        with socket.create_connection((host, int(port))) as half:
            half.sendall(head + b"Content-Length: 0\r\n\r\n")
            half.shutdown(socket.SHUT_WR)
            assert half.recv(100).startswith(b"HTTP/1.1 200")
