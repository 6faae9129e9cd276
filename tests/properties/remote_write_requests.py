"""Strategies for remote write requests, and what is in them read plainly: loops, and nothing shared with ours."""

import math
import struct
from typing import Any

from hypothesis import strategies as st

from gnomon_server.model.series import series_id

NOW_MS = 1_790_000_000_000
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_NAMES = st.text("abcXYZ_é", min_size=1, max_size=6).filter(lambda name: name != "__name__")
_VALUES = st.one_of(
    st.floats(),
    st.sampled_from([struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0], math.nan, 0.0, -0.0, math.inf]),
)
_TIMES = st.one_of(st.integers(0, NOW_MS), st.integers(NOW_MS - 200_000_000, NOW_MS))


def bits(value: float) -> int:
    """A double by its bits: NaNs differ, and so do zeros."""
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


@st.composite
def _side(draw: st.DrawFn, *, is_float: bool, bounds: int | None) -> tuple[list[tuple[int, int]], list[float]]:
    """Spans (offset, length) and counts; with `bounds`, indices from 0 to there."""
    spans = []
    place = 0
    for number in range(draw(st.integers(0, 3))):
        least = 0 if number or bounds is not None else -20
        offset, length = draw(st.integers(least, 6)), draw(st.integers(0, 4))
        if bounds is not None and place + offset + length > bounds + 1:
            break
        spans.append((offset, length))
        place += offset + length
    many = sum(length for _, length in spans)
    each = st.floats(0, 1e12) if is_float else st.one_of(st.integers(0, 3), st.integers(0, 2**40))
    return spans, draw(st.lists(each, min_size=many, max_size=many))


@st.composite
def histograms(draw: st.DrawFn) -> dict[str, Any]:
    """Fields of a native histogram that Prometheus takes."""
    is_float = draw(st.booleans())
    bounds = sorted(draw(st.sets(st.floats(-100, 100), max_size=5))) if draw(st.booleans()) else None
    positive, counts = draw(_side(is_float=is_float, bounds=len(bounds) if bounds is not None else None))
    negative, below = draw(_side(is_float=is_float, bounds=None)) if bounds is None else ([], [])
    zero = draw(st.integers(0, 300)) if bounds is None else 0
    fields: dict[str, Any] = {
        "sum": draw(_VALUES),
        "schema": -53 if bounds is not None else draw(st.integers(-4, 8)),
        "zero_threshold": 0.0 if bounds is not None else draw(st.sampled_from([0.0, 1e-128, 0.5])),
        "positive_spans": [{"offset": offset, "length": length} for offset, length in positive],
        "negative_spans": [{"offset": offset, "length": length} for offset, length in negative],
        "reset_hint": draw(st.integers(0, 3)),
        "timestamp": draw(_TIMES),
        "custom_values": bounds or [],
    }
    if is_float:
        return {
            **fields, "count_float": sum(counts) + sum(below) + zero, "zero_count_float": float(zero),
            "positive_counts": counts, "negative_counts": below,
        }  # fmt: skip
    return {
        **fields, "count_int": sum(counts) + sum(below) + zero, "zero_count_int": zero,
        "positive_deltas": _differences(counts), "negative_deltas": _differences(below),
    }  # fmt: skip


def _differences(counts: list[Any]) -> list[int]:
    return [count - before for before, count in zip([0, *counts], counts, strict=False)]


@st.composite
def one_series(draw: st.DrawFn) -> dict[str, Any]:
    """A series with points of all kinds."""
    labels = draw(st.dictionaries(_NAMES, _TEXT, max_size=4))
    samples = draw(st.lists(st.tuples(_VALUES, _TIMES, st.integers(0, NOW_MS)), max_size=4))
    exemplar_labels = st.dictionaries(
        st.sampled_from(["trace_id", "span_id", "user"]), st.one_of(_TEXT, st.just("0123456789abcdef" * 2)), max_size=3
    )
    return {
        "labels": {"__name__": draw(st.sampled_from(["up", "m_total", "h", "é.x", "9"])), **labels},
        "samples": samples,
        "histograms": draw(st.lists(histograms(), max_size=2)),
        "exemplars": draw(st.lists(st.tuples(exemplar_labels, st.floats(), _TIMES), max_size=2)),
        "created": draw(st.sampled_from([0, NOW_MS - 5])),
    }


REQUESTS = st.lists(one_series(), max_size=5)


def identity(series: dict[str, Any]) -> int:
    """Of a series, by the model's own rule."""
    labels = {name: value for name, value in series["labels"].items() if value and name != "__name__"}
    return series_id(series["labels"]["__name__"], labels)


def samples_of(requested: list[dict[str, Any]], *, starts: bool) -> list[tuple[int, ...]]:
    """(id, time, bits of the value, start) in order; version 1.0 has no starts."""
    return [
        (identity(series), at, bits(value), (start or series["created"]) if starts else 0)
        for series in requested
        for value, at, start in series["samples"]
    ]


def histograms_of(requested: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """(id, time, schema, count, bits of the sum, zero count, hint, positive, negative, bounds), buckets as maps."""
    return [(identity(series), *_plain(fields)) for series in requested for fields in series["histograms"]]


def _plain(fields: dict[str, Any]) -> tuple[Any, ...]:
    is_float = "count_float" in fields
    kind = "float" if is_float else "int"
    sides = [
        _buckets(fields[f"{name}_spans"], fields[f"{name}_{'counts' if is_float else 'deltas'}"], running=not is_float)
        for name in ("positive", "negative")
    ]
    return (
        fields["timestamp"], fields["schema"], float(fields[f"count_{kind}"]), bits(fields["sum"]),
        float(fields[f"zero_count_{kind}"]), fields["reset_hint"], is_float, *sides, fields["custom_values"],
    )  # fmt: skip


def _buckets(spans: list[dict[str, int]], numbers: list[float], *, running: bool) -> dict[int, float]:
    found, index, total, left = {}, 0, 0.0, iter(numbers)
    for span in spans:
        index += span["offset"]
        for _ in range(span["length"]):
            total = (total if running else 0) + next(left)
            if total:
                found[index] = float(total)
            index += 1
    return found
