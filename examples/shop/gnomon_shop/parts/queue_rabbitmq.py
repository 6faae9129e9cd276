"""The queue over RabbitMQ: a durable quorum queue, confirmed publishing, one message unacknowledged at a time."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError

from gnomon_shop.parts.queue import Body, Delivery

DELIVERIES = "x-delivery-count"  # kept by quorum queues, and the reason for using one


@contextmanager
def _told() -> Iterator[None]:
    """A lost connection is told as OSError, whoever carries the queue."""
    try:
        yield
    except (AMQPError, ChannelInvalidStateError) as error:
        raise ConnectionError(str(error)) from error


class RabbitTransport:
    """See `queue.Transport`; connects when first used, and again by itself."""

    system = "rabbitmq"

    def __init__(self, url: str, name: str) -> None:
        self._url, self._name = url, f"shop.{name}"
        self._connecting = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None

    async def publish(self, message_id: str, body: Body, headers: dict[str, str]) -> None:
        """Confirmed by the server."""
        message = aio_pika.Message(
            json.dumps(body).encode(),
            headers=dict(headers),
            message_id=message_id,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        with _told():
            channel, _ = await self._queue()
            await channel.default_exchange.publish(message, self._name)

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """Until the connection is lost."""
        with _told():
            _, queue = await self._queue()
            async with queue.iterator() as messages:
                async for message in messages:
                    yield Delivery(
                        message.message_id or "",
                        json.loads(message.body),
                        {key: str(value) for key, value in message.headers.items() if key != DELIVERIES},
                        int(str(message.headers.get(DELIVERIES, 0))) + 1,
                        message,
                    )

    async def ack(self, delivery: Delivery) -> None:
        """Done with."""
        with _told():
            await delivery.handle.ack()

    async def nack(self, delivery: Delivery, after_s: float) -> None:
        """RabbitMQ delivers it again at once; so the wait is here."""
        await asyncio.sleep(after_s)
        with _told():
            await delivery.handle.nack(requeue=True)

    async def depth(self) -> int:
        """Those that wait; the one in a consumer's hands is not counted by the server."""
        with _told():
            channel, _ = await self._queue()
            queue = await channel.declare_queue(self._name, passive=True)
        return int(queue.declaration_result.message_count or 0)

    async def close(self) -> None:
        """Close the connection."""
        if self._connection:
            await self._connection.close()

    async def _queue(self) -> tuple[AbstractChannel, AbstractQueue]:
        async with self._connecting:
            if self._channel is None:
                self._connection = await aio_pika.connect_robust(self._url)
                self._channel = await self._connection.channel(publisher_confirms=True)
                await self._channel.set_qos(prefetch_count=1)
        arguments = {"x-queue-type": "quorum"}
        return self._channel, await self._channel.declare_queue(self._name, durable=True, arguments=arguments)
