"""OTLP over HTTP: POST /v1/traces, /v1/metrics, /v1/logs; protobuf or JSON; gzip, deflate, zstd."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gnomon_server.access.authenticator import Authenticator
from gnomon_server.access.tokens import Scope
from gnomon_server.errors import GnomonError, InvalidInput, Unsupported
from gnomon_server.receive.otlp import OtlpReceiver, Signal, json_response, protobuf_response
from gnomon_server.selfmon.turned_away import DoorBook
from gnomon_server.transport.body import BodyBudget, read_body
from gnomon_server.transport.limits import BodyLimits
from gnomon_server.transport.reply import otlp_http_reply
from gnomon_server.transport.strangers import note

_PROTOBUF, _JSON = "application/x-protobuf", "application/json"


class OtlpHttp:
    """The routes."""

    def __init__(
        self,
        receiver: OtlpReceiver,
        authenticator: Authenticator,
        limits: BodyLimits,
        budget: BodyBudget,
        book: DoorBook,
    ) -> None:
        self._receiver = receiver
        self._authenticator = authenticator
        self._limits = limits
        self._budget = budget
        self._book = book

    def routes(self, listener: str) -> list[Route]:
        """One route a signal, for the listener of that name."""
        return [Route(f"/v1/{signal.value}", self._endpoint(signal, listener), methods=["POST"]) for signal in Signal]

    def _endpoint(self, signal: Signal, listener: str):  # type: ignore[no-untyped-def]  # noqa: ANN202  (Starlette's endpoint type)
        async def endpoint(request: Request) -> Response:
            content_type = request.headers.get("content-type", "")
            try:
                return await self._take(signal, request, content_type)
            except GnomonError as error:
                note(self._book, listener, error, request.scope)
                reply = otlp_http_reply(error, content_type)
                return Response(reply.body, reply.status, reply.headers)

        return endpoint

    async def _take(self, signal: Signal, request: Request, content_type: str) -> Response:
        grant = self._authenticator.authenticate(request.headers)
        grant.require(Scope.INGEST)
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type not in (_PROTOBUF, _JSON):
            raise Unsupported(
                "media_type", f"Content-Type {content_type!r} is not OTLP", where="header Content-Type",
                hint=f"send {_PROTOBUF} or {_JSON}",
            )  # fmt: skip
        is_json = media_type == _JSON
        with self._budget.lease() as lease:
            body = await read_body(request.receive, request.headers, self._limits, lease)
            _check_kind(body, is_json=is_json)
            protocol = "http/json" if is_json else "http/protobuf"
            rejections = await self._receiver.take(signal, body, grant.tenant, protocol, is_json=is_json)
        answer = json_response(signal, rejections) if is_json else protobuf_response(rejections)
        return Response(answer, media_type=media_type)


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
