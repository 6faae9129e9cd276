"""SQLAlchemy engines, synchronous and asyncio, those that exist among them: a span a statement, numbers of every pool.

Statements are exported without their values.
What a pool says to its connections on its own account (pings, resets) is no statement, and neither is what a dialect
asks when it first connects.
https://opentelemetry.io/docs/specs/semconv/database/sql/, https://opentelemetry.io/docs/specs/semconv/database/database-metrics/
"""

import logging
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import TimeoutError as NoConnectionError
from sqlalchemy.pool import Pool, QueuePool

from gnomon.context import current, suppressed
from gnomon.integrations.database_client import Client, Operation, Operations, server_labels
from gnomon.integrations.telemetry import Telemetry
from gnomon.metrics.instruments import Counter, Histogram, ObservableUpDownCounter
from gnomon.privacy.sql import operation_and_table, sanitised
from gnomon.process.forks import after_fork

log = logging.getLogger("gnomon.integrations")

SYSTEMS = {"mssql": "microsoft.sql_server", "oracle": "oracle.db", "redshift": "aws.redshift", "db2": "ibm.db2"}
"""SQLAlchemy's names of databases that have another one in the conventions."""
NAME = "db.client.connection.pool.name"
STATE = "db.client.connection.state"


def install(telemetry: Telemetry) -> Callable[[], None]:
    """Listen to every engine, and watch every pool that an engine has."""
    engines = Engines(telemetry)
    heard: list[tuple[type, str, Any, dict[str, bool]]] = [
        (Engine, "before_cursor_execute", engines.before, {"retval": True}),  # else SQLAlchemy wraps it, which costs
        (Engine, "after_cursor_execute", engines.after, {}),
        (Engine, "handle_error", engines.failed, {"insert": True}),  # one that raises ends the list
    ]
    if telemetry.metrics is not None:
        heard.insert(0, (Pool, "checkin", _returned, {}))  # first: refused while SQLAlchemy is half imported
    for target, name, listener, options in heard:
        event.listen(target, name, listener, **options)
    raw_connection = Engine.raw_connection
    if telemetry.metrics is not None:
        Engine.raw_connection = lambda self: engines.connected(self, raw_connection)  # type: ignore[method-assign]  # no event tells how long it took

    def undo() -> None:
        for target, name, listener, _ in heard:
            event.remove(target, name, listener)
        Engine.raw_connection = raw_connection  # type: ignore[method-assign]  # as it was
        engines.forget()

    return undo


class Engines:
    """All engines, as their events tell of them."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.client = Client(telemetry, "gnomon.integrations.sqlalchemy")
        self.pools: Pools | None = None
        self._databases: dict[int, Database] = {}
        if telemetry.metrics is not None:
            self.pools = Pools(telemetry, lambda: list(self._databases.values()))
        after_fork(self._forked)

    def database(self, engine: Engine) -> "Database":
        """What an engine speaks to. Engines with other options share its dialect, so that is what we go by."""
        dialect = engine.dialect
        found = self._databases.get(id(dialect))
        if found is None:
            key = id(dialect)
            gone = weakref.ref(dialect, lambda _: self._databases.pop(key, None))
            found = self._databases[key] = Database(self, engine, gone)
        return found

    def before(
        self, connection: Any, _: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> tuple[str, Any]:
        """A statement is about to be sent."""
        try:
            now = current()
            if context is not None and not suppressed(now) and not _unheard(connection):
                # Of many rows in one statement, the text without them: they differ from time to time.
                text = context.statement if many and context.statement else statement
                batch = len(parameters) if many and isinstance(parameters, list) else 0
                database = self.database(connection.engine)
                context._gnomon = Operation(database, now, text, batch > 1, batch)  # noqa: SLF001 - our own mark
        except Exception:
            log.exception("A statement could not be followed")
        return statement, parameters

    def after(self, _connection: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _: bool) -> None:
        """A statement was executed; its rows may still be on their way."""
        _end(context, None)

    def failed(self, context: Any) -> None:
        """Something went wrong, maybe in a statement."""
        _end(context.execution_context, context.original_exception)

    def connected(self, engine: Engine, connect: Callable[[Engine], Any]) -> Any:
        """A connection from the engine's pool."""
        try:
            database = self.database(engine)
            database.pool = weakref.ref(engine.pool)
        except Exception:
            log.exception("A connection could not be followed")
            return connect(engine)
        return database.connected(engine, connect)

    def forget(self) -> None:
        """Look at nothing any more."""
        self._databases.clear()
        if self.pools is not None:
            self.pools.forget()

    def _forked(self) -> None:
        for database in self._databases.values():
            database.pending = 0  # whoever waited, waits in the parent


