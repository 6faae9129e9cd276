"""What the statements to the store have in common. Parameters: `tenant`, and `low` and `high` in milliseconds."""

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
