"""The service that is measured, with the stack that `STACK` names: `app.py PORT SINK READY_FILE`.

`/bare/{id}` answers a small object; `/real/{id}` reads rows by SQL and answers some 5 KB of JSON; `/wait5/{id}` and its
like wait so many milliseconds for something else. All make a child span and two log lines with two fields each.
SIGUSR1: send what waits, then touch the file.
"""

import asyncio
import importlib
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from stacks import KINDS, Stack

ROWS = 5_000
QUERY = """
    SELECT o.id, o.customer, o.status, o.total, o.created,
        (SELECT count(*) FROM items i WHERE i.order_id = o.id) AS items,
        (SELECT sum(i.price) FROM items i WHERE i.order_id = o.id) AS price
    FROM orders o WHERE o.customer = ? ORDER BY o.created DESC LIMIT 40
"""
TOTALS = "SELECT customer % 10, count(*), sum(total) FROM orders WHERE created > ? GROUP BY 1"


class AccessLog:
    """A line a request where the stack writes none, and the histograms that it does not keep."""

    def __init__(self, app: Any, stack: Stack) -> None:
        self.app, self.log, self.observe = app, stack.log, stack.observe

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        """Follow one request."""
        if scope["type"] != "http" or scope["path"] == "/metrics":
            await self.app(scope, receive, send)
            return
        started_s, status, size = time.perf_counter(), 500, 0

        async def watched(message: dict[str, Any]) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            taken_s = time.perf_counter() - started_s
            self.log("request", method=scope["method"], path=scope["path"], status=status, duration_ms=taken_s * 1e3)
            if self.observe is not None:
                self.observe(taken_s, size)


def database() -> sqlite3.Connection:
    """Orders of a hundred customers, three items each, the same every time."""
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, status TEXT, total REAL, created TEXT)"
    )
    connection.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, order_id INTEGER, price REAL)")
    orders = [(n, n % 100, "paid", n * 1.5, f"2026-11-{n % 28 + 1:02}T08:00:00Z") for n in range(ROWS)]
    connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", orders)
    connection.executemany(
        "INSERT INTO items (order_id, price) VALUES (?, ?)", [(n % ROWS, 9.5) for n in range(3 * ROWS)]
    )
    connection.execute("CREATE INDEX of_customer ON orders (customer)")
    connection.execute("CREATE INDEX of_order ON items (order_id)")
    return connection


def routes(app: FastAPI, stack: Stack) -> None:
    """What is asked for."""
    span, log, connection = stack.span, stack.log, database()

    @app.get("/bare/{number}")
    async def bare(number: int) -> dict[str, Any]:
        with span("load"):
            log("loading", order_id=number, user="u")
        log("loaded", order_id=number, user="u")
        return {"id": number, "name": "bare"}

    @app.get("/real/{number}")
    async def real(number: int) -> dict[str, Any]:
        with span("load"):
            log("loading", order_id=number, user="u")
            rows = connection.execute(QUERY, (number % 100,)).fetchall()
            totals = connection.execute(TOTALS, (f"2026-11-{number % 9 + 1:02}",)).fetchall()
        log("loaded", order_id=number, rows=len(rows))
        return {"orders": [dict(row) for row in rows], "totals": [tuple(row) for row in totals]}

    @app.get("/wait{milliseconds}/{number}")
    async def wait(milliseconds: int, number: int) -> dict[str, Any]:
        with span("load"):
            log("loading", order_id=number, user="u")
            await asyncio.sleep(milliseconds / 1000)
        log("loaded", order_id=number, user="u")
        return {"id": number, "name": "waited"}


def main() -> None:
    """Serve until told to stop."""
    port, sink, flushed = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    kind = KINDS[os.environ["STACK"]]
    app = FastAPI()
    stack = importlib.import_module(f"stacks.{kind.module}").start(app, sink)
    if stack.access or stack.observe:
        app.add_middleware(AccessLog, stack=stack)
    routes(app, stack)

    def flush(*_: Any) -> None:
        stack.flush()
        flushed.touch()

    signal.signal(signal.SIGUSR1, flush)
    uvicorn.run(app, port=port, log_level="warning", access_log=False, loop="uvloop", http="httptools")


if __name__ == "__main__":
    main()