class Database(Operations[bool]):
    """What one engine speaks to, what is known of its statements (beside its text, whether it is a batch), its pool.

    Attributes:
        pool: the engine's present one.
        pending: how many wait for a connection.
    """

    def __init__(self, engines: Engines, engine: Engine, dialect: "weakref.ref[Any]") -> None:
        super().__init__(engines.client)
        url = engine.url
        backend = url.get_backend_name()
        self._dialect = dialect  # a weak reference that is gone calls nobody
        self._ansi_quotes = backend not in {"mysql", "mariadb"}
        self._labels = server_labels(SYSTEMS.get(backend, backend), url.database, url.host, url.port)
        at = f"{url.host}:{url.port}" if url.port else url.host or ""
        self.pool_name = engine.logging_name or "/".join(part for part in (at, url.database) if part) or backend
        self.pool: Callable[[], Any] = lambda: None
        self.pending = 0
        self._cells = None if engines.pools is None else engines.pools.cells(self.pool_name)

    def connected(self, engine: Engine, connect: Callable[[Engine], Any]) -> Any:
        """A connection from the pool, timed. No call stands between reading and writing `pending`: no lock."""
        cells = self._cells
        if cells is None:
            return connect(engine)
        started_s = perf_counter()
        self.pending += 1
        try:
            connection = connect(engine)
        except NoConnectionError:
            cells.timeout()
            raise
        finally:
            self.pending -= 1
            now_s = perf_counter()
            cells.wait(now_s - started_s)
        try:
            connection.info[NAME] = (cells.use, now_s)
        except Exception:
            log.exception("A connection could not be followed")
        return connection

    def described(self, text: str, how: bool) -> tuple[str, dict[str, Any], Mapping[str, Any]]:
        """A statement by its operation and table, as far as they can be told."""
        operation, table = operation_and_table(text, ansi_quotes=self._ansi_quotes)
        if how and operation:
            operation = f"BATCH {operation}"
        labels = dict(self._labels)
        if operation:
            labels["db.operation.name"] = operation
        if table:
            labels["db.collection.name"] = table
        summary = f"{operation} {table}".strip()
        more = {"db.query.text": sanitised(text, ansi_quotes=self._ansi_quotes)}
        if summary:
            more["db.query.summary"] = summary
        return summary or self._labels.get("db.namespace") or self._labels["db.system.name"], labels, more

    def code(self, error: BaseException) -> str:
        """An SQLSTATE, or what the driver has in its place."""
        for name in ("sqlstate", "pgcode", "sqlite_errorname"):
            if isinstance(code := getattr(error, name, None), str):
                return code
        number = error.args[0] if error.args else None
        return str(number) if isinstance(number, int) else ""


@dataclass(frozen=True, slots=True)
class PoolCells:
    """Where a pool's measurements go, in seconds."""

    wait: Callable[[float], None]
    use: Callable[[float], None]
    timeout: Callable[[], None]


