"""The bytes of Prometheus remote write, held against protobuf's own classes."""

import math

from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.export.remote_writes import read

from gnomon.wire.protobuf import double
from gnomon.wire.remote_write import STALE, encode, label_set

LABELS = st.dictionaries(st.text(min_size=1, max_size=200), st.text(max_size=200), max_size=30)


@given(st.lists(st.tuples(LABELS, st.floats()), max_size=20), st.integers(0, (1 << 63) - 1))
def test_a_reader_finds_what_was_written(series: list[tuple[dict[str, str], float]], time_ms: int) -> None:
    """Whatever the labels and values; labels are sorted by name, empty ones are left out."""
    body = b"".join(encode([(label_set(labels), double(value)) for labels, value in series], time_ms))
    found = read(body)
    assert [sample.labels for sample in found] == [
        tuple(sorted((name, value) for name, value in labels.items() if value)) for labels, _ in series
    ]
    assert all(
        sample.value == value or (math.isnan(value) and not sample.stale)
        for sample, (_, value) in zip(found, series, strict=True)
    )
    assert {sample.time_ms for sample in found} <= {time_ms}


def test_labels_are_sorted_by_bytes() -> None:
    """Capitals come before `__name__`, small letters after."""
    (sample,) = read(b"".join(encode([(label_set({"le": "1", "__name__": "x", "A": "b"}), double(1))], 5)))
    assert sample == ((("A", "b"), ("__name__", "x"), ("le", "1")), 1.0, 5, False)


def test_the_end_of_a_series_is_one_special_nan() -> None:
    """Another than that of a measurement that is none."""
    labels = label_set({"__name__": "x"})
    ended, measured = read(b"".join(encode([(labels, STALE), (labels, double(math.nan))], 1)))
    assert (ended.stale, measured.stale) == (True, False)
    assert math.isnan(ended.value)
