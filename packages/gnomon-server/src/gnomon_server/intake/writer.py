"""The way into the store: a bounded queue and one writer that commits in groups.

A batch is acknowledged (`submit` returns) only after the commit that holds it is synced. While one group is being
written, the next one gathers: the busier it is, the larger the groups. When the store is away for a moment the group
waits and is written again with the same tokens; when that will not help, its senders are told to come again, and
nothing is kept.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from gnomon_server.errors import GnomonError, Internal, Overloaded, Unavailable
from gnomon_server.intake.active_series import ActiveSeries
from gnomon_server.intake.context import POINT_TABLES, StageContext, point_keys
from gnomon_server.intake.group import Group
from gnomon_server.intake.memory import LastHistograms, LastPoints, RecentSpans, SeenRows, span_keys
from gnomon_server.intake.own_telemetry import OWN_TENANT
from gnomon_server.intake.repair import complete_trace_index
from gnomon_server.intake.stages import STAGES
from gnomon_server.model.batch import Batch
from gnomon_server.model.series import meta_key
from gnomon_server.selfmon.spans import OwnSpan, OwnSpans
from gnomon_server.store.clickhouse import is_lasting
from gnomon_server.store.interface import QueryLimits, Store

_RETRY_PAUSE_S = 0.5
_FADES_S = 30.0
_RECALLED_SERIES = 8_000_000  # of all tenants: as many rows as `SeenRows` holds


class IntakeLimits(BaseModel):
    """Bounds of the queue and of a commit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queue_bytes: int = Field(default=256 << 20, ge=1 << 20)
    """Decoded rows waiting, all tenants together; past it senders are told to come again."""
    tenant_queue_ratio: float = Field(default=0.5, gt=0, le=1)
    """How much of the queue one tenant may fill, so that a noisy one leaves room for the others."""
    commit_interval_s: float = Field(default=0.05, ge=0)
    """How long a first batch waits for company. A commit costs some 20 ms of CPU and 33 syncs whatever its size."""
    commit_rows: int = Field(default=100_000, ge=1)
    """Rows after which a group is closed: at 300 bytes a row, 30 MB to the engine at once."""
    hold_s: float = Field(default=20.0, ge=0)
    """How long a group waits for a store that is away; a restart of the engine takes 2-3 s."""
    new_series_per_minute: int = Field(default=1_000_000, ge=1)
    """Series of one tenant that are seen for the first time; past it new ones are refused, and the others go on."""
    active_series: int = Field(default=2_000_000, ge=1)
    """Series of one tenant with a sample today. Half of the 4 million whose last samples intake remembers."""


class Tenants(Protocol):
    """Who gives tenants their numbers (store.tenants.TenantNumbers)."""

    async def number(self, name: str) -> int:
        """The number of a tenant, made durable if it is new."""


class Meter(Protocol):
    """Who counts (selfmon)."""

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        """Add to a counter."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add to a histogram."""


@dataclass(slots=True)
class _Waiting:
    batch: Batch
    done: asyncio.Future[None] = field(repr=False)


