"""Values as people write them in variables and files: `500ms`, `64MiB`, `10%`, `a, b`, `key=value,other=value`.

Each reader turns text into a plain value and leaves everything else to the field's own validation.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?B?|B)")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_NOTHING = {"none", "off", ""}


@dataclass(frozen=True, slots=True)
class Overhead:
    """What the SDK may cost: a share of one core's time, or CPU seconds a request. Exactly one of them is set."""

    cpu_ratio: float | None = None
    request_s: float | None = None

    def __str__(self) -> str:
        return f"{self.cpu_ratio * 100:g}%" if self.cpu_ratio is not None else f"{(self.request_s or 0) * 1e6:g}us"


def read_seconds(value: Any) -> Any:
    """`50us`, `500ms`, `30s`, `5m`, `1h`, `7d`, or a number of seconds."""
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    return round(float(match[1]) * _SECONDS[match[2]], 9) if match else value  # to the nanosecond: 50us is 5e-05


def read_bytes(value: Any) -> Any:
    """`512KiB`, `64MiB`, `2GB`, or a number of bytes."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return value
    base = 1024 if "i" in match[2] or len(match[2]) == 1 else 1000
    return int(float(match[1]) * base ** "BKMGT".index(match[2][0]))


def read_ratio(value: Any) -> Any:
    """`0.1` or `10%`."""
    match = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(match[1]) / 100 if match else value


def read_nothing(value: Any) -> Any:
    """`none` and `off` are None, where a setting may be empty."""
    return None if value is False or (isinstance(value, str) and value.strip().lower() in _NOTHING) else value


def read_overhead(value: Any) -> Any:
    """`2%` of a core, or `50us` of CPU a request."""
    if isinstance(value, Overhead):
        return value
    share, cost = read_ratio(value), read_seconds(value)
    if share is not value and 0 < share <= 1:
        return Overhead(cpu_ratio=share)
    if cost is not value and cost > 0:
        return Overhead(request_s=cost)
    raise ValueError("it should be a share of a core (2%) or CPU time a request (50us), or none")


def read_words(value: Any) -> Any:
    """`a, b, c` or a JSON list; `none` is the empty one."""
    if not isinstance(value, str):
        return value
    if value.lstrip()[:1] == "[":
        try:
            return json.loads(value)
        except ValueError:  # a regular expression may begin like this too
            pass
    words = [word.strip() for word in value.split(",")]
    return [] if [word.lower() for word in words] == ["none"] else [word for word in words if word]


def read_pairs(value: Any) -> Any:
    """`key=value,other=value` with percent-encoding, as OpenTelemetry writes attributes and headers, or a JSON object.

    ValueError names what is no pair; empty ones (`a=1,,b=2,`) are passed over. Of a key given twice the last counts.
    """
    if not isinstance(value, str):
        return value
    if value.lstrip()[:1] == "{":
        found = json.loads(value)
        return dict(found) if isinstance(found, Mapping) else found
    pairs: dict[str, str] = {}
    for number, piece in enumerate(value.split(","), 1):
        if not piece.strip():
            continue
        key, equals, text = piece.partition("=")
        key = unquote(key.strip(), errors="strict")
        if not equals or not key:  # what stands there is not repeated: it may be half of a secret
            raise ValueError(f"piece {number} is not key=value")
        pairs[key] = unquote(text.strip(), errors="strict")
    return pairs
