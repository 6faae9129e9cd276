"""Servers: every handler is wrapped once, and what is wrapped is found again by one look-up.

grpc asks its interceptors for a handler at every call; ours answers with the one it made at the first. The handler runs
with its span current, streams at every step, whichever thread takes it.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from gnomon.context import attach, detach
from gnomon.integrations.grpc.calls import MOST_METHODS, Call, Method, ServedCall, Side, mistake, served
from gnomon.integrations.grpc.status import OK, UNIMPLEMENTED, UNKNOWN, outcome

Behaviour = Callable[[Any, Any], Any]
MEMBERS = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


class Handlers:
    """The wrapped handlers of one server.

    Args:
        side: SERVER.
        wrap: (behaviour, its method, whether requests and responses are streams) -> the behaviour to serve with.
    """

    def __init__(self, side: Side, wrap: Callable[[Behaviour, Method, bool, bool], Behaviour]) -> None:
        self._side, self._wrap = side, wrap
        self._known: dict[str, tuple[Any, Any]] = {}

    def answer(self, handler: Any, details: Any) -> Any:
        """The handler to serve with; None where there is none, and the call is written down already."""
        if handler is not None:
            return self.wrapped(handler, details.method)
        try:
            self._unknown(details)
        except Exception as error:  # noqa: BLE001 - the host's call goes on, whatever we did wrong
            mistake("a gRPC call of nobody's could not be followed", error)
        return None

    def wrapped(self, handler: Any, path: str) -> Any:
        """A handler, wrapped; the same for the same."""
        try:
            known = self._known.get(path)
            return known[1] if known is not None and known[0] is handler else self._wrapped(handler, path)
        except Exception as error:  # noqa: BLE001 - likewise
            mistake("a gRPC handler could not be wrapped", error)
            return handler

    def _wrapped(self, handler: Any, path: str) -> Any:
        streams = bool(handler.request_streaming), bool(handler.response_streaming)
        member, make = MEMBERS[streams]
        behaviour = getattr(handler, member)
        if getattr(behaviour, "experimental_non_blocking", False):
            return handler  # it answers through a callback, and is over long before its call is
        wrapped = functools.wraps(behaviour)(self._wrap(behaviour, self._side.method(path), *streams))
        made = make(wrapped, handler.request_deserializer, handler.response_serializer)
        if len(self._known) >= MOST_METHODS:
            self._known.clear()
        self._known[path] = handler, made
        return made

    def _unknown(self, details: Any) -> None:
        """A method that nobody serves. Its name is the caller's, so it stands in an attribute and in nothing else."""
        side = self._side
        if not side.live:
            return
        parent, context = side.propagator.received(dict(details.invocation_metadata or ()).get)
        call = ServedCall(side.other, parent, context, ())
        if call.span is not None:
            call.span.set_attribute("rpc.method_original", details.method.removeprefix("/"))
        call.end(UNIMPLEMENTED, "Method not found!")


class ServerInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """For `grpc.server(..., interceptors=[...])`."""

    def __init__(self, side: Side) -> None:
        self._handlers = Handlers(side, wrapped)

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The handler, wrapped."""
        return self._handlers.answer(continuation(handler_call_details), handler_call_details)


def wrapped(behaviour: Behaviour, method: Method, requests: bool, responses: bool) -> Behaviour:
    """A plain behaviour, followed."""
    if responses:
        return _streaming(behaviour, method, requests)

    def serve(request: Any, context: Any) -> Any:
        call = served(method, context)
        if call is None:
            return behaviour(request, context)
        token = attach(call.context)
        try:
            answer = behaviour(Requests(request, call) if requests else request, context)
        except BaseException as error:
            finish(call, context, error)
            raise
        else:
            finish(call, context)
            return answer
        finally:
            detach(token)

    return serve


def _streaming(behaviour: Behaviour, method: Method, requests: bool) -> Behaviour:
    def serve(request: Any, context: Any) -> Any:
        call = served(method, context)
        if call is None:
            return behaviour(request, context)
        token = attach(call.context)
        try:
            answers = iter(behaviour(Requests(request, call) if requests else request, context))
        except BaseException as error:
            finish(call, context, error)
            raise
        finally:
            detach(token)
        return Responses(answers, call, context)

    return serve


def finish(call: Call, context: Any, error: BaseException | None = None) -> None:
    """End a served call; whatever its context says, the host hears nothing of it."""
    try:
        call.end(*outcome(context, error))
    except Exception as ours:  # noqa: BLE001 - the host's call goes on
        mistake("the status of a gRPC call could not be read", ours)
        call.end(OK if error is None else UNKNOWN, error=error)


class Requests:
    """A stream of requests, counted; otherwise as grpc made it."""

    __slots__ = ("_call", "_requests")

    def __init__(self, requests: Any, call: Call) -> None:
        self._requests, self._call = requests, call

    def __iter__(self) -> "Requests":
        return self

    def __next__(self) -> Any:
        request = next(self._requests)
        self._call.received += 1
        return request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._requests, name)


class Responses:
    """A stream of responses: the span is current while the handler makes one, and ends with the last.

    A client that is gone lets grpc drop the stream, and then nobody asks for the rest: then it ends here.
    """

    __slots__ = ("_answers", "_call", "_context")

    def __init__(self, answers: Iterator[Any], call: Call, context: Any) -> None:
        self._answers, self._call, self._context = answers, call, context

    def __iter__(self) -> "Responses":
        return self

    def __next__(self) -> Any:
        call = self._call
        token = attach(call.context)
        try:
            answer = next(self._answers)
        except StopIteration:
            finish(call, self._context)
            raise
        except BaseException as error:
            finish(call, self._context, error)
            raise
        finally:
            detach(token)
        call.sent += 1
        return answer

    def close(self) -> None:
        """Close the handler's generator, with its span current, as it is for its `finally` when it ends by itself."""
        token = attach(self._call.context)
        try:
            if (close := getattr(self._answers, "close", None)) is not None:
                close()
        finally:
            detach(token)
            finish(self._call, self._context, GeneratorExit())

    def __del__(self) -> None:
        self.close()
