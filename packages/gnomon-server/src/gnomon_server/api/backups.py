"""Backups on request: POST /api/gnomon/v1/backups `{"to": "/folder", "full": false}`, then GET or DELETE of the job."""

from collections.abc import Callable

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gnomon_server.access.authenticator import Grant
from gnomon_server.api import parameters
from gnomon_server.errors import InvalidInput, NotFound
from gnomon_server.store.backup.service import Backups, Job

_PATH = "/api/gnomon/v1/backups"
_MAX_BODY_BYTES = 64 << 10
_HINT = '{"to": "/folder, file:///folder or s3://bucket/prefix", "full": false}'


def routes(backups: Backups, grant: Callable[[Request], Grant]) -> list[Route]:
    """The routes; `grant` says that the asker administers the server, or raises."""

    async def begin(request: Request) -> Response:
        parameters.allow_only(request)
        grant(request)
        to, full = _read(await parameters.body(request, _MAX_BODY_BYTES))
        return _json(backups.begin(to, full=full), 202)

    async def show_all(request: Request) -> Response:
        parameters.allow_only(request)
        grant(request)
        jobs = [job.told() for job in backups.jobs()]
        return Response(orjson.dumps({"backups": jobs}), media_type="application/json")

    async def show(request: Request) -> Response:
        grant(request)
        return _json(backups.job(_number(request)))

    async def cancel(request: Request) -> Response:
        grant(request)
        return _json(backups.cancel(_number(request)))

    return [
        Route(_PATH, begin, methods=["POST"]),
        Route(_PATH, show_all),
        Route(f"{_PATH}/{{job}}", show),
        Route(f"{_PATH}/{{job}}", cancel, methods=["DELETE"]),
    ]


def _json(job: Job, status: int = 200) -> Response:
    return Response(orjson.dumps(job.told()), status, media_type="application/json")


def _number(request: Request) -> int:
    text = request.path_params["job"]
    if not (text.isascii() and text.isdigit() and len(text) < 10):  # noqa: PLR2004  (more than there will be)
        raise NotFound("job_not_found", f"there is no backup job {text[:80]!r}", where="path")
    return int(text)


def _read(body: bytes) -> tuple[str, bool]:
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput("body_invalid", f"the body is no JSON: {error}", "body", _HINT) from None
    if not isinstance(asked, dict) or set(asked) - {"to", "full"}:
        raise InvalidInput("body_invalid", "the body is a JSON object of `to` and `full`", "body", _HINT)
    to, full = asked.get("to"), asked.get("full", False)
    if not isinstance(to, str) or not to or "\0" in to or not isinstance(full, bool):
        raise InvalidInput("field_invalid", "`to` names a place, `full` is true or false", "body", _HINT)
    return to, full
