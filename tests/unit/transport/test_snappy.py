"""Snappy's block format: whole bodies, damaged ones, and ones that declare more than they hold."""

import contextlib
import tracemalloc

import pytest
from cramjam import snappy
from hypothesis import given
from hypothesis import strategies as st

from gnomon_server.errors import InvalidInput, TooLarge
from gnomon_server.transport.snappy import declared_bytes, decompress_block

LIMIT = 1 << 20


@given(st.binary(max_size=5000), st.integers(1, 200))
def test_what_was_compressed_comes_out(body: bytes, times: int) -> None:
    """Whatever it is, repeated or not."""
    compressed = bytes(snappy.compress_raw(body * times))
    assert declared_bytes(compressed, LIMIT) == len(body) * times
    assert decompress_block(compressed, LIMIT) == body * times


@given(st.binary(max_size=100))
def test_arbitrary_bytes(body: bytes) -> None:
    """They unfold or are refused, and nothing else happens."""
    with contextlib.suppress(InvalidInput, TooLarge):
        assert len(decompress_block(body, LIMIT)) == declared_bytes(body, LIMIT)


def test_a_gibibyte_is_declared() -> None:
    """It is refused before anything is allocated for it."""
    tracemalloc.start()
    with pytest.raises(TooLarge, match="declares 1073741824 bytes"):
        decompress_block(b"\x80\x80\x80\x80\x04" + b"x" * 1000, LIMIT)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < LIMIT


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "does not begin with a length"),
        (b"\xff" * 8, "does not begin with a length"),
        (b"\x80\x80", "does not begin with a length"),
        (b"\xff\xff\x3f", "3 bytes cannot unfold to the 1048575"),
        (b"\x05\x10ab", ""),
        (bytes(snappy.compress_raw(b"abcdefgh" * 9))[:-1], ""),
        (bytes(snappy.compress_raw(b"abc")) + b"\x00x", ""),
    ],
)
def test_damaged(body: bytes, why: str) -> None:
    """One code, with the reason."""
    with pytest.raises(InvalidInput, match="snappy") as refused:
        decompress_block(body, LIMIT)
    assert refused.value.code == "body_undecodable"
    assert why in refused.value.what
