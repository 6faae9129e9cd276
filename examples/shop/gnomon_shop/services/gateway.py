"""Gateway: the shop's front. Serves the pages, asks the others, takes the browsers' web vitals."""

import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse
from opentelemetry import metrics
from pydantic import BaseModel, Field

from gnomon_shop import ledger
from gnomon_shop.parts import funnel, rpc, web
from gnomon_shop.parts.effects import Effects
from gnomon_shop.parts.http import Peer
from gnomon_shop.settings import NEXT_CHECKOUT, Settings

FRONT = Path(__file__).resolve().parent.parent / "front"
FILES = {"shop.css": "text/css", "shop.js": "text/javascript", "vitals.js": "text/javascript"}
CATALOGUE_S, CHECKOUT_S, SIMILAR_S = 2.0, 8.0, 2.0  # deadlines
HASTY_S, HASTY_ATTEMPTS = 0.012, 8  # the planned storm: too little time, less the stronger, and again at once
NEXT_SHARE = 0.5  # of the checkouts, to a new version at full strength
VITALS = {"LCP": "ms", "FCP": "ms", "INP": "ms", "TTFB": "ms", "CLS": "1"}

log = logging.getLogger("shop.gateway")
meter = metrics.get_meter("shop.gateway")
vitals = {
    name: meter.create_histogram(
        f"web.vitals.{name.lower()}",
        unit,
        f"{name} as browsers measured it",
        explicit_bucket_boundaries_advisory=(
            (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1)
            if name == "CLS"
            else (50, 100, 200, 300, 500, 800, 1200, 1800, 2500, 3000, 4000, 6000, 10_000)
        ),
    )
    for name, unit in VITALS.items()
}
routes = APIRouter()


class Item(BaseModel):
    """What a visitor puts into the cart."""

    product: str
    quantity: int = Field(default=1, ge=1, le=100)


class Return(BaseModel):
    """Which order is given back."""

    order: str


class Vital(BaseModel):
    """One measurement of a browser, as the library web-vitals names it."""

    name: str
    value: float = Field(ge=0, le=600_000)
    rating: str = Field(default="", max_length=20)


class Beacon(BaseModel):
    """What a page sends when it is left."""

    page: str = Field(default="", max_length=40)
    device: str = Field(default="", max_length=20)
    metrics: list[Vital] = Field(max_length=10)


