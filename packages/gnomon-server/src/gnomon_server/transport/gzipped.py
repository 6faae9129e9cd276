"""Answers compressed for those who take them so, in a thread: a large one does not hold up the loop."""

import asyncio
import re
import zlib
from collections.abc import AsyncIterable, AsyncIterator

from starlette.responses import Response, StreamingResponse

_LEAST_BYTES = 4096  # below, a packet or three, it is not worth an asker's time
_LEVEL = 1  # JSON of samples: a fifth of the bytes; the usual 6 takes five times as long for a sixth
_GZIP = 31  # zlib's `wbits` for it
_TEXTS = ("application/json", "text/")
_REFUSED = re.compile(r"q=0(\.0*)?")


def takes_gzip(accept_encoding: str) -> bool:
    """`gzip` is named and not refused by `q=0` (RFC 9110, 12.5.3); a bare `*` gets the plain bytes, as it may."""
    items = (item.replace(" ", "").partition(";") for item in accept_encoding.lower().split(","))
    return any(name == "gzip" and not _REFUSED.fullmatch(weight) for name, _, weight in items)


async def gzipped(response: Response, accept_encoding: str) -> Response:
    """The same answer, compressed where it is taken so and is large enough; one that is streamed stays so."""
    is_text = response.headers.get("content-type", "").startswith(_TEXTS)
    if not is_text or not (isinstance(response, StreamingResponse) or len(response.body) >= _LEAST_BYTES):
        return response
    response.headers.add_vary_header("Accept-Encoding")
    if not takes_gzip(accept_encoding):
        return response
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
    response.headers["content-encoding"] = "gzip"
    if isinstance(response, StreamingResponse):
        response.body_iterator = _packed(response.body_iterator, packer)
    else:
        response.body = await asyncio.to_thread(lambda: packer.compress(response.body) + packer.flush())
        response.headers["content-length"] = str(len(response.body))
    return response


async def _packed(blocks: AsyncIterable[str | bytes | memoryview], packer: "zlib._Compress") -> AsyncIterator[bytes]:
    async for block in blocks:
        yield await asyncio.to_thread(packer.compress, block.encode() if isinstance(block, str) else block)
    yield packer.flush()
