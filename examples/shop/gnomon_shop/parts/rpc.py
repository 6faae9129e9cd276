"""gRPC, both sides, all four kinds of call; messages are JSON, so that no generated code is needed."""

import asyncio
import json
import logging
import random
import signal
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import perf_counter
from typing import Any

import grpc
from opentelemetry import metrics, trace

from gnomon_shop import ledger
from gnomon_shop.parts import sdk
from gnomon_shop.parts.effects import Effects, PlannedError
from gnomon_shop.settings import Settings

GRACE_S = 5
BACKOFF_S = 0.05
# What the conventions call a server's failure; the other codes are answers.
SERVER_ERRORS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}

Message = dict[str, Any]
log = logging.getLogger("shop.rpc")
meter = metrics.get_meter("shop.rpc")
# For an SDK whose instrumentation makes spans only.
served = meter.create_histogram("rpc.server.duration", "s", "Time taken by a call, as its server saw it")
called = meter.create_histogram("rpc.client.duration", "s", "Time taken by a call, as its client saw it")


class RpcError(Exception):
    """What a handler raises to answer with a code."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code


def encoded(message: Message) -> bytes:
    """A message on the wire."""
    return json.dumps(message).encode()


class Service:
    """Handlers of one gRPC service, by method name; each keeps the ledger and is a place of planned faults."""

    def __init__(self, name: str, effects: Effects) -> None:
        self.name, self._effects = name, effects
        self._methods: dict[str, grpc.RpcMethodHandler] = {}

    def unary(self, method: str, handler: Callable[..., Any], *, streamed: bool = False) -> None:
        """One answer; to one message or, `streamed`, to an asynchronous iterator of them."""

        async def behaviour(request: Any, context: grpc.aio.ServicerContext) -> Message:
            async with self._recorded(method, context):
                return await handler(request, context)
            raise AssertionError("unreachable: aborted above")

        make = grpc.stream_unary_rpc_method_handler if streamed else grpc.unary_unary_rpc_method_handler
        self._methods[method] = make(behaviour, json.loads, encoded)

    def stream(self, method: str, handler: Callable[..., Any], *, streamed: bool = False) -> None:
        """Many answers, from an asynchronous generator; else as `unary`."""

        async def behaviour(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Message]:
            async with self._recorded(method, context):
                async for message in handler(request, context):
                    yield message

        make = grpc.stream_stream_rpc_method_handler if streamed else grpc.unary_stream_rpc_method_handler
        self._methods[method] = make(behaviour, json.loads, encoded)

    @property
    def handler(self) -> grpc.GenericRpcHandler:
        """What a server is given."""
        return grpc.method_handlers_generic_handler(self.name, self._methods)

    @asynccontextmanager
    async def _recorded(self, method: str, context: grpc.aio.ServicerContext) -> AsyncIterator[None]:
        sent = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        full, started, failure = f"{self.name}/{method}", perf_counter(), None
        with ledger.continued(sent), ledger.operation(full, "server") as operation:
            _describe_visitor()
            try:
                await self._effects.request()
                yield
            except (PlannedError, RpcError) as error:
                failure = error
                code = getattr(error, "code", grpc.StatusCode.INTERNAL)
                operation.status, operation.ok = code.name, code.name not in SERVER_ERRORS
            except asyncio.CancelledError:  # its client is gone, or its deadline over
                operation.status = "CANCELLED"
                trace.get_current_span().set_attribute("rpc.grpc.status_code", grpc.StatusCode.CANCELLED.value[0])
                raise
            except Exception:
                operation.failed("UNKNOWN")
                log.exception("%s failed", full)
                raise
            finally:
                seconds = perf_counter() - started
                self._logged(method, operation, failure, seconds)
            if failure:
                await context.abort(code, str(failure))

    def _logged(self, method: str, operation: ledger.Operation, failure: Exception | None, seconds: float) -> None:
        labels = {"rpc.system": "grpc", "rpc.service": self.name, "rpc.method": method}
        if not sdk.chosen().MEASURES_RPC:
            served.record(seconds, {**labels, "rpc.grpc.status_code": operation.status})
        level = logging.INFO if failure is None else logging.WARNING if operation.ok else logging.ERROR
        details = {**labels, "duration_ms": round(seconds * 1e3, 1)}
        why = f": {failure}" if failure else ""
        log.log(
            level,
            "%s %s in %.1f ms%s",
            operation.name,
            operation.status,
            seconds * 1e3,
            why,
            extra=details,
            exc_info=failure if isinstance(failure, PlannedError) else None,
        )


def _describe_visitor() -> None:
    user, session = ledger.visitor()
    if user:
        trace.get_current_span().set_attributes({"user.id": user, "session.id": session})


async def serve(settings: Settings, services: list[Service]) -> None:
    """Serve until told to stop, then let calls in progress end."""
    server = grpc.aio.server(interceptors=sdk.chosen().server_interceptors())
    server.add_generic_rpc_handlers([service.handler for service in services])
    server.add_insecure_port("{}:{}".format(*settings.here))
    await server.start()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()
    await server.stop(GRACE_S)


class _Below:
    """Below the instrumentation, where the current span is the call's: the place to say which, and who is called."""

    def __init__(self, peer: str) -> None:
        self._peer = peer

    def spanned(self) -> None:
        """The current span is the current operation's."""
        if operation := ledger.current():
            operation.spanned()
        trace.get_current_span().set_attribute("peer.service", self._peer)


