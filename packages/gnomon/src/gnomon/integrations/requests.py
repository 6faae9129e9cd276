"""requests: every attempt of every adapter that is an `HTTPAdapter`; retries of urllib3 are part of their attempt."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest
from requests.adapters import HTTPAdapter

from gnomon.integrations.http_client import Requests
from gnomon.integrations.telemetry import Telemetry

VERSIONS = {10: "1.0", 11: "1.1", 20: "2", 30: "3"}
"""As urllib3 counts them."""


def install(telemetry: Telemetry) -> Callable[[], None]:
    """Follow every request of every session, those that exist among them."""
    requests = Requests(telemetry, "gnomon.integrations.requests")
    send, copy = HTTPAdapter.send, PreparedRequest.copy

    def sent(self: HTTPAdapter, request: PreparedRequest, *args: Any, **options: Any) -> Any:
        resent = getattr(request, "_gnomon_sent", 0)
        url = request.url or ""
        attempt = requests.attempt(request.method or "", url, _server(url), resent)
        if attempt is None:
            return send(self, request, *args, **options)
        request._gnomon_sent = resent + 1  # type: ignore[attr-defined]  # noqa: SLF001 - our own mark
        added = attempt.inject(request.headers)
        try:
            response = send(self, request, *args, **options)
        except BaseException as error:
            attempt.failed(error)
            raise
        finally:
            # A redirect copies the headers of its request: ours would look there like the caller's own.
            for name in added:
                request.headers.pop(name, None)
        attempt.answered(response.status_code, VERSIONS.get(getattr(response.raw, "version", 0), ""))
        return response

    def copied(self: PreparedRequest) -> PreparedRequest:
        """What follows a redirect or answers a challenge is a copy of what was sent."""
        request = copy(self)
        if sent_before := getattr(self, "_gnomon_sent", 0):
            request._gnomon_sent = sent_before  # type: ignore[attr-defined]  # noqa: SLF001 - our own mark
        return request

    HTTPAdapter.send, PreparedRequest.copy = sent, copied  # type: ignore[method-assign]  # what an instrumentation does

    def undo() -> None:
        HTTPAdapter.send, PreparedRequest.copy = send, copy  # type: ignore[method-assign]  # as it was

    return undo


def _server(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL; empty where it is none, which is for requests to say."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", "", None
    return parts.scheme, parts.hostname or "", port
