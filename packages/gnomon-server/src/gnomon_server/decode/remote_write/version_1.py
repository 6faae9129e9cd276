"""A request of remote write 1.0: its series are named by the raw bytes of their labels."""

from typing import Any

import numpy as np

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
        request = V1.lazy["Request"].FromString(body)
        check_count(len(request.timeseries), context.limits.series_per_request, "series")
        check_count(len(request.metadata), MAX_PARTS, "metric descriptions")
        self.is_empty = not request.timeseries and not request.metadata
        self.known = context.known_1
        self.series = scan(V1, "TimeSeries", whole(list(request.timeseries)))
        self.keys, self.label_counts = _label_bytes(self.series)
        self.started = np.zeros(len(self.keys), np.int64)
        self._metadata = request.metadata

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
    chosen = np.flatnonzero(series.tag == _LABEL_TAG)
    owner, at, length = series.owner[chosen], series.at[chosen], series.length[chosen]
    head = 2 + (length >> 7 > 0) + (length >> 14 > 0) + (length >> 21 > 0)
    begin, end = series.messages.starts.copy(), series.messages.starts.copy()
    # Fields of a series are in rising order, and of what is assigned to one place the last stays.
    end[owner] = at + length
    begin[owner[::-1]] = (at - head)[::-1]
    together = np.bincount(owner, length + head, len(series)) == end - begin
    if not together.all() or (series.messages.data[begin[owner]] != _LABEL_TAG).any():
        raise UnusualError
    return Keys(series.messages.data, begin, end), np.bincount(owner, minlength=len(series))
