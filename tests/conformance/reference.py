"""The Store in plain Python: what the real one must do, in as few words as can be checked by reading.

It has no SQL; the suite reads it through `rows` and `traces`.
"""

# ruff: noqa: ARG002 - it has the interface's parameters, and no use for most

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import pyarrow as pa

from gnomon_server.errors import Internal, InvalidInput
from gnomon_server.model.tables import TABLES
from gnomon_server.store.interface import Insert, Params, QueryLimits, QueryStats, Settings

_DAY_NS = 86_400_000_000_000
_ERROR = 2


@dataclass
class Disk:
    """What survives a crash: rows by table, and the tokens that have been seen."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in TABLES})
    tokens: set[tuple[str, str]] = field(default_factory=set)


class ReferenceStore:
    """See store.interface.Store."""

    outlasts_absence = False

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""

    async def insert(self, inserts: Sequence[Insert]) -> None:
        """Each whole or not at all; a token counts once."""
        for insert in inserts:
            rows = _checked(insert)
            if insert.token and (insert.table, insert.token) in self._disk.tokens:
                continue
            self._disk.tables[insert.table] += rows
            self._disk.tokens.add((insert.table, insert.token))

    async def query(
        self,
        sql: str,
        params: Params | None = None,
        *,
        database: str = "gnomon",
        settings: Settings | None = None,
        limits: QueryLimits | None = None,
    ) -> tuple[pa.Table, QueryStats]:
        """It speaks no SQL."""
        _no_sql(sql)

    async def command(self, sql: str, params: Params | None = None, *, settings: Settings | None = None) -> None:
        """It speaks no SQL."""
        _no_sql(sql)

    def rows(self, table: str, tenant: int) -> list[dict[str, Any]]:
        """A tenant's rows."""
        return [row for row in self._disk.tables[table] if row["tenant"] == tenant]

    def traces(self, tenant: int) -> list[dict[str, Any]]:
        """A row a trace, as sql/0001_tables.sql derives it from spans."""
        by_trace: dict[bytes, list[dict[str, Any]]] = {}
        for row in self.rows("spans", tenant):
            by_trace.setdefault(row["trace_id"], []).append(row)
        return [_trace(trace_id, spans) for trace_id, spans in by_trace.items()]


def _no_sql(sql: str) -> NoReturn:
    raise InvalidInput("sql_62", f"the reference store speaks no SQL: {sql[:40]}")


def _trace(trace_id: bytes, spans: list[dict[str, Any]]) -> dict[str, Any]:
    roots = [span for span in spans if span["parent_id"] == bytes(8)]
    return {
        "trace_id": trace_id,
        "start": min(span["ts"] for span in spans),
        "end": max(span["ts"] + min(span["dur"], _DAY_NS) for span in spans),
        "spans": len(spans),
        "errors": sum(span["status"] == _ERROR for span in spans),
        "services": sorted({span["service"] for span in spans}),
        "root_service": max((span["service"] for span in roots), default=""),
        "root_name": max((span["name"] for span in roots), default=""),
        "root_dur": max((span["dur"] for span in roots), default=0),
    }


def _checked(insert: Insert) -> list[dict[str, Any]]:
    """The rows with every column, times as integers. `Internal` when they do not fit the table."""
    if insert.table not in TABLES:
        raise Internal("insert_failed", f"there is no table {insert.table}")
    schema = pa.schema(
        [
            *TABLES[insert.table],
            ("tenant", pa.uint32()),
            *([] if insert.table == "metric_meta" else [("ret", pa.uint16())]),
        ]
    )
    if unknown := set(insert.rows.schema.names) - set(schema.names):
        raise Internal("insert_failed", f"{insert.table} has no column {unknown}")
    columns = {}
    for column in schema:
        if column.name in insert.rows.schema.names:
            try:
                columns[column.name] = _integers(insert.rows[column.name].cast(column.type)).to_pylist()
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise Internal("insert_failed", f"{insert.table}.{column.name}: {error}") from error
        else:
            columns[column.name] = [_default(column.type)] * insert.rows.num_rows
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _integers(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(values.type):
        return values.cast(pa.int64())
    if pa.types.is_date(values.type):
        return values.cast(pa.int32())
    if pa.types.is_list(values.type) and pa.types.is_timestamp(values.type.value_type):
        return values.cast(pa.list_(pa.int64()))
    return values


def _default(kind: pa.DataType) -> Any:
    if pa.types.is_map(kind) or pa.types.is_list(kind):
        return []
    if pa.types.is_fixed_size_binary(kind):
        return bytes(kind.byte_width)
    if pa.types.is_string(kind) or pa.types.is_dictionary(kind):
        return ""
    if pa.types.is_floating(kind):
        return 0.0
    return False if pa.types.is_boolean(kind) else 0
