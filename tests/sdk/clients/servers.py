"""A real server for the clients: an application behind uvicorn."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from tests.ports import free_port
from tests.waiting import until


async def headers(request: Request) -> Response:
    """What was sent along."""
    return JSONResponse({"method": request.method, "headers": dict(request.headers)})


async def status(request: Request) -> Response:
    """The status that was asked for."""
    return Response(status_code=int(request.path_params["code"]))


async def redirect(request: Request) -> Response:
    """To somewhere else, so many times."""
    left = int(request.path_params["times"])
    return RedirectResponse(f"/redirect/{left - 1}" if left > 1 else "/headers")


async def challenge(request: Request) -> Response:
    """Wants a digest."""
    if "authorization" in request.headers:
        return Response("in")
    return Response(status_code=401, headers={"www-authenticate": 'Digest realm="r", nonce="n", qop="auth"'})


async def stream(_: Request) -> Response:
    """Many pieces."""

    async def pieces() -> Any:
        for _ in range(20):
            yield b"x" * 1000

    return StreamingResponse(pieces())


async def slow(_: Request) -> Response:
    """Later than anybody waits."""
    await anyio.sleep(30)
    return Response()


def application() -> Starlette:
    """All of these."""
    return Starlette(
        routes=[
            Route("/headers", headers, methods=["GET", "POST", "PURGE"]),
            Route("/status/{code}", status),
            Route("/redirect/{times}", redirect),
            Route("/challenge", challenge),
            Route("/stream", stream),
            Route("/slow", slow),
        ]
    )


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """An application behind uvicorn, in a thread; gives its URL."""
    port = free_port()
    settings = uvicorn.Config(
        app, port=port, log_level="critical", lifespan="off", timeout_graceful_shutdown=1, ws="none"
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
