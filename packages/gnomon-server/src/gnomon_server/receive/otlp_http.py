"""OTLP over HTTP: POST /v1/traces, /v1/metrics, /v1/logs; protobuf or JSON; gzip, deflate, zstd."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gnomon_server.errors import GnomonError, InvalidInput, Unsupported
from gnomon_server.receive.edge import Edge
from gnomon_server.receive.otlp import OtlpReceiver, Signal, json_response, protobuf_response
from gnomon_server.transport.body import read_body
from gnomon_server.transport.reply import HttpReply, otlp_http_reply

_PROTOBUF, _JSON = "application/x-protobuf", "application/json"


class OtlpHttp:
    """The routes."""

    def __init__(self, receiver: OtlpReceiver, edge: Edge) -> None:
        self._receiver, self._edge = receiver, edge

    def routes(self, listener: str) -> list[Route]:
        """One route a signal, for the listener of that name."""
        takes = {signal.value: partial(self._take, signal) for signal in Signal}
        endpoints = {name: self._edge.endpoint(listener, take, _reply) for name, take in takes.items()}
        return [Route(f"/v1/{name}", endpoint, methods=["POST"]) for name, endpoint in endpoints.items()]

    async def _take(self, signal: Signal, request: Request) -> Response:
        grant = self._edge.grant(request.headers)
        content_type = request.headers.get("content-type", "")
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type not in (_PROTOBUF, _JSON):
            raise Unsupported(
                "media_type", f"Content-Type {content_type!r} is not OTLP", where="header Content-Type",
                hint=f"send {_PROTOBUF} or {_JSON}",
            )  # fmt: skip
        is_json = media_type == _JSON
        with self._edge.budget.lease() as lease:
            body = await read_body(request.receive, request.headers, self._edge.limits, lease)
            _check_kind(body, is_json=is_json)
            protocol = "http/json" if is_json else "http/protobuf"
            rejections = await self._receiver.take(signal, body, grant.tenant, protocol, is_json=is_json)
        answer = json_response(signal, rejections) if is_json else protobuf_response(rejections)
        return Response(answer, media_type=media_type)


def _reply(error: GnomonError, request: Request) -> HttpReply:
    return otlp_http_reply(error, request.headers.get("content-type", ""))


def _check_kind(body: bytes, *, is_json: bool) -> None:
    """Refuse the one kind that calls itself the other; both are told by their first byte.

    A protobuf request begins with field 1 (0A, a newline to JSON), never with `{` (the start of a group, of field 15).
    """
    if not is_json and body[:1] == b"{":
        raise InvalidInput(
            "json_as_protobuf", "Content-Type says protobuf, and the body is JSON", where="header Content-Type",
            hint=f"send Content-Type: {_JSON} with JSON",
        )  # fmt: skip
    if is_json and body[:1] == b"\n" and body.lstrip()[:1] != b"{":
        raise InvalidInput(
            "protobuf_as_json", "Content-Type says JSON, and the body is no JSON but may be protobuf",
            where="header Content-Type", hint=f"send Content-Type: {_PROTOBUF} with protobuf",
        )  # fmt: skip
