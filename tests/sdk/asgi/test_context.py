"""Contexts never meet: correlation ids, thousands of requests at once, services in a row."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from opentelemetry import baggage
from opentelemetry.trace import SpanKind
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from tests.sdk.asgi.served import serving
from tests.waiting import until

import gnomon
from gnomon.testing import Capture

Serve = Callable[[Any], int]
log = gnomon.get_logger("shop.context")


def answering() -> Starlette:
    """One route that logs a line."""

    async def hello(_: Request) -> PlainTextResponse:
        log.info("hello")
        return PlainTextResponse("hello")

    return Starlette(routes=[Route("/", hello)])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"x-correlation-id": "abc-123"}, "abc-123"),
        ({"x-request-id": "req 7"}, "req 7"),
        ({"x-correlation-id": "a", "x-request-id": "b"}, "a"),
        ({"x-correlation-id": "x" * 128}, "x" * 128),
        ({"x-correlation-id": "x" * 129}, None),
        ({"x-correlation-id": "\xff\xfe"}, None),
        ({"x-correlation-id": "a\tb"}, None),
        ({"x-correlation-id": ""}, None),
        ({}, None),
    ],
)
def test_correlation_ids(captured: Capture, serve: Serve, given: dict[str, str], kept: str | None) -> None:
    """A good one is bound to logs and sent back; in the place of a bad one, or none, stands the trace's id."""
    headers = [(name.encode(), value.encode("latin-1")) for name, value in given.items()]
    answer = httpx.get(f"http://127.0.0.1:{serve(answering())}/", headers=headers)
    until(lambda: captured.spans)
    [span] = captured.spans
    expected = kept or span.trace.hex()
    assert answer.headers.get_list("x-correlation-id") == [expected]
    context = captured.log("hello")["context"]
    assert (context["correlation_id"], context["trace_id"]) == (expected, span.trace.hex())
    assert span.attributes.get("correlation_id") == kept


def test_an_applications_own_correlation_id(captured: Capture, serve: Serve) -> None:
    """What the application says in its answer is not said again."""
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("", headers={"X-Correlation-ID": "mine"}))])
    answer = httpx.get(f"http://127.0.0.1:{serve(app)}/", headers={"x-correlation-id": "theirs"})
    assert answer.headers.get_list("x-correlation-id") == ["mine"]


def test_headers_in_several_lines(captured: Capture, serve: Serve) -> None:
    """State and baggage may come in pieces; two parents are none."""
    seen: list[dict[str, Any]] = []

    async def told(_: Request) -> PlainTextResponse:
        seen.append(dict(baggage.get_all()))
        return PlainTextResponse("")

    port = serve(Starlette(routes=[Route("/", told)]))
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    pieces = [
        ("traceparent", parent),
        ("tracestate", "a=1"),
        ("tracestate", "b=2"),
        ("baggage", "x=1"),
        ("baggage", "y=2"),
    ]
    httpx.get(f"http://127.0.0.1:{port}/", headers=pieces)
    httpx.get(f"http://127.0.0.1:{port}/", headers=[("traceparent", parent), ("traceparent", parent)])
    until(lambda: len(captured.spans) == 2)
    first, second = captured.spans
    assert first.local.state == "a=1,b=2"
    assert seen == [{"x": "1", "y": "2"}, {}]
    assert first.parent is not None
    assert second.parent is None


def mixing(captured: Capture) -> FastAPI:
    """Each request waits at random points, logs, opens spans, makes tasks and calls threads."""
    app = FastAPI()
    chance = random.Random(3)

    def say(number: int, where: str) -> None:
        log.info(f"{where} {number}", number=number)  # noqa: G004 - ours, which takes fields

    async def part(number: int) -> None:
        await asyncio.sleep(chance.random() / 200)
        with gnomon.span(f"task {number}"):
            await asyncio.sleep(chance.random() / 200)
            say(number, "task")

    @app.get("/mix/{number}")
    async def mix(number: int) -> dict[str, int]:
        with log.context(order=number):
            say(number, "first")
            task = asyncio.create_task(part(number))
            await asyncio.sleep(chance.random() / 100)
            with gnomon.span(f"child {number}"):
                await asyncio.to_thread(say, number, "thread")
                await asyncio.sleep(chance.random() / 200)
            await task
            say(number, "last")
        return {"number": number}

    return app


