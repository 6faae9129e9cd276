"""What things cost: a gRPC service (JSON messages, so that no generated code is needed) on the stock OTel SDK."""

import asyncio
import json
import logging
import os
import random
import signal
from collections import deque
from time import perf_counter
from typing import Any

import grpc
import telemetry
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorServer
from opentelemetry.metrics import CallbackOptions, Observation

PRICES = {"tea": 4.5, "mug": 12.0, "lamp": 79.9, "handmade-clock": 1250.0, "piano": 18_400.0, "anvil": 310.0}
HANDMADE = {"handmade-clock"}  # somebody has to look it up
REVIEW_EVERY = 25  # quotes

log = logging.getLogger("pricing")
tracer = trace.get_tracer("trio.pricing")
meter = metrics.get_meter("trio.pricing")
rng = random.Random(int(os.environ.get("TRIO_SEED", "7")))
unreviewed: deque[trace.SpanContext] = deque(maxlen=REVIEW_EVERY)


def known_prices(_: CallbackOptions) -> list[Observation]:
    return [Observation(len(PRICES), {"catalogue": "autumn"})]


quotes = meter.create_counter("pricing.quotes", unit="{quote}", description="Quotes asked for, by outcome")
active = meter.create_up_down_counter("pricing.quotes.active", unit="{quote}", description="Quotes being worked on")
duration = meter.create_histogram("pricing.quote.duration", unit="s", description="Time taken to quote")
amount = meter.create_histogram("pricing.quote.amount", unit="{EUR}", description="Sum quoted")
meter.create_observable_gauge("pricing.catalogue.items", [known_prices], description="Things that have a price")


async def quote(request: dict[str, Any], context: grpc.aio.ServicerContext) -> dict[str, Any]:
    """`{"skus": [...]}` to `{"total": euros}`; NOT_FOUND names the first thing that has no price."""
    started, outcome = perf_counter(), "unknown"
    active.add(1)
    try:
        total = await priced(request["skus"])
        outcome = "quoted"
    except KeyError as unknown:
        sku = unknown.args[0]
        log.warning("no price for %s", sku, extra={"sku": sku})
        await context.abort(grpc.StatusCode.NOT_FOUND, f"no price for {sku}")
    finally:
        active.add(-1)
        quotes.add(1, {"outcome": outcome})
        duration.record(perf_counter() - started, {"outcome": outcome})
    review()
    return {"total": total}


async def priced(skus: list[str]) -> float:
    with tracer.start_as_current_span("look up prices") as span:
        span.set_attributes({"skus": skus, "items": len(skus), "handmade": bool(HANDMADE & set(skus))})
        if HANDMADE & set(skus):
            span.add_event("asking the clockmaker", {"workshop": "attic", "floor": 5})
            await asyncio.sleep(rng.uniform(0.15, 0.4))
        total = round(sum(PRICES[sku] for sku in skus), 2)
        span.set_attributes({"total": total, "prices": [PRICES[sku] for sku in skus]})
        amount.record(total)
        log.info("quoted %.2f for %d items", total, len(skus), extra={"total": total, "skus": skus})
        return total


def review() -> None:
    """Now and then look back at a batch of quotes: a trace of its own, linked to each of them."""
    unreviewed.append(trace.get_current_span().get_span_context())
    if len(unreviewed) < REVIEW_EVERY:
        return
    links = [trace.Link(context, {"position": position}) for position, context in enumerate(unreviewed)]
    with tracer.start_as_current_span(
        "review quotes", context=trace.set_span_in_context(trace.INVALID_SPAN), links=links
    ):
        unreviewed.clear()
        log.info("reviewed %d quotes", len(links), extra={"otel.event.name": "pricing.review"})


async def serve(address: str) -> None:
    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(quote, json.loads, lambda answer: json.dumps(answer).encode())
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("trio.Pricing", {"Quote": method})])
    server.add_insecure_port(address)
    await server.start()
    log.info("listening on %s", address)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: loop.create_task(server.stop(grace=5)))
    await server.wait_for_termination()


if __name__ == "__main__":
    stop = telemetry.start()
    GrpcAioInstrumentorServer().instrument()
    asyncio.run(serve(os.environ["PRICING_ADDRESS"]))
    stop()
