"""The client of the ingest benchmark, in a process of its own: sends distinct bodies, counts what was acknowledged.

Usage: sender.py KIND COUNT PROTOCOL TARGET SECONDS CONNECTIONS. Prints one JSON line.
"""

import asyncio
import json
import os
import sys
import time
from collections import deque
from itertools import count as count_from
from itertools import takewhile

import aiohttp
import grpc.aio
from payloads import PATHS, Payloads

_SERVICES = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
}
_PREPARED = 24  # bodies that each connection has ready; further ones are made while it waits for the answer


async def main() -> None:
    """Send for the given seconds."""
    kind, count, protocol, target, seconds, connections = sys.argv[1:]
    counted = {"records": 0, "refused": 0, "requests": 0}
    # Another run sends other ids: repeated spans would only be recognised and dropped.
    senders = [Payloads(kind, int(count), os.getpid() * 64 + number, number) for number in range(int(connections))]
    ready = [deque(payloads.next() for _ in range(_PREPARED)) for payloads in senders]
    until = time.monotonic() + float(seconds)
    began, cpu = time.monotonic(), time.process_time()
    if protocol == "grpc":
        await _grpc(kind, target, senders, ready, until, counted)
    else:
        await _http(kind, target, senders, ready, until, counted)
    seconds_taken = time.monotonic() - began
    print(json.dumps({**counted, "seconds": seconds_taken, "client_cpu_s": time.process_time() - cpu}))


async def _http(kind, target, senders, ready, until, counted) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    headers = {"Content-Type": "application/x-protobuf"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def run(payloads: Payloads, bodies: deque[bytes]) -> None:
            # Twice at least: the first one brings series that the server has not seen.
            for _ in takewhile(lambda sent: sent < 2 or time.monotonic() < until, count_from(0)):
                body = bodies.popleft() if bodies else payloads.next()
                async with session.post(f"{target}/v1/{PATHS[kind]}", data=body) as answer:
                    said = await answer.read()
                _count(counted, payloads, answer.status == 200 and not said)

        await asyncio.gather(*map(run, senders, ready))


async def _grpc(kind, target, senders, ready, until, counted) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        export = channel.unary_unary(f"/{_SERVICES[PATHS[kind]]}/Export")

        async def run(payloads: Payloads, bodies: deque[bytes]) -> None:
            # Twice at least: the first one brings series that the server has not seen.
            for _ in takewhile(lambda sent: sent < 2 or time.monotonic() < until, count_from(0)):
                body = bodies.popleft() if bodies else payloads.next()
                try:
                    said = await export(body)
                except grpc.aio.AioRpcError:
                    said = b"refused"
                _count(counted, payloads, not said)

        await asyncio.gather(*map(run, senders, ready))


def _count(counted: dict[str, int], payloads: Payloads, good: bool) -> None:
    counted["requests"] += 1
    counted["records" if good else "refused"] += payloads.count


if __name__ == "__main__":
    asyncio.run(main())
