"""`/query`, `/query_range`, `/query_exemplars`, `/format_query` and `/parse_query`."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gnomon_server.access.authenticator import Grant
from gnomon_server.api.leaving import while_connected
from gnomon_server.api.prometheus import parameters, texts
from gnomon_server.api.prometheus.envelope import TRUNCATED, success, success_of
from gnomon_server.api.prometheus.numbers import floats, times
from gnomon_server.api.prometheus.parameters import Form, invalid
from gnomon_server.api.prometheus.result import data
from gnomon_server.api.prometheus.syntax_tree import as_json
from gnomon_server.errors import InvalidInput
from gnomon_server.query.promql.ast import Expr, VectorSelector, walk
from gnomon_server.query.promql.context import Options
from gnomon_server.query.promql.door import Answer, PromqlDoor
from gnomon_server.query.promql.format import pretty
from gnomon_server.query.promql.metadata import Exemplars, SeriesIndex
from gnomon_server.query.promql.parser import parse
from gnomon_server.selfmon.clock import Clock

# The query itself is at fault, and not its evaluation: Prometheus names the parameter.
_OF_THE_TEXT = frozenset({"promql_parse", "promql_type", "promql_too_long", "promql_duration"})


@dataclass(frozen=True, slots=True)
class Queries:
    """The endpoints. `options` are what a query may ask for at the most."""

    door: PromqlDoor
    index: SeriesIndex
    grant: Callable[[Request], Grant]
    clock: Clock
    options: Options

    async def instant(self, request: Request) -> Response:
        """`/query`."""
        tenant, form = self.grant(request).tenant, await parameters.read(request)
        at_ms = form.time_ms("time", self.clock.now_ns() // 1_000_000)
        limit, options, began_s = form.limit(), self._options(request, form), time.perf_counter()
        work = self.door.instant(form.text("query"), at_ms=at_ms, tenant=tenant, options=options)
        answer = await self._answered(request, work)
        return await _shown(answer, form, limit, began_s, is_range=False)

    async def range(self, request: Request) -> Response:
        """`/query_range`."""
        tenant, form = self.grant(request).tenant, await parameters.read(request)
        start_ms, end_ms = form.time_ms("start"), form.time_ms("end")
        if end_ms < start_ms:
            raise invalid("end", "end timestamp must not be before start time")
        step_ms = form.duration_ms("step")
        if step_ms <= 0:
            raise invalid(
                "step", "zero or negative query resolution step widths are not accepted. Try a positive integer"
            )
        limit, options, began_s = form.limit(), self._options(request, form), time.perf_counter()
        work = self.door.range(
            form.text("query"), start_ms=start_ms, end_ms=end_ms, step_ms=step_ms, tenant=tenant, options=options
        )
        answer = await self._answered(request, work)
        return await _shown(answer, form, limit, began_s, is_range=True)

    async def exemplars(self, request: Request) -> Response:
        """`/query_exemplars`: those of the series that a query's selectors name."""
        tenant, form = self.grant(request).tenant, await parameters.read(request)
        window = form.window_ms()
        if window[1] < window[0]:
            raise InvalidInput("time_range_empty", "end timestamp must not be before start timestamp", where="end")
        tree = await _parsed(form)
        sets = [node.matchers for node in walk(tree) if isinstance(node, VectorSelector)]
        if not sets:
            return Response(status_code=204)
        found = await while_connected(request, self.index.exemplars(tenant, sets, window))
        return await success_of(lambda: ([texts.listed(_exemplars(found))], ()))

    async def format(self, request: Request) -> Response:
        """`/format_query`."""
        self.grant(request)
        return success(texts.clean(pretty(await _parsed(await parameters.read(request)))))

    async def parse(self, request: Request) -> Response:
        """`/parse_query`."""
        self.grant(request)
        return success(as_json(await _parsed(await parameters.read(request))))

    def _options(self, request: Request, form: Form) -> Options:
        """The query's, with its own lookback and a deadline that is not later than ours."""
        most_s = self.options.deadline_s
        asked_s = max(form.duration_ms("timeout") / 1000, 0) if form.text("timeout") else most_s
        lookback_ms = form.lookback_ms(self.options.lookback_ms)
        # As Mimir and as VictoriaMetrics are told that an answer is to be worked out anew.
        fresh = "no-store" in request.headers.get("cache-control", "") or form.text("nocache") == "1"
        cached = self.options.cached and not fresh
        return replace(self.options, lookback_ms=lookback_ms, deadline_s=min(asked_s, most_s), cached=cached)

    async def _answered(self, request: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
        try:
            return await while_connected(request, work)
        except InvalidInput as error:
            raise _named(error) from None


async def _parsed(form: Form) -> Expr:
    try:
        return await asyncio.to_thread(parse, form.text("query"))
    except InvalidInput as error:
        raise _named(error) from None


def _named(error: InvalidInput) -> InvalidInput:
    return invalid("query", error.what) if error.code in _OF_THE_TEXT else error


async def _shown(answer: Answer, form: Form, limit: int, began_s: float, *, is_range: bool) -> Response:
    stats = _stats(answer, time.perf_counter() - began_s) if form.text("stats") else b""

    def made() -> tuple[Iterator[bytes], list[str]]:
        found, cut = data(answer, is_range=is_range, limit=limit, stats=stats)
        return found, [*answer.warnings, *([TRUNCATED] if cut else [])]

    return await success_of(made, answer.infos)


def _stats(answer: Answer, took_s: float) -> bytes:
    """Prometheus' members, as far as they mean something here; `totalQueryableSamples` is what was read."""
    timings = {"evalTotalTime": took_s, "execTotalTime": took_s}
    samples = {"totalQueryableSamples": answer.samples_read, "peakSamples": answer.samples_read}
    return texts.dump({"timings": timings, "samples": samples})


def _exemplars(found: list[Exemplars]) -> Iterator[bytes]:
    for one, series in zip(found, texts.label_sets([one.series for one in found]), strict=True):
        points = zip(one.labels, floats(one.values), times(one.at_ms), strict=True)
        shown = (
            b'{"labels":' + texts.dump(labels) + b',"value":"' + value + b'","timestamp":' + at + b"}"
            for labels, value, at in points
        )
        yield b'{"seriesLabels":' + series + b',"exemplars":' + texts.listed(shown) + b"}"
