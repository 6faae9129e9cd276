"""The shop's front door: HTTP in, gRPC to pricing, HTTP to orders; FastAPI on the stock OTel SDK."""

import json
import logging
import os
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import grpc
import httpx
import telemetry
import uvicorn
from fastapi import FastAPI, HTTPException
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.metrics import CallbackOptions, Observation
from pydantic import BaseModel

REMEMBERED_CUSTOMERS = 1_000
DECLINED = 402

log = logging.getLogger("storefront")
tracer = trace.get_tracer("trio.storefront")
meter = metrics.get_meter("trio.storefront")
last_visit: OrderedDict[str, trace.SpanContext] = OrderedDict()


def remembered_customers(_: CallbackOptions) -> list[Observation]:
    return [Observation(len(last_visit))]


checkouts = meter.create_counter("shop.checkouts", unit="{checkout}", description="Checkouts, by outcome")
active = meter.create_up_down_counter("shop.checkouts.active", unit="{checkout}", description="Checkouts in progress")
duration = meter.create_histogram("shop.checkout.duration", unit="s", description="Time taken by a checkout")
amount = meter.create_histogram("shop.basket.amount", unit="{EUR}", description="Value of what was bought")
meter.create_observable_gauge("shop.customers.remembered", [remembered_customers], description="Customers seen lately")


class Basket(BaseModel):
    """What a customer brings to the till."""

    customer: str
    skus: list[str]
    channel: str = "web"
    card: str = "good"


class RefusedError(Exception):
    """A checkout that ends without a sale; `outcome` is the word used in metrics, logs and the answer."""

    def __init__(self, outcome: str, status: int, why: str) -> None:
        super().__init__(why)
        self.outcome, self.status = outcome, status


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    stop = telemetry.start()
    HTTPXClientInstrumentor().instrument()
    GrpcAioInstrumentorClient().instrument()
    async with (
        grpc.aio.insecure_channel(os.environ["PRICING_ADDRESS"]) as channel,
        httpx.AsyncClient(base_url=os.environ["ORDERS_URL"], timeout=10) as orders,
    ):
        app.state.orders = orders
        app.state.quote = channel.unary_unary("/trio.Pricing/Quote", lambda ask: json.dumps(ask).encode(), json.loads)
        yield
    stop()


app = FastAPI(lifespan=lifespan)
FastAPIInstrumentor.instrument_app(app, exclude_spans=["receive", "send"], excluded_urls="healthz")


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/checkout")
async def checkout(basket: Basket) -> dict[str, Any]:
    started, outcome = perf_counter(), "crashed"
    active.add(1)
    try:
        order = await buy(basket)
        outcome = "sold"
    except RefusedError as refusal:
        outcome = refusal.outcome
        log.warning("no sale: %s", refusal, extra={"customer": basket.customer, "outcome": outcome})
        raise HTTPException(refusal.status, str(refusal)) from refusal
    finally:
        active.add(-1)
        checkouts.add(1, {"outcome": outcome, "channel": basket.channel})
        duration.record(perf_counter() - started, {"outcome": outcome})
    return order


async def buy(basket: Basket) -> dict[str, Any]:
    """Quote, then order; the span is linked to the same customer's last visit."""
    earlier = last_visit.get(basket.customer)
    links = [trace.Link(earlier, {"relation": "last visit", "loyal": True})] if earlier else []
    with tracer.start_as_current_span("buy", links=links) as span:
        remember(basket.customer, span.get_span_context())
        span.set_attributes({"customer": basket.customer, "skus": basket.skus, "items": len(basket.skus)})
        span.set_attribute("gift", "mug" in basket.skus)
        total = await quoted(basket.skus)
        span.add_event("quoted", {"total": total, "currency": "EUR"})
        span.set_attribute("total", total)
        order = await ordered(basket, total)
        amount.record(total, {"channel": basket.channel})
        sale = {"otel.event.name": "shop.sale", "order": {"id": order["id"], "total": total, "skus": basket.skus}}
        log.info("sold %d items to %s", len(basket.skus), basket.customer, extra=sale)
        return order


async def quoted(skus: list[str]) -> float:
    try:
        answer = await app.state.quote({"skus": skus}, timeout=5)
    except grpc.aio.AioRpcError as error:
        raise RefusedError("unknown_item", 404, error.details() or "no price") from error
    return float(answer["total"])


async def ordered(basket: Basket, total: float) -> dict[str, Any]:
    response = await app.state.orders.post("/orders", json={**basket.model_dump(), "total": total})
    if response.status_code == DECLINED:
        raise RefusedError("declined", DECLINED, response.json()["error"])
    if response.is_error:
        raise RefusedError("orders_failed", 502, f"orders answered {response.status_code}: {response.json()['error']}")
    return dict(response.json())


def remember(customer: str, visit: trace.SpanContext) -> None:
    last_visit[customer] = visit
    last_visit.move_to_end(customer)
    if len(last_visit) > REMEMBERED_CUSTOMERS:
        last_visit.popitem(last=False)


if __name__ == "__main__":
    host, port = os.environ["STOREFRONT_ADDRESS"].rsplit(":", 1)
    uvicorn.run(app, host=host, port=int(port), log_config=None, access_log=False)
