"""Calling by HTTP: httpx with a deadline, retries and back-off; each attempt in the ledger and in a span of its own."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from opentelemetry import trace

from gnomon_shop import ledger
from gnomon_shop.parts import sdk
from gnomon_shop.parts.effects import Effects
from gnomon_shop.settings import Settings

CONNECT_S = 1.0
RETRIED = {502, 503, 504}
BACKOFF_S = 0.05  # doubled each time, and any part of it is waited

log = logging.getLogger("shop.http")


class _Wire(httpx.AsyncHTTPTransport):
    """What is below the client's span: the place to say which span it is, and to be slow or broken on purpose."""

    def __init__(self, effects: Effects, peer: str, broken: Callable[[], None] | None) -> None:
        # Closed before the server's five seconds are over: else a request may meet a connection just closed.
        super().__init__(limits=httpx.Limits(max_connections=100, keepalive_expiry=3))
        self._effects, self._peer, self._broken = effects, peer, broken

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One attempt."""
        if operation := ledger.current():
            operation.spanned()
        trace.get_current_span().set_attribute("peer.service", self._peer)
        if self._broken:
            self._broken()
        await self._effects.dependency()
        return await super().handle_async_request(request)


class Peer:
    """One service that is called by HTTP: with a deadline, and again with back-off where that does no harm.

    Args:
        name: of the service called, as in the ledger.
        broken: called before each attempt; may raise `httpx.ConnectError`.
    """

    def __init__(
        self,
        settings: Settings,
        effects: Effects,
        name: str,
        *,
        timeout_s: float = 3.0,
        place: str = "",
        broken: Callable[[], None] | None = None,
    ) -> None:
        self.name, self.timeout_s, self._random = name, timeout_s, random.Random()
        transport = sdk.chosen().transport(_Wire(effects, name, broken))
        self._client = httpx.AsyncClient(transport=transport, base_url=settings.url(place or name), timeout=timeout_s)

    async def call(
        self,
        method: str,
        template: str,
        *,
        path: str = "",
        attempts: int = 1,
        timeout_s: float = 0.0,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """The answer, whatever its status; httpx.HTTPError when there was none.

        Args:
            method: GET, POST, ...
            template: the route, as the ledger names it.
            path: the same with its parameters filled in.
            attempts: how often at most; only for what may be done twice.
            timeout_s: of each attempt; as said to the constructor, unless given.
            headers: beside those that carry the trace and the ledger.
            more: `params`, `json`.
        """
        for attempt in range(1, attempts + 1):
            try:
                answer = await self._once(method, template, path or template, timeout_s, headers or {}, more)
            except httpx.HTTPError as error:
                if attempt == attempts:
                    raise
                why = f"{type(error).__name__} {error}".strip()
            else:
                if answer.status_code not in RETRIED or attempt == attempts:
                    return answer
                why = str(answer.status_code)
            log.warning("%s: %s %s attempt %d failed (%s), once more", self.name, method, template, attempt, why)
            await asyncio.sleep(BACKOFF_S * 2**attempt * self._random.random())
        raise ValueError("attempts must be at least 1")

    async def _once(
        self, method: str, template: str, path: str, timeout_s: float, headers: Mapping[str, str], more: Any
    ) -> httpx.Response:
        with ledger.operation(f"{method} {template}", "client", self.name) as operation:
            sent = {**headers, **ledger.headers()}
            timeout = httpx.Timeout(timeout_s or self.timeout_s, connect=CONNECT_S)
            answer = await self._client.request(method, path, headers=sent, timeout=timeout, **more)
            operation.status, operation.ok = str(answer.status_code), answer.status_code < 400
            return answer

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()
