"""A GnomonError as an HTTP answer and as a gRPC status: the one place where reasons become numbers.

What OTLP senders do decides the numbers: 429, 502, 503, 504 and RESOURCE_EXHAUSTED with RetryInfo, UNAVAILABLE make
them send again, everything else makes them drop (opentelemetry.io/docs/specs/otlp, "Failures"). So 413 is only for
what can never be taken, and load is never a 4xx but 429.
"""

import json
import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gnomon_server import errors
from gnomon_server.errors import GnomonError, RetryableError

# kind of error -> HTTP status, gRPC status
_STATUS: dict[type[GnomonError], tuple[HTTPStatus, grpc.StatusCode]] = {
    errors.InvalidInput: (HTTPStatus.BAD_REQUEST, grpc.StatusCode.INVALID_ARGUMENT),
    # Not RESOURCE_EXHAUSTED: with it a sender would try the same bytes for ever.
    errors.TooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, grpc.StatusCode.INVALID_ARGUMENT),
    errors.Unauthenticated: (HTTPStatus.UNAUTHORIZED, grpc.StatusCode.UNAUTHENTICATED),
    errors.Forbidden: (HTTPStatus.FORBIDDEN, grpc.StatusCode.PERMISSION_DENIED),
    errors.NotFound: (HTTPStatus.NOT_FOUND, grpc.StatusCode.NOT_FOUND),
    errors.Unsupported: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, grpc.StatusCode.UNIMPLEMENTED),
    errors.Overloaded: (HTTPStatus.TOO_MANY_REQUESTS, grpc.StatusCode.RESOURCE_EXHAUSTED),
    errors.Unavailable: (HTTPStatus.SERVICE_UNAVAILABLE, grpc.StatusCode.UNAVAILABLE),
    errors.DeadlineExceeded: (HTTPStatus.GATEWAY_TIMEOUT, grpc.StatusCode.DEADLINE_EXCEEDED),
    errors.Internal: (HTTPStatus.INTERNAL_SERVER_ERROR, grpc.StatusCode.INTERNAL),
}


@dataclass(frozen=True)
class HttpReply:
    """Status, headers (lower-case names) and JSON body of a refusal."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class GrpcReply:
    """What a gRPC handler aborts with: `context.set_trailing_metadata(metadata)`, then `abort(code, details)`."""

    code: grpc.StatusCode
    details: str
    metadata: tuple[tuple[str, str | bytes], ...]


def http_reply(error: GnomonError, status: HTTPStatus | None = None) -> HttpReply:
    """The answer of every HTTP API but OTLP's; `status` in place of the one that the error's kind has."""
    return HttpReply(
        status=(status or _status_of(error)[0]).value,
        headers={"content-type": "application/json", **_advice(error)},
        body=_json(error.to_dict()),
    )


def response(error: GnomonError) -> Response:
    """`http_reply` for Starlette; itself an ASGI application."""
    reply = http_reply(error)
    return Response(reply.body, reply.status, reply.headers)


def otlp_http_reply(error: GnomonError, content_type: str) -> HttpReply:
    """OTLP's answer: a `google.rpc.Status` in the sender's own media type (JSON when that is not protobuf)."""
    status, code = _status_of(error)
    if content_type.partition(";")[0].strip().lower() == "application/x-protobuf":
        headers, body = {"content-type": "application/x-protobuf"}, _rpc_status(code, str(error), error)
    else:
        headers, body = {"content-type": "application/json"}, _rpc_status_json(code, error)
    return HttpReply(status.value, {**headers, **_advice(error)}, body)


def grpc_reply(error: GnomonError) -> GrpcReply:
    """Code, details and trailing metadata; RetryInfo for what passes by itself."""
    code, details = _status_of(error)[1], str(error)
    if not isinstance(error, RetryableError):
        return GrpcReply(code, details, ())
    return GrpcReply(code, details, (("grpc-status-details-bin", _rpc_status(code, details, error)),))


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()  # escapes lone surrogates, at which orjson stops


def _status_of(error: GnomonError) -> tuple[HTTPStatus, grpc.StatusCode]:
    kinds = (_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
    return next(kinds, _STATUS[errors.Internal])


def _advice(error: GnomonError) -> dict[str, str]:
    """The headers that tell the sender how to go on."""
    if isinstance(error, RetryableError):
        return {"retry-after": str(max(1, math.ceil(error.retry_after_s)))}  # whole seconds: RFC 9110, 10.2.3
    if isinstance(error, errors.Unauthenticated):
        return {"www-authenticate": 'Bearer realm="gnomon", Basic realm="gnomon"'}
    return {}


def _rpc_status_json(code: grpc.StatusCode, error: GnomonError) -> bytes:
    return _json({"code": code.value[0], "message": str(error)})


def _rpc_status(code: grpc.StatusCode, message: str, error: GnomonError) -> bytes:
    """`google.rpc.Status`, written by hand: three fields do not make a dependency (a test compares with Google's).

    message Status { int32 code = 1; string message = 2; repeated google.protobuf.Any details = 3; }
    message RetryInfo { google.protobuf.Duration retry_delay = 1; }
    """
    status = bytes([1 << 3, code.value[0]]) + _field(2, message.encode(errors="replace"))
    if isinstance(error, RetryableError):
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        retry_info = AnyMessage(
            type_url="type.googleapis.com/google.rpc.RetryInfo", value=_field(1, delay.SerializeToString())
        )
        status += _field(3, retry_info.SerializeToString())
    return status


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited field of the protobuf wire format."""
    length, varint = len(payload), bytearray()
    while length > 0x7F:  # noqa: PLR2004 - seven bits a byte
        varint.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([number << 3 | 2, *varint, length]) + payload


async def _refuse(_request: Request, error: Exception) -> Response:
    return response(error if isinstance(error, GnomonError) else _internal())


async def _refuse_route(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405, in our words."""
    status = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    code = status.name.lower()
    reply = http_reply(GnomonError(code, f"{request.method} {request.url.path}: {status.phrase}", "path"), status)
    return Response(reply.body, reply.status, {**reply.headers, **(getattr(error, "headers", None) or {})})


def _internal() -> errors.Internal:
    # The traceback goes to the log (Starlette raises it on to the server), never to the client.
    return errors.Internal("internal", "the server failed on this request; its log has the traceback")


EXCEPTION_HANDLERS = {GnomonError: _refuse, HTTPException: _refuse_route, Exception: _refuse}
"""For `Starlette(exception_handlers=...)`."""