class Pools:
    """The instruments of pools. Pools without a bound (`NullPool`, `StaticPool`) have no counts to show."""

    def __init__(self, telemetry: Telemetry, databases: Callable[[], list[Database]]) -> None:
        self._databases, self._registry = databases, telemetry.metrics
        registry = telemetry.metrics
        self._wait = Histogram(
            "db.client.connection.wait_time",
            "How long it took to get a connection.",
            (NAME,),
            unit="s",
            registry=registry,
        )
        self._use = Histogram(
            "db.client.connection.use_time", "How long connections were held.", (NAME,), unit="s", registry=registry
        )
        self._timeouts = Counter(
            "db.client.connection.timeouts", "How often there was no connection in time.", (NAME,),
            unit="{timeout}", registry=registry,
        )  # fmt: skip
        for name, description, unit, points in (
            ("count", "Connections, by state.", "{connection}", self._count),
            ("max", "The most connections there may be.", "{connection}", self._max),
            ("idle.max", "The most connections that are kept when idle.", "{connection}", self._idle_max),
            ("pending_requests", "Who waits for a connection.", "{request}", self._pending),
        ):
            made = ObservableUpDownCounter(
                f"db.client.connection.{name}", points, description, unit=unit, registry=registry
            )
            made.callback = points  # one that was registered before us asks us from now on

    def cells(self, pool: str) -> PoolCells:
        """The cells of a pool."""
        labels = {NAME: pool}
        return PoolCells(
            self._wait.labels(**labels).observe, self._use.labels(**labels).observe, self._timeouts.labels(**labels).add
        )

    def forget(self) -> None:
        """Show nothing any more."""
        self._databases = list

    def _pools(self) -> Iterator[tuple[str, QueuePool]]:
        for database in self._databases():
            pool = database.pool()
            if isinstance(pool, QueuePool):
                yield database.pool_name, pool

    def _count(self) -> list[tuple[float, Mapping[str, Any]]]:
        used = _summed((name, pool.checkedout()) for name, pool in self._pools())
        idle = _summed((name, pool.checkedin()) for name, pool in self._pools())
        states = (("used", used), ("idle", idle))
        return [(number, {NAME: name, STATE: state}) for state, counts in states for name, number in counts.items()]

    def _max(self) -> list[tuple[float, Mapping[str, Any]]]:
        # A negative overflow has no bound, and neither has the pool.
        bounded = (
            (name, pool.size() + pool._max_overflow)  # noqa: SLF001 - there is no public door
            for name, pool in self._pools()
            if pool._max_overflow >= 0  # noqa: SLF001 - likewise
        )
        return [(number, {NAME: name}) for name, number in _summed(bounded).items()]

    def _idle_max(self) -> list[tuple[float, Mapping[str, Any]]]:
        return [(n, {NAME: name}) for name, n in _summed((name, pool.size()) for name, pool in self._pools()).items()]

    def _pending(self) -> list[tuple[float, Mapping[str, Any]]]:
        waiting = _summed((one.pool_name, one.pending) for one in self._databases())
        return [(number, {NAME: name}) for name, number in waiting.items()]


def _summed(numbers: Any) -> dict[str, int]:
    """By name: two engines may have pools of one name."""
    found: dict[str, int] = {}
    for name, number in numbers:
        found[name] = found.get(name, 0) + number
    return found


def _returned(_: Any, record: Any) -> None:
    """A connection goes back to its pool."""
    held = record.info.pop(NAME, None)
    if held is not None:
        use, since_s = held
        use(perf_counter() - since_s)


def _end(context: Any, error: BaseException | None) -> None:
    """The end of the statement of an execution, if it has one that has not ended."""
    operation = getattr(context, "_gnomon", None)
    if operation is not None:
        context._gnomon = None  # noqa: SLF001 - our own mark
        operation.end(error)


def _unheard(connection: Any) -> bool:
    """Whether the failure of a statement would not be told: then we would never learn that it ended."""
    return getattr(connection, "_reentrant_error", False) or connection.get_execution_options().get(
        "skip_user_error_events", False
    )
