"""SQL by SQLAlchemy: SQLite in WAL mode in the run's directory, or PostgreSQL by URL. Every statement is a span.

The pool is small and has a deadline: a service that cannot get a connection in time says so instead of hanging.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict
from time import perf_counter
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import SpanKind, Status, StatusCode
from sqlalchemy import bindparam, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gnomon_shop import ledger
from gnomon_shop.parts.effects import Effects
from gnomon_shop.settings import Settings

POOL_SIZE = 5
POOL_TIMEOUT_S = 2.0
LOOK_EVERY_S = 0.25
HOLD_S = 3.0  # a pool exhausted at strength 0.3 is empty for 0.9 s of each 3 s; from 0.67 on some wait in vain
DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
# WAL: readers and the writer do not wait for each other. NORMAL: synced at checkpoints, which a demo can live with.
PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000", "foreign_keys=ON")

Row = Mapping[str, Any]
log = logging.getLogger("shop.database")
tracer = trace.get_tracer("shop.database")
meter = metrics.get_meter("shop.database")
duration = meter.create_histogram("db.client.operation.duration", "s", "Time taken by a statement")
wait_time = meter.create_histogram("db.client.connection.wait_time", "s", "Time until a connection came free")


class NoConnectionError(Exception):
    """No connection came free in time."""


class Connection:
    """A connection taken from the pool."""

    def __init__(self, raw: AsyncConnection, database: "Database") -> None:
        self._raw, self._database = raw, database

    async def run(self, name: str, sql: str, **parameters: Any) -> list[Row]:
        """Run one statement; its rows, none when it returns none. `name` is its verb and table, as in the ledger."""
        with self._database.statement(name, sql):
            await self._database.effects.dependency()
            lists = [bindparam(key, expanding=True) for key, value in parameters.items() if isinstance(value, list)]
            result = await self._raw.execute(text(sql).bindparams(*lists), parameters)
            return list(result.mappings()) if result.returns_rows else []

    async def fill(self, sql: str, rows: Sequence[Any]) -> None:
        """Insert dataclasses at the start, before anyone watches: no span."""
        await self._raw.execute(text(sql), [asdict(row) for row in rows])
        await self._raw.commit()

    async def commit(self) -> None:
        """Make it last."""
        with self._database.statement("COMMIT", "COMMIT"):
            await self._database.effects.commit()
            await self._raw.commit()


class Database:
    """One database with its pool."""

    def __init__(self, url: URL, effects: Effects) -> None:
        self.effects, self._url = effects, url
        self.system = "sqlite" if url.drivername.startswith("sqlite") else "postgresql"
        self._engine = _engine(url)
        self._waiting = 0
        self._holder = asyncio.create_task(self._hold())
        meter.create_observable_up_down_counter(
            "db.client.connection.count", [self._connections], "{connection}", "Connections of the pool, by state"
        )
        meter.create_observable_up_down_counter(
            "db.client.connection.pending_requests", [self._pending], "{request}", "Waiting for a connection"
        )
        meter.create_observable_up_down_counter(
            "db.client.connection.max", [self._most], "{connection}", "The size of the pool"
        )

    @classmethod
    async def open(cls, settings: Settings, effects: Effects, schema: Sequence[str]) -> "Database":
        """Connect and see to the tables; `schema` is statements that do no harm when repeated."""
        database = cls(where(settings), effects)
        async with database._engine.begin() as connection:
            for statement in schema:
                await connection.execute(text(statement))
        return database

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """One of the pool; NoConnectionError when none comes free in time. What is not committed is undone."""
        raw = await self._taken()
        try:
            yield Connection(raw, self)
        finally:
            await raw.close()

    async def rows(self, name: str, sql: str, **parameters: Any) -> list[Row]:
        """The rows of one statement, on a connection of its own."""
        async with self.connection() as connection:
            return await connection.run(name, sql, **parameters)

    async def close(self) -> None:
        """Close all connections."""
        self._holder.cancel()
        await asyncio.gather(self._holder, return_exceptions=True)
        await self._engine.dispose()

    @contextmanager
    def statement(self, name: str, sql: str) -> Iterator[None]:
        """The span, the ledger's operation and the duration of one statement."""
        verb, _, table = name.partition(" ")
        labels = {"db.system.name": self.system, "db.operation.name": verb}
        if table:
            labels["db.collection.name"] = table
        described = {**labels, "db.namespace": self._namespace, "db.query.text": sql, **self._server}
        started = perf_counter()
        with (
            ledger.operation(name, "client", "database") as operation,
            tracer.start_as_current_span(name, kind=SpanKind.CLIENT, attributes=described) as span,
        ):
            operation.spanned()
            try:
                yield
            except Exception as error:
                span.set_status(Status(StatusCode.ERROR, str(error)))
                labels["error.type"] = type(error).__name__
                raise
            finally:
                duration.record(perf_counter() - started, labels)

    @property
    def _namespace(self) -> str:
        return (self._url.database or "").rpartition("/")[2]

    @property
    def _server(self) -> dict[str, Any]:
        if not self._url.host:
            return {}
        return {"server.address": self._url.host, "server.port": self._url.port or 5432}

    async def _taken(self) -> AsyncConnection:
        started = perf_counter()
        self._waiting += 1
        try:
            return await self._engine.connect()
        except PoolTimeoutError as error:
            log.warning("no database connection came free within %.1f s", POOL_TIMEOUT_S)
            raise NoConnectionError("no database connection came free in time") from error
        finally:
            self._waiting -= 1
            wait_time.record(perf_counter() - started)

    async def _hold(self) -> None:
        """The planned exhaustion: take the whole pool and keep it for a part of the time."""
        while True:
            level = self.effects.level("pool_exhaustion")
            if level > 0:
                async with AsyncExitStack() as taken:
                    with suppress(PoolTimeoutError):
                        for _ in range(POOL_SIZE):
                            await taken.enter_async_context(self._engine.connect())
                    await self._while_planned(HOLD_S * level)
            await asyncio.sleep(HOLD_S * (1 - level) if level > 0 else LOOK_EVERY_S)

    async def _while_planned(self, seconds: float) -> None:
        """Sleep, but not much beyond the end of the fault."""
        while seconds > 0 and self.effects.level("pool_exhaustion") > 0:
            await asyncio.sleep(min(seconds, LOOK_EVERY_S))
            seconds -= LOOK_EVERY_S

    def _connections(self, _: CallbackOptions) -> list[Observation]:
        used = self._engine.pool.checkedout()
        return [
            Observation(used, {"db.client.connection.state": "used"}),
            Observation(POOL_SIZE - used, {"db.client.connection.state": "idle"}),
        ]

    def _pending(self, _: CallbackOptions) -> list[Observation]:
        return [Observation(self._waiting)]

    def _most(self, _: CallbackOptions) -> list[Observation]:
        return [Observation(POOL_SIZE)]


def where(settings: Settings) -> URL:
    """The database's URL: the one given, or a file named after the service."""
    if not settings.database_url:
        return make_url(f"sqlite+aiosqlite:///{settings.dir.resolve() / settings.service}.db")
    url = make_url(settings.database_url)
    return url.set(drivername=DRIVERS.get(url.drivername, url.drivername))


def _engine(url: URL) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=POOL_SIZE, max_overflow=0, pool_timeout=POOL_TIMEOUT_S)
    if url.drivername.startswith("sqlite"):

        @event.listens_for(engine.sync_engine, "connect")
        def prepare(raw: Any, _: Any) -> None:
            cursor = raw.cursor()
            for pragma in PRAGMAS:
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

    return engine
