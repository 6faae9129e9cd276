"""Reading what selectors want from the store: series by their labels, samples by series and time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon_server.errors import InvalidInput
from gnomon_server.model.series import Kind
from gnomon_server.query.promql.caches.chunks import Gathered, rising
from gnomon_server.query.promql.caches.loading import Loader
from gnomon_server.query.promql.caches.samples import Missing
from gnomon_server.query.promql.caches.series import SeriesFound, Sought
from gnomon_server.query.promql.context import LOOKBACK_MS, check_size
from gnomon_server.query.promql.histograms.block import (
    GAUGE,
    NO_RESET,
    RESET,
    UNKNOWN,
    begins_of,
    of_table,
    stretches,
)
from gnomon_server.query.promql.histograms.resets import detect_reset
from gnomon_server.query.promql.loops import windows as loops
from gnomon_server.query.promql.memory import Memory
from gnomon_server.query.promql.plan import Read
from gnomon_server.query.promql.pushdown import SETTINGS as KERNEL_SETTINGS
from gnomon_server.query.promql.pushdown import Pushed
from gnomon_server.query.promql.statements import ALL_LABELS, DAYS, MOST_IDS, column, rows_of
from gnomon_server.query.promql.values import NO_ROW, Labels, Samples, Stored, Vector
from gnomon_server.query.syntax.matchers import METRIC_NAME, Matcher, MatchOp
from gnomon_server.store.interface import QueryLimits, Settings, Store

# DateTime64(3) and Date of the tables begin in 1970; Date ends in 2149.
_LAST_MS = 5_662_310_399_999
_DAY_MS = 86_400_000
_MOST_AT_ONCE = 4_000_000  # of one statement: a kernel's state takes some 100 bytes a sample
_USUAL_INTERVAL_MS = 15_000
_ENTRY = 50  # what an answer weighs in memory beside its series, in series
# ClickHouse's CANNOT_COMPILE_REGEXP: all that RE2 cannot read was refused before, but what is too large for it.
_REGEX_REFUSED = "sql_427"
# A series of one of these kinds may hold native histograms.
_MAYBE_HISTOGRAMS = f"({int(Kind.UNKNOWN)}, {int(Kind.EXPONENTIAL)})"
_HISTOGRAM_COLUMNS = "schema, hint, count, sum, zero_threshold, zero_count, p_idx, p_cnt, n_idx, n_cnt, bounds"


@dataclass(frozen=True, slots=True)
class Source:
    """Where and whose.

    Attributes:
        store: where samples and series are.
        tenant: the number.
        limits: of what is asked of the store.
        memory: what is known of them.
        loader: who reads what should be; None: nobody.
        aside: how work is done in a thread.
        statements: what each of them runs in, so that not too many run at once.
    """

    store: Store
    tenant: int
    limits: QueryLimits
    memory: Memory = field(default_factory=Memory)
    loader: Loader | None = None
    aside: Callable[..., Awaitable[Any]] = asyncio.to_thread
    statements: AbstractAsyncContextManager[Any] = field(default_factory=nullcontext)

    async def ask(self, sql: str, params: dict[str, Any], settings: Settings | None = None) -> pa.Table:
        """What the store answers. Errors as of `Store.query`."""
        async with self.statements:
            table, _ = await self.store.query(sql, params, settings=settings, limits=self.limits)
        return table


def condition(matchers: Sequence[Matcher]) -> tuple[str, dict[str, Any]]:
    """Matchers as a condition on the table `series`, and its parameters.

    A label that a series does not have reads as the empty text, as PromQL wants it. ClickHouse's `match` is RE2, as
    Prometheus' is; `(?s)` lets the dot match line ends there, too.
    """
    parts, params = [], {}
    exact = any(one.name == METRIC_NAME and one.op is MatchOp.EQUAL and one.value for one in matchers)
    for number, one in enumerate(matchers):
        column = "metric" if one.name == METRIC_NAME else f"labels[{{name{number}:String}}]"
        if one.name != METRIC_NAME:
            params[f"name{number}"] = raw(one.name)
        equal = one.op in (MatchOp.EQUAL, MatchOp.NOT_EQUAL)
        params[f"value{number}"] = raw(one.value if equal else f"^(?s:{one.value})$")
        test = f"{column} = {{value{number}:String}}" if equal else f"match({column}, {{value{number}:String}})"
        parts.append(test if one.op in (MatchOp.EQUAL, MatchOp.REGEX) else f"NOT ({test})")
        if one.op is MatchOp.EQUAL and one.value and one.name != METRIC_NAME and not exact:
            # No metric to find the place by: the text index over `label=value` finds it.
            parts.append(f"has(items, {{item{number}:String}})")
            params[f"item{number}"] = raw(f"{one.name}={one.value}")
    return " AND ".join(parts) or "1", params


def raw(text: str) -> str | bytes:
    """A text from an expression as a parameter; one that is no UTF-8, which has surrogate escapes, as bytes."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape")


