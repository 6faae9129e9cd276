"""The console's questions: services, newest traces, one trace, newest logs, metrics.

Newest-first questions go back in growing windows and stop when they have enough, so that their cost follows the answer
and not the age of the data; `ORDER BY toStartOfHour(ts) DESC, ts DESC` is the sort key backwards: reading can stop.
"""

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gnomon_server.errors import InvalidInput, NotFound
from gnomon_server.query import records
from gnomon_server.query.sql.door import NO_TENANT, Tenants
from gnomon_server.query.sql.scope import tenant_settings
from gnomon_server.store.interface import QueryLimits, Store

_NS = 1_000_000_000
_FIRST_WINDOW_NS = 300 * _NS
_GROWTH = 4
_MAX_POINTS = 2_000
_MAX_SPANS = 50_000  # of one trace; a console shows no more
_KNOWN_RESOURCES = 20_000

_BETWEEN = "ts >= fromUnixTimestamp64Nano({start:Int64}, 'UTC') AND ts < fromUnixTimestamp64Nano({end:Int64}, 'UTC')"
_ENTRY = "(kind IN (2, 5) OR parent_id = toFixedString('', 8))"
_NEWEST = "ORDER BY toStartOfHour(ts) DESC, ts DESC"
_ID = "replaceOne(lower(hex({0})), '{1}', '')"
SPAN_COLUMNS = f"""
    lower(hex(span_id)) AS span, {_ID.format("parent_id", "0" * 16)} AS parent, service, name, kind, status, status_msg,
    toUnixTimestamp64Nano(ts) AS at, dur, rid, scope, s, i, f, b, j,
    arrayMap(x -> toUnixTimestamp64Nano(x), ev_ts) AS ev_at, ev_name, ev_j,
    arrayMap(x -> lower(hex(x)), ln_trace) AS ln_trace_hex, arrayMap(x -> lower(hex(x)), ln_span) AS ln_span_hex, ln_j
"""
LOG_COLUMNS = f"""
    toUnixTimestamp64Nano(ts) AS at, toUnixTimestamp64Nano(observed) AS seen, service, sev, sev_text, body, body_json,
    event, trace_hex AS trace, {_ID.format("span_id", "0" * 16)} AS span, rid, scope, s, i, f, b, j
"""
# Name suffixes that one metric's series carry by their kind (model.series.Kind).
_SUFFIXES = {6: "_bucket", 7: "_sum", 8: "_count", 9: "_min", 10: "_max", 12: "_sum", 13: "_count"}
_TYPES = (
    {1: "gauge", 2: "counter", 3: "updown", 14: "exponential_histogram", 15: "info"}
    | dict.fromkeys((6, 7, 8, 9, 10), "histogram")
    | dict.fromkeys((11, 12, 13), "summary")
)
_INNER_TOKEN = re.compile(r"(?<=[^A-Za-z0-9])[A-Za-z0-9]+(?=[^A-Za-z0-9])", re.ASCII)


@dataclass(frozen=True, slots=True)
class Window:
    """From `start_ns` up to, not including, `end_ns`; since 1970."""

    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end_ns - self.start_ns) / _NS

    @property
    def params(self) -> dict[str, Any]:
        """As parameters `start`, `end`."""
        return {"start": self.start_ns, "end": self.end_ns}

    def backwards(self) -> "Iterable[Window]":
        """Parts from the newest to the oldest, each longer than the one before."""
        end, length = self.end_ns, _FIRST_WINDOW_NS
        while end > self.start_ns:
            start = max(self.start_ns, end - length)
            yield Window(start, end)
            end, length = start, length * _GROWTH


