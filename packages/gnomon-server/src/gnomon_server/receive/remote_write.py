"""Prometheus remote write 1.0 and 2.0: POST /api/v1/write, snappy over protobuf.

Sources: https://prometheus.io/docs/specs/prw/remote_write_spec/ and .../remote_write_spec_2_0/. Senders try again on
429 and 5xx and drop what gets any other 4xx; so a request of which something can never be stored is answered 400 after
the rest is stored (partial write).
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gnomon_server.decode.remote_write.context import WriteContext
from gnomon_server.decode.remote_write.request import Decoded, Message, decode_write
from gnomon_server.errors import GnomonError, InvalidInput, Unsupported
from gnomon_server.receive.edge import Edge, Sink, count_stored
from gnomon_server.selfmon.clock import Clock
from gnomon_server.selfmon.registry import Registry
from gnomon_server.transport.body import BodyLease, read_body
from gnomon_server.transport.media_type import media_type
from gnomon_server.transport.reply import http_reply
from gnomon_server.transport.snappy import declared_bytes, decompress_block
from gnomon_server.transport.strangers import note

PATHS = ("/api/v1/write", "/prometheus/api/v1/write", "/api/v1/push")
"""Prometheus' own path, the one below its prefix here, and Mimir's."""

_MEDIA_TYPE = "application/x-protobuf"
_PROTOCOLS = {Message.V1: "remote-write/1.0", Message.V2: "remote-write/2.0"}
_NS_PER_MS = 1_000_000


class RemoteWriteReceiver:
    """Decodes in one thread of its own and stores; as OtlpReceiver, whose thread other senders keep busy."""

    def __init__(
        self, sink: Sink, make_context: Callable[[], WriteContext], future_ns: int, clock: Clock, registry: Registry
    ) -> None:
        self._sink = sink
        self._context = make_context()
        self._future_ns = future_ns
        self._clock = clock
        self._registry = registry
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="remote-write-decode")

    def close(self) -> None:
        """End the decoding thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def take(self, body: Callable[[], bytes], sent_bytes: int, message: Message, tenant: str) -> Decoded:
        """Store one request. `body` decompresses it, in the decoding thread; GnomonError when none of it was stored."""
        labels = {"signal": "metrics", "protocol": _PROTOCOLS[message]}
        self._registry.count("gnomon_received_bytes_total", sent_bytes, **labels)
        try:
            decoded = await asyncio.get_running_loop().run_in_executor(self._pool, self._decode, body, message, tenant)
            await self._sink.submit(decoded.batch)
        except GnomonError as error:
            self._registry.count("gnomon_refused_requests_total", signal="metrics", reason=error.code)
            raise
        decoded = decoded.less(decoded.batch.rejections.refused["series_limit"])  # which intake has refused
        count_stored(self._registry, decoded.batch, "metrics", _PROTOCOLS[message])
        return decoded

    def _decode(self, body: Callable[[], bytes], message: Message, tenant: str) -> Decoded:
        self._context.latest_ms = (self._clock.now_ns() + self._future_ns) // _NS_PER_MS
        return decode_write(body(), message, tenant, self._context)


class RemoteWrite:
    """The routes."""

    def __init__(self, receiver: RemoteWriteReceiver, edge: Edge) -> None:
        self._receiver, self._edge = receiver, edge

    def routes(self, listener: str) -> list[Route]:
        """One route a path, for the listener of that name."""
        take = partial(self._take, listener)
        endpoint = self._edge.endpoint(listener, take, lambda error, _: http_reply(error))
        return [Route(path, endpoint, methods=["POST"]) for path in PATHS]

    async def _take(self, listener: str, request: Request) -> Response:
        grant = self._edge.grant(request.headers)
        message = message_of(request.headers.get("content-type", ""))
        with self._edge.budget.lease() as lease:
            body, sent_bytes = await self._body(request, lease)
            decoded = await self._receiver.take(body, sent_bytes, message, grant.tenant)
        headers = written_headers(decoded)
        error = partial_write(decoded)
        if error is None:
            return Response(status_code=204, headers=headers)
        note(self._edge.book, listener, error, request.scope)
        reply = http_reply(error)
        return Response(reply.body, reply.status, {**reply.headers, **headers})

    async def _body(self, request: Request, lease: BodyLease) -> tuple[Callable[[], bytes], int]:
        """What decompresses the body, and how long it is as sent. No Content-Encoding means snappy, as in Prometheus.

        Beside the specification's snappy the encodings of `transport.compression` are taken: vmagent sends zstd.
        """
        encoding = request.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "snappy"):
            decoded = await read_body(request.receive, request.headers, self._edge.limits, lease)
            return (lambda: decoded), int(request.headers.get("content-length", len(decoded)))
        headers = {name: value for name, value in request.headers.items() if name != "content-encoding"}
        raw = await read_body(request.receive, headers, self._edge.limits, lease)
        # Taken here and not in the decoding thread, which may still run when this request's lease has ended.
        lease.take(declared_bytes(raw, self._edge.limits.max_decoded_bytes))
        return (lambda: decompress_block(raw, self._edge.limits.max_decoded_bytes)), len(raw)


def message_of(content_type: str) -> Message:
    """Which message a Content-Type announces: 1.0's when it says none, or nothing at all (old senders).

    `Unsupported` (415) for any other, upon which a sender may try another version.
    """
    media, named = media_type(content_type)
    proto = named.get("proto", Message.V1)
    if media in ("", _MEDIA_TYPE) and proto in list(Message):
        return Message(proto)
    raise Unsupported(
        "media_type", f"Content-Type {content_type[:200]!r} is not remote write", where="header Content-Type",
        hint=" or ".join(f"{_MEDIA_TYPE};proto={message}" for message in Message),
    )  # fmt: skip


def written_headers(decoded: Decoded) -> dict[str, str]:
    """How much of each kind is stored, as 2.0 demands; senders of 1.0 read over it."""
    written = {"Samples": decoded.samples, "Histograms": decoded.histograms, "Exemplars": decoded.exemplars}
    return {f"X-Prometheus-Remote-Write-{kind}-Written": str(count) for kind, count in written.items()}


def partial_write(decoded: Decoded) -> InvalidInput | None:
    """The error of a request of which something was refused; the rest is stored."""
    rejections = decoded.batch.rejections
    refused = rejections.total_refused
    if not refused:
        return None
    every = refused + decoded.samples + decoded.histograms + decoded.exemplars
    return InvalidInput(
        "partial_write",
        f"{refused} of {every} points were refused, the others are stored: {rejections.text()}",
        hint="do not send these again as they are",
    )
