"""A service for the servers of the worker tests: it counts its requests, as ASGI and as WSGI."""

import os
import time
from typing import Any

from gnomon.metrics import Counter, Endpoint, Gauge, Histogram, Registry

registry = Registry()
served = Counter("shop.requests", "Requests", registry=registry)
took = Histogram("shop.duration", "How long they took", unit="s", registry=registry)
process = Gauge("shop.pid", "Who we are", registry=registry)
endpoint = Endpoint(registry, resource={"service.name": "shop"}, registries=[])


def hit() -> bytes:
    """A request; long enough for another worker to take the next."""
    time.sleep(0.003)
    served.inc(path="/hit")
    took.observe(0.02)
    process.set(os.getpid())
    return str(os.getpid()).encode()


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/metrics":
        await endpoint.asgi(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": hit()})


def wsgi(environ: Any, start_response: Any) -> Any:
    """The WSGI application."""
    if environ["PATH_INFO"] == "/metrics":
        return endpoint.wsgi(environ, start_response)
    start_response("200 OK", [])
    return [hit()]
