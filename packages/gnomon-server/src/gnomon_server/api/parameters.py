"""Query parameters and bodies of the native API: read, or refused by name."""

import re
from datetime import datetime

from starlette.requests import Request

from gnomon_server.errors import InvalidInput, TooLarge
from gnomon_server.query.explore import Window

_NS = 1_000_000_000
_HOUR_NS = 3600 * _NS
_SECONDS = re.compile(r"(\d{1,11})(?:\.(\d{1,9})\d*)?")
_NANOSECONDS = re.compile(r"\d{15,19}")
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)")
_LATEST_NS = (1 << 63) - 1


def allow_only(request: Request, *names: str) -> None:
    """Refuse parameters that mean nothing here: a misspelt one would go unnoticed."""
    for name in request.query_params:
        if name not in names:
            hint = f"the parameters are: {', '.join(names)}" if names else "there are none"
            raise InvalidInput("parameter_unknown", f"there is no parameter {name[:80]!r}", where=name[:80], hint=hint)


async def body(request: Request, most_bytes: int) -> bytes:
    """The request's body; `body_too_large` as soon as it is."""
    found = bytearray()
    async for piece in request.stream():
        found += piece
        if len(found) > most_bytes:
            raise TooLarge("body_too_large", f"the request is larger than {most_bytes} bytes", where="body")
    return bytes(found)


def window(request: Request, now_ns: int) -> Window:
    """`start` and `end`; the last hour by default."""
    end = time_ns(request, "end", now_ns)
    start = time_ns(request, "start", end - _HOUR_NS)
    if start >= end:
        raise InvalidInput("time_range_empty", "start is not before end", where="start")
    return Window(start, end)


def time_ns(request: Request, name: str, default: int) -> int:
    """RFC 3339, unix seconds (with a fraction or not), or unix nanoseconds."""
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        found = _time_ns(text)
    except ValueError:
        found = None
    if found is None or not 0 <= found <= _LATEST_NS:
        hint = "RFC 3339 (2026-11-21T09:21:35Z), unix seconds, or unix nanoseconds; a + in a URL is %2B"
        raise InvalidInput("time_invalid", f"{name} is no time: {text[:80]!r}", where=name, hint=hint)
    return found


def _time_ns(text: str) -> int | None:
    if _NANOSECONDS.fullmatch(text):
        return int(text)
    if seconds := _SECONDS.fullmatch(text):
        return int(seconds[1]) * _NS + _fraction_ns(seconds[2])
    if stamp := _RFC3339.fullmatch(text):
        whole = datetime.fromisoformat(stamp[1].replace(" ", "T").upper() + stamp[3].upper())
        return int(whole.timestamp()) * _NS + _fraction_ns(stamp[2])
    return None


def _fraction_ns(digits: str | None) -> int:
    return int((digits or "0").ljust(9, "0"))


def integer(request: Request, name: str, default: int, least: int, most: int) -> int:
    """A whole number within bounds."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and least <= int(text) <= most):  # noqa: PLR2004 - digits of 2^64
        raise InvalidInput(
            "number_invalid", f"{name} is a whole number from {least} to {most}: {text[:80]!r}", where=name
        )
    return int(text)


def choice(request: Request, name: str, choices: tuple[str, ...]) -> str:
    """One of the words, or '' when it is not given."""
    text = request.query_params.get(name, "")
    if text and text not in choices:
        raise InvalidInput("choice_invalid", f"{name} is one of {', '.join(choices)}: {text[:80]!r}", where=name)
    return text


def trace_id(text: str, where: str) -> str:
    """A trace id as stored: 32 hexadecimal digits, lower case."""
    if not re.fullmatch(r"[0-9A-Fa-f]{32}", text):
        raise InvalidInput("trace_id_invalid", f"a trace id is 32 hexadecimal digits: {text[:80]!r}", where=where)
    return text.lower()
