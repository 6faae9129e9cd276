"""An answer as JSON, CSV or Arrow bytes.

JSON has no words for some values: times are text in UTC with their type's digits (`2026-11-21T09:21:35.123456789Z`),
NaN and infinities the strings `NaN`, `Infinity`, `-Infinity`; byte strings are hex, decimals and 128-bit integers text,
maps objects, tuples arrays (objects where their elements are named). 64-bit integers are numbers, all digits kept.

Columns are turned into lists by Arrow and NumPy, whole at a time; only what is nested is walked row by row.
"""

import io
import ipaddress
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from gnomon_server.query.sql.door import Answer

_UTC = "UTC"


def to_json(answer: Answer) -> bytes:
    """`{"columns": [{"name", "type"}], "rows": [[...]], "stats": {...}}`."""
    table = typed(answer)
    columns = [json_values(table.column(n).combine_chunks(), of) for n, of in enumerate(answer.types)]
    body = {
        "columns": [{"name": name, "type": of} for name, of in zip(table.column_names, answer.types, strict=True)],
        "rows": list(zip(*columns, strict=True)),
        "stats": {
            "rows_read": answer.stats.rows_read,
            "bytes_read": answer.stats.bytes_read,
            "elapsed_ns": answer.stats.elapsed_ns,
        },
    }
    return orjson.dumps(body)


def to_arrow(answer: Answer) -> bytes:
    """An Arrow IPC stream."""
    table, sink = typed(answer), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def to_csv(answer: Answer) -> bytes:
    """RFC 4180 with a header line; values as in JSON, what is nested as JSON text."""
    table, sink = typed(answer), io.BytesIO()
    columns = [_csv_column(table.column(n).combine_chunks(), of) for n, of in enumerate(answer.types)]
    csv.write_csv(pa.Table.from_arrays(columns, names=table.column_names), sink)
    return sink.getvalue()


def typed(answer: Answer) -> pa.Table:
    """The rows with times as times: ClickHouse writes its 32-bit ones to Arrow as plain integers."""
    table = answer.table
    for number, of in enumerate(answer.types):
        bare = of.removeprefix("LowCardinality(").removeprefix("Nullable(")
        column = table.column(number)
        if bare.startswith("DateTime") and pa.types.is_uint32(column.type):
            times = column.cast(pa.int64()).cast(pa.timestamp("s", _UTC))
        elif pa.types.is_timestamp(column.type) and column.type.tz != _UTC:
            times = column.cast(pa.timestamp(column.type.unit, _UTC))
        else:
            continue
        table = table.set_column(number, table.column_names[number], times)
    return table


def json_values(column: pa.Array, of: str = "") -> list[Any]:
    """A column as what JSON can say. `of` is its ClickHouse type, for what Arrow does not tell apart."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType) or pa.types.is_null(kind):
        return [None if value is None else str(value) for value in column.to_pylist()]
    if pa.types.is_dictionary(kind):
        return json_values(column.dictionary_decode())
    special = next(
        (read for name, read in _BY_NAME.items() if name in of and "(" not in of.replace("Nullable(", "")), None
    )
    values = [None if value is None else special(value) for value in column.to_pylist()] if special else _values(column)
    if column.null_count:
        for position in np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)).tolist():
            values[position] = None
    return values


def _values(column: pa.Array) -> list[Any]:
    """A column's values; what stands for a null is overwritten by the caller."""
    return next((read for holds, read in _BY_KIND if holds(column.type)), _plain)(column)


def _plain(column: pa.Array) -> list[Any]:
    return _list(column.fill_null(0) if column.null_count else column)


def _times(column: pa.Array) -> list[Any]:
    # A time of no zone is written ten times faster than one of UTC, and reads the same.
    texts = column.cast(pa.timestamp(column.type.unit)).cast(pa.string())
    return _list(pc.binary_join_element_wise(pc.binary_replace_slice(texts, 10, 11, "T"), "Z", ""))


def _bytes(column: pa.Array) -> list[Any]:
    return [None if value is None else value.hex() for value in column.to_pylist()]


def _lists(column: pa.Array) -> list[Any]:
    items, offsets = json_values(column.values), column.offsets.to_numpy().tolist()
    return [items[start:end] for start, end in itertools.pairwise(offsets)]


def _list(column: pa.Array) -> list[Any]:
    return column.to_numpy(zero_copy_only=False).tolist()  # type: ignore[no-any-return]


def _texts(column: pa.Array) -> list[Any]:
    try:
        return _list(column)
    except (UnicodeDecodeError, pa.ArrowException):  # unhex() and its like make any bytes
        raw = column.view(pa.binary()).to_pylist()
        return [None if value is None else value.decode("utf-8", "replace") for value in raw]


def _floats(column: pa.Array) -> list[Any]:
    numbers = column.fill_null(0).to_numpy(zero_copy_only=False)
    values = numbers.tolist()
    for position in np.flatnonzero(~np.isfinite(numbers)).tolist():
        number = values[position]
        values[position] = "NaN" if number != number else ("Infinity" if number > 0 else "-Infinity")  # noqa: PLR0124 - NaN
    return values  # type: ignore[no-any-return]


def _maps(column: pa.MapArray) -> list[Any]:
    offsets = column.offsets.to_numpy().tolist()
    keys, items = [str(key) for key in json_values(column.keys)], json_values(column.items)
    return [dict(zip(keys[start:end], items[start:end], strict=True)) for start, end in itertools.pairwise(offsets)]


def _tuples(column: pa.StructArray) -> list[Any]:
    names = [field.name for field in column.type]
    fields = [json_values(field) for field in column.flatten()]
    rows = zip(*fields, strict=True)
    if all(name.isdigit() for name in names):
        return [list(row) for row in rows]
    return [dict(zip(names, row, strict=True)) for row in rows]


def _csv_column(column: pa.Array, of: str) -> pa.Array:
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type) or pa.types.is_string(column.type):
        return column
    values = json_values(column, of)
    return pa.array([_csv_text(value) for value in values], pa.string())


def _csv_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def _integer(raw: bytes, *, signed: bool) -> str:
    return str(int.from_bytes(raw, "little", signed=signed))


_BY_NAME: dict[str, Callable[[Any], Any]] = {
    "IPv4": lambda value: str(ipaddress.IPv4Address(value)),
    "IPv6": lambda value: str(ipaddress.IPv6Address(value)),
    "UInt128": lambda value: _integer(value, signed=False),
    "Int128": lambda value: _integer(value, signed=True),
}

_BY_KIND: tuple[tuple[Callable[[pa.DataType], bool], Callable[[Any], list[Any]]], ...] = (
    (pa.types.is_string, _texts),
    (pa.types.is_floating, lambda column: _floats(column.cast(pa.float64()))),
    (pa.types.is_timestamp, _times),
    (pa.types.is_map, _maps),
    (pa.types.is_list, _lists),
    (pa.types.is_struct, _tuples),
    (pa.types.is_date, lambda column: _list(column.cast(pa.string()))),
    (pa.types.is_decimal, lambda column: _list(column.cast(pa.string()))),
    (pa.types.is_binary, _bytes),
    (pa.types.is_fixed_size_binary, _bytes),
)

FORMATS: dict[str, tuple[str, Callable[[Answer], bytes]]] = {
    "json": ("application/json", to_json),
    "arrow": ("application/vnd.apache.arrow.stream", to_arrow),
    "csv": ("text/csv; charset=utf-8", to_csv),
}
"""Name in the request -> media type, writer."""