class Explorer:
    """Answers for one tenant at a time, as plain values ready for JSON."""

    def __init__(self, store: Store, tenants: Tenants, limits: QueryLimits | None = None) -> None:
        self._store = store
        self._limits = limits or QueryLimits()
        self._tenants = tenants
        self._resources: dict[tuple[str, int], dict[str, Any]] = {}

    # -- services -----------------------------------------------------------------------------------------------------

    async def services(self, tenant: str, window: Window) -> list[dict[str, Any]]:
        """Rate, errors and duration of each service's entry spans, and how many log records it wrote."""
        spans = await self._ask(
            tenant,
            f"""SELECT service, countIf({_ENTRY}) AS spans, countIf(status = 2 AND {_ENTRY}) AS errors,
                    quantilesTDigestIf(0.5, 0.95, 0.99)(dur, {_ENTRY}) AS q, toUnixTimestamp64Nano(max(ts)) AS last
                FROM spans WHERE {_BETWEEN} GROUP BY service""",
            window.params,
        )
        logs = await self._ask(
            tenant,
            f"SELECT service, count() AS logs, toUnixTimestamp64Nano(max(ts)) AS last FROM logs WHERE {_BETWEEN} "
            "GROUP BY service",
            window.params,
        )
        found = {row["service"]: {"logs": 0, **row} for row in spans}
        for row in logs:
            known = found.setdefault(row["service"], {"spans": 0, "errors": 0, "q": [0, 0, 0], "last": 0})
            found[row["service"]] = {**known, **row, "last": max(known["last"], row["last"])}
        return [
            {
                "service": name,
                "spans": row["spans"],
                "errors": row["errors"],
                "rate_per_s": row["spans"] / window.seconds,
                "error_ratio": row["errors"] / row["spans"] if row["spans"] else 0.0,
                **_quantiles(row),
                "logs": row["logs"],
                "last_seen": records.time_text(row["last"]),
            }
            for name, row in sorted(found.items())
        ]

    async def service_series(self, tenant: str, service: str, window: Window, step_s: int) -> list[dict[str, Any]]:
        """Rate, errors and duration a step, zeros where nothing was; steps begin at whole multiples of `step_s`."""
        if window.seconds / step_s > _MAX_POINTS:
            hint = f"take at least {int(window.seconds / _MAX_POINTS) + 1}"
            raise InvalidInput("step_too_small", f"at most {_MAX_POINTS} points", where="step_s", hint=hint)
        rows = await self._ask(
            tenant,
            f"""SELECT intDiv(toUnixTimestamp64Nano(ts), {{step:Int64}}) AS n, count() AS spans,
                    countIf(status = 2) AS errors, quantilesTDigest(0.5, 0.95, 0.99)(dur) AS q
                FROM spans WHERE {_BETWEEN} AND service = {{service:String}} AND {_ENTRY} GROUP BY n""",
            {**window.params, "service": service, "step": step_s * _NS},
        )
        known = {row["n"]: row for row in rows}
        none = {"spans": 0, "errors": 0, "q": [0, 0, 0]}
        first, last = window.start_ns // (step_s * _NS), (window.end_ns - 1) // (step_s * _NS)
        return [
            {
                "time": records.time_text(n * step_s * _NS),
                "spans": row["spans"],
                "errors": row["errors"],
                **_quantiles(row),
            }
            for n in range(first, last + 1)
            for row in [known.get(n, none)]
        ]

    # -- traces -------------------------------------------------------------------------------------------------------

    async def traces(
        self, tenant: str, window: Window, limit: int, *, service: str = "", status: str = "", min_duration_ns: int = 0
    ) -> list[dict[str, Any]]:
        """The newest traces that have such a span: of the service, that long, failed for `error`.

        `status="ok"` takes the traces without any failed span.
        """
        conditions, params = [_BETWEEN], {"n": limit, "service": service, "longest": min_duration_ns}
        conditions += ["service = {service:String}"] if service else []
        conditions += ["dur >= {longest:UInt64}"] if min_duration_ns else []
        conditions += ["status = 2"] if status == "error" else []
        sql = (
            f"SELECT lower(hex(trace_id)) AS trace, toUnixTimestamp64Nano(ts) AS at FROM spans WHERE "
            f"{' AND '.join(conditions)} {_NEWEST} LIMIT 1 BY trace_id LIMIT {{n:UInt64}}"
        )
        found: dict[str, dict[str, Any]] = {}
        async for candidates in self._newest(tenant, sql, params, window, limit):
            new = [row["trace"] for row in candidates if row["trace"] not in found]
            for row in await self._summaries(tenant, new):
                if status != "ok" or not row["errors"]:
                    found[row["trace_id"]] = row
            if len(found) >= limit:
                break
        return sorted(found.values(), key=lambda row: row["start"], reverse=True)[:limit]

    async def _summaries(self, tenant: str, traces: list[str]) -> list[dict[str, Any]]:
        if not traces:
            return []
        rows = await self._ask(
            tenant,
            """SELECT lower(hex(trace_id)) AS trace, toUnixTimestamp64Nano(min(start)) AS first,
                    toUnixTimestamp64Nano(max(end)) AS last, sum(spans) AS spans, sum(errors) AS errors,
                    max(root_service) AS root_service, max(root_name) AS root_name,
                    arraySort(groupUniqArrayArray(services)) AS services
                FROM trace_index
                WHERE trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))
                GROUP BY trace_id""",
            {"traces": traces},
        )
        return [
            {
                "trace_id": row["trace"],
                "start": records.time_text(row["first"]),
                "duration_ns": max(0, row["last"] - row["first"]),
                **{name: row[name] for name in ("spans", "errors", "root_service", "root_name", "services")},
            }
            for row in rows
        ]

    async def trace(self, tenant: str, trace_id: str) -> list[dict[str, Any]]:
        """The spans of a trace, oldest first. `NotFound` when there is none."""
        rows = await self._ask(
            tenant,
            """SELECT toUnixTimestamp64Nano(min(start)) AS first, toUnixTimestamp64Nano(max(end)) AS last, count() AS n
                FROM trace_index WHERE trace_id = toFixedString(unhex({trace:String}), 16)""",
            {"trace": trace_id},
        )
        if not rows[0]["n"]:
            raise NotFound("trace_unknown", f"there is no trace {trace_id}", where="path")
        span_rows = await self._ask(
            tenant,
            f"SELECT {SPAN_COLUMNS} FROM spans WHERE {_BETWEEN} AND trace_hex = {{trace:String}} "
            f"ORDER BY ts LIMIT 1 BY span_id LIMIT {_MAX_SPANS}",
            {"trace": trace_id, "start": rows[0]["first"], "end": rows[0]["last"] + 1},
        )
        known = await self._resources_of(tenant, span_rows)
        return [records.span(row, known) for row in span_rows]

    # -- logs ---------------------------------------------------------------------------------------------------------

    async def logs(
        self, tenant: str, window: Window, limit: int, *, service: str = "", severity: str = "", text: str = "",
        trace_id: str = "",
    ) -> list[dict[str, Any]]:  # fmt: skip
        """The newest log records: of the service, at least that severe, with `text` in the body in any case."""
        conditions, params = [_BETWEEN], {"n": limit, "service": service, "q": text, "trace": trace_id}
        conditions += ["service = {service:String}"] if service else []
        conditions += [f"sev >= {records.severity_floor(severity)}"] if severity else []
        conditions += ["trace_hex = {trace:String}"] if trace_id else []
        if text:
            conditions.append("positionCaseInsensitiveUTF8(body, {q:String}) > 0")
            # Words that stand whole within the text are in the index; those at its ends may be parts of longer ones.
            if inner := _INNER_TOKEN.findall(text):
                conditions.append("hasAllTokens(body, {tokens:Array(String)})")
                params["tokens"] = [token.lower() for token in inner]
        sql = f"SELECT {LOG_COLUMNS} FROM logs WHERE {' AND '.join(conditions)} {_NEWEST} LIMIT {{n:UInt64}}"
        rows: list[dict[str, Any]] = []
        async for found in self._newest(tenant, sql, params, window, limit):
            rows += found
            if len(rows) >= limit:
                break
        del rows[limit:]
        known = await self._resources_of(tenant, rows)
        return [records.log(row, known) for row in rows]

    # -- metrics ------------------------------------------------------------------------------------------------------

    async def metrics(self, tenant: str, window: Window) -> list[dict[str, Any]]:
        """Every metric that had a series on one of the window's days, with what its sender said about it."""
        days = {"first": window.start_ns // _NS, "last": window.end_ns // _NS}
        rows = await self._ask(
            tenant,
            """SELECT metric, bitAnd(kind, 15) AS what, uniq(id) AS series FROM series
                WHERE day >= toDate({first:Int64}, 'UTC') AND day <= toDate({last:Int64}, 'UTC')
                GROUP BY metric, what""",
            days,
        )
        meta = {row["metric"]: row for row in await self._ask(tenant, "SELECT metric, unit, help FROM metric_meta", {})}
        found: dict[str, dict[str, Any]] = {}
        for row in rows:
            family = row["metric"].removesuffix(_SUFFIXES.get(row["what"], ""))
            said = meta.get(family) or meta.get(family.removesuffix("_total")) or {}
            entry = found.setdefault(
                family,
                {
                    "metric": family,
                    "type": _TYPES.get(row["what"], "unknown"),
                    "unit": said.get("unit", ""),
                    "help": said.get("help", ""),
                    "series": 0,
                },
            )
            entry["series"] += row["series"]
        return [found[name] for name in sorted(found)]

    # -- the store ----------------------------------------------------------------------------------------------------

    async def _newest(
        self, tenant: str, sql: str, params: Mapping[str, Any], window: Window, limit: int
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Pages of rows from the newest backwards. A full page is followed by what is older than its last row."""
        for part in window.backwards():
            rest = part
            while True:
                rows = await self._ask(tenant, sql, {**params, **rest.params})
                if rows:
                    yield rows
                if len(rows) < limit or rows[-1]["at"] <= rest.start_ns:
                    break
                rest = Window(rest.start_ns, rows[-1]["at"])

    async def _resources_of(self, tenant: str, rows: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
        """The resources that rows with `rid` and `at` refer to. They never change, so they are kept."""
        missing = {row["rid"] for row in rows if (tenant, row["rid"]) not in self._resources}
        if missing:
            times = [row["at"] // _NS for row in rows]
            found = await self._ask(
                tenant,
                """SELECT rid, s, i, f, b, j FROM resources
                    WHERE day >= toDate({first:Int64}, 'UTC') AND day <= toDate({last:Int64}, 'UTC')
                        AND rid IN {rids:Array(UInt64)} LIMIT 1 BY rid""",
                {"first": min(times), "last": max(times) + 86_400, "rids": sorted(missing)},
            )
            if len(self._resources) > _KNOWN_RESOURCES:
                self._resources.clear()
            self._resources.update(((tenant, rid), one) for rid, one in records.resource_map(found).items())
        return {rid: self._resources.get((tenant, rid), {}) for rid in {row["rid"] for row in rows}}

    async def _ask(self, tenant: str, sql: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        settings = tenant_settings(self._tenants.known(tenant) or NO_TENANT)
        table, _ = await self._store.query(sql, params, settings=settings, limits=self._limits)
        return table.to_pylist()  # type: ignore[no-any-return]


def _quantiles(row: Mapping[str, Any]) -> dict[str, int]:
    # Of no value at all a quantile is NaN.
    values = [0 if value != value else round(value) for value in row["q"]]  # noqa: PLR0124
    return dict(zip(("p50_ns", "p95_ns", "p99_ns"), values, strict=True))
