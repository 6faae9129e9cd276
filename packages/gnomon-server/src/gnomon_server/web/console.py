"""The ASGI app of the console: its pages' addresses all answer with index.html, the files with themselves."""

from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.types import Receive, Scope, Send

from gnomon_server import errors
from gnomon_server.transport.gzipped import takes_gzip
from gnomon_server.web import assets
from gnomon_server.web.assets import Asset

STATIC_DIR = Path(__file__).parent / "static"
"""Where `make ui` builds to; part of the wheel, not of git."""

PAGES = frozenset({"", "services", "traces", "logs", "sql"})
"""First path segments that the console routes by itself (`PAGES` in ui/src/model/location.ts; a test compares)."""

_SECURITY = {
    # No script but our files, no request but to us, no frame around us: what is stored may be hostile.
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"  # kept, but checked by its ETag: an upgrade shows at the next visit
_NOT_BUILT = """\
Gnomon is running; its console is not built.

    make ui      in the repository: builds it with Node from this machine, or from PyPI
                 (installed wheels carry it already)

Then restart `gnomon up`. The API answers all the same: /api/gnomon/v1/services, /api/gnomon/v1/status
"""


def build(static_dir: Path | None = None) -> BaseRoute:
    """The route to mount last at `/`: it takes every path that is left, and refuses those it does not know.

    Args:
        static_dir: the built console; `static/` beside this file by default. It is read now, once. When it holds no
            index.html, the pages' addresses answer 503 with how to build it.
    """
    return Mount("/", app=_Console(assets.read(static_dir or STATIC_DIR)), name="console")


class _Console:
    def __init__(self, files: dict[str, Asset]) -> None:
        self._files = files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise errors.NotFound("not_found", f"no {scope['type']} here", "path")
        await self._answer(Request(scope))(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        path = request.url.path
        page = path.split("/")[1] in PAGES
        asset = self._files.get("/index.html" if page else path)
        if request.method not in {"GET", "HEAD"} or (asset is None and not page):
            raise errors.NotFound("not_found", f"{request.method} {path}: nothing answers to that", "path")
        if asset is None:
            return PlainTextResponse(_NOT_BUILT, 503, {**_SECURITY, "cache-control": "no-store"})
        return _respond(asset, request.headers)


def _respond(asset: Asset, asked: Headers) -> Response:
    headers = {
        **_SECURITY,
        "etag": asset.etag,
        "cache-control": _FOR_EVER if asset.hashed else _ASK_AGAIN,
        "vary": "accept-encoding",
    }
    if _matches(asked.get("if-none-match", ""), asset.etag):
        return Response(status_code=304, headers=headers)
    body = asset.body
    if asset.gzipped is not None and takes_gzip(asked.get("accept-encoding", "")):
        body = asset.gzipped
        # One entity, two encodings: the tag is weak then (RFC 9110, 8.8.3.3).
        headers |= {"content-encoding": "gzip", "etag": f"W/{asset.etag}"}
    return Response(body, headers=headers, media_type=asset.media_type)


def _matches(if_none_match: str, etag: str) -> bool:
    return if_none_match.strip() == "*" or etag in {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
