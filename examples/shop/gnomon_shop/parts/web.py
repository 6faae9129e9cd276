"""Serving HTTP: a FastAPI application that keeps the ledger, and in which planned faults strike."""

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import perf_counter
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI
from opentelemetry import trace
from starlette.routing import Match, Route

from gnomon_shop import ledger
from gnomon_shop.parts import sdk, telemetry
from gnomon_shop.parts.effects import Effects, PlannedError
from gnomon_shop.settings import Settings

HEALTH = "/healthz"
SENT_ALONG = (ledger.HEADER, ledger.USER, ledger.SESSION)

log = logging.getLogger("shop.web")


class Recorded:
    """Middleware: each request is an operation in the ledger, a line in the log, and the place of planned faults."""

    def __init__(self, app: Any, effects: Effects, routes: APIRouter) -> None:
        self._app, self._effects, self._routes = app, effects, routes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request, unless it only asks for health."""
        if scope["type"] != "http" or scope["path"] == HEALTH:
            await self._app(scope, receive, send)
            return
        sent = {key.decode(): value.decode() for key, value in scope["headers"] if key.decode() in SENT_ALONG}
        with ledger.continued(sent), ledger.operation(scope["method"], "server") as operation:
            await self._served(scope, receive, send, operation)

    async def _served(self, scope: Any, receive: Any, send: Any, operation: ledger.Operation) -> None:
        started, status = perf_counter(), 500

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        _describe_visitor()
        try:
            await self._effects.request()
            await self._app(scope, receive, noting)
        except PlannedError:
            log.exception("%s %s failed", scope["method"], scope["path"])
            await refused(noting, 500, "internal error")
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            raise  # the server answers it with 500
        finally:
            route = self._route(scope)
            operation.name = f"{scope['method']} {route}".strip()
            operation.status = str(status)
            operation.ok = status < 500
            _log_request(scope, route, status, perf_counter() - started)

    def _route(self, scope: Any) -> str:
        """The template of the route taken; of a request that failed before, the one it would have taken."""
        if "route" not in scope:
            for route in self._routes.routes:
                if isinstance(route, Route) and route.matches(scope)[0] is Match.FULL:
                    return route.path
        return getattr(scope.get("route"), "path", "")


async def refused(send: Any, status: int, why: str) -> None:
    """Answer with an error, without the application."""
    head = {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
    await send(head)
    await send({"type": "http.response.body", "body": json.dumps({"detail": why}).encode()})


def _describe_visitor() -> None:
    user, session = ledger.visitor()
    if user:
        trace.get_current_span().set_attributes({"user.id": user, "session.id": session})


def _log_request(scope: Any, route: str, status: int, seconds: float) -> None:
    level = logging.INFO if status < 400 else logging.WARNING if status < 500 else logging.ERROR
    details: dict[str, Any] = {
        "http.request.method": scope["method"],
        "url.path": scope["path"],
        "http.route": route,
        "http.response.status_code": status,
        "duration_ms": round(seconds * 1e3, 1),
    }
    for key, value in scope["headers"]:
        if key == b"user-agent":
            details["user_agent.original"] = value.decode(errors="replace")
        elif key == b"x-forwarded-for":
            details["client.address"] = value.decode(errors="replace")
    log.log(level, "%s %s %d in %.1f ms", scope["method"], scope["path"], status, seconds * 1e3, extra=details)


Parts = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def serve(settings: Settings, effects: Effects, routes: APIRouter, parts: Parts) -> None:
    """Serve the routes until told to stop; `parts` opens what they need and puts it into `app.state`."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with telemetry.running(settings), parts(app):
            sdk.chosen().instrument_web(app)
            yield

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.settings, app.state.effects = settings, effects
    app.include_router(routes)
    app.add_api_route(HEALTH, _healthy)
    app.add_middleware(Recorded, effects=effects, routes=routes)
    host, port = settings.here
    uvicorn.run(app, host=host, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=5)


async def _healthy() -> dict[str, str]:
    return {"status": "ok"}
