"""Asks a running server over Prometheus' HTTP API."""

import asyncio
import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

from tests.promqltest.answers import Failure, Reply, of_json

_CLIENT_ERRORS = range(400, 500)


@dataclass(frozen=True, slots=True)
class HttpAsker:
    """An Asker. `address` is `http://host:port`; the tenant travels as `X-Scope-OrgID`."""

    address: str

    async def instant(self, query: str, *, at_ms: int, tenant: str) -> Reply:
        """`/api/v1/query`."""
        return await self._ask("query", tenant, query=query, time=_seconds(at_ms))

    async def range(self, query: str, *, start_ms: int, end_ms: int, step_ms: int, tenant: str) -> Reply:
        """`/api/v1/query_range`."""
        start, end, step = _seconds(start_ms), _seconds(end_ms), _seconds(step_ms)
        return await self._ask("query_range", tenant, query=query, start=start, end=end, step=step)

    async def _ask(self, path: str, tenant: str, **parameters: str) -> Reply:
        body = urllib.parse.urlencode(parameters).encode()
        address, headers = f"{self.address}/api/v1/{path}", {"X-Scope-OrgID": tenant}
        request = urllib.request.Request(address, body, headers)
        status, answer = await asyncio.to_thread(_posted, request)
        try:
            reply = of_json(answer)
        except (KeyError, TypeError, ValueError) as error:
            return Failure(f"{status}: not an answer of Prometheus' API ({error!r}): {answer!r}", unexpected=True)
        if isinstance(reply, Failure) and status not in _CLIENT_ERRORS:
            return Failure(f"{status}: {reply.message}", unexpected=True)
        return reply


def _posted(request: urllib.request.Request) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            text = error.read()
        try:
            return error.code, json.loads(text)
        except ValueError:
            return error.code, text.decode("utf-8", "replace")


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f}"
