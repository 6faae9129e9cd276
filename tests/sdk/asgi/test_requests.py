"""Real requests to a real server: each counted once, under its route, however it ended."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, FastAPI, HTTPException, Response
from fastapi.responses import StreamingResponse
from opentelemetry.trace import SpanKind, StatusCode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from tests.sdk.asgi.served import active, counts, raw, serving, sizes
from tests.waiting import until

import gnomon
from gnomon.testing import Capture, capture
from gnomon.tracing.span import Span

Serve = Callable[[Any], int]
METHOD, ROUTE, STATUS, ERROR = "http.request.method", "http.route", "http.response.status_code", "error.type"


def shop() -> FastAPI:
    """An application with every kind of answer."""
    app = FastAPI()
    app.state.done = []

    @app.get("/users/{user}")
    async def user(user: int) -> dict[str, int]:
        return {"id": user}

    @app.post("/orders")
    async def order(request: Request) -> dict[str, int]:
        return {"size": len(await request.body())}

    @app.get("/raises")
    async def raises() -> None:
        raise RuntimeError("secret 1")

    @app.get("/returns/{status}")
    def returns(status: int) -> Response:
        return Response(status_code=status)

    @app.get("/refuses")
    def refuses() -> None:
        raise HTTPException(503)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(10):
                yield b"x" * 100
                await asyncio.sleep(0)

        return StreamingResponse(pieces())

    @app.get("/breaks")
    async def breaks() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"x"
            raise ValueError("midway")

        return StreamingResponse(pieces())

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.001)

        return StreamingResponse(pieces())

    @app.get("/background")
    async def background(tasks: BackgroundTasks) -> str:
        async def later() -> None:
            await asyncio.sleep(0.1)
            with gnomon.span("later"):
                app.state.done.append(True)

        tasks.add_task(later)
        return "now"

    @app.get("/health")
    async def health() -> str:
        return "well"

    return app


def servers(captured: Capture) -> list[Span]:
    """The spans of requests."""
    return [span for span in captured.spans if span.kind is SpanKind.SERVER]


def test_a_hundred_requests(captured: Capture, serve: Serve) -> None:
    """100 scripted requests: exactly these counts, by method, template, status and error; nothing is left active."""
    port = serve(shop())
    script = [
        *[("GET", f"/users/{number}", 200) for number in range(40)],
        *[("GET", "/users/nobody", 422)] * 5,
        *[("DELETE", "/users/1", 405)] * 5,
        *[("POST", "/orders", 200)] * 15,
        *[("GET", "/nowhere/42", 404)] * 10,
        *[("GET", "/raises", 500)] * 5,
        *[("GET", "/returns/500", 500)] * 5,
        *[("GET", "/refuses", 503)] * 5,
        *[("GET", "/stream", 200)] * 9,
    ]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for method, path, status in script:
            leaves = {"connection": "close"} if path == "/raises" else {}  # as uvicorn does after an exception
            answer = client.request(method, path, content=b"y" * 10 if method == "POST" else None, headers=leaves)
            assert answer.status_code == status
    raw(port, b"GET /endless HTTP/1.1\r\nHost: h\r\n\r\n", read=False)  # the hundredth: the client is gone
    until(lambda: len(servers(captured)) == 100)
    assert counts(captured, METHOD, ROUTE, STATUS, ERROR) == {
        ("GET", "/users/{user}", 200, None): 40,
        ("GET", "/users/{user}", 422, None): 5,
        ("DELETE", "/users/{user}", 405, None): 5,
        ("POST", "/orders", 200, None): 15,
        ("GET", None, 404, None): 10,
        ("GET", "/raises", 500, "RuntimeError"): 5,
        ("GET", "/returns/{status}", 500, "500"): 5,
        ("GET", "/refuses", 503, "503"): 5,
        ("GET", "/stream", 200, None): 9,
        ("GET", "/endless", 200, "client_disconnected"): 1,
    }
    assert active(captured) == 0
    assert sizes(captured, "http.server.response.body.size", "/stream") == (9, 9000)
    assert sizes(captured, "http.server.request.body.size", "/orders") == (15, 150)
    assert len([line for line in captured.logs if line["category"] == "access"]) == 100
    assert not any("/users/1" in span.name or "nowhere" in span.name for span in captured.spans)


def test_a_span_has_what_the_conventions_ask_for(captured: Capture, serve: Serve) -> None:
    """Method, route, status, address, scheme, version, agent, path and query; a remote parent."""
    port = serve(shop())
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    httpx.get(f"http://127.0.0.1:{port}/users/7?a=1", headers={"traceparent": parent, "user-agent": "me"})
    until(lambda: captured.spans)
    [span] = servers(captured)
    told = dict(span.attributes)
    assert told.pop("correlation_id", None) is None
    assert told == {
        "http.request.method": "GET", "http.route": "/users/{user}", "http.response.status_code": 200,
        "url.scheme": "http", "url.path": "/users/7", "url.query": "a=1", "network.protocol.version": "1.1",
        "server.address": "127.0.0.1", "server.port": port, "client.address": "127.0.0.1",
        "user_agent.original": "me",
    }  # fmt: skip
    assert (span.name, span.trace.hex(), span.parent and span.parent.hex()) == (
        "GET /users/{user}", "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/raises", StatusCode.ERROR, "RuntimeError: secret 1"),
        ("/returns/500", StatusCode.ERROR, None),
        ("/refuses", StatusCode.ERROR, None),
        ("/returns/404", StatusCode.UNSET, None),
    ],
)
def test_what_is_an_error(captured: Capture, serve: Serve, path: str, status: StatusCode, message: str | None) -> None:
    """A server's errors are; a client's are not the server's."""
    httpx.get(f"http://127.0.0.1:{serve(shop())}{path}")
    until(lambda: captured.spans)
    [span] = servers(captured)
    assert span.status.status_code is status
    if message:
        assert span.status.description == message


