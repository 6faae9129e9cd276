"""Unary gRPC calls with a server and a client in one process: `calls.py STACK STYLE SINK`. Prints JSON.

`STACK` is bare, gnomon or otel; `STYLE` is sync or aio. CPU of the whole process for one call, both sides, until what
was recorded has been sent.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

REPEATS, CALLS = 6, 1000
METHOD = "/bench.Orders/Get"


def start(stack: str, sink: str) -> Callable[[], Any]:
    """Instrument both sides; what sends what waits."""
    if stack == "gnomon":
        import gnomon  # noqa: PLC0415 - in its own environment only

        gnomon.instrument(service_name="bench", endpoint=sink, logs={"console": "off"})
        return gnomon.flush
    if stack == "otel":
        from opentelemetry.instrumentation import grpc as instrumentation  # noqa: PLC0415 - likewise
        from stacks import exporting  # noqa: PLC0415 - likewise

        provider = exporting.traces(sink)
        for side in ("Server", "Client"):
            getattr(instrumentation, f"GrpcInstrumentor{side}")().instrument()
            getattr(instrumentation, f"GrpcAioInstrumentor{side}")().instrument()
        return provider.force_flush
    return lambda: None


def handlers(function: Callable[..., Any]) -> grpc.GenericRpcHandler:
    """One method that takes and gives bytes."""
    service, method = METHOD.strip("/").split("/")
    return grpc.method_handlers_generic_handler(service, {method: grpc.unary_unary_rpc_method_handler(function)})


def sync_calls(flush: Callable[[], Any]) -> list[float]:
    """Blocking on both sides."""
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((handlers(lambda request, _: request),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call, figures = channel.unary_unary(METHOD), []
        for _ in range(REPEATS):
            began_ns = time.process_time_ns()
            for _ in range(CALLS):
                call(b"order")
            flush()
            figures.append((time.process_time_ns() - began_ns) / CALLS / 1e3)
    server.stop(None).wait()
    return figures


async def aio_calls(flush: Callable[[], Any]) -> list[float]:
    """Asyncio on both sides."""

    async def get(request: bytes, _: Any) -> bytes:
        return request

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers(get),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call, figures = channel.unary_unary(METHOD), []
        for _ in range(REPEATS):
            began_ns = time.process_time_ns()
            for _ in range(CALLS):
                await call(b"order")
            await asyncio.to_thread(flush)
            figures.append((time.process_time_ns() - began_ns) / CALLS / 1e3)
    await server.stop(None)
    return figures


def main() -> None:
    """Measure what is named; the first repeat warms up."""
    stack, style, sink = sys.argv[1:]
    flush = start(stack, sink)
    figures = sync_calls(flush) if style == "sync" else asyncio.run(aio_calls(flush))
    print(json.dumps({"all_us": figures[1:], "operations": REPEATS * CALLS}), file=sys.stderr)


if __name__ == "__main__":
    main()
