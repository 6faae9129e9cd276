"""Finding the event loops of a process: where they begin to run.

`run_forever` is what every loop runs by, also under `asyncio.run`, `run_until_complete`, uvicorn, gunicorn, granian and
grpc.aio. It is called once in a loop's life or so, in the loop's thread: watching from there costs a request nothing,
and a service without any request is watched as well.
"""

import asyncio
import functools
from asyncio import base_events
from collections.abc import Callable
from typing import Any

Watch = Callable[[asyncio.AbstractEventLoop], Callable[[], None]]
"""Watches a loop; returns what stops that."""


class Loops:
    """Watches every loop from the moment it runs.

    Args:
        watch: told of each.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._undo: dict[type[Any], Callable[[], None]] = {}

    def follow(self, kind: type[Any] = base_events.BaseEventLoop) -> None:
        """Follow the loops of a class: asyncio's own, `uvloop.Loop`; again does nothing."""
        if kind in self._undo:
            return
        own, watch = kind.__dict__.get("run_forever"), self._watch
        inherited: Any = kind.run_forever

        @functools.wraps(inherited)
        def run_forever(loop: Any) -> Any:
            leave = watch(loop)
            try:
                return inherited(loop)
            finally:
                leave()

        kind.run_forever = run_forever

        def undo() -> None:
            if kind.__dict__.get("run_forever") is not run_forever:
                return  # someone has wrapped it again, and calls us to the end
            if own is None:
                del kind.run_forever
            else:
                kind.run_forever = own

        self._undo[kind] = undo

    def leave(self) -> None:
        """Follow none any more; those that run are the watchdog's."""
        while self._undo:
            self._undo.popitem()[1]()
