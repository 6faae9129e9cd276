"""Which web pages may speak to this server: Host, Origin and CORS, before any route is looked at.

A browser lets every page send requests to 127.0.0.1. Three checks stand against that:
- `Host` must be ours. With DNS rebinding a foreign name points to loopback, and the page's requests carry that name.
- `Origin`, which browsers add to whatever could change something, must be ours or configured.
- `Sec-Fetch-Site: cross-site` without a permitted origin is an embedded image or script: refused.
Agents and SDKs send neither Origin nor Sec-Fetch-Site and pass.
"""

from collections.abc import Callable
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, field_validator
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gnomon_server.access.bind import is_loopback
from gnomon_server.errors import Forbidden, GnomonError, InvalidInput


class WebSettings(BaseModel):
    """Names and origins, besides loopback's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hosts: tuple[str, ...] = ()
    """Further names under which this server is reached (`gnomon.example.com`), without port; `*` switches it off."""
    origins: tuple[str, ...] = ()
    """Origins of web pages that may send (`https://shop.example.com`); `*` is all of them, and only sensible with
    tokens."""
    cors_paths: tuple[str, ...] = ("/v1/traces", "/v1/metrics", "/v1/logs")
    """Paths that answer CORS preflights of those origins: OTLP, for browser SDKs."""

    @field_validator("hosts")
    @classmethod
    def _lower(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(host.lower().strip("[]") for host in hosts)

    @field_validator("origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            parts = urlsplit(origin)
            if origin != "*" and (parts.scheme not in {"http", "https"} or not parts.netloc or origin.endswith("/")):
                raise ValueError(f"{origin!r} is not an origin like https://shop.example.com")
        return tuple(origin.lower() for origin in origins)


class WebGuard:
    """ASGI middleware, outermost, that keeps foreign pages out and answers the configured ones' preflights.

    Args:
        app: what is guarded.
        settings: names and origins.
        refuse: the answer to a refused request (`transport.reply.response`).
    """

    def __init__(self, app: ASGIApp, settings: WebSettings, refuse: Callable[[GnomonError], ASGIApp]) -> None:
        self._app = app
        self._settings = settings
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge, then pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            origin = self._permitted_origin(headers, scope)
        except GnomonError as error:
            await self._refuse(error)(scope, receive, send)
            return
        if origin is None:
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _preflight(origin, headers)(scope, receive, send)
        else:
            await self._app(scope, receive, _with_cors(origin, send))

    def _permitted_origin(self, headers: Headers, scope: Scope) -> str | None:
        """The configured origin to which CORS headers are due, or None for no page or a page of our own.

        Raises:
            Forbidden: `host_forbidden`, `origin_forbidden`, `cross_site`.
            InvalidInput: `host_invalid`.
        """
        self._check_host(headers)
        origin = headers.get("origin", "").lower()
        if not origin:
            _check_embed(headers, scope)
            return None
        listed = origin in self._settings.origins or "*" in self._settings.origins
        if listed and scope["path"] in self._settings.cors_paths:
            return origin
        if not _is_own(origin, headers, scope):
            raise Forbidden(
                "origin_forbidden",
                f"pages of {origin[:200]!r} may not speak to this server",
                where="header Origin",
                hint="list it in the web origins if they should",
            )
        return None

    def _check_host(self, headers: Headers) -> None:
        if len(headers.getlist("host")) != 1:
            raise InvalidInput("host_invalid", "a request has exactly one Host header", where="header Host")
        name = _host_name(headers["host"])
        if not (is_loopback(name) or name in self._settings.hosts or "*" in self._settings.hosts):
            raise Forbidden(
                "host_forbidden",
                f"this server is not {name[:200]!r}",
                where="header Host",
                hint="list the name in the web hosts if it is",
            )


def _is_own(origin: str, headers: Headers, scope: Scope) -> bool:
    """Same-origin, also behind a proxy that ends TLS (the scheme differs then, the Host does not)."""
    scheme, _, netloc = origin.partition("://")
    return netloc == headers["host"].lower() and scheme in {scope["scheme"], "https"}


def _host_name(host: str) -> str:
    """The name in a Host header, without port and brackets; empty for what is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _check_embed(headers: Headers, scope: Scope) -> None:
    """Refuse what another site's page loads of ours; a link followed to the console (a navigation) is no embed."""
    if headers.get("sec-fetch-site") not in {"cross-site", "same-site"}:
        return
    is_link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    if not (is_link and scope["method"] == "GET"):
        raise Forbidden("cross_site", "a page of another site may not embed this server", where="header Sec-Fetch-Site")


def _preflight(origin: str, headers: Headers) -> Response:
    return Response(
        status_code=204,
        headers={
            "access-control-allow-origin": origin,
            "access-control-allow-methods": "POST",
            "access-control-allow-headers": headers.get("access-control-request-headers", "content-type"),
            "access-control-max-age": "7200",  # Chromium's own ceiling
            "vary": "Origin",
        },
    )


def _with_cors(origin: str, send: Send) -> Send:
    async def send_with_cors(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = "Retry-After"
            headers.add_vary_header("Origin")
        await send(message)

    return send_with_cors
