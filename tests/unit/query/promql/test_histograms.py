"""Native histograms in columns: edges that random histograms seldom meet."""

import math
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gnomon_server.model.tables import NATIVE_HISTOGRAMS
from gnomon_server.query.promql.histograms.arithmetic import add, multiply, negated, subtract
from gnomon_server.query.promql.histograms.block import GAUGE, concatenate, of_table
from gnomon_server.query.promql.histograms.buckets import CLOSED, OPEN_LEFT, OPEN_RIGHT, boundary_rules, ordered
from gnomon_server.query.promql.histograms.resets import close, detect_reset, equal
from gnomon_server.query.promql.histograms.statistics import fractions, quantiles
from gnomon_server.query.promql.histograms.totals import sum_by
from gnomon_server.query.promql.histograms.trim import trim

sys.path[:0] = [str(Path(__file__).parents[3] / "properties")]
from promql_histogram_reference import CUSTOM, One, block_of, ones_of, read  # noqa: E402 (beside other tests)


def block(*texts: str):  # noqa: ANN201 (a Histograms, as all here)
    """Histograms in promqltest's notation."""
    return block_of([read(text) for text in texts])


def test_stored_rows_are_put_in_order() -> None:
    """Indices that fall, empty buckets and a zero bucket beside custom ones are made good."""
    row = {
        "id": 1, "ts": 0, "start": 0, "schema": 0, "hint": 0, "is_float": False, "count": 6.0, "sum": 1.0, "min": 0.0,
        "max": 0.0, "zero_threshold": 0.5, "zero_count": 1.0, "p_idx": [4, 2, 3], "p_cnt": [1.0, 2.0, 0.0],
        "n_idx": [1, 5], "n_cnt": [1.0, 1.0], "bounds": [],
    }  # fmt: skip
    other = {
        **row,
        "schema": CUSTOM,
        "bounds": [1.0, 2.0],
        "n_idx": [],
        "n_cnt": [],
        "p_idx": [0, 2],
        "p_cnt": [3.0, 4.0],
    }
    schema = pa.schema([field for field in NATIVE_HISTOGRAMS if not field.name.startswith("sent_")])
    table = pa.concat_tables([pa.Table.from_pylist([one], schema) for one in (row, other, row)])
    found = list(ones_of(of_table(table)))
    assert found[0] == found[2]
    assert found[0] == One(0, 6.0, 1.0, 0.5, 1.0, {2: 2.0, 4: 1.0}, {1: 1.0, 5: 1.0})
    assert found[1] == One(CUSTOM, 6.0, 1.0, positive={0: 3.0, 2: 4.0}, bounds=(1.0, 2.0))


def test_what_is_stored_finer_is_made_as_fine_as_prometheus_has_it() -> None:
    """OpenTelemetry's scales above 8 are halved on reading, and buckets that are the same then are added."""
    fine = block_of([One(20, 5, 1.0, positive={1: 1.0, 4096: 1.0, 4097: 1.0}, negative={-4095: 2.0})])
    assert list(ones_of(fine)) == [One(8, 5, 1.0, positive={1: 2.0, 2: 1.0}, negative={0: 2.0})]


def test_bounds_at_the_ends() -> None:
    """The last bucket of numbers ends at the largest one, where that of infinities begins; custom ones end there."""
    ends = block_of(
        [One(0, 2, 2, positive={1024: 1.0, 1025: 1.0}), One(CUSTOM, 2, 2, positive={0: 1.0, 1: 1.0}, bounds=(3,))]
    )
    buckets = ordered(ends)
    largest = sys.float_info.max
    assert list(zip(buckets.lower, buckets.upper, strict=True)) == [
        (2.0**1023, largest), (largest, math.inf), (-math.inf, 3), (3, math.inf)]  # fmt: skip
    assert boundary_rules(ends, buckets).tolist() == [OPEN_LEFT, OPEN_LEFT, CLOSED, OPEN_LEFT]


def test_buckets_that_overlap_with_the_zero_bucket() -> None:
    """Are cut at its threshold, on both sides; the zero bucket is closed."""
    cut = block("count:5 z_bucket:1 z_bucket_w:1.5 buckets:[2] offset:1 n_buckets:[2] n_offset:1")
    buckets = ordered(cut)
    assert list(zip(buckets.lower, buckets.upper, buckets.count, strict=True)) == [
        (-2, -1.5, 2),
        (-1.5, 1.5, 1),
        (1.5, 2, 2),
    ]
    assert boundary_rules(cut, buckets).tolist() == [OPEN_RIGHT, CLOSED, OPEN_LEFT]


