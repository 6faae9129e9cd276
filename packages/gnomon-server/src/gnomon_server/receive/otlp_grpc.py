"""OTLP over gRPC: the Export method of the three collector services, on raw bytes.

Messages are taken as bytes (no generated classes), so that the one decoder sees what the sender wrote. gzip and deflate
are gRPC's own; any other encoding is refused by gRPC itself (INTERNAL where its core has no name for it): no handler
sees such a request.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import unquote

import grpc
import grpc.aio

from gnomon_server.errors import GnomonError, Internal, RetryableError, Unsupported
from gnomon_server.receive.edge import Edge
from gnomon_server.receive.otlp import OtlpReceiver, Signal, protobuf_response
from gnomon_server.transport.reply import grpc_reply
from gnomon_server.transport.tls import TlsSettings

_SERVICES = {
    Signal.TRACES: "opentelemetry.proto.collector.trace.v1.TraceService",
    Signal.METRICS: "opentelemetry.proto.collector.metrics.v1.MetricsService",
    Signal.LOGS: "opentelemetry.proto.collector.logs.v1.LogsService",
}
_Handler = Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]

# More requests than this at once wait in their senders: each may hold a message of the full size.
_MAX_RPCS = 256


class OtlpGrpc:
    """The gRPC listener. `start` binds and returns the port; `stop` lets running requests end."""

    def __init__(self, receiver: OtlpReceiver, edge: Edge, tls: TlsSettings | None = None) -> None:
        self._receiver, self._edge = receiver, edge
        self._tls = tls
        self._server: grpc.aio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Bind and serve; GnomonError `port_taken` when the address is in use."""
        server = grpc.aio.server(
            maximum_concurrent_rpcs=_MAX_RPCS,
            options=[
                ("grpc.max_receive_message_length", self._edge.limits.max_decoded_bytes),
                ("grpc.so_reuseport", 0),  # else a second server would silently share the port
                ("grpc.server_handshake_timeout_ms", 10_000),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.keepalive_timeout_ms", 20_000),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.max_metadata_size", 32_768),
            ],
        )
        for signal, service in _SERVICES.items():
            handler = grpc.unary_unary_rpc_method_handler(self._handler(signal))
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
        server.add_generic_rpc_handlers((_Unknown(self._refuse_method),))
        where = f"{host}:{port}"
        try:
            bound = (
                server.add_secure_port(where, _credentials(self._tls)) if self._tls else server.add_insecure_port(where)
            )
        except RuntimeError as error:
            raise GnomonError(
                "port_taken", f"cannot listen on {where}: {_last_line(error)}", where="otlp.grpc",
                hint="stop what listens there, or choose another address (port 0 takes a free one)",
            ) from error  # fmt: skip
        await server.start()
        self._server = server
        return int(bound)

    async def stop(self, drain_s: float = 10.0) -> None:
        """Refuse new requests, let running ones end, then cut."""
        if self._server is not None:
            await self._server.stop(drain_s)

    def _handler(self, signal: Signal) -> _Handler:
        async def export(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
            try:
                return await self._take(signal, body, context)
            except GnomonError as error:
                failure = error
            except Exception as error:  # noqa: BLE001  (a fault of ours is INTERNAL, never a broken connection)
                failure = Internal("internal", f"the server failed on this request: {type(error).__name__}")
            self._note(failure, signal.value, context)
            reply = grpc_reply(failure)
            context.set_trailing_metadata(reply.metadata)
            await context.abort(reply.code, reply.details)
            raise AssertionError("abort raises")

        return export

    async def _refuse_method(self, method: str, context: grpc.aio.ServicerContext) -> None:
        error = Unsupported(
            "grpc_method_unknown", f"there is no method {method[:100]}", where="path",
            hint="only the Export methods of OTLP's trace, metrics and logs services (v1) are served",
        )  # fmt: skip
        self._note(error, method, context)
        reply = grpc_reply(error)
        await context.abort(reply.code, reply.details)

    def _note(self, error: GnomonError, seen: str, context: grpc.aio.ServicerContext) -> None:
        """Note who is refused for what it did; not what may come again."""
        if isinstance(error, RetryableError | Internal):
            return
        agent = next((str(value) for key, value in context.invocation_metadata() or () if key == "user-agent"), "")
        self._edge.book.turn_away("otlp-grpc", error.code, _host(context.peer()), seen, agent)

    async def _take(self, signal: Signal, body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        grant = self._edge.grant(headers)
        with self._edge.budget.lease() as lease:
            lease.take(len(body))
            return protobuf_response(await self._receiver.take(signal, body, grant.tenant, "grpc"))


class _Unknown(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    """Whatever no other handler takes; gRPC itself would answer without telling us."""

    def __init__(self, refuse: Callable[[str, grpc.aio.ServicerContext], Awaitable[None]]) -> None:
        self._refuse = refuse

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """A handler that reads nothing and refuses."""
        method = handler_call_details.method

        async def refuse(_requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
            await self._refuse(method, context)
            yield b""  # never reached: abort raises

        return grpc.stream_stream_rpc_method_handler(refuse)


def _host(peer: str) -> str:
    """The address in gRPC's `ipv4:127.0.0.1:1234` or `ipv6:%5B::1%5D:1234`."""
    return unquote(peer.partition(":")[2].rpartition(":")[0]).strip("[]")


def _credentials(tls: TlsSettings) -> grpc.ServerCredentials:
    client_ca = Path(tls.client_ca).read_bytes() if tls.client_ca else None
    return grpc.ssl_server_credentials(
        [(tls.key.read_bytes(), tls.cert.read_bytes())], client_ca, require_client_auth=client_ca is not None
    )


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
