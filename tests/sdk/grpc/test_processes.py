"""Two processes, zero code but the SDK's: one trace, sent over gRPC to the real server."""

import os
import subprocess
import sys
import textwrap

import grpc
import pytest
from tests.sdk.grpc.services import KINDS
from tests.server import Server
from tests.waiting import until

SERVER = """
    import asyncio, sys
    from concurrent import futures
    import grpc
    from gnomon.tracing.examples import TracedGRPCService
    from tests.sdk.grpc.services import Asyncio, Blocking, handlers

    class Cart(TracedGRPCService, {service}):
        def __init__(self):
            super().__init__("cart-{service}")
            {service}.__init__(self)

        def _do(self, what, context):
            with self.start_span("look_up") as span:
                span.set_attribute("cart.id", "c1")
            return {service}._do(self, what, context)

    def add(servicer, server):  # as generated code has it
        server.add_generic_rpc_handlers([handlers(servicer)])

    async def serve():
        server = grpc.aio.server(futures.ThreadPoolExecutor(4))
        add(Cart(), server)
        print(server.add_insecure_port("127.0.0.1:0"), flush=True)
        await server.start()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        await server.stop(1)

    def serve_blocking():
        server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[handlers(Cart())])
        print(server.add_insecure_port("127.0.0.1:0"), flush=True)
        server.start()
        sys.stdin.read()
        server.stop(1).wait()

    serve_blocking() if {service} is Blocking else asyncio.run(serve())
"""
CLIENT = """
    import sys
    import gnomon, grpc
    from tests.sdk.grpc.services import KINDS, call
    gnomon.instrument(service_name="till-{service}")
    with gnomon.span("checkout"), grpc.insecure_channel(sys.argv[1]) as channel:
        for kind in KINDS:
            call(channel, kind, b"ok")
        try:
            call(channel, "unary_unary", b"abort")
        except grpc.RpcError:
            pass
"""


@pytest.mark.parametrize("service", ["Asyncio", "Blocking"])
def test_two_processes_make_one_trace(gnomon: Server, service: str) -> None:
    """Calls of all kinds from a client process: its spans, the server's, and those of its handlers are one trace."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([".", *sys.path]),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{gnomon.otlp_grpc}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }

    def script(code: str) -> list[str]:
        return [sys.executable, "-c", textwrap.dedent(code).replace("{service}", service)]

    with subprocess.Popen(script(SERVER), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        subprocess.run([*script(CLIENT), f"127.0.0.1:{port}"], check=True, timeout=60, env=environment)
        server.communicate(timeout=60)
    assert server.returncode == 0
    query = (
        "SELECT service, name, kind, trace_id, span_id, parent_id, attributes FROM spans"
        " WHERE service IN ({till:String}, {cart:String})"
    )
    names = {"till": f"till-{service}", "cart": f"cart-{service}"}
    until(lambda: len(gnomon.sql(query, **names)) >= 17)
    rows = gnomon.sql(query, **names)
    assert len({row["trace_id"] for row in rows}) == 1
    known = {row["span_id"]: row for row in rows}
    served = [row for row in rows if row["service"] == names["cart"] and row["name"].startswith("shop.Cart/")]
    assert sorted(row["name"] for row in served) == sorted(f"shop.Cart/{kind}" for kind in (*KINDS, "unary_unary"))
    for row in served:
        assert known[row["parent_id"]]["service"] == names["till"]
    looked = [row for row in rows if row["name"] == "look_up"]
    assert len(looked) == 6  # twice in the stream of two requests
    assert {row["parent_id"] for row in looked} == {row["span_id"] for row in served}
    assert sum(str(grpc.StatusCode.NOT_FOUND.value[0]) in str(row["attributes"]) for row in served) >= 1
