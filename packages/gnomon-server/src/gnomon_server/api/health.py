"""`/healthz`, `/readyz`, `/metrics`: for probes and scrapers."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gnomon_server.selfmon.registry import Registry


def routes(registry: Registry, not_ready_because: Callable[[], str]) -> list[Route]:
    """`not_ready_because()` is empty while the server accepts and commits, else says why not."""

    async def alive(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_request: Request) -> Response:
        reason = not_ready_because()
        return JSONResponse({"ready": not reason, "reason": reason}, 503 if reason else 200)

    async def metrics(_request: Request) -> Response:
        return Response(registry.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [
        Route("/healthz", alive),
        Route("/readyz", ready),
        Route("/-/healthy", alive),
        Route("/-/ready", ready),
        Route("/metrics", metrics),
    ]
