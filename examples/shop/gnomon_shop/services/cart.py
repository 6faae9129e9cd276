"""Cart: what each user has put into it, kept in the cache for an hour."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from opentelemetry import metrics, trace
from pydantic import BaseModel, Field

from gnomon_shop.parts import cache, web
from gnomon_shop.parts.cache import Cache
from gnomon_shop.parts.effects import Effects
from gnomon_shop.settings import Settings

TTL_S = 3600.0

meter = metrics.get_meter("shop.cart")
added = meter.create_counter("shop.cart.items", "{item}", "Items put into carts")
routes = APIRouter()


class Item(BaseModel):
    """So many of a product, at its price in cents."""

    product: str
    name: str = ""
    quantity: int = Field(ge=1, le=1000)
    cents: int = Field(ge=0)


@routes.post("/carts/{user}/items")
async def add(request: Request, user: str, item: Item) -> dict[str, Any]:
    """Put something in; answers with the cart."""
    cart = await _cart(request, user)
    for there in cart["items"]:
        if there["product"] == item.product:
            there["quantity"] += item.quantity
            break
    else:
        cart["items"].append(item.model_dump())
    await _kept(request).put(user, json.dumps(cart["items"]).encode(), TTL_S)
    added.add(item.quantity)
    return _summed(cart["items"])


@routes.get("/carts/{user}")
async def get(request: Request, user: str) -> dict[str, Any]:
    """What is in it, and what that costs."""
    return await _cart(request, user)


@routes.delete("/carts/{user}", status_code=204)
async def empty(request: Request, user: str) -> None:
    """Take everything out."""
    await _kept(request).drop(user)


async def _cart(request: Request, user: str) -> dict[str, Any]:
    value = await _kept(request).get(user)
    cart = _summed(json.loads(value) if value else [])
    trace.get_current_span().set_attribute("shop.cart.cents", cart["cents"])
    return cart


def _summed(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"items": items, "cents": sum(item["cents"] * item["quantity"] for item in items)}


def _kept(request: Request) -> Cache:
    kept: Cache = request.app.state.cache
    return kept


@asynccontextmanager
async def parts(app: FastAPI) -> AsyncIterator[None]:
    """The cache."""
    app.state.cache = cache.connect(app.state.settings, app.state.effects)
    yield
    await app.state.cache.close()


def main(settings: Settings, effects: Effects) -> None:
    """Serve until told to stop."""
    web.serve(settings, effects, routes, parts)
