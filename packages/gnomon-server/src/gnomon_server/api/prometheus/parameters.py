"""The parameters of a request, from its URL and its form together; what is unknown is read over, as Prometheus does.

Source: Prometheus web/api/v1/api.go (`parseTime`, `parseDuration`, `parseLimitParam`, `parseMatchersParam`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl

from starlette.requests import Request

from gnomon_server.api.parameters import body
from gnomon_server.errors import InvalidInput
from gnomon_server.query.promql.parser import parse_selector
from gnomon_server.query.syntax import durations
from gnomon_server.query.syntax.lexer import quote
from gnomon_server.query.syntax.matchers import Matcher

_MAX_BODY_BYTES = 1 << 20  # the longest expression has 100,000 characters
_MAX_FIELDS = 1000
_MAX_SETS = 100
_FORM = "application/x-www-form-urlencoded"
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,30}))?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_LAST_MS = 1 << 53  # in either direction: any calculation with it stays within 64 bits
# What clients that are written in Go send for "from the beginning" and "to the end".
_EDGES = {"-292273086-05-16T16:47:06Z": -_LAST_MS, "292277025-08-18T07:12:54.999999999Z": _LAST_MS}
_MAX_NS = (1 << 63) - 1

Sets = list[tuple[Matcher, ...]]


@dataclass(frozen=True, slots=True)
class Form:
    """The parameters, each with its values in order: the form's before the URL's."""

    values: Mapping[str, list[str]]

    def text(self, name: str) -> str:
        """The first value; empty where there is none."""
        return self.values.get(name, [""])[0]

    def time_ms(self, name: str, default: int | None = None) -> int:
        """Unix seconds with a fraction or not, or RFC 3339."""
        text = self.text(name)
        if not text and default is not None:
            return default
        found = _time_ms(text)
        if found is None:
            optional = "" if default is None else f"invalid time value for '{name}': "
            raise invalid(name, f"{optional}cannot parse {quote(text[:200])} to a valid timestamp")
        return found

    def duration_ms(self, name: str) -> int:
        """Seconds with a fraction or not, or `1h30m`; below a millisecond it is 0."""
        try:
            return _duration_ms(self.text(name))
        except ValueError as error:
            raise invalid(name, str(error)) from None

    def lookback_ms(self, default: int) -> int:
        """`lookback_delta`, which Prometheus refuses in words of its own."""
        text = self.text("lookback_delta")
        try:
            asked = _duration_ms(text) if text else 0
        except ValueError as error:
            what = f"error parsing lookback delta duration: {error}"
            raise InvalidInput("parameter_invalid", what, where="lookback_delta") from None
        return asked if asked > 0 else default

    def limit(self, name: str = "limit") -> int:
        """How many; 0 for no limit."""
        text = self.text(name)
        if not text:
            return 0
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raise invalid(name, f"strconv.Atoi: parsing {quote(text[:80])}: invalid syntax")
        if int(text) < 0:
            raise invalid(name, "limit must be non-negative")
        return int(text)

    def window_ms(self) -> tuple[int, int]:
        """`start` and `end`; all time by default."""
        return self.time_ms("start", 0), self.time_ms("end", _LAST_MS)

    def matchers(self, name: str = "match[]") -> Sets:
        """The series selectors, each given by itself."""
        texts = self.values.get(name, [])
        if len(texts) > _MAX_SETS:
            raise invalid(name, f"there are {len(texts)} selectors; {_MAX_SETS} are allowed")
        return [self._matchers(name, text) for text in texts]

    def _matchers(self, name: str, text: str) -> tuple[Matcher, ...]:
        try:
            return parse_selector(text)
        except InvalidInput as error:
            if "at least one non-empty matcher" in error.what:
                raise invalid(name, f"{name} must contain at least one non-empty matcher") from None
            raise invalid(name, error.what) from None


async def read(request: Request) -> Form:
    """The parameters; the body is read, too."""
    try:
        pairs = []
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM:
            pairs = _pairs((await body(request, _MAX_BODY_BYTES)).decode("utf-8", "replace"))
        pairs += _pairs(request.url.query)
    except ValueError as error:
        raise InvalidInput("form_invalid", f"error parsing form values: {error}", where="body") from None
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return Form(values)


def invalid(name: str, what: str) -> InvalidInput:
    """A parameter that cannot be taken."""
    return InvalidInput("parameter_invalid", f"invalid parameter {quote(name)}: {what}", where=name)


def _pairs(text: str) -> list[tuple[str, str]]:
    return parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=_MAX_FIELDS)


def _time_ms(text: str) -> int | None:
    if _NUMBER.fullmatch(text):
        seconds = min(max(float(text), -_LAST_MS / 1000), _LAST_MS / 1000)
        whole = int(seconds)
        return whole * 1000 + round((seconds - whole) * 1000)
    if stamp := _RFC3339.fullmatch(text):
        try:
            whole = int(datetime.fromisoformat(stamp[1] + stamp[3]).timestamp())
        except (ValueError, OverflowError):
            return None
        return whole * 1000 + int((stamp[2] or "").ljust(3, "0")[:3])
    return _EDGES.get(text)


def _duration_ms(text: str) -> int:
    """Whole milliseconds. ValueError in Prometheus' words."""
    if _NUMBER.fullmatch(text):
        nanoseconds = float(text) * 1e9
        if abs(nanoseconds) > _MAX_NS:
            raise ValueError(f"cannot parse {quote(text[:80])} to a valid duration. It overflows int64")
        return int(nanoseconds / 1e6)
    try:
        return durations.parse(text)
    except ValueError:
        raise ValueError(f"cannot parse {quote(text[:80])} to a valid duration") from None
