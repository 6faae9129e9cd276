"""Windows over native histograms: start times, notes, batches, averages that would overflow."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from gnomon_server.query.promql.histograms import windows as histogram_ranges
from gnomon_server.query.promql.histograms.block import GAUGE, Histograms
from gnomon_server.query.promql.histograms.resets import start_overlap, start_reset
from gnomon_server.query.promql.histograms.windows import (
    avg_over_time,
    changes_between,
    counts_within,
    increase,
    instant,
    resets_between,
    sum_over_time,
)

sys.path[:0] = [str(Path(__file__).parents[3] / "properties")]
from promql_histogram_reference import CUSTOM, One, block_of, ones_of, read  # noqa: E402 (beside other tests)


def one_window(block: Histograms) -> tuple[np.ndarray, np.ndarray]:
    """Over all of it."""
    return np.array([0]), np.array([len(block)])


def counting(*counts: float, hint: int = 0) -> Histograms:
    """Histograms of one bucket with these counts."""
    return block_of([One(0, count, 2 * count, positive={0: count} if count else {}, hint=hint) for count in counts])


def times(*values: int) -> np.ndarray:
    """In milliseconds."""
    return np.array(values, np.int64)


def test_start_times_tell_resets() -> None:
    """A start after the sample before is a reset, one at it is that of changes, unless it says nothing."""
    cases = [  # start and time of the earlier one, of the later one, reset, overlap
        (0, 10, 0, 20, False, False),  # unknown
        (5, 10, 5, 20, False, False),  # the same counter
        (5, 10, 15, 20, True, False),  # a new one
        (5, 10, 10, 20, True, False),  # changes
        (0, 10, 10, 20, False, False),  # cumulative, with a start that became known
        (10, 10, 10, 20, False, False),  # likewise, as OpenTelemetry says it
        (30, 10, 10, 20, False, False),  # an impossible start
        (5, 10, 20, 20, False, False),  # OpenTelemetry's unknown
        (5, 10, 25, 20, False, False),  # after the sample
        (5, 10, 7, 20, False, True),  # begins within the time of the one before
    ]
    *columns, resets, overlaps = (np.array(column) for column in zip(*cases, strict=True))
    assert start_reset(*columns).tolist() == resets.tolist()
    assert start_overlap(*columns[:3]).tolist() == overlaps.tolist()


def test_increase_of_changes_by_their_start_times() -> None:
    """Equal counts are an increase each where start times say that each began anew."""
    block, ts = counting(60, 60, 60), times(60_000, 120_000, 180_000)
    start = ts - 60_000
    start[0] = 1
    found, notes = increase(block, ts, *one_window(block), start, counter=True)
    assert found.count.tolist() == [120]
    assert found.hint.tolist() == [GAUGE]
    assert not notes.overlapping[0]
    without, _ = increase(block, ts, *one_window(block), None, counter=True)
    assert without.count.tolist() == [0]
    contradicting, notes = increase(block, ts, *one_window(block), times(1, 2, 3), counter=True)
    assert notes.overlapping[0]
    assert contradicting.count.tolist() == [0]


def test_increase_from_the_start() -> None:
    """Where the counter began within the window, its first histogram is part of the increase, even alone."""
    block, ts = counting(5, 8), times(60_000, 120_000)
    low, high, began = np.array([0, 0, 0, 1, 1]), np.array([2, 2, 1, 2, 1]), np.array([True, False, True, False, True])
    found, notes = increase(block, ts, low, high, None, counter=True, from_start=began)
    assert notes.present.tolist() == [True, True, True, False, False]
    assert found.count.tolist() == [8, 3, 5, 0, 0]
    assert found.sum.tolist() == [16, 6, 10, 0, 0]


def test_notes_of_increases() -> None:
    """Gauges among counters and others among gauges are noticed, first, last and between."""
    mixed = block_of([*ones_of(counting(1, 2)), *ones_of(counting(3, hint=GAUGE)), *ones_of(counting(4))])
    low, high, ts = np.array([0, 0, 1, 2]), np.array([2, 4, 3, 4]), times(1, 2, 3, 4)
    _, notes = increase(mixed, ts, low, high, None, counter=True)
    assert notes.not_counter.tolist() == [False, True, True, True]
    assert not notes.not_gauge.any()
    _, notes = increase(mixed, ts, low, high, None, counter=False)
    assert notes.not_gauge.all()
    gauges = counting(5, 3, hint=GAUGE)
    difference, notes = increase(gauges, ts, *one_window(gauges), None, counter=False)
    assert difference.count.tolist() == [-2]
    assert not notes.not_gauge.any()
    assert not notes.not_counter.any()


def custom(bounds: Sequence[float], **buckets: float) -> One:
    """With counts by the name of the index: b0, b1, ..."""
    counts = {int(name[1:]): count for name, count in buckets.items()}
    return One(CUSTOM, sum(counts.values()), 1.0, positive=counts, bounds=tuple(bounds))


def test_reconciled_bounds_are_told_apart() -> None:
    """Whether custom bounds differed in the subtraction or in an addition after a reset."""
    wide, narrow = [1.0, 2.0, 3.0], [1.0, 3.0]
    series = [custom(wide, b0=1), custom(wide, b0=4, b1=1), custom(wide, b0=2), custom(narrow, b0=3)]
    block, ts = block_of(series), times(1, 2, 3, 4)
    low, high = np.array([0, 0, 2, 1]), np.array([2, 3, 4, 4])
    found, notes = increase(block, ts, low, high, None, counter=True)
    assert notes.subtracted.tolist() == [False, False, True, True]
    assert notes.added.tolist() == [False, False, False, False]
    assert [one.bounds for one in ones_of(found)] == [(1, 2, 3), (1, 2, 3), (1, 3), (1, 3)]
    # The first is left out; what is added when the counter begins anew for the second time has other bounds.
    series = [custom(narrow, b0=1), custom(wide, b0=4), custom(narrow, b0=2), custom(narrow, b0=3)]
    _, notes = increase(block_of(series), ts, np.array([0]), np.array([4]), None, counter=True)
    assert (notes.subtracted[0], notes.added[0]) == (False, True)


def test_instant_rates() -> None:
    """`irate` is per second and from nothing after a reset; `idelta` is what it is; equal times have none."""
    block, ts = counting(1, 5, 3, 9), times(0, 2000, 4000, 4000)
    low, high = np.array([0, 0, 0, 0]), np.array([1, 2, 3, 4])
    rate, notes = instant(block, ts, low, high, None, counter=True)
    assert notes.present.tolist() == [False, True, True, False]
    assert rate.count.tolist() == [0, 2, 1.5, 0]
    assert not notes.not_counter.any()
    delta, notes = instant(block, ts, low, high, None, counter=False)
    assert delta.count.tolist() == [0, 4, -2, 0]
    assert notes.not_gauge.tolist() == [False, True, True, False]
    anew, _ = instant(block, ts, np.array([0]), np.array([2]), times(0, 1000, 0, 0), counter=True)
    assert anew.count.tolist() == [2.5]


def test_instant_rates_of_other_buckets() -> None:
    """Exponential after custom buckets is a reset to `irate`, and no difference to `idelta`."""
    block, ts = block_of([custom([1.0], b0=1), *ones_of(counting(5))]), times(0, 1000)
    rate, notes = instant(block, ts, *one_window(block), None, counter=True)
    assert notes.present[0]
    assert rate.count.tolist() == [5]
    _, notes = instant(block, ts, *one_window(block), None, counter=False)
    assert notes.incompatible[0]
    assert not notes.present[0]


def test_resets_and_changes() -> None:
    """Counted between neighbours of a window, not across its beginning."""
    block, ts = counting(1, 1, 3, 2, 2, 0), times(1, 2, 3, 4, 5, 6)
    low, high = np.array([0, 0, 2, 3, 3, 6]), np.array([6, 1, 4, 4, 3, 6])
    resets, changes = resets_between(block, ts, None), changes_between(block)
    assert counts_within(resets, low, high).tolist() == [2, 0, 1, 0, 0, 0]
    assert counts_within(changes, low, high).tolist() == [3, 0, 1, 0, 0, 0]
    assert resets_between(block.take(np.array([0])), ts[:1], None).tolist() == [False]


def test_averages_that_would_overflow() -> None:
    """A sum that overflows is carried on as a mean: as long as nothing does, exactly as the sum divided."""
    large, ones = 1.5e308, [One(0, count, summed, positive={0: count}) for count, summed in
                            [(1.5e308, 5.3), (1e308, 1e100), (1e-6, -1e100), (1e-6, 1.0)]]  # fmt: skip
    block = block_of(ones)
    found, _ = avg_over_time(block, *one_window(block))
    assert found.count[0] == pytest.approx((large / 4 + 1e308 / 4), rel=1e-12)
    assert found.sum[0] == pytest.approx(6.3 / 4, rel=1e-12)
    assert found.counts.tolist() == found.count.tolist()
    summed, _ = sum_over_time(block, *one_window(block))
    assert math.isinf(summed.count[0])
    assert summed.sum[0] == pytest.approx(6.3, rel=1e-12)


def test_batches_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few windows are worked on at a time, the answers are the same."""
    block = block_of([read(f"count:{at} sum:{at} buckets:[{at} 0 1]") for at in (1, 4, 2, 7, 3)])
    ts = times(1, 2, 3, 4, 5)
    low, high = (np.array(one) for one in ([0, 0, 1, 2, 0, 4], [5, 2, 4, 5, 0, 5]))

    def answers() -> list[tuple[list[One], list[bool]]]:
        summed, rates = sum_over_time(block, low, high)[0], increase(block, ts, low, high, None, counter=True)
        instants = instant(block, ts, low, high, None, counter=True)
        resets = resets_between(block, ts, None).tolist()
        return [(list(ones_of(summed)), resets)] + [
            (list(ones_of(found)), notes.present.tolist()) for found, notes in (rates, instants)
        ]

    together = answers()
    monkeypatch.setattr(histogram_ranges, "_CELLS_AT_ONCE", 3)
    assert answers() == together
