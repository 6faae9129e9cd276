"""Gnomon's own API, which the console uses: thin routes over `query.explore`."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from gnomon_server.access.authenticator import Grant
from gnomon_server.api import parameters
from gnomon_server.api.leaving import while_connected
from gnomon_server.query.explore import Explorer
from gnomon_server.query.records import SEVERITIES
from gnomon_server.selfmon.clock import Clock

_DEFAULT_LIMIT = 50
_MAX_LIMIT = 1000
_DEFAULT_POINTS = 60


def routes(
    explorer: Explorer, grant: Callable[[Request], Grant], status: Callable[[], Mapping[str, Any]], clock: Clock
) -> list[Mount]:
    """The routes below /api/gnomon/v1; `grant` says whose rows, or raises; `status` is what /status says."""
    native = _Native(explorer, grant, clock)

    async def show_status(request: Request) -> Response:
        parameters.allow_only(request)
        grant(request)
        return _json(status())

    return [
        Mount(
            "/api/gnomon/v1",
            routes=[
                Route("/services", native.services),
                Route("/services/{service:path}/series", native.service_series),
                Route("/traces", native.traces),
                Route("/traces/{trace_id}", native.trace),
                Route("/logs", native.logs),
                Route("/metrics", native.metrics),
                Route("/status", show_status),
            ],
        )
    ]


class _Native:
    def __init__(self, explorer: Explorer, grant: Callable[[Request], Grant], clock: Clock) -> None:
        self._explorer = explorer
        self._grant = grant
        self._clock = clock

    async def services(self, request: Request) -> Response:
        parameters.allow_only(request, "start", "end")
        tenant, window = self._grant(request).tenant, parameters.window(request, self._clock.now_ns())
        return await _answer(request, "services", self._explorer.services(tenant, window))

    async def service_series(self, request: Request) -> Response:
        parameters.allow_only(request, "start", "end", "step_s")
        tenant, window = self._grant(request).tenant, parameters.window(request, self._clock.now_ns())
        default = max(1, int(window.seconds / _DEFAULT_POINTS))
        step_s = parameters.integer(request, "step_s", default, 1, 86_400 * 366)
        points = self._explorer.service_series(tenant, request.path_params["service"], window, step_s)
        return await _answer(request, "points", points, {"step_s": step_s})

    async def traces(self, request: Request) -> Response:
        parameters.allow_only(request, "service", "status", "min_duration_ns", "start", "end", "limit")
        found = self._explorer.traces(
            self._grant(request).tenant,
            parameters.window(request, self._clock.now_ns()),
            parameters.integer(request, "limit", _DEFAULT_LIMIT, 1, _MAX_LIMIT),
            service=request.query_params.get("service", ""),
            status=parameters.choice(request, "status", ("error", "ok")),
            min_duration_ns=parameters.integer(request, "min_duration_ns", 0, 0, (1 << 63) - 1),
        )
        return await _answer(request, "traces", found)

    async def trace(self, request: Request) -> Response:
        parameters.allow_only(request)
        tenant = self._grant(request).tenant
        trace_id = parameters.trace_id(request.path_params["trace_id"], "path")
        return await _answer(request, "spans", self._explorer.trace(tenant, trace_id), {"trace_id": trace_id})

    async def logs(self, request: Request) -> Response:
        parameters.allow_only(request, "service", "severity", "q", "trace_id", "start", "end", "limit")
        trace_id = request.query_params.get("trace_id", "")
        found = self._explorer.logs(
            self._grant(request).tenant,
            parameters.window(request, self._clock.now_ns()),
            parameters.integer(request, "limit", _DEFAULT_LIMIT, 1, _MAX_LIMIT),
            service=request.query_params.get("service", ""),
            severity=parameters.choice(request, "severity", SEVERITIES[1:]),
            text=request.query_params.get("q", ""),
            trace_id=parameters.trace_id(trace_id, "trace_id") if trace_id else "",
        )
        return await _answer(request, "logs", found)

    async def metrics(self, request: Request) -> Response:
        parameters.allow_only(request, "start", "end")
        tenant, window = self._grant(request).tenant, parameters.window(request, self._clock.now_ns())
        return await _answer(request, "metrics", self._explorer.metrics(tenant, window))


async def _answer(
    request: Request, name: str, work: Coroutine[Any, Any, list[dict[str, Any]]], more: Mapping[str, Any] | None = None
) -> Response:
    return _json({**(more or {}), name: await while_connected(request, work)})


def _json(body: Mapping[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
