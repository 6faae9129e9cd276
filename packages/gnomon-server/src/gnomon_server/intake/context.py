"""What the stages of intake know, and how they ask the store."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gnomon_server.intake.group import Group
from gnomon_server.intake.memory import LastHistograms, LastPoints, RecentSpans
from gnomon_server.model.index import mixed
from gnomon_server.store.interface import QueryLimits, Store

POINT_TABLES = ("samples", "native_histograms", "exemplars")
QUERY_LIMITS = QueryLimits(deadline_s=20)
_IDS_A_QUERY = 5_000  # named twice, they stay below ClickHouse's 256 KiB a statement


@dataclass(slots=True)
class StageContext:
    """What stages know and may ask. `committed()` waits until the group before this one is in the store."""

    store: Store
    points: LastPoints
    histograms: LastHistograms
    spans: RecentSpans
    committed: Callable[[], Awaitable[None]]


Stage = Callable[[Group, StageContext], Awaitable[Group]]


async def ask(rows: pa.Table, sql: str, context: StageContext, earlier_ms: int = 0) -> pa.Table:
    """Run `sql` for the series and the time range of `rows`, tenant by tenant, some thousand series at a time."""
    answers = []
    for tenant in np.unique(rows["tenant"].to_numpy()).tolist():
        mine = rows.filter(pa.array(rows["tenant"].to_numpy() == tenant))
        low, high = span_of(milliseconds(mine["ts"]))
        for chunk in chunks(np.unique(mine["id"].to_numpy()).tolist(), _IDS_A_QUERY):
            where = (
                f"tenant = {tenant} AND ts >= fromUnixTimestamp64Milli({low - earlier_ms}) "
                f"AND ts <= fromUnixTimestamp64Milli({high}) AND id IN ({', '.join(map(str, chunk))})"
            )
            answer, _ = await context.store.query(sql.replace("{where}", where), limits=QUERY_LIMITS)
            answers.append(answer)
    return pa.concat_tables(answers)


def chunks(items: list[str] | list[int], size: int) -> Iterable[list[str] | list[int]]:
    """The items, so many at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))


def span_of(values: np.ndarray) -> tuple[int, int]:
    """The least and the greatest."""
    return int(values.min()), int(values.max())


def point_keys(table: str, rows: pa.Table) -> np.ndarray:
    """One 64-bit key a series, apart by tenant and by table: uint64[n]."""
    keys = mixed(rows["id"].to_numpy(), rows["tenant"].to_numpy())
    return keys if table == "samples" else mixed(keys, POINT_TABLES.index(table))


def milliseconds(column: pa.ChunkedArray) -> np.ndarray:
    """Times, int64[n]."""
    return np.asarray(column.cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()))
