"""The numbers of SQLAlchemy's pools."""

import gc
import logging
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool, QueuePool
from sqlalchemy.pool.base import _ConnectionFairy
from tests.sdk.clients.seen import Seen
from tests.waiting import until

from gnomon.integrations import sqlalchemy as ours

POOL, STATE = "db.client.connection.pool.name", "db.client.connection.state"
C = "db.client.connection."


def engine_of(tmp_path: Path, **options: Any) -> sqlalchemy.Engine:
    """SQLite in a file, with a pool of one connection and one more."""
    chosen = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 1, "pool_timeout": 0.2, "pool_logging_name": None}
    return create_engine(f"sqlite:///{tmp_path}/db", logging_name="main", **chosen | options)


def test_a_pool_that_is_exhausted_on_purpose(seen: Seen, tmp_path: Path) -> None:
    """Size, checked-out, overflow, waiting and timeouts move (MET-09)."""
    engine = engine_of(tmp_path)
    with seen.installed(ours):
        first, second = engine.connect(), engine.connect()
        assert seen.values(C + "count", POOL, STATE) == {("main", "used"): 2, ("main", "idle"): 0}
        assert seen.values(C + "max", POOL) == {("main",): 2}
        assert seen.values(C + "idle.max", POOL) == {("main",): 1}  # two are used: one of them is overflow
        assert seen.values(C + "pending_requests", POOL) == {("main",): 0}
        with pytest.raises(sqlalchemy.exc.TimeoutError):
            engine.connect()
        assert seen.values(C + "timeouts", POOL) == {("main",): 1}
        assert seen.counts(C + "wait_time", POOL) == {("main",): 3}
        (waited,) = seen.points(C + "wait_time").values()
        assert waited.sum > 0.2
        first.close()
        second.close()
        assert seen.values(C + "count", POOL, STATE) == {("main", "used"): 0, ("main", "idle"): 1}
        assert seen.counts(C + "use_time", POOL) == {("main",): 2}
    engine.dispose()


def test_who_waits_is_seen_waiting(seen: Seen, tmp_path: Path) -> None:
    """While a thread waits for a connection it is pending; served, it is not."""
    engine = engine_of(tmp_path, max_overflow=0, pool_timeout=20)
    with seen.installed(ours):
        held = engine.connect()
        waiting = threading.Thread(target=lambda: engine.connect().close())
        waiting.start()
        until(lambda: seen.values(C + "pending_requests", POOL) == {("main",): 1})
        held.close()
        waiting.join()
        assert seen.values(C + "pending_requests", POOL) == {("main",): 0}
    engine.dispose()


def test_a_leak_is_visible(seen: Seen, tmp_path: Path) -> None:
    """A connection that nobody gives back stays used, and its use has no end."""
    engine = engine_of(tmp_path)
    leaked = []
    with seen.installed(ours):
        leaked.append(engine.connect())
        leaked[0].execute(text("SELECT 1"))
        for _ in range(3):
            engine.connect().close()
        assert seen.values(C + "count", POOL, STATE)["main", "used"] == 1
        assert seen.counts(C + "use_time", POOL) == {("main",): 3}
        leaked.pop().close()
    engine.dispose()


def test_two_engines_of_one_name_are_added_up(seen: Seen, tmp_path: Path) -> None:
    """And a pool that took another's place is counted in its stead."""
    one, other = engine_of(tmp_path), engine_of(tmp_path)
    with seen.installed(ours), one.connect(), other.connect():
        assert seen.values(C + "count", POOL, STATE)["main", "used"] == 2
        one.dispose()
        one.connect().close()
        assert seen.values(C + "count", POOL, STATE) == {("main", "used"): 1, ("main", "idle"): 1}
    one.dispose()
    other.dispose()


