"""The promqltest language: `load`, `clear` and `eval`, as Prometheus' own reader takes them.

Source: Prometheus, promql/promqltest/README.md and test.go (parse, parseLoad, parseEval).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tests.promqltest.nhcb import custom_histograms
from tests.promqltest.series import Labels, Line, Value, milliseconds, number, read_line, unquoted

_LOAD = re.compile(r"load(_with_nhcb)?\s+(.+?)$")
_INSTANT = re.compile(r"eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)$")
_RANGE = re.compile(r"eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)$")
_EXPECT = re.compile(r"expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?$")
_EXPECT_RANGE = re.compile(r"expect range vector\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+)$")
_EXPECT_STRING = "expect string"
_OLD_FAILURES = {"expected_fail_message": "msg", "expected_fail_regexp": "regex"}


class Point(NamedTuple):
    """A sample. `start_ms` is 0 where the start is not known."""

    at_ms: int
    value: Value
    start_ms: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """Samples to be stored."""

    series: dict[Labels, list[Point]]


@dataclass(frozen=True, slots=True)
class Clear:
    """All samples are to be forgotten."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message that is expected; any, where it is neither given as text nor as a regular expression."""

    text: str | None = None
    pattern: str | None = None

    def matches(self, message: str) -> bool:
        """Whether it is this one."""
        if self.text is not None:
            return message == self.text
        return self.pattern is None or re.search(self.pattern, message) is not None

    def __str__(self) -> str:
        return repr(self.text) if self.text is not None else f"like {self.pattern!r}" if self.pattern else "any"


