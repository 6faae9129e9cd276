"""What the statements to the store have in common. Parameters: `tenant`, and `low` and `high` in milliseconds."""

import numpy as np
import pyarrow as pa

from gnomon_server.query.promql.values import NAME

DAYS = (
    "day BETWEEN toDate(fromUnixTimestamp64Milli({low:Int64}, 'UTC')) "
    "AND toDate(fromUnixTimestamp64Milli({high:Int64}, 'UTC'))"
)
"""Series that were active then; which they were is known by the day."""
BETWEEN = "ts >= fromUnixTimestamp64Milli({low:Int64}, 'UTC') AND ts <= fromUnixTimestamp64Milli({high:Int64}, 'UTC')"
"""Rows of these times, both inclusive."""
ALL_LABELS = (
    f"mapSort(mapFilter((name, value) -> value != '', mapConcat(map('{NAME}', any(metric)::String), "
    "any(labels)::Map(String, String))))"
)
"""Of rows of `series` grouped by id: all labels, the name among them, sorted by name, as `values.Labels` wants them."""

MOST_IDS = 8_000
"""Of one statement, which may be 256 KiB long."""


def rows_of(ids: np.ndarray) -> str:
    """Rows of these series, uint64[k], MOST_IDS at most, of a tenant and some time."""
    return f"tenant = {{tenant:UInt32}} AND {BETWEEN} AND id IN ({', '.join(map(str, ids.tolist()))})"


def column(table: pa.Table, name: str, kind: type) -> np.ndarray:
    """A column of an answer; one without rows has no types."""
    found: np.ndarray = table[name].to_numpy() if table.num_rows else np.empty(0, kind)
    return found
