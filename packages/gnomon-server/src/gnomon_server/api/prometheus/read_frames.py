"""Remote read's streamed answer: frames of at most 64 KiB, each with a series' chunks and a checksum.

Source: Prometheus storage/remote/chunked.go and codec.go (`StreamChunkedReadResponses`).
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from cramjam import snappy

from gnomon_server.api.prometheus.read_messages import MESSAGES, XOR, field, label_fields, varint
from gnomon_server.api.prometheus.xor_chunks import SAMPLES, encode
from gnomon_server.query.promql.values import Labels, Samples

MEDIA_TYPE = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
_FRAME_BYTES = 65_536
_CHUNKS = 20  # in a frame: the largest chunk has 2.3 kB
_MAX_LABEL_BYTES = 16_384
_BLOCK_CHUNKS = 1000  # encoded at a time, in some 100 MB


def carried(samples: Samples) -> bool:
    """Whether these can be sent so: no native histograms, no monstrous label sets."""
    longest = max((sum(len(name) + len(value) for name, value in labels) for labels in samples.labels), default=0)
    return samples.rows is None and longest * 4 <= _MAX_LABEL_BYTES


def frames(query: int, samples: Samples) -> Iterator[bytes]:
    """The frames of one query's answer, series in their order, several frames at a time."""
    counts = np.diff(samples.begins)
    series = np.repeat(np.arange(len(counts)), -(-counts // SAMPLES))
    which = np.arange(len(series)) - np.searchsorted(series, series)
    begins = samples.begins[series] + which * SAMPLES
    ends = np.minimum(begins + SAMPLES, samples.begins[series + 1])
    for start in range(0, len(series), _BLOCK_CHUNKS):
        some = slice(start, start + _BLOCK_CHUNKS)
        yield b"".join(_frames_of(query, samples, series[some], begins[some], ends[some]))


def _frames_of(
    query: int, samples: Samples, series: np.ndarray, begins: np.ndarray, ends: np.ndarray
) -> Iterator[bytes]:
    """Chunks that lie together: `series` int64[chunks], `begins` and `ends` of their samples."""
    stretch = slice(int(begins[0]), int(ends[-1]))
    data = encode(samples.ts[stretch], samples.v[stretch], ends - begins)
    times = zip(samples.ts[begins].tolist(), samples.ts[ends - 1].tolist(), data, strict=True)
    chunks = [
        field(2, MESSAGES["Chunk"](min_ms=low, max_ms=high, type=XOR, data=one).SerializeToString())
        for low, high, one in times
    ]
    cuts = [0, *(np.flatnonzero(np.diff(series)) + 1).tolist(), len(series)]
    for first, last in pairwise(cuts):
        for start in range(first, last, _CHUNKS):
            yield _frame(query, samples.labels[int(series[first])], chunks[start : min(start + _CHUNKS, last)])


def _frame(query: int, labels: Labels, chunks: list[bytes]) -> bytes:
    """A `ChunkedReadResponse` behind its length and its checksum."""
    message = field(1, label_fields(labels) + b"".join(chunks)) + b"\x10" + varint(query)
    return varint(len(message)) + crc32c(message).to_bytes(4, "big") + message


def crc32c(message: bytes) -> int:
    """The Castagnoli checksum of at most 64 KiB.

    Nothing that is installed offers it but snappy's frame format, which has it, masked, in front of every 64 KiB
    (https://github.com/google/snappy/blob/main/framing_format.txt, sections 3 and 4.2).
    """
    if not 0 < len(message) <= _FRAME_BYTES:
        raise ValueError(f"{len(message)} bytes are not one block of snappy's")
    masked = int.from_bytes(bytes(snappy.compress(message))[14:18], "little")
    turned = (masked - 0xA282EAD8) & 0xFFFFFFFF
    return (turned >> 17 | turned << 15) & 0xFFFFFFFF
