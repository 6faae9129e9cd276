"""How a call ended, as a number and in words."""

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc

OK, CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED = 0, 1, 2, 4, 12
CODES: Mapping[int, str] = {code.value[0]: code.name for code in grpc.StatusCode}
# What the conventions call a server's fault; any other status is the caller's. To a client all but OK are errors.
SERVER_ERRORS = frozenset({UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, 13, 14, 15})
CLIENT_ERRORS = frozenset(CODES) - {OK}
# A client's clock began when it called, ours when the call arrived: at its deadline its cancellation is here first.
OVERTAKEN_S = 0.05
GONE = (asyncio.CancelledError, GeneratorExit)


def outcome(context: Any, error: BaseException | None) -> tuple[int, str, BaseException | None]:
    """How a served call ended: status, words, and the exception if it was none of gRPC's own.

    Args:
        context: grpc's, of either kind.
        error: what the handler raised.
    """
    if isinstance(error, GONE) or not getattr(context, "is_active", _always)():
        left_s = context.time_remaining()
        return (DEADLINE_EXCEEDED if left_s is not None and left_s < OVERTAKEN_S else CANCELLED), "", None
    told = context.code()
    if error is None:
        return (OK, "", None) if told is None else (number(told), text(context.details()), None)
    code = number(told) or UNKNOWN
    # `abort` raises: a bare Exception in the one library, its own in the other.
    if isinstance(error, grpc.aio.AbortError) or (type(error) is Exception and not error.args and told is not None):
        return code, text(context.details()), None
    return code, "", error


def _always() -> bool:
    return True


def number(code: Any) -> int:
    """A status as its number: of a StatusCode, a number, or None, which means OK. What is no status is UNKNOWN."""
    if code is None:
        return OK
    known = code.value[0] if isinstance(code, grpc.StatusCode) else code
    return known if known in CODES else UNKNOWN


def text(details: Any) -> str:
    """Details, which are bytes in one library and text in the other."""
    return details.decode("utf-8", "replace") if isinstance(details, bytes) else details or ""
