"""The one client of ClickHouse's HTTP interface (https://clickhouse.com/docs/interfaces/http).

It speaks to a URL or to the Unix socket of our own engine, the same SQL either way. Rows go out and come in as Arrow
streams. Cancelling a task closes its connection, and the server cancels the query. Inserts and all other statements
have connections of their own, so that no number of slow queries keeps rows from being written.
"""

import asyncio
import io
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pyarrow as pa

from gnomon_server.errors import GnomonError, Internal, Unavailable
from gnomon_server.store.interface import Insert, Params, QueryLimits, QueryStats, Settings
from gnomon_server.store.refusals import insert_error, query_error

_OK = 200
_CONNECT_S = 10.0
_INSERT_S = 120.0  # an insert of the largest group takes 2 s; a host that has vanished answers never
_SLACK_S = 5.0  # past a query's deadline, which the engine keeps to within a second
# The engine runs eight statements at once: two places are left to inserts.
_READS_OF_THE_ENGINE = 6
_READS_OF_A_SERVER = 32
_WRITES = 8
_LARGE_ANSWER_BYTES = 1 << 20
_LONG_PARAMS = 8_000  # characters, of which some take three in a URL; servers take some 64 KB of it

INSERT_SETTINGS = {
    "async_insert": "0",
    # Text indexes are built by the first merge: half the cost of an insert (docs/decisions/0004-tables.md).
    "exclude_materialize_skip_indexes_on_insert": "ix_items,ix_body",
    "insert_deduplicate": "1",
    # Views hear of a repeated block too, and drop what they have: a crash between table and view is mended.
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
    # 26.9 keeps there what a join's runtime filter excluded, and a later query then misses those rows.
    "use_query_condition_cache": "0",
    # 26.9 fails (code 43) on an ALIAS column's text index when some parts have the index and others do not yet.
    "query_plan_direct_read_from_text_index": "0",
    # On a cluster: the views' joins are sent to the nodes with their right side.
    "distributed_product_mode": "global",
    # All rows are read before any is handed on, so an error may have its own status instead of breaking the answer.
    "wait_end_of_query": "1",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where ClickHouse listens. `socket` is a Unix socket's path and wins over the host in `url`."""

    url: str = "http://engine"
    socket: str = ""
    user: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return self.socket or self.url


class ClickHouse:
    """Statements over HTTP, from one event loop. Opens connections as needed; `close` ends them for good."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._reads: aiohttp.ClientSession | None = None
        self._writes: aiohttp.ClientSession | None = None
        self._closed = False

    async def close(self) -> None:
        """End all connections; running statements are cancelled, later ones refused."""
        self._closed = True
        for session in (self._reads, self._writes):
            if session is not None:
                await session.close()

    async def insert(self, insert: Insert, database: str = "gnomon", settings: Settings | None = None) -> None:
        """Write rows and return when they are committed and synced. See Store.insert for the errors."""
        # A file is sent piece by piece; bytes would hold up the loop until all of them are gone.
        body = await asyncio.to_thread(lambda: io.BytesIO(arrow_stream(insert.rows)))
        columns = ", ".join(f"`{name}`" for name in insert.rows.schema.names)
        options = {
            **INSERT_SETTINGS,
            **_texts(settings),
            "database": database,
            "query": f"INSERT INTO {insert.table} ({columns}) FORMAT ArrowStream",
            # Without any the engine would go by the rows themselves, and drop a second, equal log record.
            "insert_deduplication_token": insert.token or uuid.uuid4().hex,
        }
        if self._writes is None:
            self._writes = self._open(_WRITES)
        try:
            async with asyncio.timeout(_INSERT_S):
                status, headers, answer = await self._post(self._writes, options, body)
        except TimeoutError:
            raise self._away(f"no answer to an insert within {_INSERT_S:.0f} s") from None
        if status != _OK:
            raise insert_error(_code(headers), answer.decode("utf-8", "replace"), status)

    async def command(
        self, sql: str, params: Params | None = None, settings: Settings | None = None, database: str = "gnomon"
    ) -> str:
        """Run one statement, however long it takes; returns what it prints, as text."""
        options = {"database": database, **_texts(settings), **_params(params)}
        answer, _ = await self._ask(sql, options)
        return answer.decode("utf-8", "replace")

    async def query(
        self, sql: str, params: Params | None, database: str, settings: Settings | None, limits: QueryLimits
    ) -> tuple[pa.Table, QueryStats]:
        """Run one SELECT; all rows as one Arrow table."""
        options = {
            "database": database,
            "default_format": "ArrowStream",
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
            async with asyncio.timeout(limits.deadline_s + _SLACK_S):
                answer, headers = await self._ask(sql, options)
        except TimeoutError:
            raise query_error(159, f"no answer within {limits.deadline_s} s") from None
        table = await asyncio.to_thread(_table, answer) if len(answer) > _LARGE_ANSWER_BYTES else _table(answer)
        return table, _stats(headers)

    async def _ask(self, sql: str, options: Mapping[str, str]) -> tuple[bytes, Mapping[str, str]]:
        if self._reads is None:
            self._reads = self._open(_READS_OF_THE_ENGINE if self._address.socket else _READS_OF_A_SERVER)
        status, headers, answer = await self._post(self._reads, *_request(sql, options))
        if status != _OK:
            raise query_error(_code(headers), answer.decode("utf-8", "replace"), status)
        return answer, headers

    def _open(self, connections: int) -> aiohttp.ClientSession:
        if self._closed:
            raise self._away("the connection is closed")
        connector: aiohttp.BaseConnector = (
            aiohttp.UnixConnector(path=self._address.socket, limit=connections)
            if self._address.socket
            else aiohttp.TCPConnector(limit=connections)
        )
        headers = {}
        if self._address.user:
            headers = {"X-ClickHouse-User": self._address.user, "X-ClickHouse-Key": self._address.password}
        return aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            # Of connecting alone: waiting for a free connection is part of the statement's own time.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=1 << 20,
        )

    async def _post(
        self, session: aiohttp.ClientSession, options: Mapping[str, str], body: Any
    ) -> tuple[int, Mapping[str, str], bytes]:
        if self._closed:
            raise self._away("the connection is closed")
        url = f"{self._address.url}/"
        try:
            # A redirect would lead rows and password elsewhere.
            async with session.post(url, params=options, data=body, allow_redirects=False) as answer:
                return answer.status, answer.headers, await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            raise self._away(f"ClickHouse does not answer: {type(error).__name__}") from error

    def _away(self, what: str) -> Unavailable:
        return Unavailable("store_away", what, where=str(self._address), retry_after_s=2)


def _request(sql: str, options: Mapping[str, str]) -> tuple[Mapping[str, str], Any]:
    """URL parameters and body of a statement. Values that are too long for a URL go in a form, as ClickHouse has it."""
    params = {name: value for name, value in options.items() if name.startswith("param_")}
    if sum(map(len, params.values())) <= _LONG_PARAMS:
        return options, sql.encode("utf-8", "surrogatepass")
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("query", sql)
    for name, value in params.items():
        form.add_field(name, value)
    return {name: value for name, value in options.items() if name not in params}, form


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


# How text stands in a parameter (ClickHouse's TSV escaping) and within a quoted literal.
_ESCAPES = str.maketrans(
    {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\b": "\\b", "\f": "\\f", "\0": "\\0", "'": "\\'"}
)


def _params(params: Params | None) -> dict[str, str]:
    """`param_name` as ClickHouse reads them: text in its TSV escaping, lists and maps as literals."""
    return {f"param_{name}": _param(value) for name, value in (params or {}).items()}


def _param(value: Any) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, str | bytes):
        return _escaped(value)
    return _literal(value)


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str | bytes):
        return f"'{_escaped(value)}'"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_literal, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_literal(key)}:{_literal(item)}" for key, item in value.items()) + "}"
    raise TypeError(f"{type(value).__name__} is no query parameter")


def _escaped(value: str | bytes) -> str:
    return value.translate(_ESCAPES) if isinstance(value, str) else "".join(f"\\x{byte:02x}" for byte in value)


def is_lasting(error: GnomonError) -> bool:
    """Whether waiting a little will not mend it: the sender should be told now."""
    return not isinstance(error, Unavailable) or error.code not in ("store_away", "store_busy", "engine_restarting")