class Intake:
    """Takes batches, returns when they are durable. `start` before, `stop` drains."""

    def __init__(
        self,
        store: Store,
        tenants: Tenants,
        retention_days: Callable[[str, str], int],
        meter: Meter,
        limits: IntakeLimits | None = None,
        spans: OwnSpans | None = None,
        on_batch: Callable[[Batch], object] = lambda _batch: None,
        on_commit: Callable[[Group, bool], object] = lambda _group, _stored: None,
    ) -> None:
        self._store = store
        self._tenants = tenants
        self._retention_days = retention_days
        self._meter = meter
        self._limits = limits or IntakeLimits()
        self._own_spans = spans or OwnSpans()
        self._on_batch, self._on_commit = on_batch, on_commit
        self.seen = SeenRows()
        self._points, self._histograms, self._spans = LastPoints(), LastHistograms(), RecentSpans()
        self._series = ActiveSeries(self._limits.new_series_per_minute, self._limits.active_series)
        self._queue: deque[_Waiting] = deque()
        self._queued_bytes = 0
        self._tenant_bytes: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self._commit: asyncio.Task[None] | None = None
        self._runner: asyncio.Task[None] | None = None
        self._failed: tuple[float, GnomonError] | None = None

    def failing(self) -> str:
        """The reason of a commit that failed in the last half minute, until one succeeds; empty when all is well.

        It fades, since a server that is taken out of rotation would otherwise never see the commit that clears it.
        """
        if self._failed is None:
            return ""
        at, error = self._failed
        return error.code if asyncio.get_running_loop().time() - at < _FADES_S else ""

    @property
    def queued_bytes(self) -> int:
        """Decoded rows that wait for their commit."""
        return self._queued_bytes

    async def start(self, *, after_unclean_end: bool = False) -> None:
        """Recall the newest spans, so that senders who repeat themselves after our restart are recognised; run.

        Series are recalled as well: those of before the restart are not new.
        """
        if after_unclean_end:
            with contextlib.suppress(GnomonError):  # the spans are there all the same; only lists of traces miss some
                await complete_trace_index(self._store)
        await self._recall_spans()
        await self._recall_series()
        self._runner = asyncio.create_task(self._run(), name="intake-writer")

    async def stop(self) -> None:
        """Refuse new batches, commit what waits, end."""
        self._stopping = True
        self._wake.set()
        if self._runner:
            await self._runner

    async def submit(self, batch: Batch) -> None:
        """Return when the batch is durable. `Overloaded` or `Unavailable`: not stored, the sender should try again.

        What a tenant's limits of series leave out is added to `batch.rejections`.
        """
        self._on_batch(batch)
        if self._stopping and batch.tables:
            raise Unavailable("stopping", "the server is stopping", retry_after_s=5)
        batch = self._series.admitted(batch, time.time())
        if not batch.tables:
            return
        self._admit(batch)
        waiting = _Waiting(batch, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._wake.set()
        try:
            await asyncio.shield(waiting.done)
        except asyncio.CancelledError:
            # The sender left; its rows are written all the same, and nobody waits for the outcome.
            waiting.done.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise

    def _admit(self, batch: Batch) -> None:
        size, mine = batch.size_bytes, self._tenant_bytes.get(batch.tenant, 0)
        limit = self._limits.queue_bytes
        if self._queued_bytes and self._queued_bytes + size > limit:
            raise Overloaded(
                "queue_full", f"{self._queued_bytes} bytes wait to be stored, {limit} may", retry_after_s=1
            )
        if mine and mine + size > limit * self._limits.tenant_queue_ratio:
            raise Overloaded(
                "tenant_queue_full", f"{mine} bytes of tenant {batch.tenant!r} wait to be stored", retry_after_s=1
            )
        self._queued_bytes += size
        self._tenant_bytes[batch.tenant] = mine + size

    def _release(self, waiting: _Waiting) -> None:
        self._queued_bytes -= waiting.batch.size_bytes
        left = self._tenant_bytes[waiting.batch.tenant] - waiting.batch.size_bytes
        if left:
            self._tenant_bytes[waiting.batch.tenant] = left
        else:
            del self._tenant_bytes[waiting.batch.tenant]

    async def _run(self) -> None:
        """Gather, prepare, hand over; the commit of one group overlaps the preparation of the next."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._queue and not self._stopping and self._rows_waiting() < self._limits.commit_rows:
                await asyncio.sleep(self._limits.commit_interval_s)
            while self._queue:
                members = self._take()
                await self._handle(members)
            if self._stopping:
                await self._previous_commit()
                return

    def _rows_waiting(self) -> int:
        return sum(waiting.batch.records for waiting in self._queue)

    def _take(self) -> list[_Waiting]:
        members: list[_Waiting] = []
        rows = 0
        while self._queue and (not members or rows < self._limits.commit_rows):
            members.append(self._queue.popleft())
            rows += members[-1].batch.records
        return members

    async def _handle(self, members: list[_Waiting]) -> None:
        try:
            group = await self._prepare(members)
        except GnomonError as error:
            # One sender's refusal is not the others'; but a store that is away would be waited for again and again.
            if len(members) > 1 and (not isinstance(error, Unavailable) or self._store.outlasts_absence):
                for waiting in members:
                    await self._handle([waiting])
            else:
                self._settle(members, error)
            return
        except Exception as error:  # noqa: BLE001  (a fault of ours must not end the writer)
            self._settle(members, Internal("intake_failed", f"preparing a group failed: {error!r}"))
            return
        await self._previous_commit()
        self._commit = asyncio.create_task(self._write(members, group), name="intake-commit")

    async def _previous_commit(self) -> None:
        if self._commit is not None:
            await asyncio.wait([self._commit])

    async def _prepare(self, members: list[_Waiting]) -> Group:
        numbered = [(waiting.batch, await self._tenants.number(waiting.batch.tenant)) for waiting in members]
        group = await asyncio.to_thread(Group.of, numbered, self._retention_days)
        context = StageContext(self._store, self._points, self._histograms, self._spans, self._previous_commit)
        self._points.keep_bound()
        self._histograms.keep_bound()
        try:
            for stage in STAGES:
                group = await stage(group, context)
        except Exception:
            self._forget(group)
            raise
        for reason, count in group.dropped.items():
            self._meter.count("gnomon_intake_dropped_total", count, reason=reason)
        return group

    async def _write(self, members: list[_Waiting], group: Group) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        error: GnomonError | None = None
        while True:
            try:
                await self._store.insert(group.inserts())
                error = None
            except GnomonError as failure:
                error = failure
                if not is_lasting(failure) and loop.time() - began < self._limits.hold_s and not self._stopping:
                    self._meter.count("gnomon_intake_retries_total", reason=failure.code)
                    await asyncio.sleep(_RETRY_PAUSE_S)
                    continue
            except Exception as failure:  # noqa: BLE001  (a fault of ours must not end the writer)
                error = Internal("intake_failed", f"writing a group failed: {failure!r}")
            break
        try:
            self._on_commit(group, error is None)  # after a failure too: some of it may be visible
        finally:
            self._settle(members, error)  # whatever comes of that, senders get their answer
        if error is None:
            self._mark_seen(members)
        else:
            self._failed = (loop.time(), error)
            self._forget(group)
        if any(waiting.batch.tenant != OWN_TENANT for waiting in members):
            self._observe(members, group, loop.time() - began, error)

    def _observe(self, members: list[_Waiting], group: Group, seconds: float, error: GnomonError | None) -> None:
        self._meter.observe("gnomon_commit_seconds", seconds)
        duration_ns = int(seconds * 1e9)
        rows = {f"rows.{name}": table.num_rows for name, table in group.tables.items()}
        self._own_spans.record(
            OwnSpan(
                "commit", time.time_ns() - duration_ns, duration_ns, {"batches": len(members), **rows},
                error.code if error else "",
            )
        )  # fmt: skip

    def _settle(self, members: list[_Waiting], error: GnomonError | None) -> None:
        if error is None:
            self._failed = None
        for waiting in members:
            self._release(waiting)
            if waiting.done.done():
                continue
            if error is None:
                waiting.done.set_result(None)
            else:
                waiting.done.set_exception(error)

    def _mark_seen(self, members: list[_Waiting]) -> None:
        for waiting in members:
            tenant, tables = waiting.batch.tenant, waiting.batch.tables
            for name, kind, id_column in (("resources", "resource", "rid"), ("series", "series", "id")):
                if name in tables:
                    days = tables[name]["day"].cast(pa.int32()).to_numpy()
                    self.seen.add(tenant, kind, tables[name][id_column].to_numpy(), days)
            if "metric_meta" in tables:
                keys = np.array([meta_key(row) for row in tables["metric_meta"].to_pylist()], np.uint64)
                self.seen.add(tenant, "meta", keys, np.zeros(len(keys), np.int32))

    def _forget(self, group: Group) -> None:
        for table in POINT_TABLES:
            rows = group.tables.get(table)
            if rows is not None and rows.num_rows:
                keys = point_keys(table, rows)
                self._points.forget(keys)
                self._histograms.forget(keys)

    async def _recall_series(self) -> None:
        with contextlib.suppress(GnomonError):  # without it, series of before count as new ones
            found, _ = await self._store.query(
                "SELECT name, id FROM (SELECT DISTINCT tenant, id FROM series WHERE day >= yesterday() "
                f"LIMIT {_RECALLED_SERIES}) AS active INNER JOIN "
                "(SELECT min(tenant) AS tenant, toLowCardinality(name) AS name FROM tenants GROUP BY name) AS numbers "
                "USING (tenant) ORDER BY name",
                limits=QueryLimits(result_rows=_RECALLED_SERIES),
            )
            if found.num_rows:
                self._series.recall(found, time.time())

    async def _recall_spans(self) -> None:
        with contextlib.suppress(GnomonError):  # a shortcut only: without it, late repeats are stored twice
            found, _ = await self._store.query(
                "SELECT reinterpretAsUInt64(span_id) AS span, reinterpretAsUInt64(substring(trace_id, 1, 8)) AS high, "
                "reinterpretAsUInt64(substring(trace_id, 9, 8)) AS low, tenant FROM spans "
                "WHERE ts >= now() - INTERVAL 1 HOUR ORDER BY ts DESC LIMIT 1000000"
            )
            if found.num_rows:
                traces = np.stack([found["high"].to_numpy(), found["low"].to_numpy()], axis=1)
                spans = found["span"].to_numpy().reshape(-1, 1)
                self._spans.add(span_keys(traces.view(np.uint8), spans.view(np.uint8), found["tenant"].to_numpy()))
