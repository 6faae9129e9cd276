"""Rows for the tables, as short as a test can say them."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from gnomon_server.model.tables import TABLES
from gnomon_server.store.interface import Insert

KEEPS_FOR_EVER = {"tenants", "metric_meta"}


def at(text: str) -> int:
    """`2026-11-20` or `2026-11-20 12:00:00` in nanoseconds since the epoch."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def empty(kind: pa.DataType) -> Any:
    """What an absent value is in the tables: zero, no text, an empty list or map."""
    if pa.types.is_map(kind) or pa.types.is_list(kind):
        return []
    if pa.types.is_fixed_size_binary(kind):
        return bytes(kind.byte_width)
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        return ""
    return False if pa.types.is_boolean(kind) else 0


def insert_of(table: str, rows: list[Mapping[str, Any]], *, tenant: int = 1, ret: int = 7, token: str = "") -> Insert:
    """An Insert of rows of which only the telling columns are given; `tenant` and `ret` may be among them."""
    schema = TABLES[table]
    whole = [{field.name: empty(field.type) for field in schema} | dict(row) for row in rows]
    filled = pa.table({name: pa.array([row[name] for row in whole], schema.field(name).type) for name in schema.names})
    filled = filled.append_column("tenant", pa.array([row.get("tenant", tenant) for row in rows], pa.uint32()))
    if table not in KEEPS_FOR_EVER:
        filled = filled.append_column("ret", pa.array([row.get("ret", ret) for row in rows], pa.uint16()))
    return Insert(table, filled, token)


def span(day: str, number: int = 0, **columns: Any) -> dict[str, Any]:
    """A span with ids made of `number`."""
    ids = {"trace_id": number.to_bytes(16, "big"), "span_id": number.to_bytes(8, "big")}
    return {"ts": at(day), **ids, "service": "shop", "name": "GET /", **columns}


def sample(day: str, identity: int = 1, v: float = 1.0, **columns: Any) -> dict[str, Any]:
    """A sample of the series `identity`."""
    return {"ts": at(day) // 1_000_000, "id": identity, "v": v, **columns}


def log(day: str, body: str = "hello", **columns: Any) -> dict[str, Any]:
    """A log record."""
    return {"ts": at(day), "observed": at(day), "service": "shop", "body": body, **columns}


def resource(day: str, rid: int = 1) -> dict[str, Any]:
    """A resource seen on a day."""
    return {"day": date.fromisoformat(day), "rid": rid, "service": "shop"}
