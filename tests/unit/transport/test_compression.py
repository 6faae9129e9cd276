"""Decompression under a cap."""

import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon_server.errors import InvalidInput, TooLarge, Unsupported
from gnomon_server.transport import compression
from gnomon_server.transport.compression import decompress, zstd

MIB = 1024 * 1024
CAP = 64 * MIB


def raw_deflate(data: bytes) -> bytes:
    """What some senders mean by deflate."""
    return zlib.compress(data, wbits=-15)


def two_members(data: bytes) -> bytes:
    """A body in two gzip members."""
    return gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :])


def two_frames(data: bytes) -> bytes:
    """A body in two zstd frames."""
    return zstd.compress(data[: len(data) // 2]) + zstd.compress(data[len(data) // 2 :])


def skippable_frame_first(data: bytes) -> bytes:
    """A frame that holds nothing, then the body's."""
    return b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + zstd.compress(data)


WRITERS = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("gzip", two_members),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("zstd", zstd.compress),
    ("zstd", two_frames),
    ("zstd", skippable_frame_first),
]
BODIES = st.one_of(
    st.binary(max_size=2_000),
    # Long enough for several steps and slices, repetitive or not.
    st.builds(lambda seed, times: random.Random(seed).randbytes(7_000) * times, st.integers(0, 9), st.integers(0, 90)),
)


@pytest.mark.parametrize(("encoding", "compress"), WRITERS)
@given(body=BODIES)
def test_what_was_compressed_comes_back(encoding: str, compress: Callable[[bytes], bytes], body: bytes) -> None:
    """Every encoding, its variants and several members or frames, for bodies of any size and entropy."""
    assert decompress(compress(body), encoding.upper() + " ", MIB) == body


@pytest.mark.parametrize(("encoding", "compress"), WRITERS)
@given(body=st.binary(min_size=1, max_size=300), cut=st.integers(min_value=1, max_value=20))
def test_a_truncated_body_is_refused(encoding: str, compress: Callable[[bytes], bytes], body: bytes, cut: int) -> None:
    """A body that ends early is never taken for a shorter one, except at the border of two members."""
    whole = compress(body)
    try:
        shorter = decompress(whole[:-cut], encoding, MIB)
    except InvalidInput:
        return
    assert compress in {two_members, two_frames, skippable_frame_first}
    assert shorter in {b"", body[: len(body) // 2]}


@pytest.mark.parametrize(("encoding", "compress"), WRITERS)
def test_trailing_garbage_is_refused(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    """What follows the last member must be another one."""
    for garbage in (b"x", b"\0", bytes(100_000), b"garbage" * 20_000):
        with pytest.raises(InvalidInput):
            decompress(compress(b"body") + garbage, encoding, MIB)


@pytest.mark.parametrize("encoding", compression.ENCODINGS)
@given(body=st.binary(max_size=200))
def test_random_bytes_end_in_a_body_or_a_named_refusal(encoding: str, body: bytes) -> None:
    """No other exception leaves the decoder."""
    try:
        decoded = decompress(body, encoding, 1_000)
    except (InvalidInput, TooLarge):
        return
    assert len(decoded) <= 1_000


@pytest.mark.parametrize(("encoding", "compress"), [*WRITERS, ("identity", bytes), ("", bytes)])
def test_the_cap_is_exact(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    """As many bytes as the cap are taken, one more is not."""
    body = random.Random(1).randbytes(1_000) * 700
    assert decompress(compress(body), encoding, len(body)) == body
    with pytest.raises(TooLarge):
        decompress(compress(body), encoding, len(body) - 1)


@pytest.mark.parametrize("encoding", ["br", "snappy", "gzip, zstd", "\x00"])
def test_an_unknown_encoding_is_named(encoding: str) -> None:
    """The refusal lists what is spoken."""
    with pytest.raises(Unsupported, match="gzip, x-gzip, deflate, zstd"):
        decompress(b"", encoding, MIB)


def bomb(open_stream: Callable[[], Any], mebibytes: int) -> bytes:
    """So many MiB of zeros, without ever holding them."""
    stream = open_stream()
    return b"".join([*(stream.compress(bytes(MIB)) for _ in range(mebibytes)), stream.flush()])


BOMBS = [
    ("gzip", lambda: zlib.compressobj(1, zlib.DEFLATED, 31), 512),
    ("deflate", lambda: zlib.compressobj(1, zlib.DEFLATED, 15), 512),
    ("zstd", zstd.ZstdCompressor, 2_048),  # no frame content size: it is streamed
]


@pytest.mark.parametrize(("encoding", "open_stream", "mebibytes"), BOMBS)
def test_a_bomb_ends_at_the_cap(encoding: str, open_stream: Callable[[], Any], mebibytes: int) -> None:
    """Memory stays near the cap, whatever the body would unfold to."""
    body = bomb(open_stream, mebibytes)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="unfolds to more"):
            decompress(body, encoding, 8 * MIB)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 12 * MIB


def test_a_declared_frame_content_size_is_checked_before_decoding() -> None:
    """A frame that says that it is too large is believed, before anything is allocated."""
    body = zstd.compress(bytes(200 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match=f"declares {200 * MIB} bytes"):
            decompress(body, "zstd", CAP)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


def test_a_window_above_eight_mebibytes_is_refused() -> None:
    """A frame of a few bytes may demand a window of gigabytes; RFC 9659 allows 8 MiB."""
    wide = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    body = wide.compress(b"small") + wide.flush()
    with pytest.raises(InvalidInput, match="too much memory"):
        decompress(body, "zstd", CAP)


@pytest.mark.parametrize(
    ("encoding", "member"), [("gzip", gzip.compress(b"")), ("zstd", zstd.compress(b""))], ids=["gzip", "zstd"]
)
def test_members_without_content_are_counted(encoding: str, member: bytes) -> None:
    """Empty members cost time and never reach the cap: their number has one of its own."""
    with pytest.raises(InvalidInput, match="more than 10000 members"):
        decompress(member * 20_000, encoding, CAP)


def test_decoded_bytes_are_announced_before_they_are_kept() -> None:
    """A memory budget can stop a body in the middle."""
    seen = []

    def stop(n_bytes: int) -> None:
        seen.append(n_bytes)
        if sum(seen) > MIB:
            raise MemoryError

    with pytest.raises(MemoryError):
        decompress(gzip.compress(bytes(10 * MIB)), "gzip", CAP, stop)
    assert MIB < sum(seen) < 2 * MIB
