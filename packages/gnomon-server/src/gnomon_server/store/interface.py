"""What the rest of the server may ask of durable memory, and what it may rely on.

Every implementation passes one conformance suite (tests/conformance). The tables and their columns are those of
model.tables and sql/0001_tables.sql; the stable views for people are sql/0002_views.sql.

Ownership: tables handed in are read until the call returns and never modified; tables handed out belong to the caller.
Concurrency: everything may be called concurrently from one event loop, and from that loop only. Writes do not wait for
queries; inserts that are called one after another become visible in that order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

Params = Mapping[str, Any]
"""Values for `{name:Type}` in a statement: None, bool, int, float, str, bytes, and lists and maps of these."""

Settings = Mapping[str, str | int | float]
"""ClickHouse settings for one statement; nothing of them is left for the next."""


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """Bounds of one query, enforced where it runs. Past the time `DeadlineExceeded`, past any other `TooLarge`."""

    deadline_s: float = 30.0
    """From the start of its execution; waiting for a free connection counts too, with 5 s of slack."""
    memory_bytes: int = 1 << 30
    result_rows: int = 1_000_000
    read_rows: int = 0
    """Rows read from the tables; 0: unbounded."""


@dataclass(slots=True)
class QueryStats:
    """What a query cost. `bytes_read` are uncompressed."""

    rows_read: int = 0
    bytes_read: int = 0
    elapsed_ns: int = 0


@dataclass(frozen=True, slots=True)
class Insert:
    """Rows for one table: columns by name, in any order, `tenant` and `ret` among them where the table has them.

    Columns that are left out take their defaults. `token` names these very rows: inserting them again under the same
    token changes nothing, in the table and in everything derived from it, for at least the last 10,000 tokens a table.
    The same token with other rows is the caller's mistake, and which rows are kept is not defined. Empty: no such
    promise.
    """

    table: str
    rows: pa.Table
    token: str = ""


class Store(Protocol):
    """Durable, queryable tables in ClickHouse's SQL.

    Errors are GnomonErrors (errors.py). `Unavailable` always means: nothing is lost, the same call may succeed later;
    its code says why (`store_away`, `engine_restarting`, `store_busy`, `disk_full`, `data_read_only`,
    `store_denies_access`, `spool_full`), and it ends by itself or by what its hint names, without a restart of ours.
    """

    @property
    def outlasts_absence(self) -> bool:
        """Whether inserts are acknowledged while queries are `Unavailable`, because a spool keeps them meanwhile."""

    async def start(self) -> None:
        """Bring the tables to where they take rows and answer: start the engine, if it is ours, and migrate.

        Once, before all else. Raises GnomonError: `data_dir_taken` when another server owns the data, `schema_newer`
        when a newer one has migrated it, `migration_failed` with the statement, `Unavailable` when it does not answer.
        """

    async def stop(self) -> None:
        """Let running inserts end, cancel queries, stop what `start` started. For good; also after a failed `start`."""

    async def insert(self, inserts: Sequence[Insert]) -> None:
        """Write all, in order, and return when all of it would survive a power cut.

        Of each Insert the rows that share a partition (a day of one retention) become visible together; all rows are
        visible when this returns (with a spool: when it has drained).

        Raises `Unavailable` when it cannot be written now: some of the Inserts may have been, so repeat the call with
        the same tokens and rows. Any other error (`Internal` `insert_failed`: an unknown table or column, a type that
        does not fit) means that these rows will never be taken; of the Insert at fault nothing is stored.
        """

    async def query(
        self,
        sql: str,
        params: Params | None = None,
        *,
        database: str = "gnomon",
        settings: Settings | None = None,
        limits: QueryLimits | None = None,
    ) -> tuple[pa.Table, QueryStats]:
        """Run one statement that only reads, and return all of its rows and what it cost.

        The text is trusted: whoever takes SQL from people parses it first (query/sql). `params` are bound to
        `{name:Type}` in it by the engine, never by substitution. LowCardinality columns come as dictionaries, other
        text as `string`, times as `timestamp`. Cancelling the task cancels the query.

        Raises `InvalidInput` for what the SQL got wrong (`sql_<ClickHouse's code>` and its message), `DeadlineExceeded`
        and `TooLarge` past `limits`, `Unavailable` when it cannot be asked now.
        """

    async def command(self, sql: str, params: Params | None = None, *, settings: Settings | None = None) -> None:
        """Run one statement that returns nothing (DDL, ALTER, INSERT ... SELECT), however long it takes.

        Errors as of `query`. A statement that was sent may have had its effect although this raises.
        """
