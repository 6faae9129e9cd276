"""OTLP over HTTP: POST /v1/traces, /v1/metrics, /v1/logs; protobuf or JSON; gzip, deflate, zstd."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gnomon_server.access.authenticator import Authenticator
from gnomon_server.access.tokens import Scope
from gnomon_server.errors import GnomonError, Unsupported
from gnomon_server.receive.otlp import OtlpReceiver, Signal, json_response, protobuf_response
from gnomon_server.transport.body import BodyBudget, read_body
from gnomon_server.transport.limits import BodyLimits
from gnomon_server.transport.reply import otlp_http_reply

_PROTOBUF, _JSON = "application/x-protobuf", "application/json"


class OtlpHttp:
    """The routes."""

    def __init__(
        self, receiver: OtlpReceiver, authenticator: Authenticator, limits: BodyLimits, budget: BodyBudget
    ) -> None:
        self._receiver = receiver
        self._authenticator = authenticator
        self._limits = limits
        self._budget = budget

    def routes(self) -> list[Route]:
        """One route a signal."""
        return [Route(f"/v1/{signal.value}", self._endpoint(signal), methods=["POST"]) for signal in Signal]

    def _endpoint(self, signal: Signal):  # type: ignore[no-untyped-def]  # noqa: ANN202  (Starlette's endpoint type)
        async def endpoint(request: Request) -> Response:
            content_type = request.headers.get("content-type", "")
            try:
                return await self._take(signal, request, content_type)
            except GnomonError as error:
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
            protocol = "http/json" if is_json else "http/protobuf"
            rejections = await self._receiver.take(signal, body, grant.tenant, protocol, is_json=is_json)
        answer = json_response(signal, rejections) if is_json else protobuf_response(rejections)
        return Response(answer, media_type=media_type)
