"""A span around a block, a call, or all steps of a generator."""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from opentelemetry.trace import StatusCode

from gnomon.context import attach, current, detach, with_span
from gnomon.tracing.span import message

P = ParamSpec("P")
R = TypeVar("R")


class CurrentSpan:
    """A span that is current for a while. A context manager, once; a decorator, for every call anew.

    Args:
        start: makes the span from the arguments.
        args: what it is called with.
        records, status: whether an exception that passes through is recorded, and makes the status an error.
        ends: whether the span ends with the block.
    """

    __slots__ = ("_args", "_ends", "_records", "_start", "_status", "_token", "span")

    def __init__(
        self,
        start: Callable[..., Any],
        args: tuple[Any, ...] = (),
        records: bool = True,
        status: bool = True,
        ends: bool = True,
    ) -> None:
        self._start, self._args, self._records, self._status, self._ends = start, args, records, status, ends

    def __enter__(self) -> Any:
        span = self.span = self._start(*self._args)
        self._token = attach(with_span(span))
        return span

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, trace: TracebackType | None
    ) -> None:
        detach(self._token)
        if exception is not None:
            self.failed(exception)
        if self._ends:
            self.span.end()

    async def __aenter__(self) -> Any:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, exception, trace)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate: each call gets a span of its own."""
        return traced(function, lambda: CurrentSpan(self._start, self._args, self._records, self._status, self._ends))

    def begin(self) -> Any:
        """Start the span without making it current."""
        self.span = self._start(*self._args)
        return self.span

    def failed(self, exception: BaseException) -> None:
        """An exception passes through."""
        ours = getattr(self.span, "failed", None)
        if ours is not None and self._records and self._status:
            ours(exception)
        elif isinstance(exception, Exception):
            if self._records:
                self.span.record_exception(exception)
            if self._status:
                self.span.set_status(StatusCode.ERROR, f"{type(exception).__name__}: {message(exception)}")


def traced(function: Callable[P, R], span: Callable[[], CurrentSpan]) -> Callable[P, R]:
    """A function inside a span: plain, asynchronous, or a generator of either kind.

    A generator's span lasts from its first step to its last; it is current while the generator runs, and not while
    its caller does.

    Args:
        function: what is called.
        span: makes the span of one call.
    """
    if inspect.isasyncgenfunction(function):
        wrapper: Any = _async_generator(function, span)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(function, span)
    elif inspect.iscoroutinefunction(function):
        wrapper = _coroutine(function, span)
    else:
        wrapper = _plain(function, span)
    return functools.wraps(function)(wrapper)


def _plain(function: Callable[..., Any], span: Callable[[], CurrentSpan]) -> Any:
    def wrapper(*args: Any, **options: Any) -> Any:
        with span():
            return function(*args, **options)

    return wrapper


def _coroutine(function: Callable[..., Any], span: Callable[[], CurrentSpan]) -> Any:
    async def wrapper(*args: Any, **options: Any) -> Any:
        with span():
            return await function(*args, **options)

    return wrapper


def _generator(function: Callable[..., Any], span: Callable[[], CurrentSpan]) -> Any:
    def wrapper(*args: Any, **options: Any) -> Generator[Any, Any, Any]:
        around = span()
        begun, steps = around.begin(), function(*args, **options)
        inside = with_span(begun)
        step: Callable[[], Any] = functools.partial(next, steps)
        try:
            while True:
                token = attach(inside)
                try:
                    given = step()
                finally:
                    inside = current()  # a span may be open in there, from one step to the next
                    detach(token)
                try:
                    sent = yield given
                except BaseException as thrown:  # noqa: BLE001 - what a caller throws in is the generator's to handle
                    step = functools.partial(steps.throw, thrown)
                else:
                    step = functools.partial(steps.send, sent)
        except StopIteration as stop:
            return stop.value
        except GeneratorExit:
            raise  # closed by its caller: no failure
        except BaseException as error:
            around.failed(error)
            raise
        finally:
            begun.end()

    return wrapper


def _async_generator(function: Callable[..., Any], span: Callable[[], CurrentSpan]) -> Any:
    async def wrapper(*args: Any, **options: Any) -> AsyncGenerator[Any, Any]:
        around = span()
        begun, steps = around.begin(), function(*args, **options)
        inside = with_span(begun)
        step: Callable[[], Any] = steps.__anext__
        try:
            while True:
                token = attach(inside)
                try:
                    given = await step()
                finally:
                    inside = current()  # as in the plain one
                    detach(token)
                try:
                    sent = yield given
                except BaseException as thrown:  # noqa: BLE001 - as in the plain one
                    step = functools.partial(steps.athrow, thrown)
                else:
                    step = functools.partial(steps.asend, sent)
        except (StopAsyncIteration, GeneratorExit):
            return
        except BaseException as error:
            around.failed(error)
            raise
        finally:
            begun.end()

    return wrapper