# gRPC wants a class for each kind of call.
class _UnaryUnary(_Below, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        self.spanned()
        return await continuation(details, request)


class _UnaryStream(_Below, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        self.spanned()
        return await continuation(details, request)


class _StreamUnary(_Below, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Any, details: Any, requests: Any) -> Any:
        self.spanned()
        return await continuation(details, requests)


class _StreamStream(_Below, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        self.spanned()
        return await continuation(details, requests)


class Peer:
    """One gRPC service that is called: every call has a deadline; what may be done twice is, when it is unavailable."""

    def __init__(self, settings: Settings, peer: str, service: str) -> None:
        self.peer, self.service, self._random = peer, service, random.Random()
        below = [kind(peer) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]
        self._channel = grpc.aio.insecure_channel(
            settings.addresses[peer],
            interceptors=[*sdk.chosen().client_interceptors(), *below],
            # A peer that was away for a moment is there again at once, not after gRPC's own minute of back-off.
            options=[("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 2000)],
        )

    async def ask(self, method: str, message: Message, *, timeout_s: float, attempts: int = 1) -> Message:
        """One message, one answer; grpc.aio.AioRpcError when there is none."""
        call = self._channel.unary_unary(f"/{self.service}/{method}", encoded, json.loads)
        for attempt in range(1, attempts + 1):
            try:
                with self._recorded(method):
                    return await call(message, timeout=timeout_s, metadata=tuple(ledger.headers().items()))
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE or attempt == attempts:
                    raise
                log.warning("%s/%s attempt %d failed (UNAVAILABLE), once more", self.service, method, attempt)
                await asyncio.sleep(BACKOFF_S * 2**attempt * self._random.random())
        raise ValueError("attempts must be at least 1")

    async def listen(self, method: str, message: Message, *, timeout_s: float) -> AsyncIterator[Message]:
        """One message, many answers."""
        call = self._channel.unary_stream(f"/{self.service}/{method}", encoded, json.loads)
        with self._recorded(method):
            async for answer in call(message, timeout=timeout_s, metadata=tuple(ledger.headers().items())):
                yield answer

    async def tell(self, method: str, messages: AsyncIterable[Message], *, timeout_s: float) -> Message:
        """Many messages, one answer."""
        call = self._channel.stream_unary(f"/{self.service}/{method}", encoded, json.loads)
        with self._recorded(method):
            return await call(messages, timeout=timeout_s, metadata=tuple(ledger.headers().items()))

    async def talk(self, method: str, messages: AsyncIterable[Message], *, timeout_s: float) -> AsyncIterator[Message]:
        """Many messages, many answers, as they come."""
        call = self._channel.stream_stream(f"/{self.service}/{method}", encoded, json.loads)
        with self._recorded(method):
            async for answer in call(messages, timeout=timeout_s, metadata=tuple(ledger.headers().items())):
                yield answer

    async def close(self) -> None:
        """Close its connection."""
        await self._channel.close()

    @contextmanager
    def _recorded(self, method: str) -> Iterator[None]:
        started = perf_counter()
        with ledger.operation(f"{self.service}/{method}", "client", self.peer) as operation:
            try:
                yield
            except grpc.aio.AioRpcError as error:
                operation.failed(error.code().name)
                raise
            finally:
                labels = {"rpc.system": "grpc", "rpc.service": self.service, "rpc.method": method}
                if not sdk.chosen().MEASURES_RPC:
                    called.record(perf_counter() - started, {**labels, "rpc.grpc.status_code": operation.status})
