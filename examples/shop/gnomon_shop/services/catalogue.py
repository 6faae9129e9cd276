"""Catalogue: products from the database; single ones and the counts per category by way of the cache."""

import asyncio
import json
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import time
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request
from opentelemetry import metrics, trace

from gnomon_shop.parts import cache, web
from gnomon_shop.parts.cache import Cache
from gnomon_shop.parts.database import Database, NoConnectionError
from gnomon_shop.parts.effects import Effects
from gnomon_shop.services.goods import goods
from gnomon_shop.settings import Settings

PAGE = 12
TTL_S = 30.0
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS products (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, category TEXT NOT NULL, cents INTEGER NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS products_by_category ON products (category)",
)
INSERT = "INSERT INTO products VALUES (:id, :name, :category, :cents) ON CONFLICT (id) DO NOTHING"
FOUND = "FROM products WHERE lower(name) LIKE :like OR category LIKE :like"
LIST = f"SELECT id, name, category, cents {FOUND} ORDER BY id LIMIT :limit OFFSET :offset"
IDS = f"SELECT id {FOUND} ORDER BY id LIMIT :limit OFFSET :offset"
ONE = "SELECT id, name, category, cents FROM products WHERE id = :id"
CATEGORIES = "SELECT category, count(*) AS products, min(cents) AS cheapest FROM products GROUP BY category"
RELATED = """SELECT id FROM products WHERE category = (SELECT category FROM products WHERE id = :id) AND id <> :id
    ORDER BY abs(cents - (SELECT cents FROM products WHERE id = :id)), id LIMIT 8"""
STAMPEDE_S = 4.0  # at full strength everything is thrown away this often

log = logging.getLogger("shop.catalogue")
found = metrics.get_meter("shop.catalogue").create_histogram(
    "shop.catalogue.results", "{product}", "Products on a page of a list"
)
routes = APIRouter()


class Shelf:
    """The products, where they are read from."""

    def __init__(self, database: Database, kept: Cache, effects: Effects) -> None:
        self._database, self._cache, self._effects = database, kept, effects
        self._computing: dict[str, asyncio.Lock] = {}

    async def page(self, words: str, number: int) -> list[dict[str, Any]]:
        """One page of those that a search finds, all for no words."""
        asked = {"like": f"%{words.lower()}%", "limit": PAGE, "offset": (number - 1) * PAGE}
        if not self._effects.struck("n_plus_one"):
            return [dict(row) for row in await self._database.rows("SELECT products", LIST, **asked)]
        ids = await self._database.rows("SELECT products", IDS, **asked)
        return [await self._one(row["id"]) or {} for row in ids]

    async def product(self, product_id: str) -> dict[str, Any] | None:
        """One product with those that are like it."""

        async def computed() -> Any:
            product = await self._one(product_id)
            if product is None:
                return None
            related = await self._database.rows("SELECT products", RELATED, id=product_id)
            return product | {"related": [row["id"] for row in related]}

        return await self._cached(f"product:{product_id}", computed)

    async def categories(self) -> list[dict[str, Any]]:
        """All categories with the number of their products."""

        async def computed() -> Any:
            return [dict(row) for row in await self._database.rows("SELECT products", CATEGORIES)]

        return await self._cached("categories", computed)

    async def _one(self, product_id: str) -> dict[str, Any] | None:
        rows = await self._database.rows("SELECT products", ONE, id=product_id)
        return dict(rows[0]) if rows else None

    async def _cached(self, key: str, compute: Callable[[], Awaitable[Any]]) -> Any:
        """From the cache, else computed by one for all who ask meanwhile."""
        level = self._effects.level("cache_stampede")
        if level > 0:
            return await self._stampeded(key, compute, level)
        if (value := await self._cache.get(key)) is not None:
            return json.loads(value)
        async with self._computing.setdefault(key, asyncio.Lock()):
            if (value := await self._cache.get(key)) is not None:
                return json.loads(value)
            return await self._computed(key, compute, TTL_S)

    async def _stampeded(self, key: str, compute: Callable[[], Awaitable[Any]], level: float) -> Any:
        """All entries are thrown away at the same moments; everyone who misses computes, the dearer the stronger."""
        period_s = STAMPEDE_S / level
        key = f"{math.floor(time() / period_s)}:{key}"
        if (value := await self._cache.get(key)) is not None:
            return json.loads(value)
        for _ in range(self._effects.times("cache_stampede", 10)):
            await self._database.rows("SELECT products", CATEGORIES)
        return await self._computed(key, compute, period_s)

    async def _computed(self, key: str, compute: Callable[[], Awaitable[Any]], ttl_s: float) -> Any:
        value = await compute()
        await self._cache.put(key, json.dumps(value).encode(), ttl_s)
        return value


@routes.get("/products")
async def products(request: Request, q: str = "", page: int = 1) -> dict[str, Any]:
    """One page of products."""
    shelf: Shelf = request.app.state.shelf
    if not 1 <= page <= 1000:
        raise HTTPException(422, "page counts from 1 to 1000")
    listed, categories = await _tried(shelf.page(q, page)), await _tried(shelf.categories())
    found.record(len(listed), {"search": bool(q)})
    trace.get_current_span().set_attributes({"shop.search": q, "shop.results": len(listed)})
    if q and not listed:
        log.warning("nothing found for %r", q[:80], extra={"shop.search": q[:80]})
    return {"products": listed, "page": page, "categories": categories}


@routes.get("/products/{id}")
async def product(request: Request, id: str) -> dict[str, Any]:  # noqa: A002 - the route's parameter, as the ledger names it
    """One product."""
    shelf: Shelf = request.app.state.shelf
    one = await _tried(shelf.product(id))
    if one is None:
        raise HTTPException(404, f"there is no product {id}")
    return dict(one)


async def _tried(work: Awaitable[Any]) -> Any:
    try:
        return await work
    except NoConnectionError as error:
        raise HTTPException(503, str(error)) from error


@asynccontextmanager
async def parts(app: FastAPI) -> AsyncIterator[None]:
    """The database, filled, and the cache."""
    settings, effects = app.state.settings, app.state.effects
    database = await Database.open(settings, effects, SCHEMA)
    async with database.connection() as connection:
        await connection.fill(INSERT, goods(settings.seed))
    kept = cache.connect(settings, effects)
    app.state.shelf = Shelf(database, kept, effects)
    yield
    await kept.close()
    await database.close()


def main(settings: Settings, effects: Effects) -> None:
    """Serve until told to stop."""
    web.serve(settings, effects, routes, parts)
