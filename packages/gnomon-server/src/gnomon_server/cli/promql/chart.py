"""A chart for the terminal: curves of Braille dots, two axes, a legend. Numbers in, lines out; nothing is printed here.

Each curve has a letter, which stands at the right of its last point: the chart can be read without colours.
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from gnomon_server.cli.promql.braille import ACROSS, DOWN, Canvas
from gnomon_server.cli.promql.digits import column
from gnomon_server.cli.promql.ticks import Scale, scale, time_marks

_COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "red", "bright_cyan", "bright_yellow", "bright_green")
_KEYS = string.ascii_lowercase + string.ascii_uppercase
_LEAST_ROWS, _LEAST_COLUMNS = 4, 8
_KEY_PLACES = 3  # letters side by side where curves end at one height
_ROWS_A_MARK = 3
_LARGEST, _SMALLEST = 1e300, 1e-300  # drawn as if they were no larger and no smaller: differences stay finite
_JOINED_STEPS = 1.5  # a longer pause is a gap
_ZONE = "UTC"
_STATISTICS = ("last", "min", "max", "avg")


@dataclass(frozen=True, slots=True)
class Curve:
    """What is drawn of one series.

    Attributes:
        name: for the legend.
        times: int64[n], milliseconds, rising.
        values: float64[n]; what is not finite is a gap.
    """

    name: str
    times: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, slots=True)
class Window:
    """The axis of time: its ends, both inclusive, and the distance of points, in milliseconds."""

    start_ms: int
    end_ms: int
    step_ms: int

    def along(self, times: np.ndarray) -> np.ndarray:
        """Where times lie, from 0 to 1."""
        part: np.ndarray = np.clip((times - self.start_ms) / max(self.end_ms - self.start_ms, 1), 0, 1)
        return part


def draw(curves: Sequence[Curve], window: Window, *, width: int, height: int) -> list[Text]:
    """The lines of the chart.

    Args:
        curves: in the legend's order.
        window: the axis of time.
        width: of the terminal; no line is wider.
        height: how many lines there should be; there are more where the least chart does not fit.
    """
    named = min(max(height // 3, 1), len(_KEYS))
    legend = _legend(curves, width, named)
    rows = max(height - len(legend) - 2, _LEAST_ROWS)
    axis = _scale(curves, rows)
    margin = 1 + min(len(curves), _KEY_PLACES) if len(curves) > 1 else 0
    gutter = max(len(_ZONE), *(len(label) for _, label in axis.marks))
    gutter = min(gutter, max(width - margin - _LEAST_COLUMNS - 1, 0))
    canvas = Canvas.empty(rows, max(width - margin - gutter - 1, 1))
    keys = [""] * rows
    for number, curve in enumerate(curves):
        end = _draw(canvas, curve, window, axis, number)
        if end is not None and len(curves) > 1 and number < named and len(keys[end]) < _KEY_PLACES:
            keys[end] += _KEYS[number]
    lines = _plot(canvas, axis, gutter, keys) + _time_axis(window, gutter, canvas.dots.shape[1]) + legend
    return [_cut(line, width) for line in lines]


def _scale(curves: Sequence[Curve], rows: int) -> Scale:
    values = np.concatenate([_drawable(curve.values[np.isfinite(curve.values)]) for curve in curves] or [np.empty(0)])
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    return scale(low, high, rows // _ROWS_A_MARK + 1)


def _drawable(values: np.ndarray) -> np.ndarray:
    return np.where(np.abs(values) < _SMALLEST, 0.0, np.clip(values, -_LARGEST, _LARGEST))


def _draw(canvas: Canvas, curve: Curve, window: Window, axis: Scale, number: int) -> int | None:
    """The row where it ends; None if nothing of it can be drawn."""
    there = np.isfinite(curve.values)
    times, values = curve.times[there], _drawable(curve.values[there])
    if not len(times):
        return None
    up = np.clip((values - axis.low) / (axis.high - axis.low), 0, 1)
    canvas.draw(window.along(times), up, np.diff(times) <= _JOINED_STEPS * window.step_ms, number)
    return _row(float(up[-1]), len(canvas.dots))


def _row(up: float, rows: int) -> int:
    return round((1 - up) * (rows * DOWN - 1)) // DOWN


def _plot(canvas: Canvas, axis: Scale, gutter: int, keys: Sequence[str]) -> list[Text]:
    rows, columns = canvas.dots.shape
    marks = {_row((value - axis.low) / (axis.high - axis.low), rows): label for value, label in axis.marks}
    lines = []
    for row in range(rows):
        label = marks.get(row, "")
        line = Text(f"{label[:gutter]:>{gutter}}{'┤' if label else '│'}")
        for place in range(columns):
            owner = int(canvas.owner[row, place])
            line.append(canvas.sign(row, place), _colour(owner) if owner >= 0 else None)
        line.append(" " if keys[row] else "")
        for key in keys[row]:
            line.append(key, _colour(_KEYS.index(key)))
        line.rstrip()
        lines.append(line)
    return lines


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _time_axis(window: Window, gutter: int, columns: int) -> list[Text]:
    line, words, free_from = ["─"] * columns, [" "] * columns, 0
    for at_ms, label in time_marks(window.start_ms, window.end_ms, columns):
        part = float(window.along(np.array([at_ms]))[0])
        place = round(part * (columns * ACROSS - 1)) // ACROSS
        line[place] = "┬"
        begin = min(max(place - len(label) // 2, 0), columns - len(label))
        if begin >= free_from:
            words[begin : begin + len(label)] = label
            free_from = begin + len(label) + 1
    zone = _ZONE[:gutter]
    return [Text(f"{'':>{gutter}}└{''.join(line)}"), Text(f"{zone:>{gutter}} {''.join(words)}".rstrip())]


def _legend(curves: Sequence[Curve], width: int, most: int) -> list[Text]:
    """A heading, a line for each of the first `most` curves, and how many more there are."""
    shown = curves[:most]
    numbers = [_aligned(name, values) for name, values in _statistics(shown).items()]
    room = width - 2 - sum(len(texts[0]) + 2 for texts in numbers)
    wide = min(max((cell_len(curve.name) for curve in shown), default=0), max(room, _LEAST_COLUMNS))
    lines = [Text(f"  {'':{wide}}  {'  '.join(texts[0] for texts in numbers)}")]
    for number, curve in enumerate(shown):
        line = Text(f"{_KEYS[number]} ", _colour(number))
        line.append(f"{_fitted(curve.name, wide)}  {'  '.join(texts[number + 1] for texts in numbers)}", "default")
        lines.append(line)
    if len(curves) > most:
        lines.append(Text(f"  and {len(curves) - most} more; topk(5, ...) shows the largest"))
    for line in lines:
        line.rstrip()
    return lines


def _statistics(curves: Sequence[Curve]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in _STATISTICS}
    with np.errstate(all="ignore"):
        for curve in curves:
            values = curve.values[~np.isnan(curve.values)]
            known = values if len(values) else np.array([np.nan])
            last = curve.values[-1] if len(curve.values) else np.nan
            for name, value in zip(_STATISTICS, (last, known.min(), known.max(), known.mean()), strict=True):
                found[name].append(float(value))
    return found


def _aligned(name: str, values: Sequence[float]) -> list[str]:
    texts = column(values)
    width = max(len(name), *map(len, texts), 0)
    return [f"{name:>{width}}", *(f"{text:>{width}}" for text in texts)]


def _fitted(text: str, width: int) -> str:
    return set_cell_size(text, width) if cell_len(text) <= width else f"{set_cell_size(text, width - 1)}…"


def _cut(line: Text, width: int) -> Text:
    line.truncate(width)
    return line
