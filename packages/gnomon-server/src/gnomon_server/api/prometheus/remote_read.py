"""`/read`: remote read, as samples or as streamed chunks.

Source: https://prometheus.io/docs/prometheus/latest/querying/remote_read_api/. Native histograms are sent as samples
only, which every client accepts beside chunks.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, starmap
from typing import Any

from cramjam import snappy
from google.protobuf.message import DecodeError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gnomon_server.access.authenticator import Grant
from gnomon_server.api.leaving import while_connected
from gnomon_server.api.parameters import body
from gnomon_server.api.prometheus.read_frames import MEDIA_TYPE, carried, frames
from gnomon_server.api.prometheus.read_messages import MESSAGES, read_response
from gnomon_server.errors import InvalidInput, Unsupported
from gnomon_server.query.promql.metadata import SeriesIndex
from gnomon_server.query.promql.values import Samples
from gnomon_server.query.syntax import regex
from gnomon_server.query.syntax.matchers import Matcher, MatchOp
from gnomon_server.transport.snappy import decompress_block

_MAX_BODY_BYTES = 1 << 20
_MAX_QUERIES = 100
_WHOLE_SAMPLES = 5_000_000  # in one answer that is not streamed: 100 MB
_SAMPLES, _CHUNKS = 0, 1  # Prometheus' ReadRequest.ResponseType
_OPS = (MatchOp.EQUAL, MatchOp.NOT_EQUAL, MatchOp.REGEX, MatchOp.NOT_REGEX)
_REGEX = (MatchOp.REGEX, MatchOp.NOT_REGEX)


@dataclass(frozen=True, slots=True)
class RemoteRead:
    """The endpoint. `most_samples`: that one request may read."""

    index: SeriesIndex
    grant: Callable[[Request], Grant]
    most_samples: int

    async def read(self, request: Request) -> Response:
        """`/read`."""
        tenant = self.grant(request).tenant
        asked = _request(decompress_block(await body(request, _MAX_BODY_BYTES), _MAX_BODY_BYTES))
        accepted = list(asked.accepted) or [_SAMPLES]
        if not {_SAMPLES, _CHUNKS} & set(accepted):
            raise Unsupported("response_type", f"none of the response types {accepted[:10]} is known", where="body")
        found = await while_connected(request, self._found(tenant, asked))
        if _prefers_chunks(accepted, found):
            return StreamingResponse(_streamed(found), media_type=MEDIA_TYPE)
        total = sum(len(samples.ts) for samples in found)
        if total > _WHOLE_SAMPLES:
            raise _too_many(_WHOLE_SAMPLES)
        return Response(
            await asyncio.to_thread(_whole, found),
            media_type="application/x-protobuf",
            headers={"content-encoding": "snappy"},
        )

    async def _found(self, tenant: str, asked: Any) -> list[Samples]:
        found, left = [], self.most_samples
        for query in asked.queries:
            window = int(query.start_ms), int(query.end_ms)
            found.append(await self.index.samples(tenant, _matchers(query), window))
            left -= len(found[-1].ts)
            if left < 0:
                raise _too_many(self.most_samples)
        return found


def _request(decoded: bytes) -> Any:
    try:
        asked = MESSAGES["Request"].FromString(decoded)
    except DecodeError as error:
        raise InvalidInput("protobuf_invalid", f"this is no ReadRequest: {error}", where="body") from None
    if len(asked.queries) > _MAX_QUERIES:
        raise InvalidInput(
            "too_many_queries", f"{len(asked.queries)} queries; {_MAX_QUERIES} are allowed", where="body"
        )
    return asked


def _matchers(query: Any) -> tuple[Matcher, ...]:
    try:
        found = tuple(Matcher(one.name.decode(), _OPS[one.type], one.value.decode()) for one in query.matchers)
        for one in found:
            if one.op in _REGEX:
                regex.check(one.value)
    except (IndexError, UnicodeDecodeError, regex.RegexError) as error:
        raise InvalidInput("matcher_invalid", f"a matcher cannot be read: {error}", where="body") from None
    return found


def _too_many(limit: int) -> InvalidInput:
    hint = "ask for a shorter time or fewer series, or accept STREAMED_XOR_CHUNKS"
    return InvalidInput("too_many_samples", f"exceeded sample limit ({limit})", where="body", hint=hint)


def _prefers_chunks(accepted: Sequence[int], found: Sequence[Samples]) -> bool:
    """The first that is known of the accepted ones; samples where chunks cannot carry the answer."""
    if next(one for one in accepted if one in (_SAMPLES, _CHUNKS)) == _SAMPLES:
        return False
    if all(map(carried, found)):
        return True
    if _SAMPLES not in accepted:
        raise Unsupported("response_type", "native histograms are not sent as chunks: accept SAMPLES, too", "body")
    return False


def _whole(found: Sequence[Samples]) -> bytes:
    return bytes(snappy.compress_raw(read_response(found)))


async def _streamed(found: Sequence[Samples]) -> AsyncIterator[bytes]:
    blocks: Iterator[bytes] = chain.from_iterable(starmap(frames, enumerate(found)))
    while block := await asyncio.to_thread(next, blocks, b""):
        yield block
