"""POST /api/gnomon/v1/sql: `{"query", "params": {}, "format": "json|arrow|csv"}`."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gnomon_server.access.authenticator import Grant
from gnomon_server.api import parameters
from gnomon_server.api.leaving import while_connected
from gnomon_server.errors import InvalidInput
from gnomon_server.query.sql.answer import FORMATS
from gnomon_server.query.sql.door import SqlDoor
from gnomon_server.store.interface import QueryLimits

_MAX_BODY_BYTES = 1 << 20
_FIELDS = {"query", "params", "format"}


def routes(door: SqlDoor, grant: Callable[[Request], Grant], limits: QueryLimits) -> list[Route]:
    """The route; `grant` says whose rows, or raises."""

    async def sql(request: Request) -> Response:
        tenant = grant(request).tenant
        asked = _read(await parameters.body(request, _MAX_BODY_BYTES))
        media_type, write = FORMATS[asked["format"]]
        answer = await while_connected(request, door.answer(asked["query"], asked["params"], tenant, limits))
        return Response(await asyncio.to_thread(write, answer), media_type=media_type)

    return [Route("/api/gnomon/v1/sql", sql, methods=["POST"])]


def _read(body: bytes) -> dict[str, Any]:
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        hint = '{"query": "SELECT ...", "params": {}, "format": "json"}'
        raise InvalidInput("body_invalid", f"the body is no JSON: {error}", where="body", hint=hint) from None
    if not isinstance(asked, dict):
        raise InvalidInput("body_invalid", "the body is a JSON object", where="body")
    if unknown := sorted(set(asked) - _FIELDS):
        hint = f"the fields are: {', '.join(sorted(_FIELDS))}"
        raise InvalidInput("field_unknown", f"there is no field {unknown[0][:80]!r}", where=unknown[0][:80], hint=hint)
    if not isinstance(asked.get("query"), str):
        raise InvalidInput("field_invalid", "query is the text of a SELECT", where="query")
    if not isinstance(asked.setdefault("params", {}), dict):
        raise InvalidInput("field_invalid", "params is an object: names to values", where="params")
    if asked.setdefault("format", "json") not in FORMATS:
        raise InvalidInput("field_invalid", f"format is one of {', '.join(FORMATS)}", where="format")
    return asked
