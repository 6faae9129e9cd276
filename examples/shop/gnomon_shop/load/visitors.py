"""Visitors at work: each walks through a journey over HTTP, at their own pace, and leaves when the shop fails them."""

import asyncio
import random
from collections import Counter
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any

import aiohttp
from yarl import URL

from gnomon_shop import ledger
from gnomon_shop.load import vitals
from gnomon_shop.load.journeys import Journey, Step
from gnomon_shop.load.scan import Probe
from gnomon_shop.load.users import AGENTS

PATIENCE_S = 10.0
THINK_LEAST_S = 0.05  # however compressed the day
NO_ANSWER = "none"
DISPENSABLE = {"similar"}  # without it a page is still a page; any other failure makes a visitor leave


@dataclass(slots=True)
class Answer:
    """What came back, and how long it took; status 0 for nothing."""

    status: int
    seconds: float
    content: Any = None


@dataclass
class Tally:
    """What the load did, counted; written to `load.json` at the end."""

    arrived: int = 0
    dropped: int = 0  # not let in, as too many were in the shop already
    cut_short: int = 0  # left after a failure
    journeys: Counter[str] = field(default_factory=Counter[str])
    requests: Counter[str] = field(default_factory=Counter[str])  # by "action status"

    def told(self) -> dict[str, Any]:
        """As plain numbers, for JSON."""
        return vars(self) | {"journeys": dict(self.journeys), "requests": dict(self.requests)}

    def line(self) -> str:
        """One line for the log."""
        failed = sum(n for key, n in self.requests.items() if key.endswith(NO_ANSWER) or key.split()[-1][0] == "5")
        return (
            f"{self.arrived} visits, {self.dropped} dropped, {self.cut_short} cut short; "
            f"{self.requests.total()} requests, {failed} failed"
        )


class Visitors:
    """All who are in the shop; `compression` is how many of their seconds pass in one of ours."""

    def __init__(self, client: aiohttp.ClientSession, gateway: str, compression: float) -> None:
        self._client, self._gateway, self._compression = client, gateway, compression
        self.tally, self.closing = Tally(), asyncio.Event()

    async def visit(self, journey: Journey) -> None:
        """Walk through the journey: to its end, to the first failure, or until the shop closes."""
        self.tally.journeys[journey.kind] += 1
        order, rng = "", random.Random(f"vitals {journey.session}")
        sent = {"user-agent": AGENTS[journey.user.device], "x-forwarded-for": journey.user.address}
        with ledger.continued({ledger.USER: journey.user.id, ledger.SESSION: journey.session}):
            for step in journey.steps:
                await self._think(step.think_s)
                if self.closing.is_set():
                    return
                if step.action == "return" and not order:  # the bank declined it: nothing to return
                    return
                answer = await self._act(step, order, sent)
                if (answer.status == 0 or answer.status >= 500) and step.action not in DISPENSABLE:
                    self.tally.cut_short += 1
                    return
                if step.action == "checkout" and answer.status < 300:
                    order = answer.content["order"]
                if step.vitals:
                    body = vitals.beacon(rng, journey.user, step.action, answer.seconds)
                    await self._request("vitals", "POST", "/vitals", "/vitals", body, sent)

    async def probe(self, probe: Probe) -> None:
        """One request of a scan: no user, no session."""
        await self._request("probe", probe.method, "*", probe.path, probe.body or None, probe.headers)

    async def _think(self, seconds: float) -> None:
        if seconds:
            await asyncio.sleep(max(THINK_LEAST_S, seconds / self._compression))

    async def _act(self, step: Step, order: str, headers: dict[str, str]) -> Answer:
        method, route, path, body = request(step, order)
        return await self._request(step.action, method, route, path, body, headers)

    async def _request(
        self, action: str, method: str, route: str, path: str, body: Any, headers: dict[str, str]
    ) -> Answer:
        with ledger.operation(f"{method} {route}", "client", "gateway") as op:
            answer = await self._sent(method, path, body, headers | ledger.headers())
            op.status = str(answer.status or NO_ANSWER)
            op.ok = 0 < answer.status < 500
        self.tally.requests[f"{action} {op.status}"] += 1
        return answer

    async def _sent(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        began = perf_counter()
        try:
            url = URL(self._gateway + path, encoded=True)  # a probe's path shall arrive as it is
            async with self._client.request(method, url, json=body, headers=headers, allow_redirects=False) as response:
                is_json = response.content_type == "application/json"
                content = await (response.json() if is_json else response.read())
                return Answer(response.status, perf_counter() - began, content)
        except (aiohttp.ClientError, TimeoutError):
            return Answer(0, perf_counter() - began)


# What each action asks for: method, route, the path if it is another, the body. Filled in with the step's own fields.
REQUESTS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "home": ("GET", "/", "", ()),
    "list": ("GET", "/api/products", "/api/products?page={page}", ()),
    "search": ("GET", "/api/products", "/api/products?q={words}", ()),
    "view": ("GET", "/api/products/{id}", "/api/products/{product}", ()),
    "similar": ("GET", "/api/recommendations", "/api/recommendations?product={product}", ()),
    "add": ("POST", "/api/cart", "", ("product", "quantity")),
    "cart": ("GET", "/api/cart", "", ()),
    "checkout": ("POST", "/api/checkout", "", ()),
    "return": ("POST", "/api/returns", "", ("order",)),
}


def request(step: Step, order: str) -> tuple[str, str, str, Any]:
    """Method, route, path with query, and body of a step."""
    method, route, path, named = REQUESTS[step.action]
    fields = asdict(step) | {"order": order}
    body = {name: fields[name] for name in named} if method == "POST" else None
    return method, route, (path or route).format_map(fields), body
