"""Running statements: a bounded crew of workers, each result on a pipe, cancel from outside."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass

from . import statement
from .bodies import Spool
from .config import Limits
from .protocol import (
    QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING,
    SYNTAX_ERROR,
    TOO_MANY_SIMULTANEOUS_QUERIES,
    EngineError,
    Parameters,
    Statistics,
)
from .session import ID_SETTING, Connection, Database

# A kill can arrive before the library has registered the statement, so it is repeated.
_KILL_INTERVAL_S = 0.2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished statement left: a small result in memory (others went to the pipe), and its statistics."""

    body: bytes
    statistics: Statistics


@dataclass(slots=True)
class Execution:
    """A statement on its way. ``output`` (a pipe's end to read) ends when the statement has ended, well or not."""

    query_id: str
    output: int
    future: Future[Outcome]


class Crew:
    """Runs statements on a bounded number of workers, with a bounded queue before them."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database = database
        self._size = limits.concurrent_queries + limits.queued_queries
        self._places = threading.BoundedSemaphore(self._size)
        self._workers = ThreadPoolExecutor(limits.concurrent_queries, thread_name_prefix="query")
        self._control = ThreadPoolExecutor(1, thread_name_prefix="control")
        self._lock = threading.Lock()
        self._running: dict[str, Future[Outcome]] = {}
        self._stopping = False

    def admit(self) -> "Admission":
        """Take a place, to be given back.

        Raises:
            EngineError: TOO_MANY_SIMULTANEOUS_QUERIES when none is free, or the engine is stopping.
        """
        if self._stopping or not self._places.acquire(blocking=False):
            reason = "The engine is stopping" if self._stopping else "Too many simultaneous queries"
            raise EngineError(TOO_MANY_SIMULTANEOUS_QUERIES, reason)
        return Admission(self._places)

    def start(self, job: Callable[[Connection, int], Outcome], parameters: Parameters, query_id: str) -> Execution:
        """Start ``job(connection, pipe)`` on a worker; what it writes into the pipe is the execution's ``output``."""
        output, pipe = os.pipe()

        def run() -> Outcome:
            try:
                with self._database.session(parameters.settings, parameters.database, query_id) as connection:
                    return job(connection, pipe)
            finally:
                # Forgotten first: who reads the end of the pipe may use the same id again.
                with self._lock:
                    self._running.pop(query_id, None)
                os.close(pipe)

        with self._lock:
            if query_id in self._running:
                os.close(output)
                os.close(pipe)
                text = f"Query with id = {query_id} is already running."
                raise EngineError(QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING, text)
            future = self._workers.submit(run)
            self._running[query_id] = future
        future.add_done_callback(lambda done: self._discard(query_id, pipe) if done.cancelled() else None)
        return Execution(query_id, output, future)

    def _discard(self, query_id: str, pipe: int) -> None:
        with self._lock:
            self._running.pop(query_id, None)
        os.close(pipe)

    def run_control(self, text: bytes, output_format: str, parameters: Parameters) -> Outcome:
        """Run a KILL QUERY beside the crew, so that it works when every worker is busy."""
        text = statement.rename_query_id(text, f"Settings['{ID_SETTING}']".encode())

        def run() -> Outcome:
            with self._database.session(parameters.settings, parameters.database, "") as connection:
                return Outcome(*connection.execute(text, output_format, parameters.values))

        return self._control.submit(run).result()

    def abandon(self, execution: Execution) -> None:
        """End a statement nobody waits for; returns when it has ended. The caller has closed ``output``."""
        execution.future.cancel()
        while not execution.future.done():
            with suppress(EngineError):
                self._database.kill(execution.query_id)
            wait([execution.future], timeout=_KILL_INTERVAL_S)

    def stop(self, grace_s: float, kill_s: float) -> bool:
        """Refuse new statements, give the running ones ``grace_s``, kill, wait ``kill_s``. True when none is left."""
        self._stopping = True
        with self._lock:
            futures = list(self._running.values())
        left = wait(futures, timeout=grace_s).not_done
        for future in left:
            future.cancel()
        for _ in range(round(kill_s / _KILL_INTERVAL_S)):
            left = {future for future in left if not future.done()}
            if not left:
                break
            with suppress(EngineError):
                self._database.kill()
            wait(left, timeout=_KILL_INTERVAL_S)
        if left:
            return False
        self._workers.shutdown()
        self._control.shutdown()
        # Every place is free again when every answer is sent; a client that takes none is not waited for.
        deadline = time.monotonic() + kill_s
        for _ in range(self._size):
            self._places.acquire(timeout=max(0.0, deadline - time.monotonic()))
        return True


class Admission:
    """A place in the crew, given back once."""

    def __init__(self, places: threading.BoundedSemaphore) -> None:
        self._places = places

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._places.release()


def insert_job(
    insert: statement.InsertWithData, body: Spool, compression: str | None, parameters: Parameters
) -> Callable[[Connection, int], Outcome]:
    """An INSERT of the spooled body."""

    def job(connection: Connection, _pipe: int) -> Outcome:
        text = insert.from_file(body.path, compression)
        return Outcome(*connection.execute(text, values=parameters.values))

    return job


def query_job(
    text: bytes, clause: statement.ResultClause, parameters: Parameters
) -> Callable[[Connection, int], Outcome]:
    """Any other statement: one that only reads writes its result into the pipe."""

    def job(connection: Connection, pipe: int) -> Outcome:
        reads_only, count = connection.classify(text)
        if count > 1:
            raise EngineError(SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed)")
        if not reads_only:
            return Outcome(*connection.execute(text, parameters.default_format, parameters.values))
        routed = statement.into_file(text, clause, f"/dev/fd/{pipe}", parameters.default_format)
        return Outcome(*connection.execute(routed, values=parameters.values))

    return job
