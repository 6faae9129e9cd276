"""Exemplars: rows of `exemplars`. A trace's and a span's id, where they are such, stand in columns of their own."""

import re
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp.bounds import MAX_PARTS
from gnomon_server.decode.otlp.columns import map_of_texts, no_rows
from gnomon_server.decode.otlp.values import text
from gnomon_server.decode.remote_write.context import WriteContext
from gnomon_server.decode.remote_write.labels import Pairs
from gnomon_server.decode.remote_write.points import owned, timely
from gnomon_server.decode.remote_write.series import Request, SeriesOf
from gnomon_server.model.tables import EXEMPLARS, MS, SPAN_ID, TRACE_ID

_MAX_LABEL_BYTES = 65_536  # of all labels of one; OpenMetrics allows 128 characters, Prometheus' own clients likewise
_IDS = {"trace_id": (re.compile(r"[0-9a-f]{32}"), 16), "span_id": (re.compile(r"[0-9a-f]{16}"), 8)}


class Labelled(Request, Protocol):
    """A request whose exemplars can be read."""

    def exemplar_pairs(self, exemplar: Any) -> Pairs: ...  # noqa: D102 - see version_2


class Exemplars:
    """Those of one request. `owner`: the series of each, int64[m]; `at`: its time, int64[m] in ms; `good`: bool[m]."""

    def __init__(self, request: Labelled) -> None:
        found = owned(*request.series.repeated("exemplars"), MAX_PARTS, "exemplars")
        self.owner = found.owner
        read = request.messages.lazy["Exemplar"].FromString
        messages = [read(raw) for raw in found.pieces.raws()]
        self.at = np.array([message.timestamp for message in messages], np.int64)
        self.good = np.zeros(len(self.at), np.bool_)
        self._values = np.array([message.value for message in messages], np.float64)
        self._labels = [_labels(request, message) for message in messages]

    def check(self, series: SeriesOf, context: WriteContext) -> None:
        """Find out which can be stored."""
        good = timely(series, self.owner, self.at, context.latest_ms, "an exemplar")
        labelled = np.array([labels is not None for labels in self._labels], np.bool_)
        message = f"the labels of an exemplar are symbols, at most {_MAX_LABEL_BYTES:,} bytes together"
        series.refuse("exemplar_labels", message, self.owner[good & ~labelled])
        self.good = good & labelled

    def rows(self, series: SeriesOf) -> pa.RecordBatch:
        """Rows of the good ones."""
        if not self.good.any():
            return no_rows(EXEMPLARS)
        chosen = np.flatnonzero(self.good)
        labels = [dict(self._labels[place] or {}) for place in chosen.tolist()]
        ids = {name: pa.array([_take_id(each, name) for each in labels], kind) for name, kind in _ID_TYPES.items()}
        return pa.RecordBatch.from_arrays(
            [
                pa.array(series.rows["id"][self.owner[chosen]]),
                pa.array(self.at[chosen]).view(MS),
                pa.array(self._values[chosen]),
                ids["trace_id"],
                ids["span_id"],
                map_of_texts(labels),
            ],
            schema=EXEMPLARS,
        )


_ID_TYPES = {"trace_id": TRACE_ID, "span_id": SPAN_ID}


def _labels(request: Labelled, message: Any) -> dict[str, str] | None:
    """None when they cannot be read or are too long."""
    try:
        pairs = request.exemplar_pairs(message)
    except IndexError:
        return None
    if sum(len(name) + len(value) for name, value in pairs) > _MAX_LABEL_BYTES:
        return None
    return {text(name): text(value) for name, value in pairs}


def _take_id(labels: dict[str, str], name: str) -> bytes:
    """The id under this label, taken out of the labels; zero where there is none."""
    pattern, width = _IDS[name]
    if pattern.fullmatch(labels.get(name, "")):
        return bytes.fromhex(labels.pop(name))
    return bytes(width)
