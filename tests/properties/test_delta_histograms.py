"""Histograms of changes become totals: whatever the split, the resolutions, the commits and the restarts."""

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from histogram_reference import FINEST, Reference
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon_server.intake.deltas import histogram_totals, running_sums
from gnomon_server.intake.memory import LastHistograms
from gnomon_server.intake.native_histograms import Histograms
from gnomon_server.model.tables import HISTOGRAM_VALUES

sys.path[:0] = [str(Path(__file__).parent.parent / "unit" / folder) for folder in ("intake", "store")]
from batches import batch  # noqa: E402  (beside other tests)

observations = st.lists(
    st.integers(-6 << FINEST, 6 << FINEST) | st.integers(-3, 3) | st.sampled_from([1 << FINEST, (1 << FINEST) + 1]),
    max_size=8,
)
schemas = st.sampled_from([20, 19, 8, 5, 3, 2, 1, 0, -1, -4, -10])
# Between buckets' bounds, on them, within them.
thresholds = st.sampled_from([0.0, 0.0, 2.0**-128, 0.5, 1.0, 2**0.5, 2**0.125, 1.1, 1.5, 3.0, 4.0, 1e9])


def points(zero: st.SearchStrategy[float]) -> st.SearchStrategy[list[tuple[int, Reference]]]:
    """Changes of three series."""
    change = st.builds(Reference.observed, schemas, zero, observations)
    return st.lists(st.tuples(st.integers(0, 2), change), min_size=1, max_size=12)


def totals(changes: Sequence[tuple[int, Reference]], restarts: Callable[[int], bool]) -> list[dict[str, Any]]:
    """The stored row of each change. `restarts(n)`: what comes before the n-th one is committed, and forgotten or not.

    What is forgotten is read back from the last rows.
    """
    memory, rows, begin = LastHistograms(), [], 0
    for end in [number for number in range(1, len(changes)) if restarts(number)] + [len(changes)]:
        chosen = sorted(range(begin, end), key=lambda number: (changes[number][0], number))
        members = [changes[number][1].row(id=changes[number][0], ts=number) for number in chosen]
        table = pa.Table.from_batches([batch(delta_histograms=members).tables["delta_histograms"]])
        done = histogram_totals(table, table["id"].to_numpy(), np.array(chosen), memory)
        rows += done.to_pylist()
        if (end - begin) % 2:
            memory = LastHistograms()
            last = [max((row for row in rows if row["id"] == series), key=lambda row: row["ts"])
                    for series in {row["id"] for row in rows}]  # fmt: skip
            stored = pa.Table.from_pylist(last, table.schema)
            memory.put(stored["id"].to_numpy(), np.zeros(len(last), np.int64), Histograms.of(stored))
        begin = end
    return sorted(rows, key=lambda row: row["ts"])


def values(row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """What adds up."""
    return {name: row[prefix + name] for name, _ in HISTOGRAM_VALUES}


@settings(max_examples=150, deadline=None)
@given(points(st.just(0.0)), st.sets(st.integers(1, 11)))
def test_any_split_of_observations_is_the_same_total(changes: list[tuple[int, Reference]], restarts: set[int]) -> None:
    """In any resolutions: each row is the histogram of all observations of its series until then, at the coarsest."""
    seen: dict[int, list[Reference]] = {}
    for (series, change), row in zip(changes, totals(changes, restarts.__contains__), strict=True):
        seen.setdefault(series, []).append(change)
        schema = min(each.schema for each in seen[series])
        whole = Reference()
        for each in seen[series]:
            each_again = Reference(**vars(each))
            each_again.coarsen(schema)
            whole.buckets += each_again.buckets
            whole.zero += each.zero
            whole.count += each.count
            whole.sum += each.sum
        whole.schema = schema
        assert values(row) == values(whole.row())
        assert values(row, "sent_") == values(change.row())


@settings(max_examples=150, deadline=None)
@given(points(thresholds), st.sets(st.integers(1, 11)))
def test_zero_buckets_meet_as_in_prometheus(changes: list[tuple[int, Reference]], restarts: set[int]) -> None:
    """The wider threshold holds, grown to the end of a bucket that it cuts; nothing is lost or counted twice."""
    seen: dict[int, Reference] = {}
    for (series, change), row in zip(changes, totals(changes, restarts.__contains__), strict=True):
        if series in seen:
            seen[series].add(change)
        else:
            seen[series] = Reference(**vars(change))
        assert values(row) == values(seen[series].row())
        assert row["zero_count"] + sum(row["p_cnt"]) + sum(row["n_cnt"]) == row["count"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(-4 << 8, 4 << 8), min_size=40, max_size=100), min_size=2, max_size=5))
def test_a_total_has_a_bounded_number_of_buckets(groups: list[list[int]]) -> None:
    """160, or what the widest change had: the resolution is halved until they fit."""
    changes = [Reference.observed(8, 0.0, [each << (FINEST - 8) for each in group]) for group in groups]
    rows = totals([(0, change) for change in changes], lambda number: number == 2)
    whole = Reference(8)
    for change, row in zip(changes, rows, strict=True):
        whole.add(change)
        assert values(row) == values(whole.row())
        assert len(row["p_idx"]) + len(row["n_idx"]) <= 160


def test_a_change_wider_than_the_limit_is_kept_whole() -> None:
    """The first point of a series is its own value, whatever its size."""
    change = Reference.observed(3, 0.0, [each << (FINEST - 3) for each in range(1, 401)])
    first, second = totals([(0, change), (0, change)], lambda _: False)
    assert values(first) == values(change.row())
    assert (len(second["p_idx"]), second["count"]) == (400, 800)


def test_indices_at_the_edge_of_their_type() -> None:
    """Merged down to where a few buckets hold everything."""
    edge = 2**31 - 2
    wide = Reference(schema=20, count=2.0, buckets={(False, edge): 1, (True, -edge): 1})
    narrow = Reference(schema=-10, threshold=1.0, count=1.0, buckets={(False, 1): 1})
    (_, row) = totals([(0, wide), (0, narrow)], lambda _: False)
    assert (row["schema"], row["count"], row["zero_count"]) == (-10, 3.0, 1.0)
    assert (row["p_idx"], row["p_cnt"], row["n_idx"]) == ([1, 2], [1.0, 1.0], [])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-1e18, 1e18) | st.just(math.inf), st.lists(st.integers(-5, 5), min_size=1, max_size=9)),
        min_size=1,
        max_size=50,
    )
)
def test_running_sums_do_not_touch_each_other(series: list[tuple[float, list[int]]]) -> None:
    """Each series alone, in its own precision, beside others that are huge or infinite."""
    lengths = [len(changes) for _, changes in series]
    first = np.cumsum(lengths) - lengths
    change = np.array([each for _, changes in series for each in changes], np.float64)
    expected = []
    for total, changes in series:
        for each in changes:
            total += each  # noqa: PLW2901  (it runs on)
            expected.append(total)
    found = running_sums(change, first, np.array([before for before, _ in series]))
    assert found.tolist() == pytest.approx(expected, rel=0, abs=0)
