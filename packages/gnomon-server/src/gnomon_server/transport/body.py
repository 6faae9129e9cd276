"""Request bodies under limits: one body's size as sent and as decoded, and the memory of all bodies in flight."""

import asyncio
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from starlette.types import Receive

from gnomon_server.errors import InvalidInput, Overloaded, TooLarge
from gnomon_server.transport.compression import decompress
from gnomon_server.transport.limits import BodyLimits

# Decoding 64 KiB takes some 0.3 ms, and what it unfolds to is bounded by the cap only, so anything larger
# leaves the event loop; a thread costs 0.1 ms.
_INLINE_BYTES = 16 * 1024


class BodyBudget:
    """The memory that request bodies may take, all requests together; thread-safe.

    Bytes are counted as they arrive, not as they are announced: a thousand slow senders who announce 20 MiB each hold
    only what they have sent.
    """

    def __init__(self, limits: BodyLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._used_bytes = 0

    @property
    def used_bytes(self) -> int:
        """What is taken now."""
        return self._used_bytes

    def lease(self) -> "BodyLease":
        """One request's share; `with budget.lease() as lease:` around everything that holds the body."""
        return BodyLease(self)

    def take(self, n_bytes: int) -> None:
        """Take `n_bytes` more, or raise `Overloaded` (`bodies_in_flight`)."""
        with self._lock:
            if self._used_bytes + n_bytes > self._limits.max_in_flight_bytes:
                raise Overloaded(
                    "bodies_in_flight",
                    f"the requests in flight fill the {self._limits.max_in_flight_bytes} bytes kept for them",
                    hint="send the same request again later",
                    retry_after_s=self._limits.retry_after_s,
                )
            self._used_bytes += n_bytes

    def give_back(self, n_bytes: int) -> None:
        """Return what was taken."""
        with self._lock:
            self._used_bytes -= n_bytes


class BodyLease:
    """What one request has taken of the budget; given back when the `with` block ends, however it ends."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self._bytes = 0

    def take(self, n_bytes: int) -> None:
        """Take `n_bytes` more, or raise `Overloaded`."""
        self._budget.take(n_bytes)
        self._bytes += n_bytes

    def give_back(self, n_bytes: int) -> None:
        """Return a part early."""
        self._budget.give_back(n_bytes)
        self._bytes -= n_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.give_back(self._bytes)


async def read_body(receive: Receive, headers: Mapping[str, str], limits: BodyLimits, lease: BodyLease) -> bytes:
    """The whole body of an ASGI request, decoded as its `Content-Encoding` says.

    Args:
        receive: the request's ASGI receive (Starlette: `request.receive`).
        headers: the request's headers with lower-case names (Starlette: `request.headers`).
        limits: the sizes.
        lease: the request's share of the memory budget.

    Raises:
        TooLarge: `body_too_large`; before anything is read when `Content-Length` says so.
        InvalidInput: `body_undecodable`; `client_left` when the client went away in the middle.
        Unsupported: `encoding_unsupported`.
        Overloaded: `bodies_in_flight`.
    """
    _check_content_length(headers.get("content-length"), limits)
    body = await _receive_all(receive, limits, lease)
    encoding = headers.get("content-encoding", "")
    if encoding.strip().lower() in {"", "identity"}:
        return decompress(body, "identity", limits.max_decoded_bytes)
    if len(body) <= _INLINE_BYTES:
        decoded = decompress(body, encoding, limits.max_decoded_bytes, lease.take)
    else:
        decoded = await _in_thread(body, encoding, limits, lease)
    lease.give_back(len(body))
    return decoded


async def _in_thread(body: bytes, encoding: str, limits: BodyLimits, lease: BodyLease) -> bytes:
    """Decode in a thread, and stay until it ends: a cancelled request's thread still takes from the lease."""
    decoding = asyncio.ensure_future(
        asyncio.to_thread(decompress, body, encoding, limits.max_decoded_bytes, lease.take)
    )
    try:
        return await asyncio.shield(decoding)
    except asyncio.CancelledError:
        await asyncio.wait([decoding])
        raise


def _check_content_length(declared: str | None, limits: BodyLimits) -> None:
    if declared is None:
        return
    if not (declared.isascii() and declared.isdigit()):
        raise InvalidInput(
            "content_length_invalid", f"{declared[:40]!r} is not a number of bytes", "header Content-Length"
        )
    if int(declared[:20]) > limits.max_request_bytes:
        raise _too_large(f"is {declared[:20]} bytes", limits)


async def _receive_all(receive: Receive, limits: BodyLimits, lease: BodyLease) -> bytes:
    parts: list[bytes] = []
    received = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidInput("client_left", f"the client left after {received} bytes of the body", "body")
        part = message.get("body", b"")
        received += len(part)
        if received > limits.max_request_bytes:
            raise _too_large("is longer", limits)
        lease.take(len(part))
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(what: str, limits: BodyLimits) -> TooLarge:
    return TooLarge(
        "body_too_large",
        f"the request body {what}; at most {limits.max_request_bytes} bytes are taken",
        "body",
        "send smaller batches",
    )
