"""The questions to the store behind series, labels, label values, metadata and exemplars.

Which series there are is known for each day: bounds of time are widened to whole days (UTC).
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon_server.errors import TooLarge
from gnomon_server.query.promql.caches.series import Listed
from gnomon_server.query.promql.memory import Memory
from gnomon_server.query.promql.plan import Read
from gnomon_server.query.promql.select import Source, bounds, condition, label_sets, read_samples
from gnomon_server.query.promql.statements import ALL_LABELS, BETWEEN, DAYS
from gnomon_server.query.promql.values import NAME, Labels, Samples
from gnomon_server.query.shares import Shares
from gnomon_server.query.sql.door import NO_TENANT, Tenants
from gnomon_server.query.syntax.matchers import Matcher
from gnomon_server.store.interface import QueryLimits, Settings, Store

Sets = Sequence[tuple[Matcher, ...]]
"""Selectors of which a series matches at least one; none: all series."""

# Prometheus' words for what senders of OTLP call otherwise.
_TYPE = (
    "multiIf(type = 'sum', if(monotonic, 'counter', 'gauge'), type = 'exponential', 'histogram', type = '', "
    "'unknown', type)"
)
_PLACEHOLDER = re.compile(r"\{(name|value|item)(\d+):")
_MOST_EXEMPLARS = 100_000
_DAY_MS = 86_400_000
_MOST_ROWS = 2_000_000  # of an answer: series, names, values


@dataclass(frozen=True, slots=True)
class Exemplars:
    """Of one series: `labels` of each, when (milliseconds), its value."""

    series: Labels
    labels: list[dict[str, str]]
    at_ms: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, slots=True)
class Cardinality:
    """How many series a tenant has today, and of what, the most first: (name, count)."""

    series: int
    label_pairs: int
    by_metric: list[tuple[str, int]]
    values_by_label: list[tuple[str, int]]
    bytes_by_label: list[tuple[str, int]]
    by_pair: list[tuple[str, int]]


class SeriesIndex:
    """Answers for one tenant at a time. Errors as of `Store.query`.

    Windows are (first, last) in milliseconds, both inclusive. A limit of 0 is none but the query's own limits; else one
    more than `limit` may come back, so that the caller sees that there is more.
    """

    def __init__(
        self,
        store: Store,
        tenants: Tenants,
        limits: QueryLimits | None = None,
        memory: Memory | None = None,
        shares: Shares | None = None,
    ) -> None:
        self._shares = shares or Shares()
        self._store, self._tenants, self._limits = store, tenants, limits or QueryLimits()
        self._lists = (memory or Memory()).lists

    async def series(self, tenant: str, sets: Sets, window: tuple[int, int], limit: int = 0) -> pa.ChunkedArray:
        """The series as texts, each a JSON object of its labels, sorted by their labels.

        The store writes the texts, so that a million series are no Python objects.
        """
        where, params = self._where(tenant, sets, window)
        found = await self._listed(
            f"SELECT toJSONString(pairs) AS shown FROM (SELECT {ALL_LABELS} AS pairs FROM series WHERE {where} "
            f"GROUP BY id) ORDER BY pairs::Array(Tuple(String, String)){_cut(limit)}",
            params,
            {"output_format_json_escape_forward_slashes": 0},
        )
        return found["shown"] if found.num_rows else pa.chunked_array([], pa.string())

    async def label_names(self, tenant: str, sets: Sets, window: tuple[int, int], limit: int = 0) -> list[str]:
        """The names, sorted."""
        where, params = self._where(tenant, sets, window)
        found = await self._listed(
            f"SELECT DISTINCT arrayJoin(if(metric = '', mapKeys(labels)::Array(String), "
            f"arrayPushBack(mapKeys(labels)::Array(String), '{NAME}'))) AS name FROM series WHERE {where} "
            f"ORDER BY name{_cut(limit)}",
            params,
        )
        return _texts(found)

    async def label_values(
        self, tenant: str, name: str, sets: Sets, window: tuple[int, int], limit: int = 0
    ) -> list[str]:
        """The values of one label, sorted."""
        where, params = self._where(tenant, sets, window)
        column = "metric" if name == NAME else "labels[{label:String}]"
        found = await self._listed(
            f"SELECT DISTINCT toString({column}) AS found FROM series WHERE {where} AND {column} != '' "
            f"ORDER BY found{_cut(limit)}",
            {**params, "label": name},
        )
        return _texts(found)

    async def metadata(self, tenant: str, metric: str = "") -> list[dict[str, str]]:
        """`metric`, `type`, `help` and `unit` of each metric as senders describe it, the newest first for each."""
        named = " AND metric = {metric:String}" if metric else ""
        found = await self._ask(
            f"SELECT toString(metric) AS metric, {_TYPE} AS kind, help, toString(unit) AS unit FROM metric_meta FINAL "
            f"WHERE tenant = {{tenant:UInt32}}{named} ORDER BY metric, seen DESC, kind, unit",
            {"tenant": self._number(tenant), "metric": metric},
        )
        rows: list[dict[str, str]] = found.to_pylist()
        return rows

    async def exemplars(self, tenant: str, sets: Sets, window: tuple[int, int]) -> list[Exemplars]:
        """The exemplars of the series, sorted by the series' labels and by time."""
        where, params = self._where(tenant, sets, window)
        series, found = await asyncio.gather(
            self._ask(
                f"SELECT id, {ALL_LABELS} AS pairs FROM series WHERE {where} AND id IN "
                f"(SELECT id FROM exemplars WHERE tenant = {{tenant:UInt32}} AND {BETWEEN}) GROUP BY id ORDER BY id",
                params,
            ),
            self._ask(
                "SELECT id, toUnixTimestamp64Milli(ts) AS at, v, lower(hex(trace_id)) AS trace_id, "
                f"lower(hex(span_id)) AS span_id, s FROM exemplars WHERE tenant = {{tenant:UInt32}} AND {BETWEEN} "
                f"AND id IN (SELECT id FROM series WHERE {where}) ORDER BY id, ts LIMIT {_MOST_EXEMPLARS + 1}",
                params,
            ),
        )
        if found.num_rows > _MOST_EXEMPLARS:
            hint = "ask for a shorter time or fewer series"
            raise TooLarge("too_many_exemplars", f"there are more than {_MOST_EXEMPLARS:,} exemplars", hint=hint)
        return await asyncio.to_thread(_by_series, series, found)

    async def samples(self, tenant: str, matchers: tuple[Matcher, ...], window: tuple[int, int]) -> Samples:
        """The samples as they are stored, stale markers among them, series sorted by their labels."""
        if window[1] < max(window[0], 0):
            return Samples.none()
        number = self._number(tenant)
        source = Source(self._store, number, self._limits, statements=self._shares.of(number).statements)
        return await read_samples(source, _read(matchers, window))

    async def cardinality(self, tenant: str, today_ms: int, limit: int) -> Cardinality:
        """What the series of today are made of, as far as `limit` each."""
        where, params = self._where(tenant, (), (today_ms, today_ms))
        series = f"(SELECT DISTINCT id, metric, labels FROM series WHERE {where})"
        pairs = (
            "(SELECT id, pair.1 AS label, pair.2 AS value FROM (SELECT id, arrayJoin(arrayPushFront("
            f"labels::Array(Tuple(String, String)), tuple('{NAME}', metric::String))) AS pair FROM {series}))"
        )
        top = f"ORDER BY n DESC, name LIMIT {limit}"
        totals, metrics, labels, sizes, values = await asyncio.gather(
            self._ask(f"SELECT uniqExact(id) AS n, uniqExact(label, value) AS pairs FROM {pairs}", params),
            self._ask(f"SELECT toString(metric) AS name, count() AS n FROM {series} GROUP BY metric {top}", params),
            self._ask(f"SELECT label AS name, uniqExact(value) AS n FROM {pairs} GROUP BY label {top}", params),
            self._ask(
                f"SELECT label AS name, sum(length(value)) AS n FROM (SELECT DISTINCT label, value FROM {pairs}) "
                f"GROUP BY label {top}",
                params,
            ),
            self._ask(
                f"SELECT concat(label, '=', value) AS name, count() AS n FROM {pairs} GROUP BY name {top}", params
            ),
        )
        counted = totals.to_pylist()[0]
        ranked = (_ranked(table) for table in (metrics, labels, sizes, values))
        return Cardinality(counted["n"], counted["pairs"], *ranked)

    def _number(self, tenant: str) -> int:
        return self._tenants.known(tenant) or NO_TENANT

    def _where(self, tenant: str, sets: Sets, window: tuple[int, int]) -> tuple[str, dict[str, Any]]:
        low, high = bounds(_read((), window))
        params: dict[str, Any] = {"tenant": self._number(tenant), "low": low, "high": high}
        tests = []
        for number, matchers in enumerate(sets):
            text, mine = condition(matchers)
            own = _PLACEHOLDER.sub(rf"{{of{number}_\1\2:", text)
            tests.append(f"({own})")
            params |= {f"of{number}_{name}": value for name, value in mine.items()}
        which = f" AND ({' OR '.join(tests)})" if tests else ""
        empty = "" if window[0] <= window[1] else " AND 0"
        return f"tenant = {{tenant:UInt32}} AND {DAYS}{which}{empty}", params

    async def _listed(self, sql: str, params: dict[str, Any], settings: Settings | None = None) -> pa.Table:
        """As `_ask`, of the series of some days: what was listed before holds until there are new ones."""
        on_days = {name: value // _DAY_MS if name in ("low", "high") else value for name, value in params.items()}
        asked = Listed(params["tenant"], (sql, *on_days.items()))
        return await self._lists.find(
            asked, lambda: self._ask(sql, params, settings), lambda found: len(sql) + found.nbytes
        )

    async def _ask(self, sql: str, params: dict[str, Any], settings: Settings | None = None) -> pa.Table:
        named = {name: value for name, value in params.items() if f"{{{name}:" in sql}
        limits = replace(self._limits, result_rows=min(self._limits.result_rows, _MOST_ROWS))
        async with self._shares.of(params["tenant"]).statements:
            table, _ = await self._store.query(sql, named, settings=settings, limits=limits)
        return table


def _read(matchers: tuple[Matcher, ...], window: tuple[int, int]) -> Read:
    return Read(place=(0, 0), matchers=matchers, low_ms=window[0], high_ms=window[1])


def _cut(limit: int) -> str:
    return f" LIMIT {limit + 1}" if limit else ""


def _texts(table: pa.Table) -> list[str]:
    found: list[str] = table.column(0).to_pylist() if table.num_rows else []
    return found


def _ranked(table: pa.Table) -> list[tuple[str, int]]:
    return list(zip(_texts(table), table["n"].to_pylist(), strict=True)) if table.num_rows else []


def _by_series(series: pa.Table, found: pa.Table) -> list[Exemplars]:
    """`found` lies in the order of series and time."""
    if not found.num_rows:
        return []
    pairs = label_sets(series["pairs"]) if series.num_rows else []
    labels = dict(zip(series["id"].to_pylist() if pairs else (), pairs, strict=True))
    ids, at, values = (found[name].to_numpy() for name in ("id", "at", "v"))
    sets = [_exemplar_labels(row) for row in found.select(["trace_id", "span_id", "s"]).to_pylist()]
    begins = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), len(ids)]
    groups = [
        Exemplars(labels[int(ids[start])], sets[start:end], at[start:end], values[start:end])
        for start, end in pairwise(begins)
        if int(ids[start]) in labels
    ]
    return sorted(groups, key=lambda one: one.series)


def _exemplar_labels(row: dict[str, Any]) -> dict[str, str]:
    ids = {name: row[name] for name in ("trace_id", "span_id") if row[name].strip("0")}
    return dict(sorted({**dict(row["s"]), **ids}.items()))
