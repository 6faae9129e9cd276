"""The native API and POST /sql over a real socket, on the real engine, with the rows of tests/cases/sql/rows.sql."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow as pa
import pytest
from starlette.applications import Starlette

from gnomon_server.access.authenticator import Grant
from gnomon_server.access.tokens import ANONYMOUS
from gnomon_server.api import native
from gnomon_server.api import sql as sql_api
from gnomon_server.query.explore import Explorer
from gnomon_server.query.sql.door import SqlDoor
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.interface import QueryLimits
from gnomon_server.transport.http_server import HttpServer
from gnomon_server.transport.reply import EXCEPTION_HANDLERS

ROWS = Path(__file__).parents[1] / "cases" / "sql" / "rows.sql"
NEWEST_NS = 1_795_221_540 * 10**9  # 2026-11-21T00:39:00Z, the last of a hundred minutes
Ask = Callable[..., Any]


class _Tenants:
    def known(self, name: str) -> int | None:
        return {"one": 1, "two": 2}.get(name)


class _Clock:
    def now_ns(self) -> int:
        return NEWEST_NS + 10**9


@pytest.fixture
async def address(store: DurableStore) -> AsyncIterator[str]:
    """The URL of a server over two tenants' rows; the header X-Scope-OrgID alone says whose."""
    for tenant, who in ((1, "shop"), (2, "bank")):
        for statement in ROWS.read_text("utf-8").split(";\n"):
            if statement.strip():
                await store.command(statement, {"tenant": tenant, "who": who})

    def grant(request: Any) -> Grant:
        return Grant(request.headers.get("x-scope-orgid", "default"), ANONYMOUS)

    tenants = _Tenants()
    routes = [
        *sql_api.routes(SqlDoor(store, tenants), grant, QueryLimits(deadline_s=60)),
        *native.routes(Explorer(store, tenants), grant, lambda: {"ready": True}, _Clock()),
    ]
    server = HttpServer(Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS))  # type: ignore[arg-type]
    await server.start()
    yield f"http://127.0.0.1:{server.address[1]}/api/gnomon/v1"
    await server.stop()


async def _get(address: str, path: str, tenant: str = "one", **params: str | int) -> tuple[int, Mapping[str, Any]]:
    headers = {"X-Scope-OrgID": tenant}
    async with (
        aiohttp.ClientSession() as session,
        session.get(address + path, params=params, headers=headers) as answer,
    ):
        return answer.status, await answer.json()


async def _sql(address: str, query: str, **body: Any) -> tuple[int, bytes]:
    headers = {"X-Scope-OrgID": "one"}
    body["query"] = query
    async with aiohttp.ClientSession() as session, session.post(address + "/sql", json=body, headers=headers) as answer:
        return answer.status, await answer.read()


async def test_services_and_their_series(address: str) -> None:
    """Rate, errors and duration over entry spans of the window, for the own tenant only."""
    _, body = await _get(address, "/services")
    (service,) = body["services"]
    assert (service["service"], service["spans"], service["errors"], service["logs"]) == ("shop", 60, 0, 60)
    assert service["rate_per_s"] == 60 / 3600
    assert service["last_seen"] == "2026-11-21T00:39:00.000000000Z"
    assert 41_000 <= service["p50_ns"] <= 100_000
    _, body = await _get(address, "/services", "two")
    assert body["services"][0]["error_ratio"] == 1.0
    assert await _get(address, "/services", "nobody") == (200, {"services": []})
    _, body = await _get(address, "/services/shop/series", step_s=600)
    assert body["step_s"] == 600
    assert [point["spans"] for point in body["points"]] == [0, 10, 10, 10, 10, 10, 10]
    assert body["points"][-1]["time"] == "2026-11-21T00:30:00.000000000Z"


async def test_newest_traces_and_one_of_them(address: str) -> None:
    """The list is newest first and filtered; a trace comes with typed attributes, resource, events and links."""
    _, body = await _get(address, "/traces", limit=3)
    assert [trace["start"][11:16] for trace in body["traces"]] == ["00:39", "00:38", "00:37"]
    newest = body["traces"][0]
    assert (newest["root_service"], newest["services"], newest["spans"], newest["errors"]) == ("shop", ["shop"], 1, 0)
    _, body = await _get(address, "/traces", start="2026-11-20T00:00:00Z", min_duration_ns=99_000, limit=1000)
    assert [trace["duration_ns"] for trace in body["traces"]] == [100_000, 99_000]
    assert (await _get(address, "/traces", status="error"))[1]["traces"] == []
    assert len((await _get(address, "/traces", "two", status="error", start=1, limit=1000))[1]["traces"]) == 100
    assert (
        len((await _get(address, "/traces", service="shop", status="ok", start="1.5", limit=1000))[1]["traces"]) == 100
    )
    _, body = await _get(address, f"/traces/{newest['trace_id'].upper()}")
    (span,) = body["spans"]
    assert body["trace_id"] == newest["trace_id"]
    assert span == {
        "span_id": newest["trace_id"][16:],
        "parent_id": "",
        "service": "shop",
        "name": "shop",
        "kind": "server",
        "status": "ok",
        "status_message": "",
        "start": "2026-11-21T00:39:00.000000000Z",
        "duration_ns": 100_000,
        "attributes": {"b": True, "f": 0.5, "j": [1], "n": 1, "who": "shop"},
        "resource": {"b": True, "f": 0.5, "j": [1], "n": 1, "who": "shop"},
        "scope": "lib",
        "events": [{"time": "2026-11-21T00:39:00.000000000Z", "name": "shop", "attributes": {"k": [1]}}],
        "links": [{"trace_id": newest["trace_id"], "span_id": newest["trace_id"][16:], "attributes": {}}],
    }
    status, body = await _get(address, f"/traces/{newest['trace_id']}", "two")
    assert (status, body["error"]["code"]) == (404, "trace_unknown")


