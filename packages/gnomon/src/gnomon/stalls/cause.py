"""Whose request it is that a loop is busy with.

A request leaves its mark in two places, and costs nothing for it: the integrations' own frames stand on the stack of
what serves it, and its span is in the context of every task and callback that it began.
"""

import asyncio
import contextvars
import gc
from collections.abc import Iterable, Iterator
from types import CodeType, FrameType
from typing import Any

from gnomon.context import SPAN_KEY, Context
from gnomon.stalls.stack import HANDLE_RUN, frames

# Where requests enter, and the name that they have there.
ENTRIES = {
    ("gnomon.integrations.asgi", "Middleware.__call__"): "request",
    ("gnomon.integrations.grpc.aio_server", "_coroutine.<locals>.serve"): "call",
    ("gnomon.integrations.grpc.aio_server", "_generator.<locals>.serve"): "call",
}
_NAMES = frozenset(name.rpartition(".")[2] for _, name in ENTRIES)
# Tasks are searched, once a stall, for the request that a child of it belongs to.
MOST_TASKS, DEEPEST = 2000, 32


class Serving:
    """A request that is being served, or was.

    Attributes:
        span: its server span; of whatever else a span is open for, where no request is.
    """

    def __init__(self, span: Any, request: Any = None, entry: Any = None) -> None:
        self.span, self._request, self._entry = span, request, entry

    @property
    def is_request(self) -> bool:
        """Whether it was found in progress."""
        return self._request is not None

    @property
    def started_ns(self) -> int | None:
        """When it began, Unix nanoseconds; None: not told by a span that does not record."""
        started: int | None = getattr(self.span, "start_time", None)
        return getattr(self._request, "started_ns", started)

    @property
    def name(self) -> str:
        """`POST /orders/{id}`, `shop.Orders/Place`: with the template of the route, once it is known."""
        request = self._request
        if request is None or not hasattr(request, "scope"):
            return getattr(self.span, "name", "") or "a request"
        if request.ended_ns:
            return str(self.span.name)
        return f"{request.method} {self._entry.route(request.scope) or request.path}"

    @property
    def ids(self) -> tuple[bytes, bytes, bool] | None:
        """Trace id, span id, sampled; as log lines want them."""
        span = self.span
        return (span.trace, span.id, span.sampled) if hasattr(span, "trace") else None


def serving(loop: asyncio.AbstractEventLoop, innermost: FrameType, base: CodeType | None, task: Any) -> Serving | None:
    """Who is served by what stands on a loop's stack.

    Args:
        loop: the loop.
        innermost: the frame that its thread is in.
        base: see `stack.frames`.
        task: the loop's current one, if any.
    """
    below: FrameType | None = innermost
    for frame in frames(innermost, base):
        if found := _entered(frame):
            return found
        below = frame.f_back
    span = _current(below, task)
    if span is None:
        return None
    local = getattr(span, "local", None)
    for other in _in_progress(loop):
        if local is not None and getattr(other.span, "local", None) is local:
            return other
    return Serving(span)


def _entered(frame: FrameType) -> Serving | None:
    code = frame.f_code
    if code.co_name not in _NAMES:
        return None
    name = ENTRIES.get((frame.f_globals.get("__name__", ""), code.co_qualname))
    request = frame.f_locals.get(name) if name else None
    span = getattr(request, "span", None)
    return None if span is None else Serving(span, request, frame.f_locals.get("self"))


def _current(below: FrameType | None, task: Any) -> Any:
    """The span in the context of a callback: asyncio's handle has the context; of uvloop's we know the task only."""
    held = None
    if below is not None and below.f_code is HANDLE_RUN:
        held = getattr(below.f_locals.get("self"), "_context", None)
    elif task is not None:
        # Task.get_context() is of 3.12; before, the garbage collector is the one who can be asked.
        ask = getattr(task, "get_context", None)
        contexts = [ask()] if ask else [one for one in gc.get_referents(task) if isinstance(one, contextvars.Context)]
        held = contexts[0] if contexts else None
    values: Iterable[Any] = held.values() if isinstance(held, contextvars.Context) else ()
    return next((value.get(SPAN_KEY) for value in values if isinstance(value, Context)), None)


def _in_progress(loop: asyncio.AbstractEventLoop) -> Iterator[Serving]:
    """The requests that suspended tasks of a loop are serving."""
    for task in list(asyncio.all_tasks(loop))[:MOST_TASKS]:
        waits: Any = task.get_coro()
        for _ in range(DEEPEST):
            frame = getattr(waits, "cr_frame", None)
            if frame is None:
                break
            if found := _entered(frame):
                yield found
                break
            waits = waits.cr_await
