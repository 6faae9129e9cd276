"""`/healthz`, `/readyz`, `/metrics`: for probes and scrapers."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gnomon_server.selfmon.registry import Registry


def routes(
    registry: Registry, not_ready_because: Callable[[], str], sees_tenants: Callable[[Request], bool]
) -> list[Route]:
    """`not_ready_because()` is empty while the server accepts and commits, else says why not.

    Anybody may scrape, but the metrics of tenants are for those who `sees_tenants` says may see them all.
    """

    async def alive(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_request: Request) -> Response:
        reason = not_ready_because()
        return JSONResponse({"ready": not reason, "reason": reason}, 503 if reason else 200)

    async def metrics(request: Request) -> Response:
        text = registry.text(with_tenants=sees_tenants(request))
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return [
        Route("/healthz", alive),
        Route("/readyz", ready),
        Route("/metrics", metrics),
    ]
