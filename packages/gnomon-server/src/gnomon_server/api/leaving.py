"""Work for a client that may leave: when it does, the work is cancelled, and with it the query in the store."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from gnomon_server.errors import GnomonError

T = TypeVar("T")


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; `client_left` when the client left before. The request's body must have been read."""
    task = asyncio.create_task(work)
    watch = asyncio.create_task(_left(request))
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            # Nobody reads it; as an error of ours it ends the request without a traceback in the log.
            raise GnomonError("client_left", "the client left before its answer")
        return task.result()
    finally:
        for one in (watch, task):
            one.cancel()
            with contextlib.suppress(BaseException):
                await one


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
