"""The line of a series: `http_requests{path="/a"} 1+2x10 _ stale {{sum:1 count:2}}x3`, and times in Prometheus' units.

Source: Prometheus, promql/parser/generated_parser.y (series_description), lex.go (lexValueSequence),
promql/promqltest/test.go (parseSTSequence), common/model/time.go (ParseDuration).
"""

import re
import struct
from dataclasses import replace
from typing import NamedTuple

from tests.promqltest.histogram import Histogram, read_histogram

from gnomon_server.model.series import STALE_BITS

STALE: float = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]

Labels = tuple[tuple[str, str], ...]
"""(name, value), sorted by name, `__name__` among them; no value is empty."""

Value = float | Histogram | None
"""None: no sample."""

_UNITS = ("y", "w", "d", "h", "m", "s", "ms")
_UNIT_MS = (365 * 86_400_000, 7 * 86_400_000, 86_400_000, 3_600_000, 60_000, 1_000, 1)
_DURATION = re.compile("".join(rf"(?:([0-9]+){unit})?" for unit in _UNITS))
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"\s*(?:([a-zA-Z_][a-zA-Z0-9_]*)|(?=[\"'`]))")
_EQUALS = re.compile(r"\s*=\s*")
_STRING = re.compile(r""""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`""")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))")
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
# No hexadecimal here: 0x3 is four zeros.
_PLAIN = r"(?:[0-9][0-9_]*\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|[iI]nf|[nN]a[nN]|stale)"
_ITEM = re.compile(
    rf"(?:(?P<blank>_)|(?P<value>[+-]?{_PLAIN})(?P<step>[+-]{_PLAIN})?"
    r"|\{\{(?P<histogram>[^}]*)\}\}(?:(?P<sign>[+-])\{\{(?P<change>[^}]*)\}\})?)(?:x(?P<times>[0-9]+))?(?=\s|$)"
)
_START = re.compile(
    r"(?:(?P<blank>_)|(?P<again>\*)|(?P<value>[+-]?[0-9]+[a-z]*?)(?P<step>[+-][+-]?[0-9]+[a-z]*?)?)"
    r"(?:x(?P<times>[0-9]+))?$"
)


class Line(NamedTuple):
    """A series and its values; of a line `series@st ...` the values are start times, relative to their samples, ms."""

    labels: Labels
    values: list[Value]
    is_start: bool = False


def read_line(text: str) -> Line:
    """A line of `load`, or of what is expected. Raises ValueError."""
    labels, place = _labels(text)
    rest = text[place:]
    if rest.startswith("@st"):
        return Line(labels, _starts(rest[3:]), is_start=True)
    if rest and not rest[0].isspace():
        raise ValueError(f"a space was expected before the values: {rest!r}")
    return Line(labels, _values(rest))


def milliseconds(text: str) -> int:
    """`1h30m`, `0`, `-5s` in milliseconds. Raises ValueError."""
    unsigned = text.lstrip("+-") if text[:1] in "+-" else text
    found = _DURATION.fullmatch(unsigned)
    if unsigned == "0":
        return 0
    if not unsigned or found is None:
        raise ValueError(f"not a duration: {text!r}")
    total = sum(int(group or 0) * unit for group, unit in zip(found.groups(), _UNIT_MS, strict=True))
    return -total if text.startswith("-") else total


def number(text: str) -> float:
    """A number as Go reads it: 0x1f, 010 (which is 8), 1_000, 1e3, Inf, NaN. Raises ValueError."""
    sign, plain = (-1.0, text[1:]) if text[:1] == "-" else (1.0, text.removeprefix("+"))
    if plain[:1] not in "0123456789.iInN" or not plain:
        raise ValueError(f"not a number: {text!r}")
    if re.fullmatch(r"0[0-7]+", plain):
        return sign * int(plain, 8)
    if re.fullmatch(r"0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+", plain):
        return sign * int(plain, 0)
    return sign * float(plain)


