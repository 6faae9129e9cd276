"""httpx, its clients of both kinds: every transport, mounted or custom, also into an ASGI application."""

from collections.abc import Callable
from typing import Any

from httpx import AsyncClient, Client

from gnomon.integrations.http_client import Attempt, Requests
from gnomon.integrations.telemetry import Telemetry

# A redirect and an answer to a challenge inherit the extensions of the request that they follow.
SENT = "gnomon.sent"


def install(telemetry: Telemetry) -> Callable[[], None]:
    """Follow every request of every client, those that exist among them."""
    requests = Requests(telemetry, "gnomon.integrations.httpx")
    # The step that both clients take for each single request, below redirects and authentication.
    send, send_async = Client._send_single_request, AsyncClient._send_single_request  # noqa: SLF001 - the public doors are above them

    def sent(self: Client, request: Any) -> Any:
        attempt, added = _begun(requests, request)
        if attempt is None:
            return send(self, request)
        try:
            response = send(self, request)
        except BaseException as error:
            attempt.failed(error)
            raise
        finally:
            _take_back(request, added)
        attempt.answered(response.status_code, response.http_version[5:])
        return response

    async def sent_async(self: AsyncClient, request: Any) -> Any:
        attempt, added = _begun(requests, request)
        if attempt is None:
            return await send_async(self, request)
        try:
            response = await send_async(self, request)
        except BaseException as error:
            attempt.failed(error)
            raise
        finally:
            _take_back(request, added)
        attempt.answered(response.status_code, response.http_version[5:])
        return response

    Client._send_single_request = sent  # type: ignore[method-assign]  # noqa: SLF001 - as above
    AsyncClient._send_single_request = sent_async  # type: ignore[method-assign]  # noqa: SLF001 - as above

    def undo() -> None:
        Client._send_single_request = send  # type: ignore[method-assign]  # noqa: SLF001 - as above
        AsyncClient._send_single_request = send_async  # type: ignore[method-assign]  # noqa: SLF001 - as above

    return undo


def _begun(requests: Requests, request: Any) -> tuple[Attempt | None, list[str]]:
    url, extensions = request.url, request.extensions
    resent = extensions.get(SENT, 0)
    attempt = requests.attempt(request.method, str(url), (url.scheme, url.raw_host.decode("ascii"), url.port), resent)
    if attempt is None:
        return None, []
    extensions[SENT] = resent + 1
    return attempt, attempt.inject(request.headers)


def _take_back(request: Any, added: list[str]) -> None:
    """A redirect copies the headers of its request: ours would look there like the caller's own."""
    headers = request.headers
    for name in added:
        try:  # noqa: SIM105 - a context manager costs more than what it guards; so does `pop`, which looks twice
            del headers[name]
        except KeyError:  # someone on the way has taken it
            pass
