"""Checkout: takes the cart to an order: charged by payment, written to the database, told to notification."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex
from time import time_ns
from typing import Any

import grpc
import httpx
from fastapi import APIRouter, FastAPI, HTTPException, Request
from opentelemetry import metrics, trace
from pydantic import BaseModel

from gnomon_shop import ledger
from gnomon_shop.parts import funnel, http, queue, rpc, web
from gnomon_shop.parts.database import Database, NoConnectionError
from gnomon_shop.parts.effects import Effects
from gnomon_shop.services import QUEUE
from gnomon_shop.services.goods import DISCOUNT_RATIO
from gnomon_shop.settings import VERSION, Settings

CHARGE_S, REFUND_S, SETTLE_S = 6.0, 6.0, 10.0  # deadlines
SETTLE_EVERY_S = 15.0
REVENUE_DROP_RATIO = 0.6
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS orders (
        id TEXT PRIMARY KEY, customer TEXT NOT NULL, cents INTEGER NOT NULL,
        state TEXT NOT NULL, placed_ns BIGINT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS order_items (
        order_id TEXT NOT NULL, product TEXT NOT NULL, quantity INTEGER NOT NULL, cents INTEGER NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS orders_by_state ON orders (state)",
)
INSERT_ORDER = "INSERT INTO orders VALUES (:id, :customer, :cents, 'placed', :placed_ns)"
INSERT_ITEM = "INSERT INTO order_items VALUES (:order_id, :product, :quantity, :cents)"
SELECT_ORDER = "SELECT id, customer, cents, state FROM orders WHERE id = :id"
RETURN_ORDER = "UPDATE orders SET state = 'returned' WHERE id = :id"
SETTLE_ORDERS = "UPDATE orders SET state = 'settled' WHERE id IN :ids AND state = 'placed'"
SELECT_UNSETTLED = "SELECT id, cents FROM orders WHERE state = 'placed' ORDER BY placed_ns LIMIT 200"

log = logging.getLogger("shop.checkout")
tracer = trace.get_tracer("shop.checkout")
meter = metrics.get_meter("shop.checkout")
orders = meter.create_counter("shop.orders", "{order}", "Orders placed")
revenue = meter.create_counter("shop.revenue", "{cent}", "What they brought")
amounts = meter.create_histogram("shop.order.amount", "{cent}", "The sum of an order")
returned = meter.create_counter("shop.returns", "{cent}", "Given back")
refusals = meter.create_counter("shop.checkout.refused", "{checkout}", "Checkouts without an order, by reason")
routes = APIRouter()


class Return(BaseModel):
    """Which order is given back."""

    order: str


class Till:
    """Everything that an order needs."""

    def __init__(self, settings: Settings, effects: Effects, database: Database) -> None:
        self._effects, self._database = effects, database
        self._cart = http.Peer(settings, effects, "cart", timeout_s=2.0)
        self._payment = rpc.Peer(settings, "payment", "shop.Payment")
        self._queue = queue.connect(settings, effects, QUEUE, "notification")

    async def checkout(self, user: str) -> dict[str, Any]:
        """Turn the user's cart into an order."""
        cart = await self._in_cart(user)
        if not cart["items"]:
            raise _refused("empty", 409, "the cart is empty")
        order, cents = f"o-{token_hex(6)}", self._due(cart["cents"])
        funnel.happened("checkout", "%s is at the till with %d items", user, len(cart["items"]))
        await self._charged(order, user, cents)
        try:
            await self._written(order, user, cents, cart["items"])
        except NoConnectionError:
            await self._refunded(order, cents)  # the money was taken for an order that is not to be
            raise
        span = trace.get_current_span()
        span.set_attributes({"shop.order.id": order, "shop.order.cents": cents, "shop.user.id": user})
        orders.add(1)
        revenue.add(cents)
        amounts.record(cents)
        funnel.happened("order", "order %s: %d cents", order, cents, order=order, cents=cents)
        await self._told(order, user, cents)
        return {"order": order, "cents": cents}

    async def give_back(self, order: str, user: str) -> dict[str, Any]:
        """Refund an order of the user's."""
        rows = await self._database.rows("SELECT orders", SELECT_ORDER, id=order)
        if not rows or rows[0]["customer"] != user:
            raise _refused("unknown", 404, f"there is no order {order}")
        if rows[0]["state"] == "returned":
            raise _refused("returned", 409, f"{order} has been returned already")
        cents = int(rows[0]["cents"])
        await self._refunded(order, cents)
        async with self._database.connection() as connection:
            await connection.run("UPDATE orders", RETURN_ORDER, id=order)
            await connection.commit()
        returned.add(cents)
        funnel.happened("return", "order %s is returned: %d cents", order, cents, order=order, cents=cents)
        return {"order": order, "cents": cents}

    async def settle(self) -> None:
        """Every now and then pass the new orders to the bank; what fails comes with the next."""
        while True:
            await asyncio.sleep(SETTLE_EVERY_S)
            with (
                tracer.start_as_current_span("settle") as span,
                ledger.continued({}),
                ledger.operation("settle", "internal") as operation,
            ):
                try:
                    span.set_attribute("shop.settled.orders", await self._settled())
                except (grpc.aio.AioRpcError, NoConnectionError) as error:
                    operation.failed(type(error).__name__)
                    span.record_exception(error)
                    log.warning("not settled, later: %s", error)

    async def close(self) -> None:
        """Close the connections."""
        await self._cart.close()
        await self._payment.close()
        await self._queue.close()

    def _due(self, cents: int) -> int:
        """After the discount, and after the one that the planned bug takes off as well."""
        bug = 1 - REVENUE_DROP_RATIO * self._effects.level("revenue_drop")
        return round(cents * (1 - DISCOUNT_RATIO) * bug)

    async def _in_cart(self, user: str) -> dict[str, Any]:
        try:
            answer = await self._cart.call("GET", "/carts/{user}", path=f"/carts/{user}", attempts=3)
        except httpx.HTTPError as error:
            raise _refused("cart", 503, f"the cart cannot be reached: {type(error).__name__}") from error
        if answer.is_error:
            raise _refused("cart", 502, f"the cart answered {answer.status_code}")
        return dict(answer.json())

    async def _charged(self, order: str, user: str, cents: int) -> None:
        try:
            charge = {"order": order, "user": user, "cents": cents}
            answer = await self._payment.ask("Charge", charge, timeout_s=CHARGE_S)
        except grpc.aio.AioRpcError as error:
            raise _refused("payment", 503, f"payment failed: {error.code().name} {error.details()}") from error
        if answer["state"] == "declined":
            funnel.happened("declined", "%s was declined: %d cents", user, cents)
            raise _refused("declined", 402, "the bank declined")

    async def _written(self, order: str, user: str, cents: int, items: list[dict[str, Any]]) -> None:
        async with self._database.connection() as connection:
            await connection.run(
                "INSERT orders", INSERT_ORDER, id=order, customer=user, cents=cents, placed_ns=time_ns()
            )
            for item in items:
                bought = {"product": item["product"], "quantity": item["quantity"], "cents": item["cents"]}
                await connection.run("INSERT order_items", INSERT_ITEM, order_id=order, **bought)
            await connection.commit()

    async def _told(self, order: str, user: str, cents: int) -> None:
        """The order stands, whatever happens here; so the rest is tried and, should it fail, said."""
        try:
            await self._queue.send({"order": order, "user": user, "cents": cents})
        except OSError:
            log.exception("no mail for %s, the queue is away", order, extra={"shop.order.id": order})
        try:
            await self._cart.call("DELETE", "/carts/{user}", path=f"/carts/{user}", attempts=3)
        except httpx.HTTPError as error:
            log.warning("the cart of %s stays full: %s", user, type(error).__name__)

    async def _refunded(self, order: str, cents: int) -> None:
        async def refunds() -> AsyncIterator[rpc.Message]:
            yield {"order": order, "cents": cents}

        try:
            async for news in self._payment.talk("Watch", refunds(), timeout_s=REFUND_S):
                log.info("refund of %s is %s", order, news["state"], extra={"shop.order.id": order})
        except grpc.aio.AioRpcError as error:
            raise _refused("payment", 503, f"refund failed: {error.code().name}") from error

    async def _settled(self) -> int:
        rows = await self._database.rows("SELECT orders", SELECT_UNSETTLED)
        if not rows:
            return 0

        async def unsettled() -> AsyncIterator[rpc.Message]:
            for row in rows:
                yield {"order": row["id"], "cents": int(row["cents"])}

        answer = await self._payment.tell("Settle", unsettled(), timeout_s=SETTLE_S)
        async with self._database.connection() as connection:
            await connection.run("UPDATE orders", SETTLE_ORDERS, ids=[row["id"] for row in rows])
            await connection.commit()
        return int(answer["orders"])


