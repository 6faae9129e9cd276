"""What matters to the business, said three times alike: in the ledger, as a log event, and as a counter."""

import logging
from typing import Any

from opentelemetry import metrics

from gnomon_shop import ledger

log = logging.getLogger("shop.business")
meter = metrics.get_meter("shop.business")
steps = meter.create_counter("shop.funnel", "{step}", "What visitors did, by step")

EVENTS = {"order": "shop.order.placed"}  # the others are `shop.<fact>`


def happened(fact: str, message: str, *arguments: Any, cents: int = 0, order: str = "", **details: Any) -> None:
    """Record a fact: visit, search, view, cart, checkout, order, declined, return or mail."""
    user, session = ledger.visitor()
    ledger.fact(fact, cents=cents, order=order)
    steps.add(1, {"step": fact})
    said = {"otel.event.name": EVENTS.get(fact, f"shop.{fact}"), "shop.user.id": user, "session.id": session, **details}
    if order:
        said |= {"shop.order.id": order, "shop.order.cents": cents}
    log.info(message, *arguments, extra=said)
