"""aiohttp's client: every attempt of every session; a websocket is the one span of its handshake.

We stand innermost among the session's middlewares (aiohttp 3.12 and later), so that redirects and retries are seen one
by one, and the host's own middlewares and `trace_configs` stay as they are.
"""

from asyncio import CancelledError
from collections.abc import Callable
from typing import Any

from aiohttp import ClientSession
from aiohttp.client_middlewares import build_client_middlewares as _needed  # noqa: F401 - fails where there are none

from gnomon.integrations.http_client import Attempt, Requests
from gnomon.integrations.telemetry import Telemetry


def install(telemetry: Telemetry) -> Callable[[], None]:
    """Follow every request of every session, those that exist among them."""
    requests = Requests(telemetry, "gnomon.integrations.aiohttp")
    request = ClientSession._request  # noqa: SLF001 - all public doors lead to it, and it alone sees timeouts

    async def requested(self: ClientSession, *args: Any, **options: Any) -> Any:
        theirs = options.get("middlewares")
        if theirs is None:
            theirs = self._middlewares
        sending = _Sending(requests)
        try:
            response = await request(self, *args, **{**options, "middlewares": (*theirs, sending)})
        except BaseException as error:
            sending.left(error)
            raise
        sending.left(None)
        return response

    ClientSession._request = requested  # type: ignore[method-assign]  # noqa: SLF001 - as above

    def undo() -> None:
        ClientSession._request = request  # type: ignore[method-assign]  # noqa: SLF001 - as above

    return undo


class _Sending:
    """One call of the host's: a middleware that sees its attempts."""

    __slots__ = ("_attempt", "_requests", "_sent")

    def __init__(self, requests: Requests) -> None:
        self._requests, self._sent = requests, 0
        self._attempt: Attempt | None = None

    async def __call__(self, request: Any, handler: Any) -> Any:
        self.left(None)
        url = request.url
        server = (url.scheme, url.raw_host or "", url.explicit_port)
        attempt = self._attempt = self._requests.attempt(request.method, str(url), server, self._sent)
        if attempt is None:
            return await handler(request)
        self._sent += 1
        attempt.inject(request.headers)
        try:
            response = await handler(request)
        except Exception as error:
            attempt.failed(error)
            raise
        version = response.version
        attempt.answered(response.status, f"{version.major}.{version.minor}" if version else "")
        return response

    def left(self, error: BaseException | None) -> None:
        """An attempt that was cancelled failed of what came out above: of a timeout, or of the cancellation itself.

        None: a middleware of the host's gave up waiting, and went on without it.
        """
        if self._attempt is not None:
            self._attempt.failed(CancelledError() if error is None else error)
