"""What Prometheus says of itself: `/status/*`, `/features`, and the lists that are empty here so far."""

import asyncio
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gnomon_server.access.authenticator import Grant
from gnomon_server.api.leaving import while_connected
from gnomon_server.api.prometheus import parameters
from gnomon_server.api.prometheus.envelope import success
from gnomon_server.query.promql.context import Options
from gnomon_server.query.promql.metadata import SeriesIndex
from gnomon_server.query.promql.signatures import FUNCTIONS
from gnomon_server.query.promql.times import SUBQUERY_STEP_MS
from gnomon_server.query.syntax import durations
from gnomon_server.selfmon.clock import Clock

SPEAKS = "3.7.0"
"""The version of Prometheus whose API and language this is, by which Grafana knows what it may ask."""
_TOP = 10  # as Prometheus, where `limit` says nothing else
_MOST_TOP = 10_000
_OPERATORS = "- + * / % ^ == != < <= > >= and or unless atan2 @ offset bool on ignoring group_left group_right".split()  # noqa: SIM905 - short
_AGGREGATES = "avg bottomk count count_values group limit_ratio limitk max min quantile stddev stdvar sum topk".split()  # noqa: SIM905 - likewise


@dataclass(frozen=True, slots=True)
class Status:
    """The endpoints. `retention` is a text as `7d`, `version` ours."""

    index: SeriesIndex
    grant: Callable[[Request], Grant]
    clock: Clock
    options: Options
    version: str
    retention: str
    started_ns: int

    async def buildinfo(self, request: Request) -> Response:
        """`/status/buildinfo`."""
        self.grant(request)
        runs_on = f"{platform.python_implementation()} {platform.python_version()}"
        return success(
            {
                "version": SPEAKS,
                "revision": f"gnomon {self.version}",
                "branch": "",
                "buildUser": "",
                "buildDate": "",
                "goVersion": runs_on,
            }
        )

    async def runtimeinfo(self, request: Request) -> Response:
        """`/status/runtimeinfo`."""
        self.grant(request)
        started = _rfc3339(self.started_ns)
        return success(
            {
                "startTime": started,
                "CWD": "",
                "hostname": platform.node(),
                "serverTime": _rfc3339(self.clock.now_ns()),
                "reloadConfigSuccess": True,
                "lastConfigTime": started,
                "corruptionCount": 0,
                "goroutineCount": len(asyncio.all_tasks()),
                "GOMAXPROCS": os.cpu_count(),
                "GOMEMLIMIT": 0,
                "GOGC": "",
                "GODEBUG": "",
                "storageRetention": self.retention,
            }
        )

    async def flags(self, request: Request) -> Response:
        """`/status/flags`: those that mean something here, as they stand."""
        self.grant(request)
        return success(
            {
                "query.lookback-delta": durations.show(self.options.lookback_ms),
                "query.max-samples": str(self.options.most_samples),
                "query.timeout": durations.show(round(self.options.deadline_s * 1000)),
                "storage.tsdb.retention.time": self.retention,
                "web.enable-remote-write-receiver": "true",
            }
        )

    async def config(self, request: Request) -> Response:
        """`/status/config`: what of a configuration clients look for; `gnomon check --print` shows ours."""
        self.grant(request)
        return success({"yaml": f"global:\n  evaluation_interval: {durations.show(SUBQUERY_STEP_MS)}\n"})

    async def tsdb(self, request: Request) -> Response:
        """`/status/tsdb`: what today's series are made of."""
        tenant, form = self.grant(request).tenant, await parameters.read(request)
        limit = min(form.limit() or _TOP, _MOST_TOP)
        now_ms = self.clock.now_ns() // 1_000_000
        found = await while_connected(request, self.index.cardinality(tenant, now_ms, limit))
        head = {
            "numSeries": found.series,
            "numLabelPairs": found.label_pairs,
            "chunkCount": 0,
            "minTime": now_ms - now_ms % 86_400_000,
            "maxTime": now_ms,
        }
        return success(
            {
                "headStats": head,
                "seriesCountByMetricName": _named(found.by_metric),
                "labelValueCountByLabelName": _named(found.values_by_label),
                "memoryInBytesByLabelName": _named(found.bytes_by_label),
                "seriesCountByLabelValuePair": _named(found.by_pair),
            }
        )

    async def walreplay(self, request: Request) -> Response:
        """`/status/walreplay`: there is no log to replay; when this answers, all is there."""
        self.grant(request)
        return success({"min": 0, "max": 0, "current": 0})

    async def features(self, request: Request) -> Response:
        """`/features`: what of Prometheus is here."""
        self.grant(request)
        allowed = self.options.experimental
        return success(
            {
                "api": {"label_values_match": True, "query_stats": True, "time_range_labels": True},
                "promql": {"anchored": allowed, "at_modifier": True, "duration_expr": allowed, "subqueries": True},
                "promql_functions": {
                    name: allowed or not signature.experimental for name, signature in sorted(FUNCTIONS.items())
                },
                "promql_operators": dict.fromkeys(sorted([*_OPERATORS, *_AGGREGATES]), True),
            }
        )

    def nothing(self, data: Mapping[str, Any] | list[Any]) -> Callable[[Request], Any]:
        """An endpoint that always says `data`: rules, alerts, Alertmanagers."""

        async def answer(request: Request) -> Response:
            self.grant(request)
            return success(data)

        return answer


def _named(ranked: list[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{"name": name, "value": count} for name, count in ranked]


def _rfc3339(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat().replace("+00:00", "Z")
