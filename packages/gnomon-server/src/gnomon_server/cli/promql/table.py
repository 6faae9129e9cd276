"""Answers as tables and as CSV, and native histograms as bars."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import orjson
from rich.cells import cell_len, set_cell_size

from gnomon_server.cli.promql import names
from gnomon_server.cli.promql.answer import Answer, Series
from gnomon_server.cli.promql.digits import column, shown
from gnomon_server.cli.promql.ticks import stamp
from gnomon_server.selfmon.events import printable

_BAR = 24
_MOST_BARS = 20
_EIGHTHS = " ▏▎▍▌▋▊▉"
# Which ends belong to a bucket, by the first number that the JSON has of it (Prometheus docs, "Native histograms").
_BRACKETS = {0: "(]", 1: "[)", 2: "()", 3: "[]"}


def lines(series: Sequence[Series], *, with_times: bool) -> Iterator[str]:
    """What the series have in common, then a line for each sample; then each native histogram by itself."""
    plain = [one for one in series if len(one.times)]
    if plain:
        sets = [one.labels for one in plain]
        if common := names.in_common(sets):
            yield names.full(common)
        yield from _aligned(_columns(plain, names.differing(sets), with_times=with_times))
    for one in series:
        if one.histograms:
            yield names.full(one.labels)
            yield from _histograms(one.histograms, with_times=with_times)


def _columns(series: Sequence[Series], labels: Sequence[str], *, with_times: bool) -> list[list[str]]:
    """Each a heading and a text for each sample."""
    sizes = [len(one.times) for one in series]
    found = []
    for label in labels:
        texts = [printable(one.labels.get(label, "")) for one in series]
        found.append([printable(label), *np.repeat(np.array(texts, object), sizes)])
    if with_times:
        found.append(["time", *(stamp(int(at)) for one in series for at in one.times)])
    values = column([float(value) for one in series for value in one.values])
    width = max(len("value"), len(values[0]))
    return [*found, [text.rjust(width) for text in ("value", *values)]]


def _aligned(columns: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(cell_len, texts)) for texts in columns]
    for row in zip(*columns, strict=True):
        yield "  ".join(set_cell_size(text, width) for text, width in zip(row, widths, strict=True)).rstrip()


def _histograms(found: Sequence[tuple[int, dict[str, Any]]], *, with_times: bool) -> Iterator[str]:
    """The newest with its buckets, how many there were before it."""
    at_ms, newest = found[-1]
    count, total = float(newest["count"]), float(newest["sum"])
    time = f"at {stamp(at_ms)}  " if with_times else ""
    mean = f"  avg {shown(total / count)}" if count else ""
    yield f"  {time}count {shown(count)}  sum {shown(total)}{mean}"
    buckets = _merged([_Bucket.of(one) for one in newest.get("buckets", ())])
    bounds = [one.bounds for one in buckets]
    counts = column([one.count for one in buckets])
    most = max((one.count for one in buckets), default=0)
    for text, one, number in zip(_right(bounds), buckets, counts, strict=True):
        yield f"  {text}  {number}  {bar(one.count, most)}".rstrip()
    if with_times and len(found) > 1:
        yield f"  and {len(found) - 1} before it: histogram_quantile(0.9, ...) makes curves of them"


@dataclass(frozen=True, slots=True)
class _Bucket:
    brackets: str
    low: float
    high: float
    count: float

    @classmethod
    def of(cls, one: Sequence[Any]) -> "_Bucket":
        return cls(_BRACKETS.get(one[0], "()"), float(one[1]), float(one[2]), float(one[3]))

    @property
    def bounds(self) -> str:
        return f"{self.brackets[0]}{shown(self.low)}, {shown(self.high)}{self.brackets[1]}"


def _merged(buckets: Sequence[_Bucket]) -> list[_Bucket]:
    """Neighbours together where there are too many to show."""
    together = -(-len(buckets) // _MOST_BARS)
    parts = [list(part) for _, part in groupby(enumerate(buckets), lambda pair: pair[0] // max(together, 1))]
    return [_as_one([one for _, one in part]) for part in parts]


def _as_one(part: Sequence[_Bucket]) -> _Bucket:
    first, last = part[0], part[-1]
    return _Bucket(first.brackets[0] + last.brackets[1], first.low, last.high, sum(one.count for one in part))


def _right(texts: Sequence[str]) -> list[str]:
    width = max(map(len, texts), default=0)
    return [f"{text:>{width}}" for text in texts]


def bar(value: float, most: float) -> str:
    """A bar of block characters, to an eighth of one; the longest for `most`."""
    if not 0 < value <= most < float("inf"):
        return ""
    eighths = max(round(_BAR * 8 * (value / most)), 1)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def as_csv(answer: Answer) -> str:
    """A line for each sample: all labels, then `time`, `value` as the server wrote it, and `histogram` as JSON."""
    if answer.kind in ("scalar", "string"):
        return _written([["value"], [answer.text]])
    labels = sorted({name for one in answer.series for name in one.labels}, key=lambda name: (name != "__name__", name))
    rows = [[*labels, "time", "value", "histogram"]]
    for one in answer.series:
        mine = [one.labels.get(name, "") for name in labels]
        rows += [[*mine, stamp(int(at)), text, ""] for at, text in zip(one.times, one.texts, strict=True)]
        rows += [[*mine, stamp(at), "", orjson.dumps(histogram).decode()] for at, histogram in one.histograms]
    return _written(rows)


def _written(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
