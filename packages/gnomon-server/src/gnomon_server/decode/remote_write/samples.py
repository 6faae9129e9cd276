"""Samples: rows of `samples`."""

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp.bounds import MAX_RECORDS
from gnomon_server.decode.otlp.columns import no_rows
from gnomon_server.decode.remote_write.context import MAX_MS, WriteContext
from gnomon_server.decode.remote_write.points import owned, timely
from gnomon_server.decode.remote_write.scan import scan
from gnomon_server.decode.remote_write.series import Request, SeriesOf
from gnomon_server.model.tables import MS, SAMPLES


class Samples:
    """Those of one request. `owner`: the series of each, int64[m]; `at`: its time, int64[m] in ms; `good`: bool[m]."""

    def __init__(self, request: Request) -> None:
        found = owned(*request.series.repeated("samples"), MAX_RECORDS, "samples")
        self.owner = found.owner
        self._scanned = scan(request.messages, "Sample", found.pieces)
        self.at = self._scanned.varints("timestamp").view(np.int64)
        self.good = np.zeros(len(self.at), np.bool_)
        self._started = request.started

    def check(self, series: SeriesOf, context: WriteContext) -> None:
        """Find out which can be stored."""
        self.good = timely(series, self.owner, self.at, context.latest_ms, "a sample")

    def rows(self, series: SeriesOf) -> pa.RecordBatch:
        """Rows of the good ones; a value is stored by its bits, for Prometheus' stale marker is one NaN of many."""
        good = self.good
        if not good.any():
            return no_rows(SAMPLES)
        start = self._started[self.owner]
        if "start_timestamp" in self._scanned.layout:
            own = self._scanned.varints("start_timestamp").view(np.int64)
            start = np.where(own != 0, own, start)
        columns = [series.rows["id"][self.owner], self.at, self._scanned.doubles("value"), np.clip(start, 0, MAX_MS)]
        if not good.all():
            columns = [column[good] for column in columns]
        ids, at, value, start = columns
        return pa.RecordBatch.from_arrays(
            [
                pa.array(ids),
                pa.array(at).view(MS),
                pa.array(value),
                pa.array(start).view(MS),
                pa.array(np.zeros(len(ids))),
                pa.array(np.zeros(len(ids), np.int64)),
            ],
            schema=SAMPLES,
        )