def test_a_stream_that_breaks(captured: Capture, serve: Serve) -> None:
    """The status that was sent stays; the error is told."""
    port = serve(shop())
    raw(port, b"GET /breaks HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    until(lambda: captured.spans)
    assert list(counts(captured, STATUS, ERROR)) == [(200, "ValueError")]
    assert active(captured) == 0


def test_a_background_task(captured: Capture, serve: Serve) -> None:
    """The span ends with the response; what the task does is still its child."""
    app = shop()
    httpx.get(f"http://127.0.0.1:{serve(app)}/background")
    until(lambda: app.state.done and len(captured.spans) == 2)
    assert [span.name for span in captured.spans] == ["GET /background", "later"]
    assert captured.span("later").parent == captured.span("GET /background").id


def test_http_1_0_and_head(captured: Capture, serve: Serve) -> None:
    """An old client without a host; a body that is not sent is not counted."""
    app = Starlette(routes=[Route("/text", lambda _: PlainTextResponse("12345"))])
    port = serve(app)
    assert b"12345" in raw(port, b"GET /text HTTP/1.0\r\n\r\n")
    assert b"12345" not in raw(port, b"HEAD /text HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    until(lambda: len(captured.spans) == 2)
    assert counts(captured, METHOD, "network.protocol.version") == {("GET", "1.0"): 1, ("HEAD", "1.1"): 1}
    assert sizes(captured, "http.server.response.body.size", "/text") == (2, 5)
    assert "server.address" not in captured.span("GET /text").attributes


def test_methods_that_nobody_knows(captured: Capture) -> None:
    """They are one in metrics, and told on the span."""
    with serving(shop(), http="h11") as port:  # the other parser refuses them itself
        for number in range(100):
            method = f"X{chr(65 + number % 26)}{chr(65 + number // 26)}"
            raw(port, f"{method} /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        until(lambda: len(captured.spans) == 100)
    assert counts(captured, METHOD) == {("_OTHER",): 100}
    assert captured.spans[0].name == "HTTP"
    assert captured.spans[0].attributes["http.request.method_original"] == "XAA"
    assert active(captured) == 0


def test_routes_within_routes(captured: Capture, serve: Serve, tmp_path: Path) -> None:
    """Mounted applications, included routers and static files: one span each, under the whole template."""
    (tmp_path / "a.txt").write_text("file")
    outer, inner, deep = FastAPI(), FastAPI(), Starlette(routes=[Route("/deep/{n}", lambda _: PlainTextResponse("d"))])
    router, nested = APIRouter(prefix="/api"), APIRouter(prefix="/v1")

    @nested.get("/things/{thing}")
    async def thing(thing: str) -> str:
        return thing

    @inner.get("/in/{item}")
    async def item(item: str) -> str:
        return item

    router.include_router(nested)
    outer.include_router(router)
    inner.mount("/below", deep)
    outer.mount("/sub/{tenant}", inner)
    outer.mount("/static", StaticFiles(directory=tmp_path))
    outer.mount("/group", Starlette(routes=[Mount("/more", routes=[Route("/x", lambda _: PlainTextResponse("x"))])]))
    port = serve(outer)
    expected = {
        "/api/v1/things/7": ("GET /api/v1/things/{thing}", 200),
        "/sub/t1/in/9": ("GET /sub/{tenant}/in/{item}", 200),
        "/sub/t1/below/deep/3": ("GET /sub/{tenant}/below/deep/{n}", 200),
        "/group/more/x": ("GET /group/more/x", 200),
    }
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for path, (_, status) in expected.items():
            assert client.get(path).status_code == status, path
        assert client.get("/static/a.txt").text == "file"
        assert client.get("/static/none.txt").status_code == 404
        assert client.get("/sub/t1/nowhere").status_code == 404
    until(lambda: len(servers(captured)) >= 7)
    names = [span.name for span in servers(captured)]
    assert names[:4] == [name for name, _ in expected.values()]
    assert len(names) == 7
    assert not any(part in name for name in names for part in ("a.txt", "none", "nowhere", "t1"))
    assert sum(counts(captured).values()) == 7


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """A raw ASGI application, with messages that it uses again and again."""
    await send(START)
    await send(BODY)


START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]}
BODY: dict[str, Any] = {"type": "http.response.body", "body": b"raw"}


def test_a_raw_application(captured: Capture, serve: Serve) -> None:
    """Under our middleware by hand; its own messages are left as they are."""
    from gnomon.integrations.asgi import Middleware  # noqa: PLC0415 - used by hand here alone

    port = serve(Middleware(bare, captured.manager.telemetry, lambda _: ""))
    for _ in range(3):
        answer = httpx.get(f"http://127.0.0.1:{port}/any/path")
        assert answer.text == "raw"
        assert len(answer.headers.get_list("x-correlation-id")) == 1
    assert START["headers"] == [(b"x", b"y")]
    until(lambda: len(captured.spans) == 3)
    assert counts(captured, METHOD, ROUTE, STATUS) == {("GET", None, 200): 3}


def test_excluded(captured: Capture, serve: Serve) -> None:
    """Health is asked for all day: no span, no measurement, no line."""
    assert httpx.get(f"http://127.0.0.1:{serve(shop())}/health").json() == "well"
    assert (captured.spans, counts(captured)) == ([], {})
    assert not [line for line in captured.logs if line["category"] == "access"]


def test_metrics_are_served(captured: Capture, serve: Serve) -> None:
    """At /metrics, without being counted; HEAD too."""
    port = serve(shop())
    httpx.get(f"http://127.0.0.1:{port}/users/1")
    until(lambda: captured.spans)
    answer = httpx.get(f"http://127.0.0.1:{port}/metrics")
    assert "http_server_request_duration_seconds_count{" in answer.text
    assert httpx.head(f"http://127.0.0.1:{port}/metrics").content == b""
    assert sum(counts(captured).values()) == 1


@pytest.mark.parametrize("way", ["route", "mount", "router"])
def test_an_applications_own_metrics_win(captured: Capture, serve: Serve, way: str) -> None:
    """However they are put there."""
    app = FastAPI()
    if way == "mount":
        app.mount("/metrics", Starlette(routes=[Route("/", lambda _: PlainTextResponse("mine"))]))
    else:
        owner: Any = app if way == "route" else APIRouter()
        owner.get("/metrics")(lambda: PlainTextResponse("mine"))
        if way == "router":
            app.include_router(owner)
    assert httpx.get(f"http://127.0.0.1:{serve(app)}/metrics", follow_redirects=True).text == "mine"


@pytest.mark.parametrize("settings", [{"metrics.path": "/internal/stats"}])
def test_metrics_elsewhere(captured: Capture, serve: Serve, settings: dict[str, Any]) -> None:
    """The path is a setting."""
    port = serve(shop())
    assert httpx.get(f"http://127.0.0.1:{port}/internal/stats").status_code == 200
    assert httpx.get(f"http://127.0.0.1:{port}/internal/stats/more").status_code == 404


@pytest.mark.parametrize("settings", [{"metrics.enabled": False}, {"traces.enabled": False}, {"logs.enabled": False},
                                      {"logs.access_log": False}])  # fmt: skip
def test_pillars_switched_off(captured: Capture, serve: Serve, settings: dict[str, Any]) -> None:
    """Each can be, and the others go on."""
    port = serve(shop())
    answer = httpx.get(f"http://127.0.0.1:{port}/users/1", headers={"x-correlation-id": "c-1"})
    assert answer.status_code == 200
    off = next(iter(settings))
    if off != "metrics.enabled":
        until(lambda: sum(counts(captured).values()) == 1)
    if off == "traces.enabled":
        assert captured.spans == []
    else:
        until(lambda: len(captured.spans) == 1)
    if off == "logs.access_log":
        assert answer.headers["x-correlation-id"] == "c-1"


def test_fastapis_own_telemetry_does_not_double(captured: Capture, serve: Serve) -> None:
    """FastAPI makes spans of its own when a provider is set: there is one owner of a request."""
    httpx.get(f"http://127.0.0.1:{serve(shop())}/users/1")
    until(lambda: captured.spans)
    assert [span.name for span in captured.spans] == ["GET /users/{user}"]


def test_instrumented_after_it_has_served(captured: Capture, serve: Serve) -> None:
    """By name, twice, and late: once is enough."""
    app = shop()
    port = serve(app)
    httpx.get(f"http://127.0.0.1:{port}/users/1")
    gnomon.instrument(app)
    gnomon.instrument(app)
    httpx.get(f"http://127.0.0.1:{port}/users/1")
    until(lambda: len(captured.spans) >= 2)
    assert [span.name for span in captured.spans] == ["GET /users/{user}"] * 2


async def test_a_middleware_that_answers_itself_answers_for_a_route() -> None:
    """A gate in front of the router: its refusals stand under the route that was asked for, included or not."""

    class Gate:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                await PlainTextResponse("no", 403)(scope, receive, send)
            else:
                await self.app(scope, receive, send)

    def answer() -> None:
        """Never asked."""

    included = APIRouter(prefix="/shop")
    included.add_api_route("/products/{number}", answer)
    with capture() as captured:
        app = FastAPI()
        app.add_api_route("/plain/{name}", answer)
        app.include_router(included)
        app.add_middleware(Gate)
        gnomon.instrument(app)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            for path in ("/plain/a", "/shop/products/3", "/nowhere"):
                assert (await client.get(path)).status_code == 403
    served = [span.name for span in captured.spans if span.kind is SpanKind.SERVER]
    assert served == ["GET /plain/{name}", "GET /shop/products/{number}", "GET"]
