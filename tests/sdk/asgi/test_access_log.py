"""The access log as it leaves: one record a request, encoded by hand, read by the generated classes."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from tests.sdk.receiver import Receiver, attributes, receiving

import gnomon

QUIET: dict[str, Any] = {"logs.console": "off", "metrics.process": False, "service_name": "shop"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Takes everything; the SDK is stopped with it."""
    with receiving() as one:
        yield one
        gnomon.shutdown(2)


async def asked(*requests: tuple[str, str], **headers: str) -> None:
    """Requests to an application with one route that is good and one that is not."""

    async def good(_: Request) -> PlainTextResponse:
        return PlainTextResponse("good")

    async def bad(_: Request) -> PlainTextResponse:
        return PlainTextResponse("bad", 503)

    app = Starlette(routes=[Route("/users/{name}", good), Route("/bad", bad)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop:8080") as client:
        for method, path in requests:
            await client.request(method, path, headers=headers)
    gnomon.flush()


def lines(receiver: Receiver) -> list[Any]:
    """The access log's records."""
    return [record for record in receiver.logs if attributes(record).get("category") == "access"]


async def test_a_record(receiver: Receiver) -> None:
    """The template as its text, what the request was as attributes, under the request's span."""
    gnomon.instrument(endpoint=receiver.url, **QUIET)
    await asked(("GET", "/users/7"), ("GET", "/bad"), **{"x-correlation-id": "c-1"})
    first, second = lines(receiver)
    told = attributes(first)
    assert first.body.string_value == "GET /users/{name} 200"
    assert 0 < told.pop("duration_ms") < 10_000
    assert told == {
        "category": "access", "http.request.method": "GET", "http.route": "/users/{name}", "url.path": "/users/7",
        "http.response.status_code": 200, "url.scheme": "http", "network.protocol.version": "1.1",
        "server.address": "shop", "server.port": 8080, "client.address": "127.0.0.1", "correlation_id": "c-1",
    }  # fmt: skip
    [span] = [span for span in receiver.spans if span.name == "GET /users/{name}"]
    assert (first.trace_id, first.span_id, first.flags) == (span.trace_id, span.span_id, 1)
    assert (first.severity_text, second.severity_text) == ("INFO", "ERROR")
    assert attributes(second)["error.type"] == "503"


async def test_paths_are_masked(receiver: Receiver) -> None:
    """A person's address in a path or a query leaves neither with the span nor with the line."""
    gnomon.instrument(endpoint=receiver.url, **QUIET)
    await asked(("GET", "/users/jane.doe@example.org?mail=joe.bloggs@example.org"))
    body = b"".join(request.SerializeToString() for _, request in receiver.received)
    assert b"/users/" in body
    assert b"jane.doe" not in body
    assert b"joe.bloggs" not in body


@pytest.mark.parametrize("console", ["off", "json"])
async def test_levels(receiver: Receiver, console: str) -> None:
    """With the access log's level at ERROR only failures are there."""
    levels = {"logs.levels": {"gnomon.access": "ERROR"}, "logs.console": console}
    gnomon.instrument(endpoint=receiver.url, **{**QUIET, **levels})
    await asked(("GET", "/users/7"), ("GET", "/bad"))
    assert [record.body.string_value for record in lines(receiver)] == ["GET /bad 503"]


async def test_odd_paths(receiver: Receiver) -> None:
    """Whatever a client asks for can be encoded."""
    gnomon.instrument(endpoint=receiver.url, **QUIET)
    await asked(("GET", "/users/%ff%00"), ("GET", "/users/" + "x" * 40_000), ("BREW", "/ä"))
    assert len(lines(receiver)) == len([span for span in receiver.spans if span.kind == 2]) == 3
    assert gnomon.status().state == 0
