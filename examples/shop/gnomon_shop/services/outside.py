"""The outside: a bank and a mail provider, mostly well, at times slow or failing. Not ours: no telemetry."""

import asyncio
import json
import random
from collections import OrderedDict
from typing import Any

import uvicorn

from gnomon_shop.parts.effects import Effects
from gnomon_shop.settings import Settings

DECLINED_RATIO = 0.04
REMEMBERED = 10_000


class Outside:
    """An ASGI application; who asks twice with one key gets one answer."""

    def __init__(self, seed: int) -> None:
        self._seed, self._random = seed, random.Random(f"outside {seed}")
        self._answered: OrderedDict[str, tuple[int, dict[str, Any]]] = OrderedDict()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """`POST /charges`, `/settlements`, `/refunds`, `/mails`; `GET /healthz`."""
        if scope["type"] != "http":
            return
        if scope["path"] == "/healthz":
            await _answer(send, 200, {"status": "ok"})
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        key = scope["path"] + dict(scope["headers"]).get(b"idempotency-key", b"").decode()
        await _answer(send, *await self._done(scope["path"], key, json.loads(body or b"{}")))

    async def _done(self, path: str, key: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        slow = self._random.random() < 0.004
        await asyncio.sleep(self._random.uniform(0.5, 1.2) if slow else 0.018 * self._random.lognormvariate(0, 0.5))
        if self._random.random() < 0.01:
            return 503, {"error": "try again"}
        if key not in self._answered:
            self._answered[key] = self._decided(path, body)
            if len(self._answered) > REMEMBERED:
                self._answered.popitem(last=False)
        return self._answered[key]

    def _decided(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """By what is charged, not by chance: so the same journeys are declined in every run of a seed."""
        if path == "/charges":
            rng = random.Random(f"{self._seed} {body['user']} {body['cents']}")
            if rng.random() < DECLINED_RATIO:
                return 402, {"error": "declined"}
        return 200, {"state": "done"}


async def _answer(send: Any, status: int, body: dict[str, Any]) -> None:
    head = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


def main(settings: Settings, _: Effects) -> None:
    """Serve until told to stop."""
    host, port = settings.here
    uvicorn.run(Outside(settings.seed), host=host, port=port, log_config=None, access_log=False, lifespan="off")
