"""The queue over a Redis stream with a consumer group."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from gnomon_shop.parts.queue import Body, Delivery

GROUP = "workers"
BLOCK_MS = 500
# A message held for longer than this belongs to whoever asks: its consumer has died. Longer than any honest work.
IDLE_MS = 15_000


@contextmanager
def _told() -> Iterator[None]:
    """A lost connection is told as OSError, whoever carries the queue."""
    try:
        yield
    except RedisError as error:
        raise ConnectionError(str(error)) from error


class RedisTransport:
    """See `queue.Transport`."""

    system = "redis"

    def __init__(self, url: str, name: str, consumer: str, idle_ms: int = IDLE_MS) -> None:
        self._redis = Redis.from_url(url, decode_responses=True)
        self._stream, self._consumer, self._idle_ms = f"shop:{name}", consumer, idle_ms

    async def publish(self, message_id: str, body: Body, headers: dict[str, str]) -> None:
        """Appended to the stream."""
        fields = {"id": message_id, "body": json.dumps(body), "headers": json.dumps(headers)}
        with _told():
            await self._redis.xadd(self._stream, fields)

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """First what others died with, then what is new."""
        with _told():
            with suppress(ResponseError):  # there already
                await self._redis.xgroup_create(self._stream, GROUP, id="0", mkstream=True)
            while True:
                for entry, fields in await self._claimed() or await self._new():
                    yield Delivery(
                        fields["id"],
                        json.loads(fields["body"]),
                        json.loads(fields["headers"]),
                        await self._attempt(entry),
                        entry,
                    )

    async def ack(self, delivery: Delivery) -> None:
        """Acknowledged and removed, so that the stream's length is the queue's."""
        with _told():
            await self._redis.xack(self._stream, GROUP, delivery.handle)
            await self._redis.xdel(self._stream, delivery.handle)

    async def nack(self, delivery: Delivery, after_s: float) -> None:
        """Put back to the end of its idle time but for `after_s`: then it is claimed like one whose consumer died."""
        idle_ms = max(self._idle_ms - int(after_s * 1000), 0)
        with _told():
            # XCLAIM counts a delivery; RETRYCOUNT says how many there were, so that the next claim makes it one more.
            await self._redis.xclaim(
                self._stream,
                GROUP,
                self._consumer,
                0,
                [delivery.handle],
                idle=idle_ms,
                retrycount=delivery.attempt,
                justid=True,
            )

    async def depth(self) -> int:
        """The stream's length."""
        with _told():
            return int(await self._redis.xlen(self._stream))

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _claimed(self) -> list[tuple[str, dict[str, str]]]:
        _, entries, _ = await self._redis.xautoclaim(self._stream, GROUP, self._consumer, self._idle_ms, count=1)
        return list(entries)

    async def _new(self) -> list[tuple[str, dict[str, str]]]:
        answer = await self._redis.xreadgroup(GROUP, self._consumer, {self._stream: ">"}, count=1, block=BLOCK_MS)
        if not answer:
            return []
        streams = answer.values() if isinstance(answer, dict) else [entries for _, entries in answer]
        return [entry for entries in streams for entry in entries]

    async def _attempt(self, entry: str) -> int:
        pending = await self._redis.xpending_range(self._stream, GROUP, entry, entry, 1)
        return int(pending[0]["times_delivered"]) if pending else 1
