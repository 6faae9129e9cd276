"""Where the disk goes: bytes by signal, table, tenant and day, and how long until they reach the budget.

The forecast goes day by day: each table takes what a day of it is expected to weigh, sheds its text indexes after three
days, drops what is past its retention, and the first day on which the sum is over the budget is the answer. What a day
weighs is a line through the last days by Theil and Sen (the median of all slopes between two days): one wild day out of
four does not move it.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import combinations
from statistics import median

from gnomon_server.store.ddl import Deployment
from gnomon_server.store.disk import DiskSettings, DiskUsage, oldest_beyond, read_usage
from gnomon_server.store.interface import Store
from gnomon_server.store.partitions import SIGNAL_OF, Partition, Partitions
from gnomon_server.store.retention import INDEXED_DAYS, TEXT_INDEXES

_FITTED_DAYS = 14
_LEAST_DAYS = 3
_HORIZON_DAYS = 3650
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class TableUse:
    """A table's compressed bytes on disk, its bytes without compression, its rows."""

    table: str
    signal: str
    held_bytes: int
    index_bytes: int
    raw_bytes: int
    rows: int

    @property
    def compression_ratio(self) -> float:
        """How many times smaller the columns are on disk; 0 for nothing."""
        stored = self.held_bytes - self.index_bytes
        return self.raw_bytes / stored if stored > 0 else 0.0

    @property
    def bytes_a_row(self) -> float:
        """On disk, indexes included."""
        return self.held_bytes / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class Growth:
    """What a day of a table weighs: `base` today and `slope` more each day; `index_bytes` of it go after three days."""

    base_bytes: float
    slope_bytes: float
    index_bytes: float

    def weight_on(self, day: int) -> float:
        """Bytes of the day that many days from now, without its text indexes."""
        return max(0.0, self.base_bytes + self.slope_bytes * day)

    def on(self, day: int) -> float:
        """The same with them."""
        return self.weight_on(day) + self.index_bytes


@dataclass(frozen=True, slots=True)
class Forecast:
    """`days_left` until the budget is reached; None when retention keeps it below for ten years, at `peak_bytes`."""

    budget_bytes: int
    growth_bytes_a_day: float
    days_left: int | None
    peak_bytes: int
    first_dropped: Sequence[Partition]


@dataclass(frozen=True, slots=True)
class DiskReport:
    """Everything that `/api/gnomon/v1/disk` says. Bytes by tenant are shares by rows: partitions hold many tenants'."""

    usage: DiskUsage
    tables: Sequence[TableUse]
    days: Mapping[date, Mapping[str, int]]
    tenants: Mapping[str, Mapping[str, float]]
    forecast: Forecast


