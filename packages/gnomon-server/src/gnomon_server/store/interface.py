"""What the rest of the server may ask of durable memory. One conformance suite runs against every implementation.

Ownership: Arrow tables handed in are not modified and may be dropped by the caller at once after the call returns; tables
handed out belong to the caller. Everything here may be called from one event loop concurrently.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

Params = Mapping[str, Any]
Settings = Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """Bounds of one query, enforced by the engine. Past one, `InvalidInput` or `DeadlineExceeded` says which."""

    deadline_s: float = 30.0
    memory_bytes: int = 1 << 30
    result_rows: int = 1_000_000
    read_rows: int = 0  # 0: unbounded


@dataclass(slots=True)
class QueryStats:
    """What a query cost, filled in when its last rows have been read."""

    rows_read: int = 0
    bytes_read: int = 0
    elapsed_ns: int = 0


@dataclass(frozen=True, slots=True)
class Insert:
    """Rows for one table, all columns but those with defaults, `tenant` and `ret` included.

    `token` makes a repeated insert of the same rows a no-op, materialised views included.
    """

    table: str
    rows: pa.Table
    token: str = ""


class Store(Protocol):
    """Durable, queryable tables (model.tables) on ClickHouse SQL."""

    async def start(self) -> None:
        """Bring the store to where it accepts inserts and queries: start the engine, migrate. Raises GnomonError."""

    async def stop(self) -> None:
        """Let running inserts end, cancel queries, stop what `start` started."""

    async def insert(self, inserts: Sequence[Insert]) -> None:
        """Write all, in order, and return once all of it would survive a power cut.

        Raises `Unavailable` (nothing is lost: try again with the same tokens) when the store is away, restarting or
        its disk is full; any other error means the rows will never be taken.
        """

    async def query(
        self, sql: str, params: Params | None = None, *, database: str = "gnomon",
        settings: Settings | None = None, limits: QueryLimits | None = None,
    ) -> tuple[pa.Table, QueryStats]:
        """Run one read-only statement and return all of its rows.

        `params` are bound to `{name:Type}` in the text by the engine. Cancelling the task cancels the query. Raises
        `InvalidInput` for what the SQL got wrong (the engine's own code and message), `DeadlineExceeded`, `TooLarge`
        for a result or memory bound, `Unavailable` when the store is away.
        """

    async def command(self, sql: str, params: Params | None = None, *, settings: Settings | None = None) -> None:
        """Run one statement that returns nothing (DDL, ALTER, SYSTEM)."""
