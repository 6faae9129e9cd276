"""A service whose database refuses what it is given: `python leaking.py ENDPOINT [POSTGRES_URL]`; PLANTED is the value.

Every error is told in all the ways there are: it leaves a span, it is logged as an exception, as a text and as an
argument, and it comes wrapped in another one.
"""

import asyncio
import logging
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import asyncpg
import psycopg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

import gnomon

TABLE = "CREATE TABLE people (id integer PRIMARY KEY, name varchar(40) UNIQUE, age integer CHECK (age > 0))"
ADD = "INSERT INTO people VALUES (1, '{}', 30)"
FAULTS = {
    "unique": "INSERT INTO people VALUES (2, '{}', 30)",
    "check": "INSERT INTO people VALUES (3, '{} ii', -1)",
    "syntax": "SELECT * FROM people WHERE name='{}' WHERE",
    "open": "SELECT * FROM people WHERE name='{}",
    "type": "SELECT * FROM people WHERE age='{}'::integer",
    "too long": "INSERT INTO people VALUES (4, repeat('{}', 40), 1)",
    "name": "SELECT nickname FROM people WHERE name='{}'",
}


class OrderError(Exception):
    """The application's own."""


def statements() -> Iterator[str]:
    """Those that fail; nothing but an expression holds the value, so that no variable does."""
    for statement in FAULTS.values():
        yield statement.format(os.environ["PLANTED"])


def told(error: Exception) -> None:
    """In every way."""
    log = logging.getLogger("shop.orders")
    log.error("could not: %s", error)
    log.error(f"could not: {error!r}", exc_info=error)  # noqa: G004 - what people write
    gnomon.get_logger("shop").error("could not", reason=str(error), exc_info=error)
    with suppress(OrderError), gnomon.span("wrapped"):
        raise OrderError(f"order 7: {error}") from error


def tried(call: Callable[[str], object]) -> None:
    """Each statement in a span of its own."""
    for _ in statements():
        pass
    for number, name in enumerate(FAULTS):
        try:
            with gnomon.span(f"fault {name}"):
                call(list(statements())[number])
        except Exception as error:  # noqa: BLE001 - whichever it is
            told(error)


async def tried_async(call: Callable[[str], Awaitable[object]]) -> None:
    """Likewise."""
    for number, name in enumerate(FAULTS):
        try:
            with gnomon.span(f"fault {name}"):
                await call(list(statements())[number])
        except Exception as error:  # noqa: BLE001 - whichever it is
            told(error)


def of_engine(url: str) -> None:
    """Through SQLAlchemy, as texts and with parameters."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS people")
        connection.exec_driver_sql(TABLE)
        connection.exec_driver_sql(ADD.format(os.environ["PLANTED"]))
        tried(connection.exec_driver_sql)
        people = sa.Table("people", sa.MetaData(), autoload_with=connection)
        tried(lambda _: connection.execute(sa.insert(people).values(id=9, name=os.environ["PLANTED"])))
        tried(lambda _: connection.execute(sa.insert(people), [{"id": 9, "name": os.environ["PLANTED"]}] * 2))
    engine.dispose()


async def of_asyncpg(url: str) -> None:
    """The driver itself, and under SQLAlchemy."""
    connection = await asyncpg.connect(url)
    await tried_async(connection.execute)
    await tried_async(lambda _: connection.execute("SELECT 1 WHERE 1 = $1", os.environ["PLANTED"]))
    await connection.close()
    engine = create_async_engine(url.replace("postgresql", "postgresql+asyncpg"), isolation_level="AUTOCOMMIT")
    async with engine.connect() as other:
        await tried_async(other.exec_driver_sql)
    await engine.dispose()


def main(endpoint: str, postgres: str = "") -> None:
    """Run all."""
    gnomon.instrument(service_name="leaking", endpoint=endpoint)
    of_engine("sqlite://")
    own = sqlite3.connect(":memory:", isolation_level=None)
    own.execute(TABLE)
    own.execute(ADD.format(os.environ["PLANTED"]))
    tried(own.execute)
    own.close()
    if postgres:
        of_engine(postgres.replace("postgresql", "postgresql+psycopg"))
        with psycopg.connect(postgres, autocommit=True) as connection:
            tried(connection.execute)
        asyncio.run(of_asyncpg(postgres))
    gnomon.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
