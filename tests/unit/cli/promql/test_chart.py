"""The chart of `gnomon promql`: numbers in, lines out."""

import numpy as np
import pytest

from gnomon_server.cli.promql.chart import Curve, Window, draw

START_MS = 1_795_287_600_000  # 2026-11-21T19:00:00Z
HOUR = Window(START_MS, START_MS + 3_600_000, 60_000)
TIMES = np.arange(HOUR.start_ms, HOUR.end_ms + 1, HOUR.step_ms)
STEPS = np.arange(len(TIMES))

TWO_CURVES = """
30k┤                        ⣀⣀⠤⠤⠒⠒⠉ b
   │                ⣀⣀⠤⠤⠒⠒⠉⠉
20k┤        ⣀⣀⠤⠤⠒⠒⠉⠉
   │⢀⣀⠤⠤⠒⠒⠉⠉
   │⣁⣀⡀
10k┤  ⠈⠉⠉⠒⠒⠢⠤⢄⣀⣀
   │            ⠉⠉⠑⠒⠒⠢⠤⠤⣀⣀⡀
  0┤                      ⠈⠉⠑⠒⠒⠤⠤⢄⣀ a
   └┬──────────────┬──────────────┬
UTC 19:00        19:30        20:00
          last     min     max     avg
a up         0       0  12,000   6,000
b down  30,000  15,000  30,000  22,500
"""


def _drawn(curves: list[Curve], width: int = 80, height: int = 23, window: Window = HOUR) -> list[str]:
    return [line.plain for line in draw(curves, window, width=width, height=height)]


def test_a_chart_as_it_is_seen() -> None:
    """Axes with round marks, a curve's letter at its end, the legend with its numbers."""
    curves = [Curve("up", TIMES, 12_000 - 200.0 * STEPS), Curve("down", TIMES, 15_000 + 250.0 * STEPS)]
    assert "\n" + "\n".join(_drawn(curves, 38, 13)) + "\n" == TWO_CURVES


def test_a_pause_is_a_gap() -> None:
    """Neighbouring steps are joined; what is missing, or is no number, is not drawn over."""
    values = np.where((STEPS > 20) & (STEPS < 40), np.nan, 1.0)
    there = ~np.isnan(values)
    for curve in (Curve("a", TIMES, values), Curve("a", TIMES[there], values[there])):
        row = next(line for line in _drawn([curve], 70, 12) if "1.0" in line)
        dots = row.partition("┤")[2]
        assert len(dots.split()) == 2
        assert 18 < len(dots) - len(dots.replace(" ", "")) < 22


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([5.0], "5"),
        ([np.nan], "NaN"),
        ([1.0, np.inf], "+Inf"),
        ([-1.7e308, 1.7e308], "1.7e+308"),
        ([5e-324, 0.0], "4.94066e-324"),
        ([1e17, 1e17 + 1e9], "1e+17"),
    ],
)
def test_odd_values(values: list[float], said: str) -> None:
    """One point, nothing to draw, and the ends of what a float can hold: the legend tells the truth."""
    lines = _drawn([Curve("x", TIMES[: len(values)], np.array(values))])
    assert said in " ".join(lines[-1].split())
    labels = [line.partition("┤")[0] for line in lines if "┤" in line]
    assert labels
    assert len(set(labels)) == len(labels)


def test_many_series() -> None:
    """As many as fit stand in the legend, and how many more there are; the height is kept."""
    curves = [Curve(f"series number {n}", TIMES, n + STEPS / 60) for n in range(200)]
    lines = _drawn(curves, 80, 20)
    assert len(lines) == 20
    assert lines[-1] == "  and 194 more; topk(5, ...) shows the largest"
    ends = {letter for line in lines if "│" in line or "┤" in line for letter in line if letter.isalpha()}
    assert ends <= set("abcdef")
    assert [line[0] for line in lines[-7:-1]] == list("abcdef")


def test_colours_are_for_the_letters_alone() -> None:
    """The styles of a line colour its curve, its letter, and nothing else of the legend."""
    (*_, last) = draw([Curve("x", TIMES, STEPS * 1.0)], HOUR, width=80, height=20)
    assert last.style == "cyan"
    assert [(span.start, last.plain[span.start], span.style) for span in last.spans] == [(2, "x", "default")]


@pytest.mark.parametrize(
    ("span_s", "said"),
    [(10, "19:00:02"), (3600, "19:30"), (86_400, "00:00"), (2 * 86_400, "11-22 00:00"), (30 * 86_400, "12-03")],
)
def test_times_fit_their_range(span_s: int, said: str) -> None:
    """Seconds for a short range, days for a long one."""
    window = Window(START_MS, START_MS + span_s * 1000, 1000)
    lines = _drawn([Curve("x", np.array([window.start_ms, window.end_ms]), np.array([0.0, 1.0]))], window=window)
    assert said in next(line for line in lines if line.startswith("UTC"))
