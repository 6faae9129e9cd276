"""OTLP over gRPC against the real server: raw bytes in, protobuf or a gRPC status out."""

import socket
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tests import otlp
from tests.otlp import METHODS, PROTOBUF
from tests.server import Server

Code = grpc.StatusCode
COUNT = {
    "traces": "SELECT count() AS n FROM spans WHERE service = {s:String}",
    "logs": "SELECT count() AS n FROM logs WHERE service = {s:String}",
    "metrics": "SELECT count() AS n FROM metrics WHERE service = {s:String}",
}


@pytest.fixture
def channel(gnomon: Server) -> Iterator[grpc.Channel]:
    """A connection to the shared server, without a limit of its own."""
    with grpc.insecure_channel(gnomon.otlp_grpc, [("grpc.max_send_message_length", -1)]) as opened:
        yield opened


def export(channel: grpc.Channel, signal: str, body: bytes, **options: Any) -> tuple[grpc.StatusCode, str]:
    """Status, and the words of the refusal, or `count words` of the partial success."""
    try:
        answer = channel.unary_unary(METHODS[signal])(body, timeout=60, **options)
    except grpc.RpcError as error:
        return error.code(), error.details()
    count, words = otlp.partial(signal, PROTOBUF, answer)
    return Code.OK, f"{count} {words}"


@pytest.mark.parametrize("compression", list(grpc.Compression), ids=lambda one: one.name)
@pytest.mark.parametrize("signal", METHODS)
def test_every_signal_and_compression(
    gnomon: Server, channel: grpc.Channel, signal: str, compression: grpc.Compression
) -> None:
    """A record is acknowledged and stored, plain, with gzip and with deflate."""
    service = otlp.name("grpc")
    body = otlp.one_of(signal, service).SerializeToString()
    assert export(channel, signal, body, compression=compression) == (Code.OK, "0 ")
    assert gnomon.sql(COUNT[signal], s=service) == [{"n": 1}]


def _literal(name: bytes, value: bytes) -> bytes:
    """A header field without indexing and without Huffman: RFC 7541, 6.2.2."""
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


@pytest.mark.parametrize("encoding", [b"snappy", b"zstd", b"br"])
def test_unknown_encoding(gnomon: Server, encoding: bytes) -> None:
    """Any other encoding is refused for good; no client library can be made to send one, so the frames are ours."""
    host, port = gnomon.otlp_grpc.split(":")
    fields = {
        b":method": b"POST", b":scheme": b"http", b":path": METHODS["traces"].encode(), b":authority": b"localhost",
        b"content-type": b"application/grpc", b"te": b"trailers", b"grpc-encoding": encoding,
    }  # fmt: skip
    block = b"".join(_literal(name, value) for name, value in fields.items())
    with socket.create_connection((host, int(port)), 10) as connection:
        message = b"\x01" + struct.pack(">I", 4) + b"nope"
        frames = _frame(4, 0, 0, b"") + _frame(1, 4, 1, block) + _frame(0, 1, 1, message)
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frames)
        answer = b""
        while b"grpc-status" not in answer:
            piece = connection.recv(65536)
            assert piece, answer
            answer += piece
    # For encodings it has no name for, gRPC's core answers INTERNAL (13) before any handler is asked; the protocol says
    # UNIMPLEMENTED (12). Senders of OTLP repeat neither.
    assert answer.partition(b"grpc-status")[2][:3] in (b"\x0212", b"\x0213")
    assert b"grpc-encoding" in answer


@pytest.mark.parametrize(
    "body", [b"\xff" * 40, otlp.one_of("traces", "cut").SerializeToString()[:-3]], ids=["noise", "cut short"]
)
def test_undecodable(channel: grpc.Channel, body: bytes) -> None:
    """Bytes that are no request are INVALID_ARGUMENT, which is not sent again."""
    code, words = export(channel, "traces", body)
    assert code is Code.INVALID_ARGUMENT
    assert words


@pytest.mark.parametrize("signal", METHODS)
def test_empty_request(channel: grpc.Channel, signal: str) -> None:
    """A request without records is a success."""
    assert export(channel, signal, b"") == (Code.OK, "0 ")


def test_partial_success(gnomon: Server, channel: grpc.Channel) -> None:
    """Bad records are counted and named, the rest is stored; for each signal in its own field."""
    service = otlp.name("partial")
    bad = {
        "traces": (otlp.traces(service, [otlp.span(trace_id=b"bad"), otlp.span()]), "invalid_trace_id"),
        "logs": (otlp.logs(service, [{"time_unix_nano": 1 << 63}, {"body": otlp.value("b")}]), "time_in_future"),
        "metrics": (otlp.gauge(service, [{}, {"as_double": 1.0}], service), "value_missing"),
    }
    for signal, (request, reason) in bad.items():
        code, words = export(channel, signal, request.SerializeToString())
        assert code is Code.OK
        assert words.startswith(f"1 1 x {reason}")
        assert gnomon.sql(COUNT[signal], s=service) == [{"n": 1}]


def test_too_large(channel: grpc.Channel) -> None:
    """A message beyond the limit, plain or unfolded, is refused, and the connection goes on."""
    large = bytes(65 << 20)
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        code, words = export(channel, "logs", large, compression=compression)
        # gRPC's own answer: without RetryInfo, which a sender of OTLP does not repeat.
        assert code is Code.RESOURCE_EXHAUSTED
        assert "larger than max" in words
    assert export(channel, "logs", b"") == (Code.OK, "0 ")


def test_unknown_method(channel: grpc.Channel) -> None:
    """What OTLP does not have is UNIMPLEMENTED."""
    with pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/opentelemetry.proto.collector.profiles.v1.ProfilesService/Export")(b"", timeout=10)
    assert refused.value.code() is Code.UNIMPLEMENTED


def test_no_http2(gnomon: Server) -> None:
    """Random bytes and TLS hellos on the gRPC port disturb nobody."""
    host, port = gnomon.otlp_grpc.split(":")
    for junk in (b"\x16\x03\x01" + bytes(100), b"GET / HTTP/1.1\r\n\r\n", zlib.compress(bytes(1000))):
        with socket.create_connection((host, int(port)), 10) as connection:
            connection.sendall(junk)
    with grpc.insecure_channel(gnomon.otlp_grpc) as channel:
        assert export(channel, "traces", b"") == (Code.OK, "0 ")
