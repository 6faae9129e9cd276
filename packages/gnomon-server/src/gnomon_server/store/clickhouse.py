"""The one client of ClickHouse's HTTP interface (https://clickhouse.com/docs/interfaces/http).

It speaks to a URL or to the Unix socket of our own engine, the same SQL either way. Rows go out and come in as Arrow
streams. Cancelling a task closes its connection, and the server cancels the query.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import pyarrow as pa

from gnomon_server.errors import GnomonError, Internal, Unavailable
from gnomon_server.store.interface import Insert, Params, QueryLimits, QueryStats, Settings
from gnomon_server.store.refusals import insert_error, query_error

_INSERT_SETTINGS = {
    "async_insert": "0",
    "insert_deduplicate": "1",
    "deduplicate_blocks_in_dependent_materialized_views": "1",
    # A batch may span years of back-fill; partitions are bounded by the record times that limits.* admits.
    "max_partitions_per_insert_block": "0",
    # One block, one part a partition: the rows of a group become visible together.
    "max_insert_block_size": "10000000",
    "min_insert_block_size_rows": "10000000",
    "min_insert_block_size_bytes": "2000000000",
}
_QUERY_SETTINGS = {
    "output_format_arrow_string_as_string": "1",
    "output_format_arrow_compression_method": "none",
    "output_format_arrow_low_cardinality_as_dictionary": "1",
    "enable_time_series_aggregate_functions": "1",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where ClickHouse listens. `socket` is a Unix socket's path and wins over the host in `url`."""

    url: str = "http://engine"
    socket: str = ""
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Address(url={self.url!r}, socket={self.socket!r}, user={self.user!r})"


class ClickHouse:
    """Statements over HTTP. Opens connections as needed; `close` ends them."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector: aiohttp.BaseConnector = (
                aiohttp.UnixConnector(path=self._address.socket, limit=64)
                if self._address.socket
                else aiohttp.TCPConnector(limit=64)
            )
            headers = {}
            if self._address.user:
                headers = {"X-ClickHouse-User": self._address.user, "X-ClickHouse-Key": self._address.password}
            self._session = aiohttp.ClientSession(
                connector=connector, headers=headers, timeout=aiohttp.ClientTimeout(total=None, connect=10),
                auto_decompress=True, read_bufsize=1 << 20,
            )
        return self._session

    async def close(self) -> None:
        """End all connections; running statements are cancelled."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ping(self) -> bool:
        """Whether it answers."""
        try:
            async with self._open().get(f"{self._address.url}/ping", timeout=aiohttp.ClientTimeout(total=5)) as answer:
                return answer.status == 200  # noqa: PLR2004
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    async def insert(self, insert: Insert, database: str = "gnomon") -> None:
        """Write rows and return when they are committed and synced. See Store.insert for the errors."""
        body = await asyncio.to_thread(arrow_stream, insert.rows)
        columns = ", ".join(insert.rows.schema.names)
        options = {**_INSERT_SETTINGS, "query": f"INSERT INTO {insert.table} ({columns}) FORMAT ArrowStream"}
        if insert.token:
            options["insert_deduplication_token"] = insert.token
        status, headers, answer = await self._post({**options, "database": database}, body)
        if status != 200:  # noqa: PLR2004
            raise insert_error(_code(headers), answer.decode("utf-8", "replace"))

    async def command(
        self, sql: str, params: Params | None = None, settings: Settings | None = None, database: str = "gnomon"
    ) -> str:
        """Run one statement; returns what it prints, as text."""
        options = {"database": database, **_texts(settings), **_params(params)}
        status, headers, answer = await self._post(options, sql.encode())
        if status != 200:  # noqa: PLR2004
            raise query_error(_code(headers), answer.decode("utf-8", "replace"))
        return answer.decode("utf-8", "replace")

    async def query(
        self, sql: str, params: Params | None, database: str, settings: Settings | None, limits: QueryLimits
    ) -> tuple[pa.Table, QueryStats]:
        """Run one SELECT; all rows as one Arrow table."""
        options = {
            "database": database,
            "default_format": "ArrowStream",
            "wait_end_of_query": "0",
            **_QUERY_SETTINGS,
            "max_execution_time": str(limits.deadline_s),
            "max_memory_usage": str(limits.memory_bytes),
            "max_result_rows": str(limits.result_rows),
            "result_overflow_mode": "throw",
            **({"max_rows_to_read": str(limits.read_rows)} if limits.read_rows else {}),
            **_texts(settings),
            **_params(params),
        }
        try:
            async with asyncio.timeout(limits.deadline_s + 5):
                status, headers, answer = await self._post(options, sql.encode())
        except TimeoutError:
            raise query_error(159, f"no answer within {limits.deadline_s} s") from None
        if status != 200:  # noqa: PLR2004
            raise query_error(_code(headers), answer.decode("utf-8", "replace"))
        table = await asyncio.to_thread(_table, answer) if len(answer) > 1 << 20 else _table(answer)
        return table, _stats(headers)

    async def _post(self, options: Mapping[str, str], body: Any) -> tuple[int, Mapping[str, str], bytes]:
        try:
            async with self._open().post(f"{self._address.url}/", params=options, data=body) as answer:
                return answer.status, answer.headers, await answer.read()
        except aiohttp.ClientPayloadError as error:
            raise query_error(0, f"the answer broke off: {error}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(
                "store_away", f"ClickHouse does not answer: {type(error).__name__}", where=str(self._address),
                retry_after_s=2,
            ) from error


def arrow_stream(table: pa.Table) -> memoryview:
    """A table as one Arrow IPC stream; its small chunks are joined, since each costs ClickHouse a block."""
    joined = table.unify_dictionaries().combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, joined.schema) as writer:
        writer.write_table(joined)
    return memoryview(sink.getvalue())


def _table(answer: bytes) -> pa.Table:
    if not answer:
        return pa.table({})
    try:
        with pa.ipc.open_stream(pa.py_buffer(answer)) as reader:
            return reader.read_all()
    except pa.ArrowInvalid as error:
        raise Internal("store_failed", f"the answer is no Arrow stream: {error}") from error


def _code(headers: Mapping[str, str]) -> int:
    code = headers.get("X-ClickHouse-Exception-Code", "0")
    return int(code) if code.isdigit() else 0


def _stats(headers: Mapping[str, str]) -> QueryStats:
    try:
        summary = json.loads(headers.get("X-ClickHouse-Summary", "{}"))
    except ValueError:
        return QueryStats()
    return QueryStats(
        int(summary.get("read_rows", 0)), int(summary.get("read_bytes", 0)), int(summary.get("elapsed_ns", 0))
    )


def _texts(settings: Settings | None) -> dict[str, str]:
    return {name: str(value) for name, value in (settings or {}).items()}


def _params(params: Params | None) -> dict[str, str]:
    """`param_name` as ClickHouse reads them: text in its TSV escaping, lists and maps as literals."""
    return {f"param_{name}": _param(value) for name, value in (params or {}).items()}


def _param(value: Any) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\0", "\\0")
    return str(value) if isinstance(value, int | float) else _literal(value)


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0") + "'"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_literal, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_literal(key)}:{_literal(item)}" for key, item in value.items()) + "}"
    return _param(value)


def is_lasting(error: GnomonError) -> bool:
    """Whether waiting a little will not mend it: the sender should be told now."""
    return not isinstance(error, Unavailable) or error.code in ("disk_full", "data_read_only")
