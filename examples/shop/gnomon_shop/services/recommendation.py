"""Recommendation: what is like a product (unary), and what a user might like (a stream)."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
from opentelemetry import metrics, trace

from gnomon_shop.parts import rpc, telemetry
from gnomon_shop.parts.effects import Effects
from gnomon_shop.parts.http import Peer
from gnomon_shop.settings import Settings

SIMILAR = 3
FEED = 4
PAGES = 20

log = logging.getLogger("shop.recommendation")
tracer = trace.get_tracer("shop.recommendation")
given = metrics.get_meter("shop.recommendation").create_counter(
    "shop.recommendations", "{product}", "Products recommended, by method"
)


class Recommendation:
    """The two methods."""

    def __init__(self, settings: Settings, effects: Effects) -> None:
        self._catalogue, self._seed = Peer(settings, effects, "catalogue", timeout_s=1.5), settings.seed

    async def similar(self, request: rpc.Message, _: grpc.aio.ServicerContext) -> rpc.Message:
        """`{"product": id}` to `{"products": [...]}`."""
        product = await self._asked("/products/{id}", f"/products/{request['product']}")
        with tracer.start_as_current_span("rank") as span:
            related = sorted(product["related"], key=lambda other: random.Random(f"{self._seed} {other}").random())[
                :SIMILAR
            ]
            span.set_attribute("shop.candidates", len(product["related"]))
        products = [await self._asked("/products/{id}", f"/products/{other}") for other in related]
        given.add(len(products), {"method": "Similar"})
        return {"products": [_shown(one) for one in products]}

    async def feed(self, request: rpc.Message, _: grpc.aio.ServicerContext) -> AsyncIterator[rpc.Message]:
        """`{"user": id}` to some products, one by one."""
        rng = random.Random(f"{self._seed} {request['user']}")
        page = await self._asked("/products", "/products", params={"page": rng.randint(1, PAGES)})
        for product in rng.sample(page["products"], min(FEED, len(page["products"]))):
            given.add(1, {"method": "Feed"})
            yield _shown(product)

    async def _asked(self, template: str, path: str, **more: Any) -> dict[str, Any]:
        try:
            answer = await self._catalogue.call("GET", template, path=path, attempts=3, **more)
        except httpx.HTTPError as error:
            raise rpc.RpcError(grpc.StatusCode.UNAVAILABLE, f"catalogue: {type(error).__name__}") from error
        if answer.status_code == 404:
            raise rpc.RpcError(grpc.StatusCode.NOT_FOUND, "no such product")
        if answer.is_error:
            raise rpc.RpcError(grpc.StatusCode.INTERNAL, f"catalogue answered {answer.status_code}")
        return dict(answer.json())


def _shown(product: dict[str, Any]) -> dict[str, Any]:
    return {key: product[key] for key in ("id", "name", "category", "cents")}


async def _serve(settings: Settings, effects: Effects) -> None:
    async with telemetry.running(settings):
        recommendation = Recommendation(settings, effects)
        service = rpc.Service("shop.Recommendation", effects)
        service.unary("Similar", recommendation.similar)
        service.stream("Feed", recommendation.feed)
        await rpc.serve(settings, [service])


def main(settings: Settings, effects: Effects) -> None:
    """Serve until told to stop."""
    asyncio.run(_serve(settings, effects))
