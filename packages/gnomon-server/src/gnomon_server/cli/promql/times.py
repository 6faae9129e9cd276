"""When is asked: one instant, or a range with a step."""

import re
from datetime import UTC, datetime

import click

from gnomon_server.cli.promql.chart import Window
from gnomon_server.query.syntax import durations

_NUMBER = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?")
_NOW = re.compile(r"now(?:([+-])(\S+))?")
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)
_POINTS = 160  # at the most, where no step is asked for: two for each column of a narrow terminal


def window(
    span: str | None, start: str | None, end: str | None, step: str | None, at: str | None, now_ms: int
) -> Window | int:
    """What the options say: a window, or without `--range` and `--start` an instant in milliseconds.

    Raises:
        click.UsageError: options that do not go together, or are no times or durations.
    """
    if span is None and start is None:
        if end is not None or step is not None:
            raise click.UsageError("--end and --step are for a range: say --range 1h or --start TIME, too")
        return now_ms if at is None else moment(at, now_ms, "--at")
    if at is not None:
        raise click.UsageError("--at is for an instant; a range ends at --end")
    if span is not None and start is not None and end is not None:
        raise click.UsageError("two of --range, --start and --end say all")
    begin_ms, end_ms = _ends(span, start, end, now_ms)
    if begin_ms > end_ms:
        raise click.UsageError("the range ends before it starts")
    step_ms = length(step, "--step") if step is not None else _step(end_ms - begin_ms)
    return Window(begin_ms, end_ms, step_ms)


def _ends(span: str | None, start: str | None, end: str | None, now_ms: int) -> tuple[int, int]:
    span_ms = None if span is None else length(span, "--range")
    if start is None:
        end_ms = now_ms if end is None else moment(end, now_ms, "--end")
        return end_ms - (span_ms or 0), end_ms
    begin_ms = moment(start, now_ms, "--start")
    if span_ms is not None:
        return begin_ms, begin_ms + span_ms
    return begin_ms, now_ms if end is None else moment(end, now_ms, "--end")


def _step(span_ms: int) -> int:
    wanted_s = span_ms / 1000 / _POINTS
    days = -(-span_ms // (86_400_000 * _POINTS))
    return 1000 * next((step for step in _STEPS_S if step >= wanted_s), 86_400 * days)


def moment(text: str, now_ms: int, option: str) -> int:
    """Milliseconds of RFC 3339 (UTC where it names no zone), unix seconds, `now` or `now-1h`."""
    if _NUMBER.fullmatch(text):
        return round(float(text) * 1000)
    if found := _NOW.fullmatch(text):
        far_ms = length(found[2], option) if found[2] else 0
        return now_ms - far_ms if found[1] == "-" else now_ms + far_ms
    try:
        stamp = datetime.fromisoformat(text)
        stamp = stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)
        return round(stamp.timestamp() * 1000)
    except (ValueError, OverflowError):
        ways = "2026-11-21T09:21:35Z, unix seconds, now, now-1h"
        raise click.BadParameter(f"{text!r} is no time; it may be: {ways}", param_hint=option) from None


def length(text: str, option: str) -> int:
    """Milliseconds of a duration as PromQL has it, above 0."""
    try:
        ms = durations.parse(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}; it may be: 15s, 5m, 1h30m, 7d", param_hint=option) from None
    if ms == 0:
        raise click.BadParameter("a duration above 0 is needed", param_hint=option)
    return ms