async def test_newest_logs_and_metrics(address: str) -> None:
    """Logs filter by service, severity, text in any case and trace; metrics carry unit, help and series."""
    _, body = await _get(address, "/logs", limit=2, q="HOP", severity="info", service="shop")
    assert [log["time"][11:16] for log in body["logs"]] == ["00:39", "00:38"]
    log = body["logs"][0]
    assert (log["severity"], log["body"], log["resource"]["who"], log["attributes"]["n"]) == ("info", "shop", "shop", 1)
    _, body = await _get(address, "/logs", trace_id=log["trace_id"], start=0)
    assert body["logs"] == [log]
    assert (await _get(address, "/logs", severity="warn"))[1] == {"logs": []}
    assert len((await _get(address, "/logs", start=0, limit=1000))[1]["logs"]) == 100
    _, body = await _get(address, "/metrics")
    assert body["metrics"] == [{"metric": "m_total", "type": "counter", "unit": "By", "help": "shop", "series": 10}]
    assert await _get(address, "/status") == (200, {"ready": True})


async def test_bad_parameters_are_named(address: str) -> None:
    """Each mistake is a 400 that names the parameter."""
    for path, params, where in (
        ("/services", {"start": "yesterday"}, "start"),
        ("/services", {"start": "2026-11-21T01:00:00Z", "end": "2026-11-21T00:00:00Z"}, "start"),
        ("/services", {"end": "2026-13-21T01:00:00Z"}, "end"),
        ("/traces", {"limit": "0"}, "limit"),
        ("/traces", {"limit": "1001"}, "limit"),
        ("/traces", {"status": "bad"}, "status"),
        ("/traces", {"min_duration_ns": "-1"}, "min_duration_ns"),
        ("/traces/xyz", {}, "path"),
        ("/logs", {"severity": "loud"}, "severity"),
        ("/logs", {"sevrity": "info"}, "sevrity"),
        ("/logs", {"trace_id": "1"}, "trace_id"),
        ("/services/shop/series", {"step_s": "1", "start": "0"}, "step_s"),
    ):
        status, body = await _get(address, path, **params)
        assert (status, body["error"]["where"]) == (400, where), (path, params, body)


async def test_sql_in_three_formats(address: str) -> None:
    """JSON, Arrow and CSV of one question; a mistake says where."""
    query = "SELECT service, count() AS n FROM spans WHERE duration_ns > {least:UInt64} GROUP BY service"
    status, body = await _sql(address, query, params={"least": 50_000})
    answer = json.loads(body)
    assert (status, answer["rows"]) == (200, [["shop", 50]])
    assert answer["columns"] == [{"name": "service", "type": "LowCardinality(String)"}, {"name": "n", "type": "UInt64"}]
    assert answer["stats"]["rows_read"] > 0
    _, body = await _sql(address, query, params={"least": 50_000}, format="arrow")
    assert pa.ipc.open_stream(body).read_all().to_pylist() == [{"service": "shop", "n": 50}]
    _, body = await _sql(address, query, params={"least": 50_000}, format="csv")
    assert body == b'"service","n"\n"shop",50\n'
    for bad, where in (({"format": "xml"}, "format"), ({"params": []}, "params"), ({"querry": "x"}, "querry")):
        status, body = await _sql(address, query, **bad)
        assert (status, json.loads(body)["error"]["where"]) == (400, where)
    status, body = await _sql(address, "SELECT nope FROM spans")
    assert (status, json.loads(body)["error"]["where"]) == (
        400, "line 1, column 8\n  SELECT nope FROM spans\n         ^^^^",
    )  # fmt: skip


async def test_a_client_that_leaves_ends_its_query(address: str, store: DurableStore) -> None:
    """The engine stops working for somebody who has closed the connection."""

    async def running() -> int:
        like = "query LIKE '%a.number * b.number%' AND query NOT LIKE '%processes%'"
        sql = f"SELECT count() AS n FROM system.processes WHERE {like}"
        table, _ = await store.query(sql)
        return int(table["n"][0].as_py())

    heavy = "SELECT sum(a.number * b.number) FROM numbers(10000000) AS a, numbers(10000000) AS b"
    task = asyncio.create_task(_sql(address, heavy))
    while not await running():
        assert not task.done()
        await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # The query's own deadline is longer than this test may take.
    while await running():  # noqa: ASYNC110 - what is watched is another process
        await asyncio.sleep(0.05)
