"""Where the axes of a chart have their marks, and what these say."""

import math
from typing import NamedTuple

import numpy as np

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_SUFFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_SUFFIX_FROM, _EXPONENT_FROM, _EXPONENT_BELOW = 1e4, 1e16, 1e-4
_MOST_DECIMALS = 12  # more than _FLAT leaves to be told apart
_PARTS = 5  # of the distance between two marks: to such a part the axis goes on
_LEAST_MARKS = 2  # a round step is at most twice what is asked for: at least one mark lies on the axis
_FLAT = 1e-9  # a spread that is this small beside the values is no curve, only rounding
_DAY_MS, _YEAR_MS = 86_400_000, 31_536_000_000
_GAP = 3  # columns between two times
_TIME_STEPS_MS = tuple(
    1000 * seconds
    for seconds in (
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200,
        86_400, 172_800, 604_800, 1_209_600, 2_592_000, 7_776_000, 15_552_000, 31_536_000,
    )
)  # fmt: skip


class Scale(NamedTuple):
    """The axis of the values.

    Attributes:
        low, high: its ends.
        marks: values that have a label, in rising order, and the labels.
    """

    low: float
    high: float
    marks: list[tuple[float, str]]


def scale(low: float, high: float, most: int) -> Scale:
    """An axis from `low` to `high` or a little further, with about `most` marks.

    Both are 0, or in size from 1e-300 to 1e300: the differences and steps in between are numbers, too.
    """
    size = max(abs(low), abs(high))
    if high - low <= size * _FLAT:
        low, high = (0.0, 1.0) if size == 0 else (low - size / 2, high + size / 2)
    elif 0 < low <= high / 2:
        low = 0.0
    elif low / 2 <= high < 0:
        high = 0.0
    step = _round_step((high - low) / max(most, _LEAST_MARKS))
    low, high = math.floor(low / step * _PARTS) * step / _PARTS, math.ceil(high / step * _PARTS) * step / _PARTS
    values = [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return Scale(low, high, list(zip(values, labels(values, step), strict=True)))


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next((power * step for step in _STEPS if power * step >= least * (1 - 1e-9)), power * 10)


def labels(values: list[float], step: float) -> list[str]:
    """Each multiple of `step`, with as many decimals as it takes to tell them apart: `0`, `0.5`, `1.5k`."""
    size = max(map(abs, values))
    if size >= _EXPONENT_FROM or size < _EXPONENT_BELOW:
        return _telling_apart(values)
    unit, suffix = next(((unit, name) for unit, name in _SUFFIXES if size >= unit and size >= _SUFFIX_FROM), (1.0, ""))
    decimals = next((n for n in range(_MOST_DECIMALS) if _fits(step / unit, n)), _MOST_DECIMALS)
    return [f"{value / unit:.{decimals}f}{suffix}" if value else "0" for value in values]


def _telling_apart(values: list[float]) -> list[str]:
    tries = ([f"{value:.{digits}g}" for value in values] for digits in (3, 6, 9, _MOST_DECIMALS))
    return next((texts for texts in tries if len(set(texts)) == len(values)), [f"{value!r}" for value in values])


def _fits(step: float, decimals: int) -> bool:
    return abs(round(step, decimals) - step) < step / 100


def time_marks(start_ms: int, end_ms: int, columns: int) -> list[tuple[int, str]]:
    """Times and what they say, as many as have room on an axis of so many columns. All are UTC."""
    span = end_ms - start_ms
    for step in _TIME_STEPS_MS:
        form = _form(step, span)
        if span / step * (len(_clock(start_ms, form)) + _GAP) <= columns:
            first = -(-start_ms // step) * step
            return [(at, _clock(at, form)) for at in range(first, end_ms + 1, step)]
    return []


def _form(step_ms: int, span_ms: int) -> str:
    if step_ms < 60_000:  # noqa: PLR2004 - a minute
        return "seconds"
    if span_ms <= _DAY_MS:
        return "minutes"
    if step_ms < _DAY_MS:
        return "hours"
    return "days" if span_ms < _YEAR_MS else "dates"


def _clock(at_ms: int, form: str) -> str:
    date, _, clock = str(np.datetime64(at_ms, "ms")).partition("T")
    return {
        "seconds": clock[:8],
        "minutes": clock[:5],
        "hours": f"{date[-5:]} {clock[:5]}",
        "days": date[-5:],
        "dates": date,
    }[form]


def stamp(at_ms: int) -> str:
    """`2026-11-21T19:58:17Z`, with milliseconds where there are some."""
    text = str(np.datetime64(at_ms, "ms"))
    return f"{text.removesuffix('.000')}Z"