class Expected(NamedTuple):
    """The values of one series, and its place among all, from 1."""

    place: int
    values: list[Value]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A query and what it must answer.

    `start_ms`, `end_ms` and `step_ms` are those of the range query, or of the range vector that an instant query is to
    answer (`is_matrix`); `at_ms` is the time of an instant query. `text` and `scalar` are given where one is expected.

    `fails` is None for a query that answers. Of `warns` and `informs` each must be there, and nothing else of the kind
    once there is one; `some_warn` and `some_info` ask for any, `no_warn` and `no_info` for none.
    """

    line: int
    query: str
    start_ms: int
    end_ms: int
    step_ms: int
    at_ms: int
    is_range: bool = False
    series: dict[Labels, Expected] = field(default_factory=dict)
    scalar: float | None = None
    text: str | None = None
    is_matrix: bool = False
    ordered: bool = False
    fails: Said | None = None
    warns: tuple[Said, ...] = ()
    informs: tuple[Said, ...] = ()
    no_warn: bool = False
    no_info: bool = False
    some_warn: bool = False
    some_info: bool = False


Command = Load | Clear | Evaluation


class ScriptError(ValueError):
    """A script that cannot be read: the message begins with the line."""


def read_script(text: str) -> list[Command]:
    """The commands, in order. Raises ScriptError."""
    lines = [line.strip() for line in text.split("\n")]
    # A comment ends a block, as an empty line does.
    lines = ["" if line.startswith("#") else line for line in lines]
    return list(_commands(lines))


def _commands(lines: list[str]) -> Iterator[Command]:
    place = 0
    while place < len(lines):
        if not lines[place]:
            place += 1
            continue
        try:
            command, used = _command(_block(lines, place), place + 1)
        except ValueError as error:
            raise ScriptError(f"line {place + 1}: {error}") from error
        yield command
        place += used


def _command(block: list[str], line: int) -> tuple[Command, int]:
    """The command at the beginning of a block, and how many lines it is made of."""
    word = block[0].split()[0].lower()
    if word == "clear":
        return Clear(), 1
    if word.startswith("load"):
        return _load(block), len(block)
    if word.startswith("eval"):
        return _evaluation(block, line)
    raise ValueError(f"no command: {block[0]!r}")


def _block(lines: list[str], place: int) -> list[str]:
    end = place
    while end < len(lines) and lines[end]:
        end += 1
    return lines[place:end]


def _load(block: list[str]) -> Load:
    head = _LOAD.match(block[0])
    if head is None:
        raise ValueError(f"not a load command: {block[0]!r}")
    step_ms = milliseconds(head[2])
    series: dict[Labels, list[Point]] = {}
    general: list[Value] = []
    starts: Line | None = None
    for text in block[1:]:
        line = read_line(text)
        if line.is_start:
            if starts is not None:
                raise ValueError("an @st line has no line of samples after it")
            if line.labels:
                starts = line
            else:
                general = line.values
            continue
        if starts is not None and (starts.labels != line.labels or len(starts.values) != len(line.values)):
            raise ValueError(f"the @st line does not fit the line after it: {text!r}")
        series[line.labels] = list(_points(line.values, starts.values if starts else [], general, step_ms))
        starts = None
    if starts is not None:
        raise ValueError("an @st line has no line of samples after it")
    if head[1]:
        converted = custom_histograms(series)
        series |= {labels: [Point(at, value) for at, value in values] for labels, values in converted.items()}
    return Load(series)


def _points(values: list[Value], own: list[Value], general: list[Value], step_ms: int) -> Iterator[Point]:
    for place, value in enumerate(values):
        if value is None:
            continue
        at = place * step_ms
        start = own[place] if own else general[place % len(general)] if general else None
        yield Point(at, value, at + int(start) if isinstance(start, float) else 0)


def _evaluation(block: list[str], line: int) -> tuple[Evaluation, int]:
    """The evaluation, and how many lines it is made of: a lone number ends it."""
    if found := _INSTANT.match(block[0]):
        at = milliseconds(found[2] or "")
        evaluation = Evaluation(line, found[3], at, at, 0, at)
    elif found := _RANGE.match(block[0]):
        start, end, step = (milliseconds(found[group]) for group in (2, 3, 4))
        if end < start:
            raise ValueError(f"the end {found[3]} is before the start {found[2]}")
        evaluation = Evaluation(line, found[5], start, end, step, start, is_range=True)
    else:
        raise ValueError(f"not an evaluation: {block[0]!r}")
    evaluation = _modified(evaluation, found[1])
    place = 0
    for used, text in enumerate(block[1:], 2):
        place += 1
        keyword = text.split()[0]
        if evaluation.fails is not None and keyword in _OLD_FAILURES:
            said = text.removeprefix(keyword).strip()
            return replace(evaluation, fails=_said(_OLD_FAILURES[keyword], said)), used
        if text.startswith("expect range vector"):
            evaluation = _range_vector(evaluation, text)
        elif text.startswith(_EXPECT_STRING):
            evaluation = replace(evaluation, text=unquoted(text.removeprefix(_EXPECT_STRING).strip()))
        elif text.split(" ")[0] == "expect":
            evaluation = _expecting(evaluation, text)
            place -= 1
        elif (value := _lone_number(text)) is not None:
            return replace(evaluation, scalar=value), used
        else:
            expected = read_line(text)
            if len(expected.values) > 1 and not evaluation.is_range and not evaluation.is_matrix:
                raise ValueError(f"several values are expected of an instant query: {text!r}")
            evaluation.series[expected.labels] = Expected(place, expected.values)
    return evaluation, len(block)


def _modified(evaluation: Evaluation, word: str | None) -> Evaluation:
    """By the older way to say what is expected: `eval_fail`, `eval_ordered`, `eval_warn`, `eval_info`."""
    return replace(
        evaluation,
        fails=Said() if word == "fail" else None,
        ordered=word == "ordered",
        some_warn=word == "warn",
        some_info=word == "info",
    )


def _range_vector(evaluation: Evaluation, text: str) -> Evaluation:
    found = _EXPECT_RANGE.match(text)
    if found is None:
        raise ValueError(f"not a range vector: {text!r}")
    start, end, step = (milliseconds(found[group]) for group in (1, 2, 3))
    return replace(evaluation, start_ms=start, end_ms=end, step_ms=step, at_ms=end, is_matrix=True)


def _expecting(evaluation: Evaluation, text: str) -> Evaluation:
    found = _EXPECT.match(text)
    if found is None:
        raise ValueError(f"not an expectation: {text!r}")
    said = _said(found[2], (found[3] or "").strip())
    match found[1]:
        case "ordered":
            changed = replace(evaluation, ordered=True)
        case "fail":
            if evaluation.fails is not None:
                raise ValueError("a query fails once")
            changed = replace(evaluation, fails=said)
        case "warn":
            changed = replace(evaluation, warns=(*evaluation.warns, said))
        case "info":
            changed = replace(evaluation, informs=(*evaluation.informs, said))
        case "no_warn":
            changed = replace(evaluation, no_warn=True)
        case _:
            changed = replace(evaluation, no_info=True)
    if (changed.warns and changed.no_warn) or (changed.informs and changed.no_info):
        raise ValueError("an annotation cannot be expected and not expected")
    return changed


def _said(kind: str | None, message: str) -> Said:
    if kind == "msg":
        return Said(text=message)
    if kind == "regex":
        re.compile(message)
        return Said(pattern=message)
    return Said()


def _lone_number(text: str) -> float | None:
    try:
        return number(text)
    except ValueError:
        return None
