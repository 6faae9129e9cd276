"""What is known of a request that is sent, whichever library sends it (httpx, requests, aiohttp).

A span is one attempt: a redirect that is followed, an answer to a challenge and a retry are requests of their own, as
the conventions have it. It ends when the headers of the response are there; the body is read when the host likes, or
never. https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-client-span-duration

Most of what is written about an attempt repeats: its method, server, status. All of that is encoded once for each
combination, with the cell of its metric beside it.
"""

import logging
from collections.abc import MutableMapping
from time import perf_counter
from typing import Any

from opentelemetry.trace import SpanKind, StatusCode

from gnomon.context import SPAN_KEY, Context, attach, current, detach, suppressed, with_span
from gnomon.integrations.http_server import METHODS, OTHER_METHOD
from gnomon.integrations.telemetry import Known, Telemetry

log = logging.getLogger("gnomon.integrations")

CLIENT = SpanKind.CLIENT
# Combinations of method, server, status, version and error. Crawlers talk to any number of servers.
MOST_KNOWN = 4096
PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
CLIENT_ERROR = 400

Key = tuple[str, str, int | None, int, str, str]
"""method, host, port, status (0: none came), HTTP version, error type."""


class Requests:
    """What all attempts of one library share.

    Args:
        telemetry: the pillars.
        name: of the scope.
    """

    def __init__(self, telemetry: Telemetry, name: str) -> None:
        attributes = telemetry.tracers.recording.attributes
        self._known: dict[Key, Known] = attributes.blocks()
        self.begin_span = telemetry.tracer(name).begin
        self.headers = telemetry.propagator.headers
        self._encode = attributes.encode
        self._observing = telemetry.histogram(
            "http.client.request.duration", "Duration of HTTP client requests.", unit="s"
        )

    def attempt(self, method: str, url: str, server: tuple[str, str, int | None], resent: int) -> "Attempt | None":
        """An attempt that begins now, current from now on; None where it shall leave no trace.

        Args:
            method: as it is sent.
            url: all of it; credentials are left out of what is recorded.
            server: scheme, host and port of the URL.
            resent: how often this request has been sent before.
        """
        try:
            context = current()
            if suppressed(context):
                return None
            return Attempt(self, method, url, server, resent, context)
        except Exception:
            log.exception("A request could not be followed")
            return None

    def known(self, key: Key) -> Known:
        """What is known of such attempts; worked out the first time."""
        found = self._known.get(key)
        return self._learnt(key) if found is None else found

    def _learnt(self, key: Key) -> Known:
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        method, host, port, status, version, error = key
        shown = method if method in METHODS else OTHER_METHOD
        labels: dict[str, Any] = {"http.request.method": shown, "server.address": host}
        if port is not None:
            labels["server.port"] = port
        if status:
            labels["http.response.status_code"] = status
        if version:
            labels["network.protocol.version"] = version
        if error:
            labels["error.type"] = error
        pairs = labels if shown is method else {**labels, "http.request.method_original": method}
        known = self._known[key] = Known((self._encode(pairs), pairs), self._observing(**labels))
        return known


class Attempt:
    """One request on its way, until its response's headers are there or it failed."""

    __slots__ = ("_context", "_method", "_requests", "_server", "_span", "_started_s", "_token")

    def __init__(
        self,
        requests: Requests,
        method: str,
        url: str,
        server: tuple[str, str, int | None],
        resent: int,
        context: Context,
    ) -> None:
        self._requests, self._method, self._server = requests, method, server
        attributes: dict[str, Any] = {"url.full": without_credentials(url) if "@" in url else url}
        if resent:
            attributes["http.request.resend_count"] = resent
        name = method if method in METHODS else "HTTP"
        self._started_s = perf_counter()
        self._span = requests.begin_span(name, CLIENT, context.get(SPAN_KEY), attributes, None, context)
        self._context = with_span(self._span, context)
        self._token: Any = attach(self._context)

    def inject(self, headers: MutableMapping[str, Any]) -> list[str]:
        """Add the trace to the headers of the request; what the caller has set itself stays as it is.

        Returns:
            The names of what was added.
        """
        try:
            ours = self._requests.headers(self._context)
            added = [name for name in ours if name not in headers]
            for name in added:
                headers[name] = ours[name]
        except Exception:
            log.exception("A request goes out without its trace")
            return []
        return added

    def answered(self, status: int, version: str) -> None:
        """The headers of a response are there; `version` is HTTP's: `1.1`, `2`."""
        self._end(status, version, str(status) if status >= CLIENT_ERROR else "", None)

    def failed(self, error: BaseException) -> None:
        """There is no response."""
        self._end(0, "", type(error).__qualname__, error)

    def _end(self, status: int, version: str, wrong: str, error: BaseException | None) -> None:
        # What ends twice (a timeout that follows a cancellation) has ended the first time.
        token, self._token = self._token, None
        if token is None:
            return
        try:
            detach(token)
            scheme, host, port = self._server
            key = (self._method, host, port or PORTS.get(scheme), status, version, wrong)
            known, span = self._requests.known(key), self._span
            span.block = known.block
            known.observe(perf_counter() - self._started_s)
            if isinstance(error, Exception):
                span.failed(error)
            elif wrong and error is None:
                span.set_status(StatusCode.ERROR)
            span.end()
        except Exception:
            log.exception("A request could not be written down")


def without_credentials(url: str) -> str:
    """The URL with `REDACTED` for name and password, as the conventions write it."""
    scheme, mark, rest = url.partition("://")
    ends = min((at for end in "/?#" if (at := rest.find(end)) >= 0), default=len(rest))
    credentials, sign, host = rest[:ends].rpartition("@")
    if not sign:
        return url
    hidden = "REDACTED:REDACTED" if ":" in credentials else "REDACTED"
    return f"{scheme}{mark}{hidden}@{host}{rest[ends:]}"
