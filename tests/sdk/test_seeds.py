"""The seeds' Python, as printed: every block of document 004 runs with its package read as `gnomon`.

A block says what it needs and where it stops short: the names that the seed leaves out (its imports, a database, a
service that is called) are supplied here, and nothing else. Blocks of later issues fail until those are done.
"""

import ast
import inspect
import os
import re
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import aiohttp.abc
import grpc
import httpx
import pytest
from aiohttp import web
from fastapi import FastAPI
from opentelemetry.trace import SpanKind, StatusCode

import gnomon
from gnomon.logging import LogCategory, LogLevel
from gnomon.testing import Capture, capture

CORPORA = Path(os.environ.get("GNOMON_CORPORA", Path(__file__).parents[2].parent / "shared" / "corpora")).resolve()
SEED = CORPORA.parent / "seeds" / "004_eb968950b7c80064.txt"
LATER = {
    0: "BusinessMetricsCollector: business metrics are an issue of their own",
    3: "SLOManager: likewise SLOs",
    4: "LogAnalyzer: likewise the analysis of logs",
    5: "BusinessMetricsCollector: as block 0",
    6: "BusinessMetricsCollector: as block 0",
}


def blocks() -> list[str]:
    """The fenced Python of the document."""
    if not SEED.exists():
        return []
    found = re.findall(r"```python\n(.*?)```", SEED.read_text(), re.DOTALL)
    return [block.replace("marty_microservices_framework.observability", "gnomon") for block in found]


BLOCKS = blocks()
needs_seed = pytest.mark.skipif(not BLOCKS, reason=f"the seeds are not there: {SEED}")
pytestmark = [needs_seed, pytest.mark.corpus]


async def run(block: str, **names: Any) -> dict[str, Any]:
    """Run a block with what it leaves out; some await at their top level."""
    namespace: dict[str, Any] = dict(names)
    code = compile(block, "seed 004", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    outcome = eval(code, namespace)  # noqa: S307 - the seed's own text
    if inspect.isawaitable(outcome):
        await outcome
    return namespace


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Capture]:
    """The SDK, sending nothing."""
    for name in [name for name in os.environ if name.startswith(("OTEL_", "GNOMON_EXPORT"))]:
        monkeypatch.delenv(name)
    with capture(service_name="my-service") as found:
        yield found


def test_there_are_twelve() -> None:
    """A block that is added to the seed does not go by unseen."""
    assert len(BLOCKS) == 12


@pytest.mark.parametrize("number", LATER)
@pytest.mark.xfail(strict=True, raises=(ImportError, NameError, ModuleNotFoundError))
async def test_later(number: int, captured: Capture) -> None:
    """Blocks of later issues: this fails when one of them begins to run, and is moved then."""
    await run(BLOCKS[number], LogCategory=LogCategory)


async def test_logging(captured: Capture) -> None:
    """Structured logging: context, categories, business events."""
    await run(BLOCKS[1], LogLevel=LogLevel, LogCategory=LogCategory)
    authenticated, purchase = captured.log("User authenticated"), captured.log("Purchase completed")
    assert authenticated["category"] == "security"
    assert authenticated["context"]["user_id"] == "user123"
    assert authenticated["context"]["correlation_id"] == "abc-123"
    assert purchase["category"] == "business"
    assert purchase["fields"] == {"event_type": "transaction", "amount": 99.99, "currency": "USD"}
    assert purchase["level"] == "INFO"


async def test_tracing(captured: Capture) -> None:
    """Tracing with a Jaeger endpoint of old, an instrumented application, a decorated function and a span in it."""
    made = await run(BLOCKS[2], FastAPI=FastAPI)
    await made["complex_operation"]()
    query, operation = captured.span("database_query"), captured.span("complex_operation")
    assert query.attributes == {"query.table": "users"}
    assert query.parent == operation.id
    async with httpx.AsyncClient(transport=httpx.ASGITransport(made["app"]), base_url="http://test") as client:
        assert (await client.get("/nowhere")).status_code == 404
    [request] = [span for span in captured.spans if span.kind is SpanKind.SERVER]
    assert request.attributes["http.response.status_code"] == 404


