"""Servers of grpc.aio: coroutines, asynchronous generators, and plain handlers, which grpc.aio runs in threads."""

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import grpc

from gnomon.context import attach, detach
from gnomon.integrations.grpc.calls import Call, Method, Side, mistake, served
from gnomon.integrations.grpc.server import Behaviour, Handlers, finish
from gnomon.integrations.grpc.server import wrapped as wrapped_plain


class AioServerInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """For `grpc.aio.server(interceptors=[...])`."""

    def __init__(self, side: Side) -> None:
        self._handlers = Handlers(side, wrapped)

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """The handler, wrapped."""
        return self._handlers.answer(await continuation(handler_call_details), handler_call_details)


def wrapped(behaviour: Behaviour, method: Method, requests: bool, responses: bool) -> Behaviour:
    """A behaviour, followed, and of the same kind: grpc.aio looks at what it is before it calls it."""
    if inspect.isasyncgenfunction(behaviour):
        return _generator(behaviour, method, requests)
    if inspect.iscoroutinefunction(behaviour):
        return _coroutine(behaviour, method, requests)
    plain = wrapped_plain(behaviour, method, requests, responses)
    return lambda request, context: plain(request, Told(context))


def _coroutine(behaviour: Behaviour, method: Method, requests: bool) -> Behaviour:
    async def serve(request: Any, context: Any) -> Any:
        call = served(method, context)
        if call is None:
            return await behaviour(request, context)
        token = attach(call.context)
        try:
            answer = await behaviour(AioRequests(request, call) if requests else request, context)
        except BaseException as error:
            finish(call, context, error)
            raise
        else:
            finish(call, context)
            return answer
        finally:
            detach(token)

    return serve


def _generator(behaviour: Behaviour, method: Method, requests: bool) -> Behaviour:
    async def serve(request: Any, context: Any) -> AsyncGenerator[Any, None]:
        call = served(method, context)
        if call is None:
            async for answer in behaviour(request, context):
                yield answer
            return
        _end_when_dropped(call, context)
        answers = behaviour(AioRequests(request, call) if requests else request, context)
        try:
            while True:
                token = attach(call.context)
                try:
                    answer = await anext(answers)
                finally:
                    detach(token)
                call.sent += 1
                yield answer
        except StopAsyncIteration:
            finish(call, context)
        except BaseException as error:
            finish(call, context, error)
            await answers.aclose()
            raise

    return serve


def _end_when_dropped(call: Call, context: Any) -> None:
    """A client that is gone lets grpc drop the generator, which the event loop closes when it comes to it."""
    try:
        context.add_done_callback(functools.partial(_dropped, call))
    except Exception as error:  # noqa: BLE001 - it may be another interceptor's context
        mistake("the end of a gRPC stream cannot be awaited", error)


def _dropped(call: Call, context: Any) -> None:
    finish(call, context, GeneratorExit())


class AioRequests:
    """A stream of requests, counted; otherwise as grpc made it."""

    __slots__ = ("_call", "_requests")

    def __init__(self, requests: Any, call: Call) -> None:
        self._requests, self._call = requests, call

    def __aiter__(self) -> "AioRequests":
        return self

    async def __anext__(self) -> Any:
        request = await anext(self._requests)
        self._call.received += 1
        return request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._requests, name)


class Told:
    """The context of a plain handler in grpc.aio, which cannot be asked for its status: it is noted on the way."""

    __slots__ = ("_code", "_context", "_details")

    def __init__(self, context: Any) -> None:
        self._context, self._code, self._details = context, None, ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def code(self) -> Any:
        """The status, if one was set."""
        return self._code

    def details(self) -> str:
        """Its words."""
        return self._details

    def set_code(self, code: Any) -> None:
        """Set the status."""
        self._code = code
        self._context.set_code(code)

    def set_details(self, details: str) -> None:
        """Set its words."""
        self._details = details
        self._context.set_details(details)

    def abort(self, code: Any, details: str = "", trailing_metadata: tuple[Any, ...] = ()) -> None:
        """End the call with a status; raises."""
        self._code, self._details = code, details
        self._context.abort(code, details, trailing_metadata)
