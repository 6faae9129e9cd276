"""Channels of grpc.aio, likewise: the caller holds grpc's own call, to await, cancel and read as ever."""

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

import grpc

from gnomon.context import attach, detach, with_span
from gnomon.integrations.grpc.addresses import Pairs
from gnomon.integrations.grpc.calls import Call, Method, Side, called, mistake
from gnomon.integrations.grpc.client import with_metadata
from gnomon.integrations.grpc.status import CANCELLED, OK, UNKNOWN, number, text

_asking: set[asyncio.Task[None]] = set()


def watch(call: Call, rpc: Any) -> None:
    """End a call when grpc's does. We hold it weakly: what is abandoned is given up as it would be without us."""
    try:
        _watch(call, rpc)
    except Exception as error:  # noqa: BLE001 - the host's call goes on, whatever we did wrong
        mistake("the end of a gRPC call cannot be awaited", error)
        call.end(UNKNOWN, error=error)


def _watch(call: Call, rpc: Any) -> None:
    if not hasattr(rpc, "add_done_callback"):  # an interceptor that answers by itself
        call.end(OK)
        return
    reference = weakref.ref(rpc)

    def ended(*_: Any) -> None:
        done = reference()
        if done is None:  # the collector took it: that cancels
            call.end(CANCELLED)
            return
        inner = getattr(done, "_cython_call", None)
        if inner is None:
            _ask(call, done)
        else:
            status = inner._status  # noqa: SLF001 - the public way to it must be awaited
            call.end(number(status.code()), text(status.details()))

    inner = getattr(rpc, "_cython_call", rpc)
    try:
        inner.add_done_callback(ended)
    except NotImplementedError:  # the answer of another interceptor, which is done already
        ended()


def _ask(call: Call, rpc: Any) -> None:
    """The status of a call with interceptors, which can only be awaited."""
    try:
        task = asyncio.get_running_loop().create_task(_settle(call, rpc))
    except RuntimeError:  # no loop runs any more
        call.end(CANCELLED)
        return
    _asking.add(task)
    task.add_done_callback(_asking.discard)


async def _settle(call: Call, rpc: Any) -> None:
    try:
        call.end(number(await rpc.code()), text(await rpc.details()))
    except BaseException as error:  # noqa: BLE001 - the caller of the rpc hears of it there
        call.failed(error)


class _Callable:
    """What all four have in common."""

    def __init__(self, inner: Any, method: Method, server: Pairs) -> None:
        self._inner, self._gnomon, self._server = inner, method, server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Call."""
        call = called(self._gnomon, self._server)
        if call is None:
            return self._inner(*args, **named)
        args, named = with_metadata(call, args, named)
        # The host's interceptors run on a task that begins here, and so inside of the call's span.
        token = attach(with_span(call.span, call.context)) if call.span is not None else None
        try:
            rpc = self._inner(*args, **named)
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            if token is not None:
                detach(token)
        watch(call, rpc)
        return rpc


class UnaryUnary(_Callable, grpc.aio.UnaryUnaryMultiCallable):  # type: ignore[misc]  # grpc ships no types
    """One request, one response."""


class UnaryStream(_Callable, grpc.aio.UnaryStreamMultiCallable):  # type: ignore[misc]  # likewise
    """One request, many responses."""


class StreamUnary(_Callable, grpc.aio.StreamUnaryMultiCallable):  # type: ignore[misc]  # likewise
    """Many requests, one response."""


class StreamStream(_Callable, grpc.aio.StreamStreamMultiCallable):  # type: ignore[misc]  # likewise
    """Many of both."""


CALLABLES = {
    "unary_unary": UnaryUnary,
    "unary_stream": UnaryStream,
    "stream_unary": StreamUnary,
    "stream_stream": StreamStream,
}


class _Interceptor:
    """What all four have in common: grpc.aio takes an interceptor for the first kind it is of."""

    def __init__(self, side: Side) -> None:
        self._side = side

    async def _intercept(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        call = called(self._side.method(details.method), ())
        if call is None:
            return await continuation(details, request)
        try:
            metadata = grpc.aio.Metadata(*call.metadata(details.metadata))
            rpc = await continuation(details._replace(metadata=metadata), request)
        except BaseException as error:
            call.failed(error)
            raise
        watch(call, rpc)
        return rpc


class UnaryUnaryInterceptor(_Interceptor, grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # grpc ships no types
    """One request, one response."""

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Follow the call."""
        return await self._intercept(continuation, client_call_details, request)


class UnaryStreamInterceptor(_Interceptor, grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[misc]  # likewise
    """One request, many responses."""

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Follow the call."""
        return await self._intercept(continuation, client_call_details, request)


class StreamUnaryInterceptor(_Interceptor, grpc.aio.StreamUnaryClientInterceptor):  # type: ignore[misc]  # likewise
    """Many requests, one response."""

    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        """Follow the call."""
        return await self._intercept(continuation, client_call_details, request_iterator)


class StreamStreamInterceptor(_Interceptor, grpc.aio.StreamStreamClientInterceptor):  # type: ignore[misc]  # likewise
    """Many of both."""

    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        """Follow the call."""
        return await self._intercept(continuation, client_call_details, request_iterator)


INTERCEPTORS = (UnaryUnaryInterceptor, UnaryStreamInterceptor, StreamUnaryInterceptor, StreamStreamInterceptor)