def test_pools_without_bounds(seen: Seen, tmp_path: Path) -> None:
    """A NullPool has no counts, an overflow without end no maximum; what can be timed is."""
    null = create_engine(f"sqlite:///{tmp_path}/db", poolclass=NullPool)
    endless = engine_of(tmp_path, max_overflow=-1)
    with seen.installed(ours), null.connect(), endless.connect():
        assert seen.values(C + "count", POOL, STATE) == {("main", "used"): 1, ("main", "idle"): 0}
        assert not seen.values(C + "max", POOL)
        assert seen.counts(C + "wait_time", POOL) == {("main",): 1, (f"{tmp_path}/db",): 1}
    endless.dispose()


async def test_asyncio_pools(seen: Seen, postgres_port: int) -> None:
    """The pool of an asynchronous engine is like any other; its name is made of the address."""
    engine = create_async_engine(f"postgresql+asyncpg://shop:hunter2@127.0.0.1:{postgres_port}/postgres")
    name = f"127.0.0.1:{postgres_port}/postgres"
    with seen.installed(ours):
        async with engine.connect():
            assert seen.values(C + "count", POOL, STATE)[name, "used"] == 1
        assert seen.counts(C + "use_time", POOL) == {(name,): 1}
    await engine.dispose()


def test_installed_again_the_numbers_are_the_new_ones(seen: Seen, tmp_path: Path) -> None:
    """Instruments stay in the registry; they ask who is installed now. A dead engine is not shown."""
    engine = engine_of(tmp_path)
    with seen.installed(ours), engine.connect():
        pass
    with seen.installed(ours):
        assert not seen.values(C + "count", POOL)
        with engine.connect():
            assert seen.values(C + "count", POOL, STATE)["main", "used"] == 1
        engine.dispose()
        del engine
        gc.collect()
        assert not seen.values(C + "count", POOL)


def test_a_forked_child_has_nobody_waiting(seen: Seen, tmp_path: Path) -> None:
    """Whoever waited when the process was forked waits in the parent."""
    engine = engine_of(tmp_path)
    with seen.installed(ours):
        engine.connect().close()
        engines = ours.Engines(seen.telemetry)
        engines.database(engine).pending = 3
        child = os.fork()
        if not child:
            os._exit(engines.database(engine).pending)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert engines.database(engine).pending == 3
    engine.dispose()


def test_our_faults_stay_with_us(
    seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever of ours raises, a connection is to be had."""

    def broken(*_: Any) -> Any:
        raise RuntimeError("ours")

    engine = engine_of(tmp_path)
    with seen.installed(ours), caplog.at_level(logging.CRITICAL + 1):
        with monkeypatch.context() as patched:
            patched.setattr(ours.Engines, "database", broken)
            with engine.connect() as connection:
                assert connection.execute(text("SELECT 1")).scalar() == 1
        with monkeypatch.context() as patched:
            patched.setattr(_ConnectionFairy, "info", property(broken))
            engine.connect().close()
    engine.dispose()


def test_without_metrics_pools_are_left_alone(tmp_path: Path) -> None:
    """Metrics switched off: spans, and nothing around connections."""
    seen = Seen(metrics=False)
    engine, before = engine_of(tmp_path), sqlalchemy.Engine.raw_connection
    with seen.installed(ours), engine.connect() as connection:
        assert sqlalchemy.Engine.raw_connection is before
        connection.execute(text("SELECT 1"))
    assert seen.client.name == "SELECT"
    engine.dispose()


def test_many_threads(seen: Seen, tmp_path: Path) -> None:
    """No wait is lost or left pending, whatever threads do."""
    engine = engine_of(tmp_path, pool_size=2, pool_timeout=20)

    def work() -> None:
        for _ in range(50):
            engine.connect().close()

    with seen.installed(ours):
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen.counts(C + "wait_time", POOL) == {("main",): 400}
        assert seen.counts(C + "use_time", POOL) == {("main",): 400}
        assert seen.values(C + "pending_requests", POOL) == {("main",): 0}
    engine.dispose()
