"""The queue over the small broker of `broker.py`."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

from gnomon_shop.parts.broker import LINE_BYTES
from gnomon_shop.parts.queue import Body, Delivery

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
ATTEMPTS = 3
BACKOFF_S = 0.2


class BrokerTransport:
    """One connection for what is asked and answered; consuming has its own. See `queue.Transport`."""

    system = "shop_broker"

    def __init__(self, host: str, port: int, name: str) -> None:
        self._host, self._port, self._name = host, port, name
        self._asking = asyncio.Lock()
        self._streams: Streams | None = None

    async def publish(self, message_id: str, body: Body, headers: dict[str, str]) -> None:
        """Answered by the broker; OSError when it cannot be reached."""
        await self._ask(do="publish", id=message_id, body=body, headers=headers)

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """Until the connection is lost."""
        reader, writer = await self._connected()
        with closing(writer):
            writer.write(_line(do="consume", queue=self._name))
            while line := await reader.readline():
                said = json.loads(line)
                yield Delivery(said["id"], said["body"], said["headers"], said["attempt"], writer)
        raise ConnectionResetError("the broker is gone")

    async def ack(self, delivery: Delivery) -> None:
        """Answered by the next message."""
        delivery.handle.write(_line(do="ack", queue=self._name))
        await delivery.handle.drain()

    async def nack(self, delivery: Delivery, after_s: float) -> None:
        """The broker waits with it."""
        delivery.handle.write(_line(do="nack", queue=self._name, after_s=after_s))
        await delivery.handle.drain()

    async def depth(self) -> int:
        """Those that wait and those that are held."""
        return int((await self._ask(do="depth"))["depth"])

    async def close(self) -> None:
        """Close the connection."""
        if self._streams:
            self._streams[1].close()

    async def _ask(self, **ask: Any) -> dict[str, Any]:
        """Ask and wait for the answer, connecting again where needed: a message may come twice, never not at all."""
        async with self._asking:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    self._streams = self._streams or await self._connected()
                    reader, writer = self._streams
                    writer.write(_line(queue=self._name, **ask))
                    if line := await reader.readline():
                        return dict(json.loads(line))
                    raise ConnectionResetError("the broker is gone")
                except OSError:
                    await self.close()
                    self._streams = None
                    if attempt == ATTEMPTS:
                        raise
                    await asyncio.sleep(BACKOFF_S * attempt)
        raise AssertionError("unreachable")

    async def _connected(self) -> Streams:
        return await asyncio.open_connection(self._host, self._port, limit=LINE_BYTES)


def _line(**fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"