class Resolver(aiohttp.abc.AbstractResolver):
    """The seed's hosts are on this machine."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[Any]:
        """Whatever the name and the port, our server."""
        del port
        return [{"hostname": host, "host": "127.0.0.1", "port": self.port, "family": family, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
async def payment() -> AsyncIterator[tuple[Any, list[str]]]:
    """The payment service that the seed calls, on a real socket; and the trace headers it was sent."""
    sent: list[str] = []

    async def charge(request: web.Request) -> web.Response:
        sent.append(request.headers["traceparent"])
        return web.json_response({})

    application = web.Application()
    application.router.add_post("/charge", charge)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Resolver(port)))

    yield SimpleNamespace(ClientSession=session), sent
    await runner.cleanup()


async def test_propagation(captured: Capture, payment: tuple[Any, list[str]]) -> None:
    """A call with `get_trace_headers()` carries the trace on."""
    stand_in, sent = payment
    made = await run(BLOCKS[7], aiohttp=stand_in)
    await made["process_order"]("o1")
    assert sent[0].split("-")[1] == captured.span("process_order").trace.hex()


@pytest.mark.parametrize(("rows", "status"), [([], StatusCode.ERROR), ([1, 2], StatusCode.UNSET)])
async def test_custom_span(captured: Capture, rows: list[int], status: StatusCode) -> None:
    """Attributes and a status by hand."""

    async def fetch_order(_: str) -> list[int]:
        return rows

    from gnomon.tracing import DistributedTracing  # noqa: PLC0415 - as the seed's earlier blocks do

    await run(
        BLOCKS[8], tracing=DistributedTracing("orders"), db=SimpleNamespace(fetch_order=fetch_order), order_id="o1",
        StatusCode=StatusCode,
    )  # fmt: skip
    span = captured.span("database_operation")
    assert span.attributes["db.rows_affected"] == len(rows)
    assert span.status.status_code is status
    assert span.status.description == ("Order not found" if not rows else None)


async def test_security_and_audit(captured: Capture) -> None:
    """Security and audit events by their own methods."""
    await run(BLOCKS[9], logger=gnomon.logging.create_structured_logger("my-service"))
    failed, accessed = captured.log("Failed login attempt"), captured.log("User data accessed")
    assert failed["category"] == "security"
    assert failed["fields"]["security_event"] == "authentication_failure"
    assert failed["fields"]["source_ip"] == "192.168.1.100"
    assert accessed["category"] == "audit"
    assert accessed["fields"] | {"action": "data_read", "success": True} == accessed["fields"]


async def test_fastapi(captured: Capture) -> None:
    """The whole of FastAPI: logging, tracing, one server span for a request, its lines in its trace."""

    async def fetch_user(user_id: str) -> dict[str, str]:
        return {"id": user_id}

    made = await run(BLOCKS[10], fetch_user=fetch_user)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(made["app"]), base_url="http://test") as client:
        answer = await client.get("/users/u1")
    assert answer.json() == {"id": "u1"}
    server = captured.span("GET /users/{user_id}")
    fetching, accessed = captured.log("Fetching user data"), captured.log("User data accessed")
    assert fetching["context"]["user_id"] == "u1"
    assert accessed["fields"] == {"event_type": "data_access", "entity_type": "user", "entity_id": "u1"}
    for line in (fetching, accessed):
        assert line["context"]["trace_id"] == server.trace.hex()
    assert answer.headers["x-correlation-id"] == server.trace.hex()


async def test_grpc(captured: Capture) -> None:
    """A traced gRPC service, served and called by grpc.aio."""
    made = await run(BLOCKS[11], UserResponse=lambda user: user.encode())

    async def fetch_user(_: object, user_id: str) -> str:
        return f"user {user_id}"

    service = made["UserService"]
    service.fetch_user = fetch_user
    handler = grpc.unary_unary_rpc_method_handler(
        service().GetUser, lambda data: SimpleNamespace(user_id=data.decode()), bytes
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("Users", {"GetUser": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/Users/GetUser", str.encode, bytes.decode)
        assert await call("7") == "user 7"
    await server.stop(None)
    inner = captured.span("get_user")
    assert inner.attributes["user.id"] == "7"
    assert inner.parent in {span.id for span in captured.spans if span.kind is SpanKind.SERVER}
