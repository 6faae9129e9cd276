"""The notation of native histograms, their sums, and the classic ones that become native."""

import math
from dataclasses import replace

import pytest
from tests.promqltest.histogram import Histogram, read_histogram
from tests.promqltest.language import Load, Point, read_script
from tests.promqltest.series import read_line


def test_a_histogram_is_read_whole() -> None:
    """Every part, on both sides; buckets that count nothing are none."""
    text = (
        "schema:1 count:12 sum:-5.5 z_bucket:2 z_bucket_w:0.001 buckets:[1 0 2] offset:-1 n_buckets:[3 4] n_offset:2 "
        "counter_reset_hint:not_reset"
    )
    expected = Histogram(1, 12, -5.5, 0.001, 2, {-1: 1, 1: 2}, {2: 3, 3: 4}, (), 2, hint_said=True)
    assert read_histogram(text) == expected
    custom = read_histogram("schema:-53 sum:1 count:3 custom_values:[5 10] buckets:[1 2]")
    assert custom == Histogram(-53, 3, 1, positive={0: 1, 1: 2}, bounds=(5, 10))
    assert read_histogram("") == Histogram()


@pytest.mark.parametrize(
    "text", ["count", "count:x", "count:1 count:2", "size:1", "buckets:1", "counter_reset_hint:no"]
)
def test_what_is_no_histogram_is_refused(text: str) -> None:
    """Unknown parts, parts that stand twice, values of another kind."""
    with pytest.raises(ValueError, match=r"."):
        read_histogram(text)


def test_a_series_of_histograms_adds_up() -> None:
    """`{{..}}+{{..}}x2` is the first and two sums; the resolution is the first one's."""
    values = read_line("m {{schema:0 count:3 sum:3 buckets:[1 2]}}+{{schema:1 count:2 sum:1 buckets:[1 1]}}x2").values
    # At the finer resolution index 0 is (0.71, 1] and 1 is (1, 1.41]: at the coarser they are indices 0 and 1.
    assert values == [
        Histogram(0, 3, 3, positive={0: 1, 1: 2}),
        Histogram(0, 5, 4, positive={0: 2, 1: 3}),
        Histogram(0, 7, 5, positive={0: 3, 1: 4}),
    ]
    fallen = read_line("m {{count:3 buckets:[1 2]}}-{{count:1 buckets:[1]}}x1").values
    assert fallen[1] == Histogram(0, 2, 0, positive={1: 2})
    for wrong in ("m {{schema:1}}+{{schema:0}}x1", "m {{schema:-53 custom_values:[1]}}+{{}}x1"):
        with pytest.raises(ValueError, match=r"."):
            read_line(wrong)


def test_a_hint_counts_when_it_is_said_last() -> None:
    """As Prometheus' reader: of a sum, the second histogram says whether the hint is to be compared."""
    values = read_line("m {{counter_reset_hint:gauge}}+{{count:1}}x1").values
    assert [(value.hint, value.hint_said) for value in values if isinstance(value, Histogram)] == [(3, False)] * 2


def test_buckets_have_the_bounds_that_the_api_shows() -> None:
    """From the lowest to the highest: exponential ones on both sides of zero, custom ones without an end."""
    histogram = Histogram(0, 10, 0, 0.5, 4, {0: 1, 2: 2}, {1: 3})
    assert histogram.buckets() == [(1, -2, -1, 3), (3, -0.5, 0.5, 4), (0, 0.5, 1, 1), (0, 2, 4, 2)]
    custom = Histogram(-53, 3, 0, positive={0: 1, 2: 2}, bounds=(5, 10))
    assert custom.buckets() == [(3, -math.inf, 5, 1), (0, 10, math.inf, 2)]


def _converted(text: str) -> dict[str, list[Point]]:
    (load,) = read_script(text)
    assert isinstance(load, Load)
    return {dict(labels)["__name__"]: points for labels, points in load.series.items()}


def test_classic_histograms_become_native_ones() -> None:
    """Beside the classic series, one of custom buckets; counts are no longer cumulative."""
    series = _converted(
        'load_with_nhcb 1m\n h_bucket{le="5"} 1 2\n h_bucket{le="1"} 1 1\n h_bucket{le="+Inf"} 4 6\n'
        " h_sum 7 _\n x_min 1"
    )
    assert set(series) == {"h_bucket", "h_sum", "x_min", "h"}
    native = Histogram(-53, 4, 7, positive={0: 1, 2: 3}, bounds=(1, 5))
    assert series["h"] == [
        Point(0, native),
        Point(60_000, replace(native, count=6, sum=0, positive={0: 1, 1: 1, 2: 4})),
    ]


def test_a_count_stands_for_the_last_bucket() -> None:
    """Where there is no bucket up to infinity."""
    series = _converted('load_with_nhcb 1m\n h_bucket{le="5"} 1\n h_count 3')
    assert series["h"] == [Point(0, Histogram(-53, 3, positive={0: 1, 1: 2}, bounds=(5,)))]


@pytest.mark.parametrize(
    "text",
    [
        'h_bucket{le="1"} 2\n h_bucket{le="5"} 1',
        'h_bucket{le="+Inf"} 2\n h_count 3',
        "h_sum 1",
    ],
)
def test_classic_histograms_that_contradict_themselves_are_refused(text: str) -> None:
    """Falling buckets, a count that is not the last bucket's, a sum of nothing."""
    with pytest.raises(ValueError, match="line 1"):
        read_script(f"load_with_nhcb 1m\n {text}")
