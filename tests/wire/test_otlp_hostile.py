"""Hostile OTLP against the real server: each ends in a clear refusal or a named truncation, and memory stays bounded."""

import concurrent.futures
import contextlib
import re
import socket
import struct
import threading
import time
import urllib.parse
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
    return (code, *otlp.partial(signal, PROTOBUF, answer)) if code == 200 else (code, 0, otlp.status(PROTOBUF, answer)[1])


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
    """A body beyond the limit is 413 before it is read: it can never be taken."""
    with peak_grows_less_than(100, gnomon):
        code, _, words = send(gnomon, "logs", bytes(21 * MIB))
    assert code == 413
    assert "20971520" in words


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
    body = zlib.compress(make(30 * MIB if kind != "buckets" else 7 * MIB), 9)
    with a_neighbour(gnomon), peak_grows_less_than(1000, gnomon):
        code, refused, words = send(gnomon, signal, body, Content_Encoding="deflate")
    assert code in (200, 400, 413)
    print(code, refused, words[:100])
