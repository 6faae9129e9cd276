"""A request of remote write 1.0: its series are named by the raw bytes of their labels."""

from typing import Any

import numpy as np

from gnomon_server.compiled import compiled
from gnomon_server.decode.otlp.bounds import MAX_PARTS, check_count
from gnomon_server.decode.otlp.fields import LEN, UnusualError
from gnomon_server.decode.otlp.scan import Scanned
from gnomon_server.decode.otlp.values import text
from gnomon_server.decode.remote_write.context import WriteContext
from gnomon_server.decode.remote_write.known import Keys
from gnomon_server.decode.remote_write.labels import TYPES, Pairs, RefusedError
from gnomon_server.decode.remote_write.metadata import Description
from gnomon_server.decode.remote_write.scan import scan, whole
from gnomon_server.decode.remote_write.wire import V1

_LABEL_TAG = 1 << 3 | LEN


class Request1:
    """`prometheus.WriteRequest`."""

    messages = V1

    def __init__(self, body: bytes, context: WriteContext) -> None:
        request = scan(V1, "Request", whole(body))
        _, series = request.repeated("timeseries")
        _, metadata = request.repeated("metadata")
        check_count(len(series.starts), context.limits.series_per_request, "series")
        check_count(len(metadata.starts), MAX_PARTS, "metric descriptions")
        self.is_empty = not len(series.starts) and not len(metadata.starts)
        self.known = context.known_1
        self.series = scan(V1, "TimeSeries", series)
        self.keys, self.label_counts = _label_bytes(self.series)
        self.started = np.zeros(len(self.keys), np.int64)
        self._metadata = [V1.lazy["MetricMetadata"].FromString(raw) for raw in metadata.raws()]

    def fault(self, position: int) -> RefusedError | None:  # noqa: ARG002 - as in version 2
        """Why a series has no key."""
        return None

    def pairs(self, key: bytes) -> Pairs:
        """The labels of a series."""
        return [(label.name, label.value) for label in V1.lazy["Labels"].FromString(key).labels]

    def description(self, key: bytes, metric: str) -> Description | None:  # noqa: ARG002 - as in version 2
        """What a series says about its metric: nothing."""
        return None

    def descriptions(self) -> list[Description]:
        """What the request says about metrics."""
        return [
            Description(text(found.metric_family_name), _type(found.type), text(found.unit), text(found.help))
            for found in self._metadata
            if found.metric_family_name
        ]

    def exemplar_pairs(self, exemplar: Any) -> Pairs:
        """The labels of an exemplar."""
        return [(label.name, label.value) for label in exemplar.labels]


def _type(number: int) -> str:
    return TYPES[number] if 0 <= number < len(TYPES) else TYPES[0]


def _label_bytes(series: Scanned) -> tuple[Keys, np.ndarray]:
    """The labels of each series as they stand there, with their tags and lengths; and how many, int64[n]."""
    data, starts = series.messages.data, series.messages.starts
    begins, ends, counts = starts.copy(), starts.copy(), np.zeros(len(starts), np.int64)
    if not _cut(data, series.owner, series.tag, series.at, series.length, begins, ends, counts):
        raise UnusualError
    return Keys(data, begins, ends), counts


@compiled
def _cut(
    data: np.ndarray,
    owner: np.ndarray,
    tag: np.ndarray,
    at: np.ndarray,
    length: np.ndarray,
    begins: np.ndarray,
    ends: np.ndarray,
    counts: np.ndarray,
) -> bool:
    """Whether the labels of each series stand together, with lengths of as few bytes as can be: from where to where."""
    for field in range(len(owner)):
        if tag[field] != _LABEL_TAG:
            continue
        one, head, rest = owner[field], 2, length[field] >> 7
        while rest:
            head, rest = head + 1, rest >> 7
        begin = at[field] - head
        if data[begin] != _LABEL_TAG or (counts[one] and begin != ends[one]):
            return False
        if counts[one] == 0:
            begins[one] = begin
        ends[one] = at[field] + length[field]
        counts[one] += 1
    return True
