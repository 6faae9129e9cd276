"""Native histograms as they are sent: spans of buckets, and counts as differences or absolute.

Source: Prometheus model/histogram/histogram.go; a span's offset is the gap to the one before it, the first one's is the
index of its first bucket, and an index names the bucket's upper bound, base^index: the convention of our tables.
"""

from typing import Any

import numpy as np

from gnomon_server.errors import InvalidInput

_MAX_BUCKETS = 10_000
_LARGEST_INDEX = (1 << 31) - 1


def is_native(histogram: Any) -> bool:
    """Whether a Histogram message has a native part (protobufparse.go: isNativeHistogram)."""
    return bool(
        histogram.zero_threshold > 0
        or histogram.zero_count > 0
        or len(histogram.positive_span)
        or len(histogram.negative_span)
    )


def buckets(spans: Any, deltas: Any, counts: Any, *, is_float: bool) -> tuple[list[int], list[float]]:
    """Indices and absolute counts of the buckets that are not empty. InvalidInput when spans and counts do not fit."""
    lengths = [span.length for span in spans]
    total = sum(lengths)
    given = len(counts if is_float else deltas)
    if total != given or total > _MAX_BUCKETS:
        raise InvalidInput(
            "invalid_histogram", f"a native histogram has {given} buckets where its spans say {total}"
            f" ({_MAX_BUCKETS} at most)",
        )  # fmt: skip
    if not total:
        return [], []
    offsets = [span.offset for span in spans]
    if any(offset < 0 for offset in offsets[1:]):
        raise InvalidInput("invalid_histogram", "spans of a native histogram overlap")
    # From a bucket to the next is one step, and the gap more where a span begins.
    starts = np.cumsum(np.array(offsets, np.int64)) + np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    before = np.repeat(np.cumsum(lengths) - lengths, lengths)
    index = np.repeat(starts, lengths) + np.arange(total) - before
    if np.abs(index).max() > _LARGEST_INDEX:
        raise InvalidInput("invalid_histogram", "bucket indices of a native histogram are 32-bit numbers")
    absolute = np.array(counts, np.float64) if is_float else np.cumsum(np.array(deltas, np.int64)).astype(np.float64)
    if (absolute < 0).any():
        raise InvalidInput("invalid_histogram", "a native histogram has a bucket with a negative count")
    filled = absolute != 0
    return index[filled].tolist(), absolute[filled].tolist()
