"""Exemplars of points, each under the series into which its value falls."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp import values, wire
from gnomon_server.decode.otlp.bounds import MAX_PARTS, check_count
from gnomon_server.decode.otlp.columns import map_of_texts, milliseconds, no_rows
from gnomon_server.decode.otlp.context import MAX_NS
from gnomon_server.decode.otlp.metric import label_text
from gnomon_server.decode.otlp.points import Points
from gnomon_server.model.batch import Rejections
from gnomon_server.model.tables import EXEMPLARS, SPAN_ID, TRACE_ID


class Exemplars:
    """Collects the exemplars of a request."""

    def __init__(self, rejections: Rejections) -> None:
        self._rejections = rejections
        self._ids: list[np.ndarray] = []
        self._messages: list[Any] = []

    def add(self, points: Points, series_of: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
        """Those of some points. `series_of(owners int64[m], values float64[m])` names the series of each, uint64[m]."""
        counts, pieces = points.scanned.repeated("exemplars")
        if not len(pieces.starts):
            return
        check_count(len(pieces.starts), MAX_PARTS, "exemplars")
        messages = [wire.parse("Exemplar", raw) for raw in pieces.raws()]
        good = np.array([self._is_good(message) for message in messages], np.bool_)
        messages = [message for message, right in zip(messages, good, strict=True) if right]
        owners = np.repeat(np.arange(len(counts)), counts)[good]
        self._ids.append(series_of(owners, np.array([_number(message) for message in messages], np.float64)))
        self._messages += messages

    def _is_good(self, message: Any) -> bool:
        good = bool(message.time_unix_nano) and message.WhichOneof("which") is not None
        if not good:
            self._rejections.alter("invalid_exemplar", "an exemplar needs a time and a value; left out")
        return good

    def rows(self) -> pa.RecordBatch:
        """Rows of `exemplars`."""
        found = self._messages
        if not found:
            return no_rows(EXEMPLARS)
        at = np.array([min(message.time_unix_nano, MAX_NS) for message in found], np.uint64)
        return pa.RecordBatch.from_arrays(
            [
                pa.array(np.concatenate([np.zeros(0, np.uint64), *self._ids])),
                milliseconds(at),
                pa.array([_number(message) for message in found], pa.float64()),
                pa.array([_id(message.trace_id, 16) for message in found], TRACE_ID),
                pa.array([_id(message.span_id, 8) for message in found], SPAN_ID),
                map_of_texts([_labels(message) for message in found]),
            ],
            schema=EXEMPLARS,
        )


def _number(message: Any) -> float:
    return message.as_double if message.WhichOneof("which") == "as_double" else float(message.as_int)


def _id(raw: bytes, width: int) -> bytes:
    return raw if len(raw) == width else bytes(width)


def _labels(message: Any) -> dict[str, str]:
    return {key: label_text(value) for key, value in values.attributes(message.filtered_attributes).items()}
