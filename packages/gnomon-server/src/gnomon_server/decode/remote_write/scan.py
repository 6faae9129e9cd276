"""The fields of many messages at once, in place: series of a request, and what lies inside them, in one buffer.

What ordinary encoders do not write raises UnusualError; the request is then read again in upb's canonical form.
"""

import numpy as np

from gnomon_server.decode.otlp import fields
from gnomon_server.decode.otlp.bounds import MAX_FIELDS, check_count
from gnomon_server.decode.otlp.fields import UnusualError
from gnomon_server.decode.otlp.scan import Pieces, Scanned
from gnomon_server.decode.remote_write.wire import Messages, stands_once, wire_type

_CONTINUES = 0x80
_MAX_WIDTH = 10  # bytes of a varint


def scan(version: Messages, message: str, pieces: Pieces) -> Scanned:
    """The fields of messages of one type that stand in these stretches."""
    messages = fields.Messages(pieces.body, pieces.data, pieces.starts, pieces.ends)
    scanned = Scanned(messages, version.layouts[message], *fields.fields(messages))
    _check(scanned)
    return scanned


def whole(body: bytes) -> Pieces:
    """One message, given by its bytes."""
    joined = fields.Messages.joined([body])
    return Pieces(joined.body, joined.data, joined.starts, joined.ends - joined.starts)


def _check(scanned: Scanned) -> None:
    """Raise UnusualError where columns would not say what upb says: another wire type, or halves to be merged."""
    by_number = {field.number: field for field in scanned.layout.values()}
    for tag in np.bincount(scanned.tag).nonzero()[0].tolist():
        field = by_number.get(tag >> 3)
        if field is None:
            continue
        if tag & 7 != wire_type(field):
            raise UnusualError
        if stands_once(field) and np.bincount(scanned.owner[scanned.tag == tag]).max() > 1:
            raise UnusualError


def stretches(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The positions in stretches that begin there and are so long, int64[sum of lengths]."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


def packed_varints(pieces: Pieces) -> tuple[np.ndarray, np.ndarray]:
    """Packed numbers of variable length: how many each piece holds, int64[n], and all of them, uint64[m]."""
    check_count(int(pieces.lengths.sum()), MAX_FIELDS, "bytes of packed numbers")
    byte = pieces.data.take(stretches(pieces.starts, pieces.lengths))
    is_last = byte < _CONTINUES
    upto = np.concatenate([[0], np.cumsum(is_last)])
    ends = np.cumsum(pieces.lengths)
    filled = pieces.lengths > 0
    if not is_last[ends[filled] - 1].all():
        raise UnusualError
    counts = upto[ends] - upto[ends - pieces.lengths]
    if is_last.all():
        return counts, byte.astype(np.uint64)
    last = np.flatnonzero(is_last)
    first = np.concatenate([[0], last[:-1] + 1])
    width = last - first + 1
    if width.max() > _MAX_WIDTH:
        raise UnusualError
    values = (byte[first] & 0x7F).astype(np.uint64)
    for place in range(1, int(width.max())):
        longer = np.flatnonzero(width > place)
        values[longer] |= (byte[first[longer] + place] & 0x7F).astype(np.uint64) << np.uint64(7 * place)
    return counts, values


def packed_doubles(pieces: Pieces) -> tuple[np.ndarray, np.ndarray]:
    """Packed doubles: how many each piece holds, int64[n], and all of them, float64[m]."""
    if (pieces.lengths % 8).any():
        raise UnusualError
    raw = pieces.data.take(stretches(pieces.starts, pieces.lengths))
    return pieces.lengths // 8, raw.view("<f8")


def zigzag(values: np.ndarray) -> np.ndarray:
    """The signed numbers (sint32, sint64) that these uint64[n] stand for: int64[n]."""
    result: np.ndarray = (values >> np.uint64(1)).view(np.int64) ^ -(values & np.uint64(1)).view(np.int64)
    return result
