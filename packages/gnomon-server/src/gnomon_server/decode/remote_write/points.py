"""Points of one kind (samples, histograms, exemplars) of all series of a request."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp.bounds import check_count
from gnomon_server.decode.otlp.columns import no_rows
from gnomon_server.decode.otlp.scan import Pieces
from gnomon_server.decode.remote_write.context import MAX_MS, WriteContext
from gnomon_server.decode.remote_write.series import SeriesOf


@dataclass(frozen=True, slots=True)
class Owned:
    """Points as they stand in the request, and the position of the series of each, int64[m]."""

    pieces: Pieces
    owner: np.ndarray


class NoPoints:
    """Of a kind that a request has none of, as most have no histograms and no exemplars."""

    def __init__(self, schema: pa.Schema) -> None:
        self.owner, self.at, self.good = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.bool_)
        self._rows = no_rows(schema)

    def check(self, series: SeriesOf, context: WriteContext) -> None:
        """Nothing to find out."""

    def rows(self, series: SeriesOf) -> pa.RecordBatch:  # noqa: ARG002 - as of other points
        """None."""
        return self._rows


def owned(counts: np.ndarray, pieces: Pieces, limit: int, what: str) -> Owned:
    """From what `Scanned.repeated` says; `TooLarge` past the limit."""
    check_count(len(pieces.starts), limit, what)
    return Owned(pieces, np.repeat(np.arange(len(counts)), counts))


def timely(series: SeriesOf, owner: np.ndarray, at: np.ndarray, latest_ms: int, what: str) -> np.ndarray:
    """Which points of good series, bool[m], have a time, int64[m] in ms, that can be stored; others are refused."""
    good = series.good[owner]
    early, late = good & (at < 0), good & (at > min(latest_ms, MAX_MS))
    if early.any():
        message = f"the time of {what}, {int(at[early][0])} ms, is before 1970"
        series.refuse("time_before_1970", message, owner[early])
    if late.any():
        message = f"the time of {what}, {int(at[late][0])} ms, is later than the clock here allows (limits.future_s)"
        series.refuse("time_in_future", message, owner[late])
    result: np.ndarray = good & ~early & ~late
    return result