def test_hints_of_differences_and_products() -> None:
    """A difference is a gauge, and so is what was multiplied by less than nothing."""
    counters = block("count:3 buckets:[3] counter_reset_hint:not_reset")
    assert subtract(counters, counters)[0].hint.tolist() == [GAUGE]
    assert negated(counters).hint.tolist() == [GAUGE]
    assert multiply(counters, np.array([0.5])).hint.tolist() == counters.hint.tolist()
    anew = block("count:3 buckets:[3] counter_reset_hint:reset")
    assert add(counters, anew)[1].reset_conflict.tolist() == [True]
    assert sum_by(concatenate([counters, anew]), np.array([0, 1]), 2)[1].reset_conflict.tolist() == [False, False]


def test_equality_is_that_of_bits() -> None:
    """NaN is itself, -0 is not 0, and bounds count by their values, wherever they stand."""
    one = block_of(
        [One(0, 0, math.nan), One(0, 0, 0.0), One(CUSTOM, 0, 0, bounds=(1,)), One(CUSTOM, 0, 0, bounds=(2,))]
    )
    other = block_of(
        [One(0, 0, math.nan), One(0, 0, -0.0), One(CUSTOM, 0, 0, bounds=(1,)), One(CUSTOM, 0, 0, bounds=(1,))]
    )
    assert equal(one, other).tolist() == [True, False, True, False]
    assert close(one, other, 1e-6).tolist() == [True, True, True, False]


def test_resets_beside_a_zero_bucket_that_grew() -> None:
    """What the wider zero bucket took in is no reset, unless it cuts a bucket in two or lost something."""
    before = block("count:5 z_bucket:1 z_bucket_w:0.25 buckets:[2 2]")
    after = block(
        "count:5 z_bucket:3 z_bucket_w:1 buckets:[2] offset:1",
        "count:5 z_bucket:3 z_bucket_w:0.75 buckets:[2] offset:1",
        "count:5 z_bucket:2 z_bucket_w:1 buckets:[3] offset:1",
        "count:5 z_bucket:3 z_bucket_w:0.125 buckets:[2] offset:1",
    )
    assert detect_reset(before.take(np.zeros(4, np.int64)), after).tolist() == [False, True, True, True]


def test_observations_of_nan() -> None:
    """They make a quantile above the others NaN and raise those below, and are in no fraction."""
    some = block("count:4 sum:NaN buckets:[2]", "count:2 sum:NaN buckets:[2]", "count:4 sum:1 buckets:[2]")
    q = np.array([0.9, 0.5, 0.9])
    found, undefined, raised = quantiles(some, q)
    assert np.isnan(found[0])
    assert found[2] == pytest.approx(2**-0.2)
    assert undefined.tolist() == [True, False, False]
    assert raised.tolist() == [False, False, False]
    _, undefined, raised = quantiles(some, np.full(3, 0.25))
    assert undefined.tolist() == [False, False, False]
    assert raised.tolist() == [True, False, False]
    every = np.full(3, math.inf)
    part, outside = fractions(some, -every, every)
    assert part.tolist() == [0.5, 1.0, 1.0]
    assert outside.tolist() == [True, False, False]


def test_of_very_wide_and_narrow_histograms_at_once() -> None:
    """One with many buckets among many with few costs no more than itself."""
    wide = One(8, 5000, 1.0, positive=dict.fromkeys(range(5000), 1.0))
    narrow = One(0, 2, 1.0, positive={0: 1.0, 1: 1.0})
    members = [narrow] * 1000 + [wide] + [narrow] * 1000
    found, _, _ = quantiles(block_of(members), np.full(len(members), 0.5))
    assert found[1000] == pytest.approx(wide.quantile(0.5))
    assert (np.delete(found, 1000) == narrow.quantile(0.5)).all()


@pytest.mark.parametrize("below", [True, False])
def test_trim_to_nothing_and_to_everything(below: bool) -> None:
    """At infinities, either nothing or all stays as it was; NaN leaves no bucket."""
    some = block(
        "count:9 sum:4 z_bucket:2 z_bucket_w:0.001 buckets:[2 3] n_buckets:[2]",
        "schema:-53 count:3 sum:9 buckets:[1 2] custom_values:[5]",
    )
    for value, stays in ((math.inf, below), (-math.inf, not below)):
        found = trim(some, np.full(2, value), below=below)
        if stays:
            assert equal(found, some).all()
        else:
            assert not len(found.place)
            assert not found.count.any()
            assert not found.sum.any()
    assert not len(trim(some, np.full(2, math.nan), below=below).place)
