"""The queue: messages with the trace context in their headers; RabbitMQ, Redis streams or the small broker below it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from secrets import token_hex
from time import perf_counter
from typing import Any, Protocol

from opentelemetry import metrics, propagate, trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import SpanKind, Status, StatusCode

from gnomon_shop import ledger
from gnomon_shop.parts.effects import Effects
from gnomon_shop.settings import Settings

ATTEMPTS = 5  # then a message is given up
REDELIVER_S = 0.5  # after a failure; times the attempts so far
RECONNECT_S = 1.0
LOOK_EVERY_S = 1.0  # at the depth

log = logging.getLogger("shop.queue")
tracer = trace.get_tracer("shop.queue")
meter = metrics.get_meter("shop.queue")
sent = meter.create_counter("messaging.client.sent.messages", "{message}", "Messages sent")
consumed = meter.create_counter("messaging.client.consumed.messages", "{message}", "Messages consumed, by outcome")
processing = meter.create_histogram("messaging.process.duration", "s", "Time taken to process a message")

Body = dict[str, Any]


@dataclass(frozen=True)
class Delivery:
    """A message in a consumer's hands, until it is acknowledged or handed back; `handle` is the transport's own."""

    id: str
    body: Body
    headers: dict[str, str]
    attempt: int
    handle: Any = None


class Transport(Protocol):
    """What carries messages of one queue: at least once, and again when a consumer died with one in its hands."""

    system: str  # as the conventions call it

    async def publish(self, message_id: str, body: Body, headers: dict[str, str]) -> None:
        """Hand over a message; on return it is the queue's."""

    def deliveries(self) -> AsyncIterator[Delivery]:
        """Messages, one by one; OSError when the connection is lost."""

    async def ack(self, delivery: Delivery) -> None:
        """It is done with."""

    async def nack(self, delivery: Delivery, after_s: float) -> None:
        """It shall be delivered again, not before `after_s` where the transport can wait."""

    async def depth(self) -> int:
        """How many are not yet done with."""

    async def close(self) -> None:
        """Close the connections; what is held is delivered to others."""


class Queue:
    """One queue with its telemetry and its ledger."""

    def __init__(self, name: str, transport: Transport, effects: Effects, consumer: str) -> None:
        self.name, self.consumer = name, consumer
        self._transport, self._effects = transport, effects
        self._described = {"messaging.system": transport.system, "messaging.destination.name": name}

    async def send(self, body: Body) -> None:
        """Send a message; the trace goes on in whoever takes it."""
        message_id = token_hex(8)
        described = {**self._described, "messaging.operation.type": "send", "messaging.message.id": message_id}
        with (
            tracer.start_as_current_span(f"send {self.name}", kind=SpanKind.PRODUCER, attributes=described),
            ledger.operation(f"send {self.name}", "producer", self.consumer),
        ):
            headers = ledger.headers()
            propagate.inject(headers)
            await self._transport.publish(message_id, body, headers)
            sent.add(1, self._described)

    async def work(self, handle: Callable[[Body], Awaitable[None]]) -> None:
        """Take messages for ever, one at a time; what fails comes again, `ATTEMPTS` times in all."""
        while True:
            try:
                async with aclosing(self._transport.deliveries()) as deliveries:
                    async for delivery in deliveries:
                        await self._worked(delivery, handle)
            except OSError as error:
                log.warning("queue %s: %s; connecting again", self.name, error or type(error).__name__)
            await asyncio.sleep(RECONNECT_S)

    async def _worked(self, delivery: Delivery, handle: Callable[[Body], Awaitable[None]]) -> None:
        started, outcome = perf_counter(), "done"
        described = {
            **self._described,
            "messaging.operation.type": "process",
            "messaging.message.id": delivery.id,
            "shop.message.attempt": delivery.attempt,
        }
        parent = propagate.extract(delivery.headers)
        with (
            tracer.start_as_current_span(f"process {self.name}", parent, SpanKind.CONSUMER, described) as span,
            ledger.continued(delivery.headers),
            ledger.operation(f"process {self.name}", "consumer") as operation,
        ):
            try:
                await self._effects.message()
                await self._effects.request()
                await handle(delivery.body)
            except Exception as error:  # noqa: BLE001 - whatever it is, the message comes again or is given up
                outcome = "again" if delivery.attempt < ATTEMPTS else "given up"
                operation.failed(type(error).__name__)
                span.record_exception(error)
                span.set_status(Status(StatusCode.ERROR, str(error)))
                level = logging.WARNING if outcome == "again" else logging.ERROR
                log.log(level, "message %s attempt %d failed, %s: %s", delivery.id, delivery.attempt, outcome, error)
        consumed.add(1, {**self._described, "outcome": outcome})
        processing.record(perf_counter() - started, {**self._described, "outcome": outcome})
        if outcome == "again":
            await self._transport.nack(delivery, REDELIVER_S * delivery.attempt)
        else:
            await self._transport.ack(delivery)

    async def watch(self) -> None:
        """Look at the depth for ever, for the gauge `shop.queue.depth`."""
        depth: list[Observation] = []

        def observed(_: CallbackOptions) -> list[Observation]:
            return depth

        meter.create_observable_gauge("shop.queue.depth", [observed], "{message}", "Messages not yet done with")
        while True:
            try:
                depth[:] = [Observation(await self._transport.depth(), self._described)]
            except OSError:
                depth.clear()  # unknown is not zero
            await asyncio.sleep(LOOK_EVERY_S)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()


def connect(settings: Settings, effects: Effects, name: str, consumer: str) -> Queue:
    """The queue `name`, which `consumer` works on, over what the settings name."""
    return Queue(name, _transport(settings, name), effects, consumer)


def _transport(settings: Settings, name: str) -> Transport:
    # Each imported only where it is spoken: neither redis nor aio-pika is small.
    if settings.amqp_url:
        from gnomon_shop.parts.queue_rabbitmq import RabbitTransport  # noqa: PLC0415 - see above

        return RabbitTransport(settings.amqp_url, name)
    if settings.redis_url:
        from gnomon_shop.parts.queue_redis import RedisTransport  # noqa: PLC0415 - see above

        return RedisTransport(settings.redis_url, name, settings.instance)
    from gnomon_shop.parts.queue_broker import BrokerTransport  # noqa: PLC0415 - see above

    return BrokerTransport(*settings.address("broker"), name)
