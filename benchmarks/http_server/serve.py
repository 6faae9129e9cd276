"""One ASGI application under one of the candidate servers: `serve.py NAME PORT`."""

# ruff: noqa: PLC0415 - each server is imported in its own process only, and need not be installed for the others

import asyncio
import sys
from typing import Any

import uvloop


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Read the whole body, answer its length."""
    if scope["type"] != "http":
        return
    received = 0
    while True:
        message = await receive()
        received += len(message.get("body", b""))
        if message["type"] == "http.disconnect":
            return
        if not message.get("more_body", False):
            break
    body = str(received).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def uvicorn(port: int) -> None:
    import uvicorn as server

    server.run(app, port=port, loop="uvloop", http="httptools", log_level="critical", access_log=False, lifespan="off")


def hypercorn(port: int) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    uvloop.run(serve(app, config, mode="asgi"))


def granian(port: int) -> None:
    from granian import Granian

    Granian(
        "serve:app",
        address="127.0.0.1",
        port=port,
        interface="asginl",
        workers=1,
        loop="uvloop",
        log_enabled=False,
        backpressure=6_000,  # the default, 1,024, is filled by the first thousand
    ).serve()


def gnomon(port: int) -> None:
    from gnomon_server.transport.http_server import HttpServer
    from gnomon_server.transport.limits import HttpLimits

    async def serve() -> None:
        await HttpServer(app, ("127.0.0.1", port), limits=HttpLimits(max_connections=6_000)).start()
        await asyncio.Event().wait()

    uvloop.run(serve())


if __name__ == "__main__":
    {"uvicorn": uvicorn, "hypercorn": hypercorn, "granian": granian, "gnomon": gnomon}[sys.argv[1]](int(sys.argv[2]))
