"""What senders say about metrics: rows of `metric_meta`."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp.columns import no_rows
from gnomon_server.decode.otlp.context import Seen
from gnomon_server.model.series import meta_key
from gnomon_server.model.tables import METRIC_META

_CUMULATIVE = 2  # OTLP's number
_TOTALS = ("counter", "histogram", "summary")


class Description(NamedTuple):
    """Type (one of labels.TYPES), unit and help of a metric family."""

    metric: str
    type: str
    unit: str
    help: str

    def row(self) -> dict[str, Any]:
        """As a row of `metric_meta`."""
        return {
            **self._asdict(),
            "temporality": _CUMULATIVE if self.type in _TOTALS else 0,
            "monotonic": self.type == "counter",
            "s": {},
        }

    def key(self) -> int:
        """The identity of the row."""
        return meta_key(self.row())


def unseen(keys: np.ndarray, tenant: str, seen: Seen) -> np.ndarray:
    """bool[n]: which of these rows, uint64[n], the store does not have; a description holds for every day."""
    return seen.unseen(tenant, "meta", keys, np.zeros(len(keys), np.int32))


def meta_rows(found: list[Description]) -> pa.RecordBatch:
    """The rows."""
    if not found:
        return no_rows(METRIC_META)
    rows = [{**each.row(), "s": []} for each in found]
    return pa.RecordBatch.from_pylist(rows, schema=METRIC_META)