def _refused(reason: str, status: int, why: str) -> HTTPException:
    refusals.add(1, {"reason": reason})
    log.log(logging.WARNING if status < 500 else logging.ERROR, "no order: %s", why, extra={"shop.reason": reason})
    return HTTPException(status, why)


@routes.post("/checkout")
async def checkout(request: Request) -> dict[str, Any]:
    """Place an order for the user of the request."""
    try:
        answer: dict[str, Any] = await request.app.state.till.checkout(_user())
    except NoConnectionError as error:
        raise _refused("database", 503, str(error)) from error
    return answer


@routes.post("/returns")
async def give_back(request: Request, wanted: Return) -> dict[str, Any]:
    """Give an order of the user's back."""
    try:
        answer: dict[str, Any] = await request.app.state.till.give_back(wanted.order, _user())
    except NoConnectionError as error:
        raise _refused("database", 503, str(error)) from error
    return answer


def _user() -> str:
    user, _ = ledger.visitor()
    if not user:
        raise HTTPException(401, "nobody is at the till: x-user is missing")
    return user


@asynccontextmanager
async def parts(app: FastAPI) -> AsyncIterator[None]:
    """The database, and those it calls."""
    settings, effects = app.state.settings, app.state.effects
    database = await Database.open(settings, effects, SCHEMA)
    till = app.state.till = Till(settings, effects, database)
    # Of two versions side by side the elder settles.
    settling = [asyncio.create_task(till.settle())] if settings.version == VERSION else []
    yield
    for task in settling:
        task.cancel()
    await asyncio.gather(*settling, return_exceptions=True)
    await till.close()
    await database.close()


def main(settings: Settings, effects: Effects) -> None:
    """Serve until told to stop."""
    web.serve(settings, effects, routes, parts)
