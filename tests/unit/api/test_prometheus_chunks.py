"""XOR chunks and their frames, read back bit by bit by a decoder that follows Prometheus' xor.go."""

import struct
from collections.abc import Iterator

import numpy as np
import pytest
from cramjam import snappy
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon_server.api.prometheus.read_frames import carried, crc32c, frames
from gnomon_server.api.prometheus.read_messages import MESSAGES
from gnomon_server.api.prometheus.xor_chunks import SAMPLES, encode
from gnomon_server.model.series import STALE_BITS
from gnomon_server.query.promql.values import Samples

STALE = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]
CHUNK = st.lists(
    st.tuples(
        st.integers(1, 2**20) | st.integers(1, 2**44) | st.sampled_from([15_000, 15_000, 15_001]),
        st.floats() | st.sampled_from([0.0, -0.0, 1.0, 2.0, 12.5, STALE]),
    ),
    min_size=1,
    max_size=SAMPLES,
)


class _Bits:
    def __init__(self, data: bytes) -> None:
        self.text, self.at = "".join(f"{byte:08b}" for byte in data), 0

    def read(self, count: int) -> int:
        self.at += count
        return int(self.text[self.at - count : self.at] or "0", 2)

    def varint(self) -> int:
        value = shift = 0
        while (byte := self.read(8)) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
        return value | byte << shift


def _decoded(data: bytes) -> Iterator[tuple[int, int]]:
    """Times and the bits of values. xor.go: xorIterator.Next."""
    bits = _Bits(data)
    count = bits.read(16)
    zigzag = bits.varint()
    ts, value = zigzag >> 1 ^ -(zigzag & 1), bits.read(64)
    delta = leading = trailing = 0
    for number in range(count):
        if number == 1:
            delta = bits.varint()
        elif number > 1:
            ones = 0
            while ones < 4 and bits.read(1):
                ones += 1
            size = (0, 14, 17, 20, 64)[ones]
            change = bits.read(size) if size else 0
            if size and change > 1 << size - 1:
                change -= 1 << size
            delta += change
        if number:
            ts += delta
            if bits.read(1):
                if bits.read(1):
                    leading, size = bits.read(5), bits.read(6) or 64
                    trailing = 64 - leading - size
                value ^= bits.read(64 - leading - trailing) << trailing
        yield ts, value
    assert len(bits.text) - bits.at < 8


@settings(max_examples=60, deadline=None)
@given(st.lists(CHUNK, min_size=1, max_size=4))
def test_chunks_come_back(chunks: list[list[tuple[int, float]]]) -> None:
    """Every time and every bit of every value, whatever the steps."""
    ts = [np.cumsum([1_700_000_000_000] + [step for step, _ in chunk[1:]]) for chunk in chunks]
    v = np.array([value for chunk in chunks for _, value in chunk], np.float64)
    found = encode(np.concatenate(ts), v, np.array([len(chunk) for chunk in chunks]))
    wanted = list(zip(np.concatenate(ts).tolist(), v.view(np.uint64).tolist(), strict=True))
    assert [pair for one in found for pair in _decoded(one)] == wanted


def test_the_known_checksum() -> None:
    """The check value that every description of CRC-32C gives; more than a block of snappy's is refused."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    with pytest.raises(ValueError, match="not one block"):
        crc32c(bytes(65_537))
    assert bytes(snappy.compress(b"x"))[:10] == b"\xff\x06\x00\x00sNaPpY"  # what the checksum is read out of


def test_frames_hold_every_sample_once() -> None:
    """Series of 0, 1, 120, 121 and 5,000 samples, in frames that stay small; series without samples are left out."""
    counts = [0, 1, 120, 121, 5_000]
    begins = np.concatenate([[0], np.cumsum(counts)])
    ts = np.concatenate([1_700_000_000_000 + 1000 * np.arange(count) for count in counts])
    v = np.random.default_rng(1).random(len(ts))
    samples = Samples([(("n", str(count)),) for count in counts], begins, ts, v)
    assert carried(samples)
    stream = b"".join(frames(3, samples))
    found: dict[str, list[tuple[int, int]]] = {}
    while stream:
        head = next(place for place in range(5) if stream[place] < 0x80) + 1
        size = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(stream[:head]))
        crc, message = stream[head : head + 4], stream[head + 4 : head + 4 + size]
        assert crc32c(message).to_bytes(4, "big") == crc
        assert message[-2:] == b"\x10\x03"  # the number of the query
        inner = next(place for place in range(1, 5) if message[place] < 0x80) + 1
        series = MESSAGES["ChunkedSeries"].FromString(message[inner:-2])
        for chunk in series.chunks:
            points = list(_decoded(chunk.data))
            assert (chunk.min_ms, chunk.max_ms, chunk.type) == (points[0][0], points[-1][0], 1)
            found.setdefault(series.labels[0].value.decode(), []).extend(points)
        stream = stream[head + 4 + size :]
    assert [len(points) for points in found.values()] == counts[1:]
    assert [pair for points in found.values() for pair in points] == list(
        zip(ts.tolist(), v.view(np.uint64).tolist(), strict=True)
    )
