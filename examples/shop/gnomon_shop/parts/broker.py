"""A small broker for runs without Redis or RabbitMQ: queues in memory, JSON lines over TCP, acknowledged, redelivered.

    -> {"do": "publish", "queue": Q, "id": ID, "body": {...}, "headers": {...}}     <- {"done": true}
    -> {"do": "depth", "queue": Q}              <- {"depth": n}
    -> {"do": "consume", "queue": Q}            <- {"id": ID, "body", "headers", "attempt": 1..} when there is one
    -> {"do": "ack"}                            the next one may come
    -> {"do": "nack", "after_s": s}             to be delivered again, after a while

A consumer holds one message at a time; what it holds when its connection ends goes to the next one.
"""

import asyncio
import json
import signal
from collections import defaultdict, deque
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from gnomon_shop import settings as shop

LINE_BYTES = 1 << 20


@dataclass(frozen=True)
class Message:
    """What a producer sent, and for which time it is delivered."""

    id: str
    body: dict[str, Any]
    headers: dict[str, str]
    attempt: int = 1


@dataclass
class Queue:
    """Messages that wait, and the condition on which consumers wait; `held` are with a consumer."""

    waiting: deque[Message] = field(default_factory=deque)
    held: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def put(self, message: Message, *, first: bool = False) -> None:
        """One more to deliver."""
        async with self.changed:
            (self.waiting.appendleft if first else self.waiting.append)(message)
            self.changed.notify()

    async def take(self) -> Message:
        """The next one, when there is one."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.waiting)
            self.held += 1
            return self.waiting.popleft()


class Broker:
    """All queues, and the server in front of them."""

    def __init__(self) -> None:
        self._queues: defaultdict[str, Queue] = defaultdict(Queue)
        self._later: set[asyncio.Task[None]] = set()

    async def serve(self, host: str, port: int) -> asyncio.Server:
        """Listen; the server's sockets say where."""
        return await asyncio.start_server(self._connected, host, port, limit=LINE_BYTES)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(ConnectionError, asyncio.CancelledError):
            while line := await reader.readline():
                ask = json.loads(line)
                queue = self._queues[ask["queue"]]
                if ask["do"] == "consume":
                    await self._consumed(queue, reader, writer)
                    return
                if ask["do"] == "publish":
                    await queue.put(Message(ask["id"], ask["body"], ask["headers"]))
                    _say(writer, done=True)
                else:
                    _say(writer, depth=len(queue.waiting) + queue.held)
                await writer.drain()

    async def _consumed(self, queue: Queue, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Deliver one by one. The reader is read all the time: so its end is noticed while the queue is empty, too."""
        answer = asyncio.create_task(reader.readline())
        while True:
            taking = asyncio.create_task(queue.take())
            await asyncio.wait({taking, answer}, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():  # nothing was asked: the consumer is gone
                await self._given_back(queue, taking)
                return
            message, line = taking.result(), b""
            with suppress(ConnectionError):
                _say(writer, id=message.id, body=message.body, headers=message.headers, attempt=message.attempt)
                line = await answer
            queue.held -= 1
            said = json.loads(line) if line.endswith(b"\n") else {"do": "gone"}
            if said["do"] != "ack":
                await self._again(queue, replace(message, attempt=message.attempt + 1), said.get("after_s", 0))
            if said["do"] == "gone":
                return
            answer = asyncio.create_task(reader.readline())

    async def _given_back(self, queue: Queue, taking: asyncio.Task[Message]) -> None:
        taking.cancel()
        with suppress(asyncio.CancelledError):
            message = await taking  # taken in the same moment
            queue.held -= 1
            await queue.put(message, first=True)

    async def _again(self, queue: Queue, message: Message, after_s: float) -> None:
        if not after_s:
            await queue.put(message, first=True)
            return

        async def later() -> None:
            await asyncio.sleep(after_s)
            queue.held -= 1
            await queue.put(message)

        queue.held += 1  # it counts as there
        task = asyncio.create_task(later())
        self._later.add(task)
        task.add_done_callback(self._later.discard)


def _say(writer: asyncio.StreamWriter, **line: Any) -> None:
    writer.write(json.dumps(line).encode() + b"\n")


async def main() -> None:
    """Be the broker of a run until told to stop."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    server = await Broker().serve(*shop.from_environment().address("broker"))
    await told.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
