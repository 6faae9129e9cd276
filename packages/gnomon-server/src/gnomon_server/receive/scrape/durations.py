"""Prometheus' durations: `15s`, `1m30s`, `1d`. Source: prometheus/common model/time.go."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_UNITS_MS = {"y": 31_536_000_000, "w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>\d{{1,10}}){unit})?" for unit in _UNITS_MS), re.ASCII)


def parse_duration_ms(value: Any) -> Any:
    """Milliseconds of a text as `1m30s`. ValueError when it is none; numbers stay, being milliseconds already."""
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None or not value.strip():
        raise ValueError(f"{value[:40]!r} is not a duration (as 15s or 1m30s)")
    return sum(int(number) * _UNITS_MS[unit] for unit, number in match.groupdict().items() if number)


def format_duration(ms: int) -> str:
    """As Prometheus writes it: 90000 -> `1m30s`. Years, weeks and days only where they come out even."""
    if not ms:
        return "0s"
    parts = []
    for unit, size in _UNITS_MS.items():
        if unit in {"y", "w", "d"} and ms % size:
            continue
        count, ms = divmod(ms, size)
        parts.append(f"{count}{unit}" if count else "")
    return "".join(parts)


Milliseconds = Annotated[int, BeforeValidator(parse_duration_ms)]