class Behind:
    """Those that the gateway asks."""

    def __init__(self, settings: Settings, effects: Effects) -> None:
        self._effects, self._random = effects, random.Random()
        self.catalogue = Peer(settings, effects, "catalogue", timeout_s=CATALOGUE_S)
        self.cart = Peer(settings, effects, "cart", timeout_s=2.0)
        self._checkout = Peer(settings, effects, "checkout", timeout_s=CHECKOUT_S)
        self._next_checkout = Peer(settings, effects, "checkout", timeout_s=CHECKOUT_S, place=NEXT_CHECKOUT)
        self.recommendation = rpc.Peer(settings, "recommendation", "shop.Recommendation")

    async def products(self, template: str, path: str, **more: Any) -> Any:
        """Ask catalogue; when a storm is planned, hastily first."""
        hasty_s = HASTY_S * (1 - 0.6 * self._effects.level("retry_storm"))
        for attempt in range(self._effects.times("retry_storm", HASTY_ATTEMPTS)):
            try:
                return await _answer(self.catalogue.call("GET", template, path=path, timeout_s=hasty_s, **more))
            except HTTPException as error:
                if error.status_code != 504:
                    raise
                log.warning("catalogue: GET %s attempt %d was not quick enough, at once again", template, attempt + 1)
        return await _answer(self.catalogue.call("GET", template, path=path, attempts=3, **more))

    async def till(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask checkout; while a new version is deployed, by chance that one. Never twice: it takes money."""
        level = self._effects.elsewhere("bad_deploy", "checkout")
        if level > 0 and self._random.random() < NEXT_SHARE * level:
            try:
                return await _answer(self._next_checkout.call("POST", path, json=body), connecting=True)
            except ConnectionRefusedError:
                log.warning("the new checkout is not there yet")
        return await _answer(self._checkout.call("POST", path, json=body))

    async def close(self) -> None:
        """Close the connections."""
        for peer in (self.catalogue, self.cart, self._checkout, self._next_checkout, self.recommendation):
            await peer.close()


async def _answer(call: Any, *, connecting: bool = False) -> Any:
    """What a service answered, or its failure made ours; ConnectionRefusedError, where wanted, when it is not there."""
    try:
        answer: httpx.Response = await call
    except httpx.HTTPError as error:
        if connecting and isinstance(error, httpx.ConnectError):
            raise ConnectionRefusedError from error
        status = 504 if isinstance(error, httpx.TimeoutException) else 503
        raise HTTPException(status, f"{type(error).__name__} {error}".strip()) from error
    if answer.status_code >= 500:
        raise HTTPException(502 if answer.status_code == 500 else answer.status_code, f"upstream: {answer.text[:200]}")
    if answer.is_error:
        raise HTTPException(answer.status_code, answer.json().get("detail", ""))
    return answer.json()


def _behind(request: Request) -> Behind:
    behind: Behind = request.app.state.behind
    return behind


def _user() -> str:
    return ledger.visitor()[0] or "guest"


@routes.get("/")
async def page() -> FileResponse:
    """The shop's page."""
    funnel.happened("visit", "%s comes in", _user())
    return FileResponse(FRONT / "index.html", media_type="text/html")


@routes.get("/front/{name}")
async def front(name: str) -> FileResponse:
    """A file of the page's."""
    if name not in FILES:
        raise HTTPException(404)
    return FileResponse(FRONT / name, media_type=FILES[name], headers={"cache-control": "max-age=300"})


@routes.get("/api/products")
async def products(request: Request, q: str = "", page: int = 1) -> Any:
    """A page of products; with `q` of those that fit."""
    answer = await _behind(request).products("/products", "/products", params={"q": q, "page": page})
    if q:
        funnel.happened("search", "%s searches %r: %d found", _user(), q[:80], len(answer["products"]))
    return answer


@routes.get("/api/products/{id}")
async def product(request: Request, id: str) -> Any:  # noqa: A002 - the route's parameter, as the ledger names it
    """One product."""
    answer = await _behind(request).products("/products/{id}", f"/products/{id}")
    funnel.happened("view", "%s looks at %s", _user(), id, **{"shop.product.id": id})
    return answer


@routes.get("/api/recommendations")
async def recommendations(request: Request, product: str = "") -> Any:
    """What is like a product or, without one, what the user might like. Dispensable: without an answer it is empty."""
    peer = _behind(request).recommendation
    try:
        if product:
            return await peer.ask("Similar", {"product": product}, timeout_s=SIMILAR_S, attempts=3)
        feed = peer.listen("Feed", {"user": _user()}, timeout_s=SIMILAR_S)
        return {"products": [one async for one in feed]}
    except grpc.aio.AioRpcError as error:
        if error.code() == grpc.StatusCode.NOT_FOUND:
            raise HTTPException(404, error.details()) from error
        log.exception("no recommendations: %s", error.code().name)
        return JSONResponse({"products": [], "detail": "none for now"}, 503)


@routes.post("/api/cart")
async def add(request: Request, item: Item) -> Any:
    """Put a product into the user's cart, at its price of now."""
    behind = _behind(request)
    product = await behind.products("/products/{id}", f"/products/{item.product}")
    body = {"product": item.product, "name": product["name"], "quantity": item.quantity, "cents": product["cents"]}
    cart = await _answer(behind.cart.call("POST", "/carts/{user}/items", path=f"/carts/{_user()}/items", json=body))
    funnel.happened(
        "cart", "%s takes %d x %s", _user(), item.quantity, item.product, **{"shop.product.id": item.product}
    )
    return cart


@routes.get("/api/cart")
async def cart(request: Request) -> Any:
    """What the user has in the cart."""
    return await _answer(_behind(request).cart.call("GET", "/carts/{user}", path=f"/carts/{_user()}", attempts=3))


@routes.post("/api/checkout")
async def checkout(request: Request) -> Any:
    """Buy what is in the cart."""
    return await _behind(request).till("/checkout")


@routes.post("/api/returns")
async def give_back(request: Request, wanted: Return) -> Any:
    """Give an order back."""
    return await _behind(request).till("/returns", {"order": wanted.order})


@routes.post("/api/login")
async def login() -> Any:
    """Nobody has a password here; who tries one is told so."""
    log.warning("login refused")
    raise HTTPException(401, "no such user, or another password")


@routes.post("/vitals", status_code=204)
async def take_vitals(beacon: Beacon) -> None:
    """What a browser measured."""
    for one in beacon.metrics:
        if one.name in vitals:
            labels = {"page": beacon.page, "device": beacon.device, "rating": one.rating}
            vitals[one.name].record(one.value, labels)


@asynccontextmanager
async def parts(app: FastAPI) -> AsyncIterator[None]:
    """Those it asks."""
    app.state.behind = Behind(app.state.settings, app.state.effects)
    yield
    await app.state.behind.close()


def main(settings: Settings, effects: Effects) -> None:
    """Serve until told to stop."""
    web.serve(settings, effects, routes, parts)