async def test_a_thousand_interleaved_requests(captured: Capture) -> None:
    """Every line and span of 1,000 requests, a hundred at a time, stands in its own trace and correlation."""
    app = mixing(captured)
    gate = asyncio.Semaphore(100)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

        async def ask(number: int) -> httpx.Response:
            async with gate:
                return await client.get(f"/mix/{number}", headers={"x-correlation-id": f"c{number}"})

        answers = await asyncio.gather(*(ask(number) for number in range(1000)))
    assert [answer.json()["number"] for answer in answers] == list(range(1000))
    assert [answer.headers["x-correlation-id"] for answer in answers] == [f"c{number}" for number in range(1000)]
    servers = {span.attributes["url.path"]: span for span in captured.spans if span.kind is SpanKind.SERVER}
    assert len(servers) == len({span.trace for span in servers.values()}) == 1000
    children = [span for span in captured.spans if span.name.startswith(("task", "child"))]
    lines = [line for line in captured.logs if "number" in line["fields"]]
    assert (len(children), len(lines)) == (2000, 4000)
    for span in children:
        server = servers[f"/mix/{span.name.split()[1]}"]
        assert (span.trace, span.parent) == (server.trace, server.id)
    for line in lines:
        number, context = line["fields"]["number"], line["context"]
        server = servers[f"/mix/{number}"]
        assert context["trace_id"] == server.trace.hex()
        assert (context["correlation_id"], context["order"]) == (f"c{number}", number)
    by_id = {span.id.hex(): span for span in captured.spans}
    for line in lines:
        where, number = line["message"].split()
        expected = {"thread": f"child {number}", "task": f"task {number}"}.get(where, "GET /mix/{number}")
        assert by_id[line["context"]["span_id"]].name == expected


async def test_cancelled_requests_close_their_spans(captured: Capture) -> None:
    """Cancelled from outside, midway: no error, nothing active, nothing current."""
    app = FastAPI()

    @app.get("/slow")
    async def slow() -> None:
        with gnomon.span("inner"):
            await asyncio.sleep(60)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        tasks = [asyncio.create_task(client.get("/slow")) for _ in range(20)]
        await asyncio.sleep(0.2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(span.name for span in captured.spans) == ["GET /slow"] * 20 + ["inner"] * 20
    assert not any(span.status.description for span in captured.spans)
    servers = [span for span in captured.spans if span.name == "GET /slow"]
    assert {span.attributes["http.response.status_code"] for span in servers} == {499}
    point = captured.point("http.server.active_requests", http__request__method="GET")
    assert point.value == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("settings", [{"traces.baggage_as_attributes": ["tenant"], "integrations": {"httpx": True}}])
def test_baggage_two_hops_later(captured: Capture, settings: dict[str, Any]) -> None:
    """A key that is set in A is an attribute in C; all three are one trace."""
    c, b, a = FastAPI(), FastAPI(), FastAPI()

    @c.get("/c")
    def last() -> str:
        with gnomon.span("work in c"):
            return "c"

    with serving(c) as port_c:

        @b.get("/b")
        async def middle() -> str:
            async with httpx.AsyncClient() as client:
                return (await client.get(f"http://127.0.0.1:{port_c}/c")).text

        with serving(b) as port_b:

            @a.get("/a")
            async def first() -> str:
                from opentelemetry import context  # noqa: PLC0415 - as an application sets baggage

                context.attach(baggage.set_baggage("tenant", "t-7"))
                async with httpx.AsyncClient() as client:
                    return (await client.get(f"http://127.0.0.1:{port_b}/b")).text

            with serving(a) as port_a:
                httpx.get(f"http://127.0.0.1:{port_a}/a")
                until(lambda: "GET /a" in [span.name for span in captured.spans])
    work, hop = captured.span("work in c"), captured.span("GET /c")
    assert work.attributes["tenant"] == hop.attributes["tenant"] == "t-7"
    assert work.trace == captured.span("GET /a").trace == captured.span("GET /b").trace
