"""When `gnomon promql` asks."""

import click
import pytest

from gnomon_server.cli.promql.chart import Window
from gnomon_server.cli.promql.times import window

NOW_MS = 1_795_291_200_000  # 2026-11-21T20:00:00Z
HOUR_MS = 3_600_000


def _window(**options: str) -> Window | int:
    names = ("span", "start", "end", "step", "at")
    return window(*(options.get(name) for name in names), NOW_MS)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, NOW_MS),
        ({"at": "1795291200.25"}, NOW_MS + 250),
        ({"at": "now-1h30m"}, NOW_MS - HOUR_MS - HOUR_MS // 2),
        ({"at": "2026-11-21T21:00:00+01:00"}, NOW_MS),
        ({"at": "2026-11-21 20:00"}, NOW_MS),
        ({"span": "1h"}, Window(NOW_MS - HOUR_MS, NOW_MS, 30_000)),
        ({"span": "1h", "step": "7s"}, Window(NOW_MS - HOUR_MS, NOW_MS, 7000)),
        ({"span": "1h", "end": "now-1h"}, Window(NOW_MS - 2 * HOUR_MS, NOW_MS - HOUR_MS, 30_000)),
        ({"span": "10s", "start": "now-1h"}, Window(NOW_MS - HOUR_MS, NOW_MS - HOUR_MS + 10_000, 1000)),
        ({"start": "now-7d"}, Window(NOW_MS - 168 * HOUR_MS, NOW_MS, 2 * HOUR_MS)),
        ({"start": "0", "end": "now"}, Window(0, NOW_MS, 130 * 24 * HOUR_MS)),
    ],
)
def test_windows(options: dict[str, str], expected: Window | int) -> None:
    """Two of range, start and end say all; the step is a round one, for at most some 160 points."""
    assert _window(**options) == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"end": "now"}, "say --range 1h"),
        ({"step": "1s"}, "say --range 1h"),
        ({"span": "1h", "at": "now"}, "--at is for an instant"),
        ({"span": "1h", "start": "0", "end": "1"}, "two of"),
        ({"start": "now", "end": "now-1s"}, "ends before it starts"),
        ({"span": "1x"}, 'not a valid duration string: "1x"'),
        ({"span": "1h", "step": "0s"}, "above 0"),
        ({"at": "yesterday"}, "'yesterday' is no time"),
        ({"at": "2026-13-01"}, "is no time"),
        ({"at": "now-"}, "is no time"),
    ],
)
def test_what_does_not_go_together(options: dict[str, str], said: str) -> None:
    """A sentence each."""
    with pytest.raises(click.UsageError) as refused:
        _window(**options)
    assert said in refused.value.message