async def read_report(
    store: Store, deployment: Deployment, settings: DiskSettings, names: Mapping[int, str], now: datetime
) -> DiskReport:
    """Measure and forecast."""
    usage = await read_usage(store, deployment)
    every = await Partitions(store, deployment).read_all()
    partitions = [part for part in every if part.table in SIGNAL_OF]
    days: dict[date, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for part in partitions:
        days[part.first][SIGNAL_OF[part.table]] += part.weight_bytes
    return DiskReport(
        usage,
        _tables(every),
        {day: dict(signals) for day, signals in sorted(days.items())},
        await _tenants(store, partitions, names),
        forecast(partitions, usage, settings, now),
    )


def _tables(partitions: Iterable[Partition]) -> list[TableUse]:
    by_table: dict[str, list[Partition]] = defaultdict(list)
    for part in partitions:
        by_table[part.table].append(part)
    uses = [
        TableUse(
            table,
            SIGNAL_OF.get(table, "kept"),
            sum(part.weight_bytes for part in parts),
            sum(part.index_bytes for part in parts),
            sum(part.raw_bytes for part in parts),
            sum(part.rows for part in parts),
        )
        for table, parts in by_table.items()
    ]
    return sorted(uses, key=lambda use: -use.held_bytes)


async def _tenants(
    store: Store, partitions: Iterable[Partition], names: Mapping[int, str]
) -> dict[str, dict[str, float]]:
    by_table: dict[str, dict[str, Partition]] = defaultdict(dict)
    for part in partitions:
        by_table[part.table][part.id] = part
    shares: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for table, parts in by_table.items():
        found, _ = await store.query(
            f"SELECT tenant, _partition_id AS id, count() AS rows FROM {table} GROUP BY tenant, id"
        )
        for row in found.to_pylist():
            if (of := parts.get(row["id"])) is not None:
                share = of.weight_bytes * min(1.0, row["rows"] / of.rows)
                shares[names.get(row["tenant"], f"#{row['tenant']}")][SIGNAL_OF[table]] += share
    return {tenant: dict(signals) for tenant, signals in shares.items()}


# -- the forecast -----------------------------------------------------------------------------------------------------


def forecast(partitions: Sequence[Partition], usage: DiskUsage, settings: DiskSettings, now: datetime) -> Forecast:
    """How the partitions grow and shrink from here."""
    budget = usage.budget_bytes(settings)
    kinds: dict[tuple[str, int], list[Partition]] = defaultdict(list)
    for part in partitions:
        kinds[part.table, part.retention_days].append(part)
    windows = [_Window(table, days, parts, now) for (table, days), parts in kinds.items()]
    # What is not partitioned by day (tenants, metric metadata) is small, and stays.
    fixed = usage.held_bytes - sum(part.weight_bytes for part in partitions)
    total = peak = float(usage.held_bytes)
    days = 0
    while total <= budget and days < _HORIZON_DAYS:
        days += 1
        for window in windows:
            window.step(days)
        total = fixed + sum(window.bytes for window in windows)
        peak = max(peak, total)
    return Forecast(
        budget,
        sum(window.growth.on(0) for window in windows),
        days if total > budget else None,
        int(peak),
        oldest_beyond(partitions, 1, now.date()),
    )


class _Window:
    """The days of one table and retention, as they come and go."""

    def __init__(self, table: str, retention_days: int, partitions: Sequence[Partition], now: datetime) -> None:
        self._retention_days = retention_days
        sheds = table in TEXT_INDEXES
        weights: dict[date, float] = defaultdict(float)
        indexes: dict[date, float] = defaultdict(float)
        for part in partitions:
            for day, share in _days_of(part, now.date()):
                index = part.index_bytes if sheds else 0
                weights[day] += (part.weight_bytes - index) * share
                indexes[day] += index * share
        self.growth = _growth(weights, indexes, now)
        today = now.date()
        # The rest of today is still to come.
        weights[today] = max(weights[today], self.growth.base_bytes)
        indexes[today] = max(indexes[today], self.growth.index_bytes)
        oldest = min(weights)
        every = [oldest + timedelta(days=n) for n in range((today - oldest).days + 1)]
        self._days = deque((weights.get(day, 0.0), indexes.get(day, 0.0)) for day in every)
        self.bytes = sum(weight + index for weight, index in self._days)

    def step(self, day: int) -> None:
        """Midnight: a day comes, an older one loses its text indexes, the oldest goes."""
        weight, index = self.growth.weight_on(day), self.growth.index_bytes
        self._days.append((weight, index))
        self.bytes += weight + index
        if len(self._days) > INDEXED_DAYS + 1:
            bared, index = self._days[-INDEXED_DAYS - 2]
            self._days[-INDEXED_DAYS - 2] = (bared, 0.0)
            self.bytes -= index
        # The newest row of a day is as old as its retention one day later than the oldest.
        if self._retention_days and len(self._days) > self._retention_days + 1:
            self.bytes -= sum(self._days.popleft())


def _days_of(part: Partition, today: date) -> Iterable[tuple[date, float]]:
    """The days that a partition covers so far, and the share of each."""
    last = max(part.first, min(part.end - timedelta(days=1), today))
    count = (last - part.first).days + 1
    return [(part.first + timedelta(days=n), 1 / count) for n in range(count)]


def _growth(weights: Mapping[date, float], indexes: Mapping[date, float], now: datetime) -> Growth:
    today = now.date()
    first = max(min(weights), today - timedelta(days=_FITTED_DAYS))
    days = [first + timedelta(days=n) for n in range((today - first).days)]
    points = [(float((day - today).days), weights.get(day, 0.0)) for day in days]
    recent = [indexes[day] for day in days[-INDEXED_DAYS:] if indexes.get(day)]
    if len(points) >= _LEAST_DAYS:
        slope = median((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2))
        return Growth(max(0.0, median(y - slope * x for x, y in points)), slope, median(recent) if recent else 0.0)
    if points:
        return Growth(median(y for _, y in points), 0.0, median(recent) if recent else 0.0)
    # The first day: what came so far, as if it had come since midnight.
    past = max((now - datetime.combine(today, time(), UTC)).total_seconds() / _DAY_S, 1 / 24)
    return Growth(weights.get(today, 0.0) / past, 0.0, indexes.get(today, 0.0) / past)
