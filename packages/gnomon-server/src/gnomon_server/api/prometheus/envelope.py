"""Answers and errors in Prometheus' envelope: `{"status": "success", "data": ...}`.

Source: Prometheus web/api/v1/api.go (`respond`, `respondError`).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from gnomon_server import errors
from gnomon_server.api.prometheus import texts
from gnomon_server.errors import GnomonError
from gnomon_server.transport.gzipped import gzipped
from gnomon_server.transport.reply import http_reply

TRUNCATED = "results truncated due to limit"
_CLIENT_LEFT = 499  # nginx' number, and Prometheus'
_WHOLE_BYTES = 8 << 20  # an answer up to this size is sent with its length, a larger one as it is made

Endpoint = Callable[[Request], Awaitable[Response]]


class _Kind(NamedTuple):
    """Prometheus' `errorType`, and the status where it is not the one that the error has everywhere."""

    type: str
    status: int | None = None


_BAD_DATA, _EXECUTION = _Kind("bad_data"), _Kind("execution", HTTPStatus.UNPROCESSABLE_ENTITY)
_BY_CODE = {
    "promql_execution": _EXECUTION,
    "query_canceled": _Kind("canceled", _CLIENT_LEFT),
    "client_left": _Kind("canceled", _CLIENT_LEFT),
    "body_too_large": _BAD_DATA,
}
_BY_CLASS: dict[type[GnomonError], _Kind] = {
    errors.DeadlineExceeded: _Kind("timeout", HTTPStatus.SERVICE_UNAVAILABLE),
    errors.TooLarge: _EXECUTION,
    errors.Unavailable: _Kind("unavailable"),
    errors.Overloaded: _Kind("unavailable"),
    errors.NotFound: _Kind("not_found"),
    errors.Internal: _Kind("internal"),
    errors.InvalidInput: _BAD_DATA,
    errors.Unauthenticated: _BAD_DATA,
    errors.Forbidden: _BAD_DATA,
    errors.Unsupported: _BAD_DATA,
}


def success(data: Any, warnings: Sequence[str] = ()) -> Response:
    """A plain value as `data`."""
    said = b',"warnings":' + texts.dump(list(warnings)) if warnings else b""
    return _json(b'{"status":"success","data":' + texts.dump(data) + said + b"}")


async def success_of(make: Callable[[], tuple[Iterable[bytes], Sequence[str]]], infos: Sequence[str] = ()) -> Response:
    """The answer to a question, made in a thread; a large one is sent while it is made.

    Args:
        make: gives `data` as JSON, in blocks, and the warnings.
        infos: what is said besides.
    """
    head, rest = await asyncio.to_thread(_head, make, infos)
    return _json(head) if rest is None else StreamingResponse(_rest(head, rest), media_type="application/json")


def refusing(endpoint: Endpoint) -> Endpoint:
    """The same endpoint with its errors in Prometheus' words, and compressed as its asker likes."""

    async def answer(request: Request) -> Response:
        try:
            return await gzipped(await endpoint(request), request.headers.get("accept-encoding", ""))
        except GnomonError as error:
            return failure(error)
        except Exception as error:  # noqa: BLE001 - it goes on to the server's log, after an answer of ours
            return _Broken(error)

    return answer


class _Broken(Response):
    """A fault of ours: answered in the envelope, then raised."""

    def __init__(self, error: Exception) -> None:
        said = errors.Internal("internal", "the server failed on this request; its log has the traceback")
        super().__init__(failure(said).body, HTTPStatus.INTERNAL_SERVER_ERROR, media_type="application/json")
        self._error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)
        raise self._error


def failure(error: GnomonError) -> Response:
    """`{"status": "error", "errorType": ..., "error": ...}`."""
    kind = _BY_CODE.get(error.code) or next(
        (_BY_CLASS[one] for one in type(error).__mro__ if one in _BY_CLASS), _Kind("internal")
    )
    reply = http_reply(error)
    said = {"status": "error", "errorType": kind.type, "error": texts.clean(error.what)}
    return Response(texts.dump(said), kind.status or reply.status, reply.headers)


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _enclosed(data: Iterable[bytes], warnings: Sequence[str], infos: Sequence[str]) -> Iterator[bytes]:
    yield b'{"status":"success","data":'
    yield from data
    for name, said in ((b"warnings", warnings), (b"infos", infos)):
        if said:
            yield b',"%b":' % name + texts.dump([texts.clean(one) for one in said])
    yield b"}"


def _head(
    make: Callable[[], tuple[Iterable[bytes], Sequence[str]]], infos: Sequence[str]
) -> tuple[bytes, Iterator[bytes] | None]:
    """As many blocks as are sent at once, and the others; None: these are all."""
    blocks = _enclosed(*make(), infos)
    found, size = [], 0
    for block in blocks:
        found.append(block)
        size += len(block)
        if size > _WHOLE_BYTES:
            return b"".join(found), blocks
    return b"".join(found), None


async def _rest(head: bytes, blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    while block := await asyncio.to_thread(next, blocks, b""):
        yield block
