"""The HTTP server's metrics by their old names, from families and from a served application."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from tests.waiting import until

from gnomon.metrics.classic import classic
from gnomon.metrics.instruments import Counter, Histogram, UpDownCounter
from gnomon.metrics.registry import Registry
from gnomon.testing import Capture
from gnomon.wire.metrics import Family

DURATION, ACTIVE = "http.server.request.duration", "http.server.active_requests"
GET: dict[str, Any] = {"http.request.method": "GET", "url.scheme": "http", "http.response.status_code": 200}


def measured(cap: int = 100) -> Registry:
    """Some requests, two of which differ in what the old names do not have."""
    registry = Registry(cap)
    duration = Histogram(DURATION, "d", None, unit="s", bounds=(0.1, 1), registry=registry)
    for version in ("1.0", "1.1"):
        duration.labels(**GET, **{"http.route": "/a/{b}", "network.protocol.version": version}).observe(0.5)
    duration.labels(**{**GET, "http.response.status_code": 500, "error.type": "500"}).observe(2)
    active = UpDownCounter(ACTIVE, "a", ("http.request.method", "url.scheme"), registry=registry)
    active.cell("GET", "http").add(2)
    active.cell("GET", "https").add(3)
    Counter("orders", "o", registry=registry).inc()
    return registry


def seen(families: list[Family], name: str) -> dict[frozenset[Any], Any]:
    """A family's points, by their labels."""
    [family] = [family for family in families if family.name == name]
    return {frozenset(point.labels): point for point in family.points}


def test_old_names() -> None:
    """Requests counted and timed by method, endpoint and status; what falls together is added up."""
    families = classic("astra")(measured().collect())
    names = {family.name for family in families}
    assert names == {
        "astra_http_requests", "astra_http_request_duration", "astra_active_connections", "orders",
    }  # fmt: skip
    one = frozenset({("method", "GET"), ("endpoint", "/a/{b}"), ("status", "200")})
    other = frozenset({("method", "GET"), ("endpoint", ""), ("status", "500")})
    counted = seen(families, "astra_http_requests")
    assert {labels: point.value for labels, point in counted.items()} == {one: 2, other: 1}
    timed = seen(families, "astra_http_request_duration")
    assert (timed[one].sum, list(timed[one].counts)) == (1.0, [0, 2, 0])
    assert timed[other].sum == 2
    assert {point.value for point in seen(families, "astra_active_connections").values()} == {5}


def test_without_a_namespace() -> None:
    """The bare names."""
    assert "http_requests" in {family.name for family in classic()(measured().collect())}


def test_what_overflowed_stays_what_it_is() -> None:
    """Beyond the cap there is one series, and it says so by its new names and its old."""
    families = classic()(measured(cap=2).collect())
    assert any(("otel.metric.overflow", True) in labels or ("otel.metric.overflow", "true") in labels
               for labels in seen(families, "http_requests"))  # fmt: skip


@pytest.mark.parametrize("settings", [{"metrics.names": "classic", "metrics.namespace": "astra"}])
def test_served(captured: Capture, serve: Callable[[Any], int], settings: dict[str, Any]) -> None:
    """As a dashboard of a decade ago asks for them."""

    async def answer(request: Request) -> PlainTextResponse:
        return PlainTextResponse("x" * len(await request.body()))

    port = serve(Starlette(routes=[Route("/a/{b}", answer, methods=["POST"])]))
    for _ in range(3):
        httpx.post(f"http://127.0.0.1:{port}/a/1", content=b"12345")
    httpx.get(f"http://127.0.0.1:{port}/nowhere")
    until(lambda: len(captured.spans) == 4)
    lines = httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
    labels = '{method="POST",endpoint="/a/{b}",status="200"}'
    found = {line.partition("{")[0]: float(line.rpartition(" ")[2]) for line in lines
             if all(part in line for part in labels.strip("{}").split(","))}  # fmt: skip
    assert found["astra_http_requests_total"] == 3
    assert found["astra_http_request_duration_seconds_count"] == 3
    assert found["astra_http_request_size_bytes_sum"] == 15
    assert found["astra_http_response_size_bytes_sum"] == 15
    assert any(line.startswith("astra_active_connections{") and line.endswith(" 0") for line in lines)
    assert not any(line.startswith(("http_server_", "# TYPE http_server_")) for line in lines)