def unquoted(text: str) -> str:
    """A Go string literal, in any of the three quotes. Raises ValueError."""
    if not _STRING.fullmatch(text):
        raise ValueError(f"not a quoted string: {text!r}")
    if text[0] == "`":
        return text[1:-1]
    # Escaped bytes are letters only together.
    return _ESCAPE.sub(_unescaped, text[1:-1]).encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def _unescaped(found: re.Match[str]) -> str:
    byte, short, long, octal, letter = found.groups()
    if byte or octal:
        code = int(byte, 16) if byte else int(octal, 8)
        return chr(code) if code < 0x80 else bytes([code]).decode("utf-8", "surrogateescape")
    return chr(int(short or long, 16)) if short or long else _LETTERS.get(letter, letter)


def _labels(text: str) -> tuple[Labels, int]:
    """The series at the beginning, and where it ends."""
    labels: dict[str, str] = {}
    place = 0
    if name := _NAME.match(text):
        labels["__name__"] = name[0]
        place = name.end()
    if text[place : place + 1] == "{" and text[place : place + 2] != "{{":
        place = _braces(text, place + 1, labels)
    return tuple(sorted((key, value) for key, value in labels.items() if value)), place


def _braces(text: str, place: int, labels: dict[str, str]) -> int:
    """Read `a="b", "metric.name", c="d"}` into `labels`; where it ends."""
    while True:
        while text[place : place + 1].isspace():
            place += 1
        if text[place : place + 1] == "}":
            return place + 1
        key = _LABEL.match(text, place)
        if key is None:
            raise ValueError(f"a label was expected: {text[place:]!r}")
        name, place = (key[1], key.end()) if key[1] else _string(text, key.end())
        if equals := _EQUALS.match(text, place):
            labels[name], place = _string(text, equals.end())
        else:
            labels["__name__"] = name  # a name in quotes, alone, is the metric's
        while text[place : place + 1].isspace():
            place += 1
        if text[place : place + 1] == ",":
            place += 1
        elif text[place : place + 1] != "}":
            raise ValueError(f'"," or "}}" was expected: {text[place:]!r}')


def _string(text: str, place: int) -> tuple[str, int]:
    found = _STRING.match(text, place)
    if found is None:
        raise ValueError(f"a string was expected: {text[place:]!r}")
    return unquoted(found[0]), found.end()


def _values(text: str) -> list[Value]:
    values: list[Value] = []
    place = 0
    while True:
        while text[place : place + 1].isspace():
            place += 1
        if place == len(text):
            return values
        item = _ITEM.match(text, place)
        if item is None:
            raise ValueError(f"not a value: {text[place:]!r}")
        values += _item(item)
        place = item.end()


def _item(item: re.Match[str]) -> list[Value]:
    times = int(item["times"] or 0)
    if item["blank"]:
        return [None] * (times if item["times"] else 1)
    if item["value"]:
        value, step = _sample(item["value"]), _sample(item["step"] or "0")
        floats: list[Value] = []
        for _ in range(times + 1):
            floats.append(value)
            value = value + step if item["step"] else value  # adding, if only nothing, would quiet a stale marker
        return floats
    histogram = read_histogram(item["histogram"])
    if item["change"] is None:
        return [histogram] * (times + 1)
    change = read_histogram(item["change"])
    histograms: list[Value] = [replace(histogram, hint_said=change.hint_said)]
    for _ in range(times):
        histogram = histogram.added(change) if item["sign"] == "+" else histogram.subtracted(change)
        histograms.append(histogram)
    return histograms


def _sample(text: str) -> float:
    return STALE if text.endswith("stale") else number(text)


def _starts(text: str) -> list[Value]:
    """`-1m`, `_x3`, `-30s-1mx2`, `*` (the one before): start times relative to their samples, in milliseconds."""
    starts: list[Value] = []
    last = 0.0
    for word in text.split():
        item = _START.match(word)
        if item is None:
            raise ValueError(f"not a start time: {word!r}")
        times = int(item["times"] or 0)
        if item["blank"]:
            starts += [None] * (times if item["times"] else 1)
            continue
        first = last if item["again"] else float(milliseconds(item["value"]))
        step = _step(item["step"])
        starts += [first + step * place for place in range(times + 1)]
        last = first + step * times
    return starts


def _step(text: str | None) -> int:
    if text is None:
        return 0
    return milliseconds(text[1:]) * (-1 if text[0] == "-" else 1)
