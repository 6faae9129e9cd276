"""What `gnomon doctor` and `gnomon sources` ask a running server."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gnomon_server.access.authenticator import Grant
from gnomon_server.access.tokens import Scope
from gnomon_server.api import parameters
from gnomon_server.intake.sources import Source, Sources, State
from gnomon_server.query.records import time_text
from gnomon_server.selfmon.clock import Clock

_PREFIX = "/api/gnomon/v1"


def routes(
    sources: Sources,
    who: Callable[[Request], Grant],
    grant: Callable[[Request], Grant],
    diagnosis: Callable[[], Mapping[str, Any]],
    clock: Clock,
) -> list[Route]:
    """`who` names the bearer of any token, `grant` demands the scope `read`; `diagnosis` is for the scope `admin`."""

    async def show_whoami(request: Request) -> Response:
        parameters.allow_only(request)
        found = who(request)
        scopes = sorted(scope.value for scope in found.scopes)
        answer = {"name": found.identity.name, "tenant": found.tenant, "scopes": scopes, "now_ns": clock.now_ns()}
        return _json(answer)

    async def show_sources(request: Request) -> Response:
        parameters.allow_only(request, "state")
        tenant = grant(request).tenant
        wanted = parameters.choice(request, "state", tuple(state.value for state in State))
        now_ns = clock.now_ns()
        found = [
            _shown(source, state, now_ns)
            for source, state in sources.states(now_ns, tenant)
            if wanted in ("", state.value)
        ]
        order = ("service", "signal", "instance")
        return _json({"tenant": tenant, "sources": sorted(found, key=lambda row: [row[name] for name in order])})

    async def show_diagnosis(request: Request) -> Response:
        parameters.allow_only(request)
        who(request).require(Scope.ADMIN)
        return _json(diagnosis())

    return [
        Route(f"{_PREFIX}/whoami", show_whoami),
        Route(f"{_PREFIX}/sources", show_sources),
        Route(f"{_PREFIX}/diagnosis", show_diagnosis),
    ]


def _shown(source: Source, state: State, now_ns: int) -> dict[str, Any]:
    return {
        "service": source.service,
        "instance": source.instance,
        "signal": source.signal,
        "state": state.value,
        "first_seen": time_text(source.first_ns),
        "last_seen": time_text(source.last_ns),
        "silent_for_s": round((now_ns - source.last_ns) / 1e9, 3),
        "typical_interval_s": round(source.interval_s, 3),
        "longest_pause_s": round(source.pause_ns / 1e9, 3),
        "records": source.records,
        "clock_offset_s": round(source.offset_ns / 1e9, 3),
    }


def _json(body: Mapping[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
