"""Durations as Prometheus writes them: `1h30m`, `1000ms`; a year has 365 days, a day 24 hours.

Source: prometheus/common model/time.go (`ParseDuration`, `Duration.String`).
"""

import re

from gnomon_server.query.syntax.lexer import quote

# What the lexer takes for a duration; `parse` is stricter, so that its message speaks of a duration.
DURATION = r"[0-9]+[smhdwy]s?(?:[0-9]+[smhdw]s?)*(?![a-zA-Z0-9_])"

_UNITS = {"y": 31_536_000_000, "w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_FORM = re.compile("".join(f"(?:(?P<{unit}>[0-9]+){unit})?" for unit in _UNITS))
_EXACT = ("y", "w")  # printed only where they leave no rest
_MAX_MS = (2**63 - 1) // 1_000_000  # Go's duration counts nanoseconds in 64 bits


def parse(text: str) -> int:
    """Milliseconds of `text`; units from large to small, each at most once.

    Raises:
        ValueError: not a duration, or longer than 292 years; the message is Prometheus'.
    """
    found = _FORM.fullmatch(text)
    if not text or found is None:
        message = f"not a valid duration string: {quote(text)}" if text else "empty duration string"
        raise ValueError(message)
    # A count of more than 19 digits is out of range, and too long a number for int().
    total = sum(min(int(count[-40:]), 10**20) * _UNITS[unit] for unit, count in found.groupdict().items() if count)
    if total > _MAX_MS:
        message = "duration out of range"
        raise ValueError(message)
    return total


def show(ms: int) -> str:
    """The shortest form: `90000` -> `1m30s`; a negative one has a minus in front."""
    if ms <= 0:
        return f"-{show(-ms)}" if ms else "0s"
    text = ""
    for unit, size in _UNITS.items():
        if ms >= size and (unit not in _EXACT or ms % size == 0):
            text += f"{ms // size}{unit}"
            ms %= size
    return text
