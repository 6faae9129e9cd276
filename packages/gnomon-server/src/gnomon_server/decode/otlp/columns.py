"""Arrow columns from stretches of bytes, without a Python object for each value."""

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp import values
from gnomon_server.decode.otlp.scan import Pieces


def texts(pieces: Pieces) -> pa.Array:
    """UTF-8 as text; only when some of it is invalid is it mended value by value."""
    return as_text(binary(pieces))


def binary(pieces: Pieces) -> pa.Array:
    """Each piece as a binary value. The buffer is one Arrow array of pieces and gaps, and every second is taken."""
    count = len(pieces.starts)
    if not pieces.lengths.any():
        return pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(bytes(4 * count + 4)), pa.py_buffer(b"")])
    bounds = np.zeros(2 * count + 1, np.int32)
    bounds[:-1:2], bounds[1::2] = pieces.starts, pieces.ends
    bounds[-1] = bounds[-2] if count else 0
    every = pa.Array.from_buffers(pa.binary(), 2 * count, [None, pa.py_buffer(bounds), pa.py_buffer(pieces.body)])
    return every.take(pa.array(np.arange(0, 2 * count, 2)))


def as_text(column: pa.Array) -> pa.Array:
    """Binary as text, mended where it is no UTF-8."""
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([values.text(raw) for raw in column.to_pylist()], pa.string())


def ids(pieces: Pieces, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids of `width` bytes: uint8[n, width], zero where absent or malformed, and bool[n], False where malformed."""
    right = pieces.lengths == width
    windows = np.lib.stride_tricks.sliding_window_view(pieces.data, width)
    matrix = windows[pieces.starts]
    matrix[~right] = 0
    return matrix, right | (pieces.lengths == 0)


def id_column(matrix: np.ndarray) -> pa.Array:
    """uint8[n, width] as fixed-size binary."""
    matrix = np.ascontiguousarray(matrix)
    return pa.Array.from_buffers(pa.binary(matrix.shape[1]), len(matrix), [None, pa.py_buffer(matrix)])


def nanoseconds(ns: np.ndarray) -> pa.Array:
    """uint64 nanoseconds since the epoch as timestamp[ns, UTC]."""
    return pa.array(ns.astype(np.int64)).view(pa.timestamp("ns", tz="UTC"))


def milliseconds(ns: np.ndarray) -> pa.Array:
    """uint64 nanoseconds since the epoch as timestamp[ms, UTC]."""
    return pa.array((ns // np.uint64(1_000_000)).astype(np.int64)).view(pa.timestamp("ms", tz="UTC"))


def enums(numbers: np.ndarray, largest: int) -> pa.Array:
    """Enum numbers, uint64 as on the wire, as uint8; those of a later protocol read as 0, as proto3 prescribes."""
    numbers = numbers.astype(np.uint32)  # an int32 by its low bits, as every protobuf parser reads it
    return pa.array(np.where(numbers <= largest, numbers, 0).astype(np.uint8))


def offsets(counts: np.ndarray) -> pa.Array:
    """Where each list of so many items begins."""
    result = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=result[1:])
    return pa.array(result)


_no_rows: dict[int, tuple[pa.Schema, pa.RecordBatch]] = {}


def no_rows(schema: pa.Schema) -> pa.RecordBatch:
    """The rows of one of model.tables where there are none; made once, for most requests describe nothing new."""
    if id(schema) not in _no_rows:  # by identity: to hash a schema takes 50 us
        arrays = [pa.array([], field.type) for field in schema]
        _no_rows[id(schema)] = schema, pa.RecordBatch.from_arrays(arrays, schema=schema)
    return _no_rows[id(schema)][1]


def map_of_texts(rows: list[dict[str, str]]) -> pa.Array:
    """Small maps of text (labels, metadata) as a map column."""
    return pa.array([list(row.items()) for row in rows], pa.map_(pa.string(), pa.string()))
