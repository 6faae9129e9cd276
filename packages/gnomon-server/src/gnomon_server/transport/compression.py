"""Decompression of request bodies under a cap: however much a body claims or unfolds to, memory stays bounded.

Python's own `zlib` and `zstd` do the work because both stop after a given number of decoded bytes (cramjam's decoders
run to the end of what they are fed), and `zstd` also takes a ceiling for the window a frame may demand.
"""

import io
import sys
import zlib
from collections.abc import Callable
from typing import Protocol

from gnomon_server.errors import InvalidInput, TooLarge, Unsupported

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# A Content-Encoding of zstd may demand a window of at most 8 MiB: RFC 9659, section 3.
_ZSTD_WINDOW_LOG_MAX = 23
# Input is fed in slices and output taken in steps: one step is all that is ever decoded past the cap.
_FEED_BYTES = 64 * 1024
_STEP_BYTES = 256 * 1024
# Each member or frame costs a new decoder and a copy of the slice's rest; without a ceiling, 64 MiB of
# empty gzip members (20 bytes each) are minutes of CPU. bgzip, the extreme among honest writers, makes 16 a MiB.
_MAX_MEMBERS = 10_000


class _Decoder(Protocol):
    """One gzip member, zlib stream or zstd frame."""

    def decode(self, data: bytes) -> bytes:
        """Feed `data` (empty: go on with what was fed) and take at most `_STEP_BYTES`."""
        ...

    @property
    def hungry(self) -> bool:
        """Whether nothing more comes out before more goes in."""
        ...

    @property
    def rest(self) -> bytes | None:
        """What follows the end of this member; None while it has not ended."""
        ...


class _Zlib:
    """A gzip member (`wbits` 31), a zlib stream (15) or a raw deflate stream (-15)."""

    def __init__(self, wbits: int) -> None:
        self._inner = zlib.decompressobj(wbits)
        self._full = False

    def decode(self, data: bytes) -> bytes:
        decoded = self._inner.decompress(data or self._inner.unconsumed_tail, _STEP_BYTES)
        self._full = len(decoded) == _STEP_BYTES
        return decoded

    @property
    def hungry(self) -> bool:
        # A full step may have left decoded bytes inside, even with all input consumed.
        return not self._full and not self._inner.unconsumed_tail

    @property
    def rest(self) -> bytes | None:
        return self._inner.unused_data if self._inner.eof else None


class _Zstd:
    """A zstd frame; a skippable frame is one that holds nothing."""

    def __init__(self) -> None:
        self._inner = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG_MAX})

    def decode(self, data: bytes) -> bytes:
        return self._inner.decompress(data, _STEP_BYTES)

    @property
    def hungry(self) -> bool:
        return self._inner.needs_input

    @property
    def rest(self) -> bytes | None:
        return self._inner.unused_data if self._inner.eof else None


def _no_check(_body: bytes, _max_decoded_bytes: int) -> None:
    """Gzip's and deflate's declared length is absent, or at the end and modulo 4 GiB: of no use."""


def _check_frame_content_size(body: bytes, max_decoded_bytes: int) -> None:
    declared = zstd.get_frame_info(body[:32]).decompressed_size
    if declared is not None and declared > max_decoded_bytes:
        raise _too_large(max_decoded_bytes, f"declares {declared} bytes")


def _deflate(body: bytes) -> _Decoder:
    """RFC 9110 means zlib by "deflate"; some senders mean raw deflate. zlib's header is 0x?8 and divides by 31."""
    is_zlib = len(body) >= 2 and body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0  # noqa: PLR2004 - the two header bytes of RFC 1950
    return _Zlib(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)


# encoding -> (check of the declared length, decoder of one member, whether members may follow one another)
_ENCODINGS: dict[str, tuple[Callable[[bytes, int], None], Callable[[bytes], _Decoder], bool]] = {
    "gzip": (_no_check, lambda _body: _Zlib(zlib.MAX_WBITS | 16), True),
    "x-gzip": (_no_check, lambda _body: _Zlib(zlib.MAX_WBITS | 16), True),
    "deflate": (_no_check, _deflate, False),
    "zstd": (_check_frame_content_size, lambda _body: _Zstd(), True),
}

ENCODINGS = ("identity", *_ENCODINGS)
"""The values of `Content-Encoding` that `decompress` knows, in lower case."""


def _ignore(_decoded_bytes: int) -> None:
    """Nobody counts."""


def decompress(
    body: bytes, encoding: str, max_decoded_bytes: int, on_decoded: Callable[[int], None] = _ignore
) -> bytes:
    """Decode a whole HTTP body.

    Args:
        body: the bytes as received.
        encoding: the value of `Content-Encoding`; empty means identity.
        max_decoded_bytes: what may come out at most. Memory beyond it is one step (256 KiB) and the decoder's window.
        on_decoded: told of each further number of decoded bytes before they are kept; may raise (a memory budget).

    Raises:
        TooLarge: `body_too_large`, more would come out than the cap.
        InvalidInput: `body_undecodable`, damaged, truncated, or followed by something else.
        Unsupported: `encoding_unsupported`.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        if len(body) > max_decoded_bytes:
            raise _too_large(max_decoded_bytes, f"is {len(body)} bytes")
        return body
    if name not in _ENCODINGS:
        raise Unsupported(
            "encoding_unsupported",
            f"Content-Encoding {name[:40]!r} is not one of {', '.join(ENCODINGS)}",
            where="header Content-Encoding",
        )
    try:
        return _decompress(body, name, max_decoded_bytes, on_decoded)
    except (zlib.error, zstd.ZstdError) as error:
        raise _undecodable(name, str(error)) from error


def _decompress(body: bytes, name: str, max_decoded_bytes: int, on_decoded: Callable[[int], None]) -> bytes:
    check, member, many = _ENCODINGS[name]
    check(body, max_decoded_bytes)
    decoder, members = member(body), 1
    out = io.BytesIO()  # its getvalue() hands out the buffer itself, so the decoded body exists once
    view = memoryview(body)
    for start in range(0, len(view), _FEED_BYTES):
        feed = bytes(view[start : start + _FEED_BYTES])
        while feed:
            if decoder.rest is not None:
                if not many or members == _MAX_MEMBERS:
                    raise _undecodable(name, "more follows its end" if not many else f"more than {members} members")
                decoder, members = member(feed), members + 1
            _drain(decoder, feed, out, max_decoded_bytes, on_decoded)
            feed = decoder.rest or b""
    if decoder.rest is None:
        raise _undecodable(name, "it ends in the middle")
    return out.getvalue()


def _drain(
    decoder: _Decoder, feed: bytes, out: io.BytesIO, max_decoded_bytes: int, on_decoded: Callable[[int], None]
) -> None:
    """Take everything out of `decoder` that `feed` makes come out, or stop at the cap."""
    while True:
        decoded = decoder.decode(feed)
        if out.tell() + len(decoded) > max_decoded_bytes:
            raise _too_large(max_decoded_bytes, "unfolds to more")
        on_decoded(len(decoded))
        out.write(decoded)
        if decoder.rest is not None or decoder.hungry:
            return
        feed = b""


def _too_large(max_decoded_bytes: int, what: str) -> TooLarge:
    return TooLarge(
        "body_too_large",
        f"the decoded body {what}; at most {max_decoded_bytes} bytes are taken",
        where="body",
        hint="send smaller batches",
    )


def _undecodable(name: str, why: str) -> InvalidInput:
    return InvalidInput("body_undecodable", f"the body is not whole, valid {name}: {why}", where="body")
