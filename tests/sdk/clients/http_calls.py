"""The HTTP clients behind one door: what the tests ask of each of them is the same."""

import asyncio
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import aiohttp
import httpx
import requests

from gnomon.integrations import aiohttp as ours_aiohttp
from gnomon.integrations import httpx as ours_httpx
from gnomon.integrations import requests as ours_requests


@dataclass
class Answer:
    """Status, and the body if it is JSON."""

    status: int
    body: Any = None
    sent: dict[str, str] = field(default_factory=dict)


class Httpx:
    """`httpx.Client`."""

    module: ModuleType = ours_httpx
    refused, late, version = httpx.ConnectError, httpx.ReadTimeout, "1.1"

    async def call(self, method: str, url: str, *, timeout_s: float = 10, **options: Any) -> Answer:
        with httpx.Client(timeout=timeout_s, follow_redirects=True) as client:
            return _answer(client.request(method, url, **options))  # noqa: ASYNC212 - the kind that blocks


class HttpxAsync(Httpx):
    """`httpx.AsyncClient`."""

    async def call(self, method: str, url: str, *, timeout_s: float = 10, **options: Any) -> Answer:
        async with httpx.AsyncClient(timeout=timeout_s, follow_redirects=True) as client:
            return _answer(await client.request(method, url, **options))


class Requests:
    """`requests`, by its functions."""

    module = ours_requests
    refused, late, version = requests.ConnectionError, requests.ReadTimeout, "1.1"

    async def call(self, method: str, url: str, *, timeout_s: float = 10, **options: Any) -> Answer:
        return _answer(requests.request(method, url, timeout=timeout_s, **options))  # noqa: ASYNC210 - it blocks


class Aiohttp:
    """aiohttp's client."""

    module = ours_aiohttp
    refused, late, version = aiohttp.ClientConnectorError, asyncio.TimeoutError, "1.1"

    async def call(self, method: str, url: str, *, timeout_s: float = 10, **options: Any) -> Answer:
        limit = aiohttp.ClientTimeout(total=timeout_s)
        async with aiohttp.ClientSession(timeout=limit) as session, session.request(method, url, **options) as response:
            plain = response.content_type == "application/json"
            return Answer(response.status, await response.json() if plain else None)


def _answer(response: Any) -> Answer:
    plain = response.headers.get("content-type") == "application/json"
    return Answer(response.status_code, response.json() if plain else None, dict(response.request.headers))


CALLERS = (Httpx(), HttpxAsync(), Requests(), Aiohttp())