def bounds(read: Read) -> tuple[int, int]:
    """The times of a read within what the tables can hold."""
    return min(max(read.low_ms, 0), _LAST_MS), min(max(read.high_ms, 0), _LAST_MS)


def _where_series(read: Read, tenant: int) -> tuple[str, dict[str, Any]]:
    low, high = bounds(read)
    text, params = condition(read.matchers)
    return f"tenant = {{tenant:UInt32}} AND {DAYS} AND {text}", {**params, "tenant": tenant, "low": low, "high": high}


@dataclass(frozen=True, slots=True)
class Leaf:
    """What was read for a selector: `vector`, where the engine has evaluated it, and `samples` of all other series."""

    vector: Vector | None
    samples: Stored


async def find_series(source: Source, read: Read) -> SeriesFound:
    """The series that match, and were active on the days of the read."""
    days = (one // _DAY_MS for one in bounds(read))
    sought = Sought(source.tenant, read.matchers, *days)
    return await source.memory.series.find(
        sought, lambda: _asked_for_series(source, read), lambda found: len(found.ids) + _ENTRY
    )


async def _asked_for_series(source: Source, read: Read) -> SeriesFound:
    where, params = _where_series(read, source.tenant)
    sql = (
        f"SELECT id, {ALL_LABELS} AS pairs, max(kind IN {_MAYBE_HISTOGRAMS}) AS histograms FROM series WHERE {where} "
        "GROUP BY id ORDER BY pairs::Array(Tuple(String, String))"
    )
    try:
        table = await source.ask(sql, params)
    except InvalidInput as error:
        if error.code == _REGEX_REFUSED:
            raise InvalidInput("promql_regex", "error parsing regexp: expression too large") from None
        raise
    if not table.num_rows:
        return SeriesFound(np.empty(0, np.uint64), (), histograms=False)
    labels = await asyncio.to_thread(label_sets, table["pairs"])
    return SeriesFound(table["id"].to_numpy(), labels, bool(table["histograms"].to_numpy().any()))


def label_sets(column: pa.ChunkedArray) -> list[Labels]:
    """Maps as tuples of pairs. Each pair is made once, however many series have it."""
    maps = pa.concat_arrays(column.chunks)
    offsets = maps.offsets.to_numpy()
    begin, end = int(offsets[0]), int(offsets[-1])
    names, values = (part.slice(begin, end - begin).dictionary_encode() for part in (maps.keys, maps.items))
    width = max(len(values.dictionary), 1)
    codes = names.indices.to_numpy().astype(np.int64) * width + values.indices.to_numpy()
    distinct, which = np.unique(codes, return_inverse=True)
    named, valued = names.dictionary.to_pylist(), values.dictionary.to_pylist()
    pairs = [(named[code // width], valued[code % width]) for code in distinct.tolist()]
    every = [pairs[one] for one in which.tolist()]
    edges = (offsets - begin).tolist()
    return [tuple(every[low:high]) for low, high in pairwise(edges)]


class Allowance:
    """How many samples all leaves of a query may hold together."""

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0

    def take(self, samples: int) -> None:
        """Raises `TooLarge` past it."""
        self._taken += samples
        check_size(self._taken, self._most)


async def read_all(source: Source, wanted: Sequence[Read], most_samples: int) -> list[Leaf]:
    """What the selectors of a query want, in their order; what is wanted twice is read once.

    Raises:
        TooLarge: more samples than may be held.
    """
    allowance = Allowance(most_samples)
    places = [replace(one, place=(0, 0)) for one in wanted]
    distinct = list(dict.fromkeys(places))
    leaves = await asyncio.gather(*(read(source, one, allowance) for one in distinct))
    by_read = dict(zip(distinct, leaves, strict=True))
    return [by_read[one] for one in places]


async def read(source: Source, wanted: Read, allowance: Allowance) -> Leaf:
    """What a selector wants: evaluated by the engine where that is right, and the samples of all other series."""
    if wanted.high_ms < 0:
        return Leaf(None, Samples.none())
    found = await find_series(source, wanted)
    if (here := await _remembered(source, wanted, found, allowance)) is not None:
        return Leaf(None, here)
    if wanted.pushed is None or not len(found.ids):
        return Leaf(None, await _samples_of(source, wanted, found, allowance))
    allowance.take(len(found.ids) * wanted.pushed.grid.steps)
    gridded = (
        f"SELECT id, {wanted.pushed.columns}, toUnixTimestamp64Milli(min(start)) AS began, "
        f"toUnixTimestamp64Milli(max(start)) AS again FROM samples WHERE $which AND {wanted.pushed.condition} "
        "GROUP BY id ORDER BY id"
    )
    asked = [_over(source, wanted, found.rising, gridded, settings=KERNEL_SETTINGS)]
    if found.histograms:
        asked.append(_over(source, wanted, found.rising, "SELECT DISTINCT id FROM native_histograms WHERE $which"))
    tables = await asyncio.gather(*asked)
    native = column(tables[1], "id", np.uint64) if found.histograms else np.empty(0, np.uint64)
    tied = await _tied(source, wanted, tables[0]) if wanted.pushed.may_tie else np.empty(0, np.uint64)
    vector, rest = await asyncio.to_thread(_gridded, found, tables[0], np.union1d(native, tied), wanted)
    return Leaf(vector, await _samples_of(source, wanted, rest, allowance))


async def _tied(source: Source, wanted: Read, gridded: pa.Table) -> np.ndarray:
    """The series, uint64[k], whose times are such that a kernel may be wrong (`loops.windows.tied`)."""
    assert wanted.pushed is not None  # noqa: S101 - the caller has looked; for the type checker
    ids, times = column(gridded, "id", np.uint64), column(gridded, "times", np.uint64)
    _, first, which = np.unique(times, return_index=True, return_inverse=True)
    statement = (
        "SELECT id, toUnixTimestamp64Milli(ts) AS at FROM samples WHERE $which AND "
        f"{wanted.pushed.condition} ORDER BY id, ts"
    )
    answers = _answers(source, wanted, np.sort(ids[first]), statement)
    tied = [await asyncio.to_thread(_tied_of, table, wanted.pushed) async for table in answers]
    every: np.ndarray = ids[np.isin(ids[first], np.concatenate([ids[:0], *tied]))[which]]
    return every


def _tied_of(table: pa.Table, pushed: Pushed) -> np.ndarray:
    """Those of the table's series, uint64[k]; its rows lie in the order of series and time."""
    owner, ts = column(table, "id", np.uint64), column(table, "at", np.int64)
    series, first = np.unique(owner, return_index=True)
    begins, edges = np.append(first, len(owner)), pushed.windows
    bounds = loops.reached(begins, ts, edges[0]), loops.reached(begins, ts, edges[1])
    tied: np.ndarray = series[loops.tied(ts, bounds, edges)]
    return tied


async def _over(
    source: Source,
    wanted: Read,
    ids: np.ndarray,
    statement: str,
    *,
    settings: Settings | None = None,
    allowance: Allowance | None = None,
) -> pa.Table:
    """What a statement says of some series, uint64[k], rising."""
    tables: list[pa.Table] = []
    async for table in _answers(source, wanted, ids, statement, settings):
        if allowance is not None:
            allowance.take(table.num_rows)
        tables.append(table)
    filled = [table for table in tables if table.num_rows]  # the others' columns have no types
    return pa.concat_tables(filled) if filled else tables[0]


async def _answers(
    source: Source, wanted: Read, ids: np.ndarray, statement: str, settings: Settings | None = None
) -> AsyncIterator[pa.Table]:
    """The answers to a statement for so many series at once that it keeps within its memory.

    `$which` in it stands for the series and times.
    """
    low, high = bounds(wanted)
    params = {"tenant": source.tenant, "low": low, "high": high}
    steps = wanted.pushed.grid.steps if wanted.pushed else 0
    most = max(1, min(MOST_IDS, _MOST_AT_ONCE // max(steps, (high - low) // _USUAL_INTERVAL_MS, 1)))
    for first in range(0, len(ids), most):
        yield await source.ask(statement.replace("$which", rows_of(ids[first : first + most])), params, settings)


async def _remembered(source: Source, wanted: Read, found: SeriesFound, allowance: Allowance) -> Stored | None:
    """The samples, when all of them are in memory; when they are not and are asked for again, they will be."""
    if source.loader is None or not len(found.ids):
        return None
    samples, missing = await source.aside(_found, source, wanted, found, allowance)
    source.loader.load_soon(source.tenant, missing, natives=found.histograms)
    return samples  # type: ignore[no-any-return]


def _found(
    source: Source, wanted: Read, found: SeriesFound, allowance: Allowance
) -> tuple[Stored | None, list[Missing]]:
    between = bounds(wanted)
    runs, missing = source.memory.samples.find(source.tenant, found.rising, *between)
    if runs is None:
        return None, missing
    gathered = Gathered(runs, found.labels, found.rising, found.order, between, with_start=wanted.with_start)
    # What the engine could evaluate is evaluated by blocks: all of it is never copied.
    cells = len(found.ids) * wanted.pushed.grid.steps if wanted.pushed else gathered.count
    allowance.take(min(gathered.count, cells))
    return gathered, missing


def _gridded(found: SeriesFound, table: pa.Table, not_for_it: np.ndarray, wanted: Read) -> tuple[Vector, SeriesFound]:
    """What the engine has evaluated, and the series that are not to be trusted to it, `not_for_it` among them."""
    assert wanted.pushed is not None  # noqa: S101 - the caller has looked; for the type checker
    ids = column(table, "id", np.uint64)
    doubtful = np.isin(ids, not_for_it) | (column(table, "doubtful", np.uint8) != 0)
    if wanted.with_start:
        began, again = column(table, "began", np.int64), column(table, "again", np.int64)
        # One start, before all that is looked at, tells of no reset and of no beginning.
        doubtful |= (began != again) | (again > wanted.low_ms - 1)
    values, present = wanted.pushed.read(table["g"])
    rest = np.isin(found.ids, np.concatenate([ids[doubtful], not_for_it]))
    position = found.positions(ids)
    good = np.argsort(position)
    good = good[~doubtful[good]]
    labels = [found.labels[one] for one in position[good].tolist()]
    return Vector.of_floats(labels, values[good], present[good]), found.some(rest)


async def read_samples(source: Source, read: Read) -> Samples:
    """All samples of a read, series sorted by their labels."""
    return Samples.none() if read.high_ms < 0 else await _samples_of(source, read, await find_series(source, read))


async def _samples_of(source: Source, read: Read, found: SeriesFound, allowance: Allowance | None = None) -> Samples:
    if not len(found.ids):
        return Samples.none()
    start = ", toUnixTimestamp64Milli(start) AS began" if read.with_start else ""
    plain = f"SELECT id, toUnixTimestamp64Milli(ts) AS at, v{start} FROM samples WHERE $which ORDER BY id, ts"
    read = replace(read, pushed=None)
    floats = _over(source, read, found.rising, plain, allowance=allowance)
    if not found.histograms:
        return await asyncio.to_thread(_arranged, found, await floats)
    # From the one before: what the first is to say hangs on it.
    before = replace(read, low_ms=read.low_ms - LOOKBACK_MS)
    native = (
        f"SELECT id, toUnixTimestamp64Milli(ts) AS at, toUnixTimestamp64Milli(start) AS began, {_HISTOGRAM_COLUMNS} "
        "FROM native_histograms WHERE $which ORDER BY id, ts"
    )
    tables = await asyncio.gather(floats, _over(source, before, found.rising, native, allowance=allowance))
    return await asyncio.to_thread(_with_histograms, found, *tables, read)


def _arranged(found: SeriesFound, floats: pa.Table, native: pa.Table | None = None) -> Samples:
    """Floats and histograms of each series in the order of their times, from tables ordered by series and time."""
    ids, ts, v = column(floats, "id", np.uint64), column(floats, "at", np.int64), column(floats, "v", np.float64)
    start = column(floats, "began", np.int64) if "began" in floats.column_names else None
    if native is not None and native.num_rows:
        return _merged(found, ids, ts, v, start, native)
    begins = np.flatnonzero(np.append(True, ids[1:] != ids[:-1])) if len(ids) else np.empty(0, np.int64)
    sizes = np.diff(np.append(begins, len(ids)))
    owner = found.positions(ids[begins])
    by_label = np.argsort(owner)
    counts = np.zeros(len(found.ids), np.int64)
    counts[owner] = sizes
    # Whole series change places: cheaper by far than sorting samples.
    order = stretches(begins[by_label], sizes[by_label])
    told = start[order] if start is not None and start.any() else np.empty(0, np.int64)
    begins, ts, v, told = rising(begins_of(counts), ts[order], v[order], told)
    return Samples(found.labels, begins, ts, v, None, None, told if len(told) else None)


def _merged(
    found: SeriesFound, ids: np.ndarray, ts: np.ndarray, v: np.ndarray, start: np.ndarray | None, native: pa.Table
) -> Samples:
    rows = np.concatenate([np.full(len(ts), NO_ROW), np.arange(native.num_rows)])
    ids = np.concatenate([ids, native["id"].to_numpy()])
    ts = np.concatenate([ts, native["at"].to_numpy()])
    # A stale marker of a histogram stands in its sum: so it is found where that of a float stands.
    v = np.concatenate([v, native["sum"].to_numpy()])
    began = start if start is not None else np.zeros(len(ids) - native.num_rows, np.int64)
    start = np.concatenate([began, native["began"].to_numpy()])
    owner = found.positions(ids)
    order = np.lexsort((ts, owner))
    begins = begins_of(np.bincount(owner, minlength=len(found.ids)))
    told = start[order] if start.any() else None
    return Samples(found.labels, begins, ts[order], v[order], rows[order], of_table(native), told)


def _with_histograms(found: SeriesFound, floats: pa.Table, native: pa.Table, read: Read) -> Samples:
    samples = _arranged(found, floats, native)
    if samples.histograms is None:
        return samples
    return hinted(samples, resets=read.tell_resets).only(samples.ts >= read.low_ms)


def hinted(samples: Samples, *, resets: bool) -> Samples:
    """Native histograms that do not say whether their counter began anew, saying so as Prometheus' storage does.

    That one follows another without a reset is said; where it began anew nothing is said, but on demand.
    """
    rows, block = samples.rows, samples.histograms
    assert rows is not None and block is not None  # noqa: PT018, S101 - the caller has looked
    native = (rows != NO_ROW) & ~samples.stale
    follows = native[1:] & native[:-1] & (samples.owner[1:] == samples.owner[:-1])
    after, before = rows[1:][follows], rows[:-1][follows]
    unsaid = (block.hint[after] == UNKNOWN) & (block.hint[before] != GAUGE)
    after, before = after[unsaid], before[unsaid]
    anew = detect_reset(block.take(before), block.take(after))
    hint = block.hint.copy()
    hint[after] = np.where(anew, RESET if resets else UNKNOWN, NO_RESET)
    return replace(samples, histograms=replace(block, hint=hint))
