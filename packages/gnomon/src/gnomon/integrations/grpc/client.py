"""Channels: each callable that a channel makes is wrapped, and gives back grpc's own call objects, as they are.

grpc's interceptors would put objects of their own in the place of calls, and thus lose `cancel()` in one version and
attributes in another. Other interceptors lie around a channel, and so around this: each attempt has a span of its own.
"""

import weakref
from collections.abc import Callable
from typing import Any

import grpc

from gnomon.integrations.grpc.addresses import Pairs
from gnomon.integrations.grpc.calls import Call, Method, Side, called, mistake
from gnomon.integrations.grpc.status import OK, UNKNOWN, number, text


def with_metadata(call: Call, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a callable (request, timeout, metadata, ...) with the trace in its metadata."""
    if len(args) > 2:  # noqa: PLR2004 - by position, as grpc has it
        return (*args[:2], call.metadata(args[2]), *args[3:]), named
    named["metadata"] = call.metadata(named.get("metadata"))
    return args, named


def watch(call: Call, rpc: Any, *, stream: bool = False) -> None:
    """End a call when grpc's does, or when nobody is left to wait for it.

    Args:
        call: ours.
        rpc: grpc's. What is registered there must not hold it, or it would never be given up.
        stream: whether responses are read from it one by one.
    """
    try:
        _watch(call, rpc, stream)
    except Exception as error:  # noqa: BLE001 - the host's call goes on, whatever we did wrong
        mistake("the end of a gRPC call cannot be awaited", error)
        call.end(UNKNOWN, error=error)


def _watch(call: Call, rpc: Any, stream: bool) -> None:
    state = getattr(rpc, "_state", None)
    if state is None:  # another channel's
        rpc.add_done_callback(lambda done: call.end(number(done.code()), text(done.details())))
        return

    def ended() -> None:
        call.end(number(state.code), text(state.details))

    if state.code is not None or not rpc.add_callback(ended):
        ended()
    elif stream:
        # A stream on one thread (an option of the channel) hears of nothing that happens after it was last read.
        weakref.finalize(rpc, ended).atexit = False


class _Callable:
    """What all four have in common."""

    responses = False

    def __init__(self, inner: Any, method: Method, server: Pairs) -> None:
        self._inner, self._gnomon, self._server = inner, method, server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _started(self, start: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        call = called(self._gnomon, self._server)
        if call is None:
            return start(*args, **named)
        args, named = with_metadata(call, args, named)
        try:
            rpc = start(*args, **named)
        except BaseException as error:
            call.failed(error)
            raise
        watch(call, rpc, stream=self.responses)
        return rpc

    def _finished(self, run: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        call = called(self._gnomon, self._server)
        if call is None:
            return run(*args, **named)
        args, named = with_metadata(call, args, named)
        try:
            answer = run(*args, **named)
        except BaseException as error:
            call.failed(error)
            raise
        call.end(OK)
        return answer


class _UnaryResponse(_Callable):
    def __call__(self, *args: Any, **named: Any) -> Any:
        """Call and wait."""
        return self._finished(self._inner, args, named)

    def with_call(self, *args: Any, **named: Any) -> Any:
        """Call and wait, for the answer and the call."""
        return self._finished(self._inner.with_call, args, named)

    def future(self, *args: Any, **named: Any) -> Any:
        """Call."""
        return self._started(self._inner.future, args, named)


class _StreamResponse(_Callable):
    responses = True

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Call."""
        return self._started(self._inner, args, named)


# google.api_core and others ask what a callable is.
class UnaryUnary(_UnaryResponse, grpc.UnaryUnaryMultiCallable):  # type: ignore[misc]  # grpc ships no types
    """One request, one response."""


class UnaryStream(_StreamResponse, grpc.UnaryStreamMultiCallable):  # type: ignore[misc]  # likewise
    """One request, many responses."""


class StreamUnary(_UnaryResponse, grpc.StreamUnaryMultiCallable):  # type: ignore[misc]  # likewise
    """Many requests, one response."""


class StreamStream(_StreamResponse, grpc.StreamStreamMultiCallable):  # type: ignore[misc]  # likewise
    """Many of both."""


CALLABLES = {
    "unary_unary": UnaryUnary,
    "unary_stream": UnaryStream,
    "stream_unary": StreamUnary,
    "stream_stream": StreamStream,
}


class ClientInterceptor(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc]  # grpc ships no types
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc]  # likewise
    grpc.StreamUnaryClientInterceptor,  # type: ignore[misc]  # likewise
    grpc.StreamStreamClientInterceptor,  # type: ignore[misc]  # likewise
):
    """For `grpc.intercept_channel`, where channels are not to be followed by themselves."""

    def __init__(self, side: Side) -> None:
        self._side = side

    def _intercept(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any, *, stream: bool) -> Any:
        call = called(self._side.method(details.method), ())
        if call is None:
            return continuation(details, request)
        try:
            rpc = continuation(Details(details, call.metadata(details.metadata)), request)
        except BaseException as error:
            call.failed(error)
            raise
        watch(call, rpc, stream=stream)
        return rpc

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """One request, one response."""
        return self._intercept(continuation, client_call_details, request, stream=False)

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """One request, many responses."""
        return self._intercept(continuation, client_call_details, request, stream=True)

    def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        """Many requests, one response."""
        return self._intercept(continuation, client_call_details, request_iterator, stream=False)

    def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        """Many of both."""
        return self._intercept(continuation, client_call_details, request_iterator, stream=True)


class Details(grpc.ClientCallDetails):  # type: ignore[misc]  # grpc ships no types
    """Another interceptor's details, whatever they have, with our metadata."""

    def __init__(self, details: Any, metadata: Any) -> None:
        self._details, self.metadata = details, metadata

    def __getattr__(self, name: str) -> Any:
        return getattr(self._details, name)
