"""Payment: charges, settles and gives back, by way of the bank outside; gRPC unary, client streaming, bidirectional."""

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation

from gnomon_shop.parts import rpc, telemetry
from gnomon_shop.parts.effects import Effects
from gnomon_shop.parts.http import Peer
from gnomon_shop.settings import Settings

BANK_TIMEOUT_S = 2.0
ATTEMPTS = 3

log = logging.getLogger("shop.payment")
meter = metrics.get_meter("shop.payment")
charges = meter.create_counter("shop.payments", "{payment}", "Charges, by outcome")
amounts = meter.create_histogram("shop.payment.amount", "{cent}", "Sums charged")
settled_cents = meter.create_counter("shop.payments.settled", "{cent}", "Settled with the bank")


class Payment:
    """The three methods."""

    def __init__(self, settings: Settings, effects: Effects) -> None:
        self._effects, self._random = effects, random.Random()
        self._bank = Peer(settings, effects, "outside", timeout_s=BANK_TIMEOUT_S, broken=self._handshake)
        meter.create_observable_gauge(
            "shop.certificate.days_left", [self._days_left], "d", "Until the bank's certificate ends"
        )

    async def charge(self, request: rpc.Message, context: grpc.aio.ServicerContext) -> rpc.Message:
        """`{"order", "user", "cents"}` to `{"state": "captured" | "declined"}`; UNAVAILABLE when the bank is."""
        trace.get_current_span().set_attributes(
            {"shop.order.id": request["order"], "shop.order.cents": request["cents"]}
        )
        answer = await self._asked("/charges", request, context)
        state = "declined" if answer.status_code == 402 else "captured"
        charges.add(1, {"outcome": state})
        if state == "declined":
            log.warning("the bank declined %s", request["order"], extra={"shop.order.id": request["order"]})
        else:
            amounts.record(request["cents"])
        return {"state": state}

    async def settle(self, requests: AsyncIterator[rpc.Message], context: grpc.aio.ServicerContext) -> rpc.Message:
        """A stream of `{"order", "cents"}` to `{"orders": n, "cents": sum}`."""
        orders = [request async for request in requests]
        cents = sum(order["cents"] for order in orders)
        await self._asked("/settlements", {"orders": len(orders), "cents": cents}, context)
        settled_cents.add(cents)
        log.info("settled %d orders, %d cents", len(orders), cents, extra={"shop.settled.cents": cents})
        return {"orders": len(orders), "cents": cents}

    async def watch(
        self, requests: AsyncIterator[rpc.Message], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[rpc.Message]:
        """A stream of refunds `{"order", "cents"}` to what becomes of each: `received`, then `refunded`."""
        async for request in requests:
            yield {"order": request["order"], "state": "received"}
            await self._asked("/refunds", request, context)
            yield {"order": request["order"], "state": "refunded"}

    async def _asked(self, path: str, body: dict[str, Any], context: grpc.aio.ServicerContext) -> httpx.Response:
        """Ask the bank within what is left of the caller's deadline; the key makes it safe to ask twice."""
        left_s = context.time_remaining()
        try:
            answer = await self._bank.call(
                "POST",
                path,
                json=body,
                attempts=ATTEMPTS,
                timeout_s=min(BANK_TIMEOUT_S, left_s) if left_s else BANK_TIMEOUT_S,
                headers={"idempotency-key": str(body.get("order", ""))},
            )
        except httpx.HTTPError as error:
            log.exception("the bank cannot be reached")
            raise rpc.RpcError(grpc.StatusCode.UNAVAILABLE, f"bank: {error or type(error).__name__}") from error
        if answer.status_code >= 500:
            raise rpc.RpcError(grpc.StatusCode.UNAVAILABLE, f"the bank answered {answer.status_code}")
        return answer

    def _handshake(self) -> None:
        """Where TLS would be spoken: the planned end of the bank's certificate makes a share of it fail."""
        if self._effects.certificate_days() <= 0 and self._effects.struck("certificate_expiry"):
            why = "certificate verify failed: certificate has expired (bank)"
            raise httpx.ConnectError(why) from ssl.SSLCertVerificationError(why)

    def _days_left(self, _: CallbackOptions) -> list[Observation]:
        return [Observation(self._effects.certificate_days(), {"tls.server.name": "bank"})]


async def _serve(settings: Settings, effects: Effects) -> None:
    async with telemetry.running(settings):
        payment = Payment(settings, effects)
        service = rpc.Service("shop.Payment", effects)
        service.unary("Charge", payment.charge)
        service.unary("Settle", payment.settle, streamed=True)
        service.stream("Watch", payment.watch, streamed=True)
        await rpc.serve(settings, [service])


def main(settings: Settings, effects: Effects) -> None:
    """Serve until told to stop."""
    asyncio.run(_serve(settings, effects))
