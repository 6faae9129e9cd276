"""Samples as Prometheus' XOR chunks, thousands at a time.

Source: Prometheus tsdb/chunkenc/xor.go and varbit.go, after Facebook's Gorilla paper (VLDB 2015, section 4.1). A chunk
is the number of its samples (16 bits), then for each a time, as difference of differences, and a value, as XOR with the
one before. Only the window of significant bits hangs on more than the sample before: it is found sample by sample, for
all chunks at once; all else is one expression.
"""

import itertools

import numpy as np

SAMPLES = 120
"""Of a chunk, as Prometheus cuts them."""
_FIELDS = 4  # a sample's: what the time is written as, the time, what the value is written as, the value
_DOD_BITS = (14, 17, 20)
_DOD_MARKS = (0b10, 0b110, 0b1110)
_MOST_LEADING = 31  # five bits
_NO_WINDOW = 255


def encode(ts: np.ndarray, v: np.ndarray, widths: np.ndarray) -> list[bytes]:
    """One chunk after the other.

    Args:
        ts: int64[n], milliseconds since 1970, rising within a chunk.
        v: float64[n].
        widths: int64[chunks], how many samples each has: 1 to SAMPLES, together n.
    """
    row = np.repeat(np.arange(len(widths)), widths)
    column = np.arange(len(ts)) - np.repeat(np.cumsum(widths) - widths, widths)
    times = np.zeros((len(widths), SAMPLES), np.int64)
    bits = np.zeros((len(widths), SAMPLES), np.uint64)
    times[row, column], bits[row, column] = ts, v.view(np.uint64)
    fields = np.zeros((len(widths), SAMPLES, _FIELDS), np.uint64)
    lengths = np.zeros(fields.shape, np.uint8)
    _write_times(times, fields, lengths)
    _write_values(bits, fields, lengths)
    lengths[np.arange(SAMPLES) >= widths[:, None]] = 0
    return _packed(fields.reshape(len(widths), -1), lengths.reshape(len(widths), -1), widths)


def _write_times(times: np.ndarray, fields: np.ndarray, lengths: np.ndarray) -> None:
    fields[:, 0, 1], lengths[:, 0, 1] = _varint(times[:, 0].astype(np.uint64) << np.uint64(1))  # zigzag
    deltas = np.diff(times, axis=1)
    fields[:, 1, 1], lengths[:, 1, 1] = _varint(np.maximum(deltas[:, 0], 0).astype(np.uint64))
    change = np.diff(deltas, axis=1)
    same = change == 0
    ranges = [(change >= -((1 << bits - 1) - 1)) & (change <= 1 << bits - 1) for bits in _DOD_BITS]
    marks, widths = fields[:, 2:, 0], lengths[:, 2:, 0]
    marks[...] = np.select([same, *ranges], [0, *_DOD_MARKS], 0b1111)
    widths[...] = np.select([same, *ranges], [1, 2, 3, 4], 4)
    size = np.select([same, *ranges], [0, *_DOD_BITS], 64)
    fields[:, 2:, 1], lengths[:, 2:, 1] = _lowest(change.view(np.uint64), size), size


def _write_values(bits: np.ndarray, fields: np.ndarray, lengths: np.ndarray) -> None:
    fields[:, 0, 3], lengths[:, 0, 3] = bits[:, 0], 64
    change = bits[:, 1:] ^ bits[:, :-1]
    leading = np.minimum(64 - _bit_length(change), _MOST_LEADING)
    trailing = np.maximum(_bit_length(change & (~change + np.uint64(1))) - 1, 0)
    fresh, lead, trail = _windows(change, leading, trailing)
    same = change == 0
    size = np.where(same, 0, 64 - lead - trail)
    mark = (0b11 << 11) | (lead << 6) | (size & 63)
    fields[:, 1:, 2] = np.select([same, fresh], [0, mark], 0b10)
    lengths[:, 1:, 2] = np.select([same, fresh], [1, 13], 2)
    fields[:, 1:, 3], lengths[:, 1:, 3] = change >> trail.astype(np.uint64), size


def _windows(
    change: np.ndarray, leading: np.ndarray, trailing: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether each value opens a window of its own, and the one that it is written in: all [chunks, SAMPLES - 1]."""
    fresh = np.zeros(change.shape, np.bool_)
    lead, trail = np.zeros(change.shape, np.int64), np.zeros(change.shape, np.int64)
    now_lead = np.full(len(change), _NO_WINDOW, np.int64)
    now_trail = np.zeros(len(change), np.int64)
    for step in range(change.shape[1]):
        outside = (leading[:, step] < now_lead) | (trailing[:, step] < now_trail)
        fresh[:, step] = outside & (change[:, step] != 0)
        now_lead = np.where(fresh[:, step], leading[:, step], now_lead)
        now_trail = np.where(fresh[:, step], trailing[:, step], now_trail)
        lead[:, step], trail[:, step] = now_lead, now_trail
    return fresh, np.where(lead == _NO_WINDOW, 0, lead), trail


def _bit_length(values: np.ndarray) -> np.ndarray:
    """How many bits each of uint64 needs: int64. Halves of 32 bits are exact as floats."""
    high, low = values >> np.uint64(32), values & np.uint64(0xFFFFFFFF)
    of_high, of_low = (np.frexp(half.astype(np.float64))[1].astype(np.int64) for half in (high, low))
    return np.where(high > 0, of_high + 32, of_low)


def _lowest(values: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The lowest `size` bits of each."""
    mask = np.where(size == 64, ~np.uint64(0), (np.uint64(1) << size.astype(np.uint64) % np.uint64(64)) - np.uint64(1))  # noqa: PLR2004 - all of them
    return values & mask


def _varint(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint64 below 2^56 as varints: their bytes as one number, the first highest, and how many bits these are."""
    count = np.maximum((_bit_length(values) + 6) // 7, 1)
    text = np.zeros(values.shape, np.uint64)
    for place in range(8):
        more = np.where(place < count - 1, 0x80, 0).astype(np.uint64)
        byte = (values >> np.uint64(7 * place)) & np.uint64(0x7F) | more
        text = np.where(place < count, (text << np.uint64(8)) | byte, text)
    return text, count * 8


def _packed(fields: np.ndarray, lengths: np.ndarray, widths: np.ndarray) -> list[bytes]:
    """The number of samples, then the lowest `lengths` bits of each field, up to a whole byte."""
    used = lengths.sum(axis=1, dtype=np.int64) + 16
    padding = -used % 8
    zeros = np.zeros((len(fields), 1), np.uint64)
    fields = np.concatenate([widths[:, None].astype(np.uint64), fields, zeros], axis=1)
    lengths = np.concatenate([np.full((len(fields), 1), 16), lengths, padding[:, None]], axis=1).astype(np.uint64)
    filled = lengths > 0
    size = lengths[filled]
    aligned = (fields[filled] << (np.uint64(64) - size)).astype(">u8")
    bits = np.unpackbits(aligned.view(np.uint8)).reshape(-1, 64)
    stream = np.packbits(bits[np.arange(64, dtype=np.uint64) < size[:, None]]).tobytes()
    ends = np.concatenate([[0], np.cumsum((used + padding) // 8)]).tolist()
    return [stream[start:end] for start, end in itertools.pairwise(ends)]
