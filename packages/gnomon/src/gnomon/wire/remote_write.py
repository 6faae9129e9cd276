"""Prometheus remote write 1.0, as much of it as a sender needs: a request is TimeSeries messages end to end.

https://prometheus.io/docs/specs/remote_write_spec/
"""

from collections.abc import Iterable, Mapping
from struct import Struct

from gnomon.wire.protobuf import delimited, length, text, varint

STALE = Struct("<Q").pack(0x7FF0000000000002)
"""The value that says: this series has ended. A NaN, of which as a Python float no bit is sure."""

_DOUBLE_BYTES = 8


def label_set(pairs: Mapping[str, str]) -> bytes:
    """The labels of a TimeSeries, sorted by name as the protocol asks; empty ones are as good as none."""
    return b"".join(delimited(1, text(1, name) + text(2, value)) for name, value in sorted(pairs.items()) if value)


def encode(samples: Iterable[tuple[bytes, bytes]], time_ms: int) -> list[bytes]:
    """One TimeSeries for each sample, with the tag and length that it has in a WriteRequest.

    Args:
        samples: what `label_set` gave, and the value as eight bytes (`protobuf.double` or `STALE`).
        time_ms: of all of them, since the Unix epoch.
    """
    stamp = b"\x10" + varint(time_ms)
    head = b"\x12" + length(1 + _DOUBLE_BYTES + len(stamp)) + b"\x09"
    return [_series(labels + head + value + stamp) for labels, value in samples]


def _series(body: bytes) -> bytes:
    return b"\x0a" + length(len(body)) + body
