"""The composition root: builds the parts bottom-up, names every background task, stops in reverse."""

import asyncio
import contextlib
import os
import shutil
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from gnomon_server import __version__, web
from gnomon_server.access.authenticator import Authenticator
from gnomon_server.access.bind import check_bind
from gnomon_server.access.tokens import Scope, Tokens
from gnomon_server.access.web import WebGuard
from gnomon_server.api import backups as backups_api
from gnomon_server.api import diagnosis, health, native
from gnomon_server.api import disk as disk_api
from gnomon_server.api import sql as sql_api
from gnomon_server.api.prometheus import routes as prometheus_api
from gnomon_server.config import Listen, QuerySettings, Settings
from gnomon_server.decode.otlp.attributes import AttributeLimits
from gnomon_server.decode.otlp.context import DecodeContext
from gnomon_server.decode.remote_write.context import SeriesLimits, WriteContext
from gnomon_server.errors import GnomonError
from gnomon_server.intake.group import Group
from gnomon_server.intake.own_telemetry import OwnTelemetry
from gnomon_server.intake.sources import Sources, save
from gnomon_server.intake.writer import Intake
from gnomon_server.query.explore import Explorer
from gnomon_server.query.promql.context import MOST_SAMPLES, Options
from gnomon_server.query.promql.door import PromqlDoor
from gnomon_server.query.promql.memory import Memory, usual_samples_bytes
from gnomon_server.query.promql.metadata import SeriesIndex
from gnomon_server.query.shares import Shares
from gnomon_server.query.sql.door import SqlDoor
from gnomon_server.receive.edge import Edge
from gnomon_server.receive.otlp import OtlpReceiver
from gnomon_server.receive.otlp_grpc import OtlpGrpc
from gnomon_server.receive.otlp_http import OtlpHttp
from gnomon_server.receive.remote_write import RemoteWrite, RemoteWriteReceiver
from gnomon_server.receive.scrape.scraper import Scraper
from gnomon_server.selfmon.clock import Clock, SystemClock
from gnomon_server.selfmon.events import Events
from gnomon_server.selfmon.marks import Marks
from gnomon_server.selfmon.memory import give_back
from gnomon_server.selfmon.registry import Registry
from gnomon_server.selfmon.spans import OwnSpans
from gnomon_server.selfmon.turned_away import DoorBook
from gnomon_server.store.backup.service import Backups
from gnomon_server.store.clickhouse import Address
from gnomon_server.store.ddl import Deployment
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.forecast import DiskReport, read_report
from gnomon_server.store.interface import QueryLimits, Store
from gnomon_server.store.retention import Retention
from gnomon_server.store.spool import SpooledStore
from gnomon_server.store.supervisor import EngineSettings
from gnomon_server.store.tenants import TenantNumbers
from gnomon_server.transport.body import BodyBudget
from gnomon_server.transport.http_server import HttpServer
from gnomon_server.transport.reply import EXCEPTION_HANDLERS
from gnomon_server.transport.strangers import Strangers

_RETENTION_EVERY_S = 60.0
_WATCH_EVERY_S = 1.0
_JUDGE_SOURCES_EVERY_S = 2.0
_GIVE_BACK_EVERY_S = 60.0
_SAVE_SOURCES_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the server as `/status` and the start-up lines show it."""

    name: str
    state: str
    detail: str


class App:
    """The server. `start` returns when it is ready; `stop` when everything acknowledged is stored."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.registry = Registry()
        self.events = Events(self.registry, self.clock)
        self.spans = OwnSpans()
        self.book = DoorBook(self.registry, self.clock)
        self.marks = Marks(settings.data)
        self.parts: list[Part] = []
        self.addresses: dict[str, tuple[str, int]] = {}
        self._began = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self._stops: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        self._stored_own = asyncio.Event()
        self._stopping = False

    # -- start and stop -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Build and start every part; on failure stop what was started and raise GnomonError."""
        try:
            await self._start()
        except BaseException as error:
            await self.stop()
            if isinstance(error, GnomonError):
                self.marks.fail(error, self.clock.now_ns())
            raise

    async def _start(self) -> None:
        settings = self.settings
        tokens = Tokens.of(settings.access.tokens)
        authenticator = Authenticator(tokens)
        self._check_binds(tokens)
        self.scraper = Scraper(settings.scrape, self.clock, self.registry, int(settings.limits.future_s * 1e9))

        self.durable, self.store = self._make_store()
        await self._begin("store", self.store.start(), self.store.stop)
        self.tenants = TenantNumbers(self.store, settings.limits.tenants)
        await self.tenants.load()

        self.sources = Sources(settings.sources, self.registry, self.events.tell, self.clock.now_ns())
        self.sources.load(settings.data / "sources.json")
        # Into a store of others samples may come that we hear nothing of.
        query = QuerySettings(cache_bytes=0, samples_bytes=0) if settings.store.url else settings.query
        samples_bytes = usual_samples_bytes() if query.samples_bytes is None else query.samples_bytes
        self.memory = Memory(query.cache_bytes, samples_bytes, self._count_look, self._tell_unread)
        self.intake = Intake(
            self.store, self.tenants, settings.retention.days, self.registry, settings.intake, spans=self.spans,
            on_batch=lambda batch: self.sources.observe(batch, self.clock.now_ns()),
            on_commit=self._tell_memory,
        )  # fmt: skip
        after_unclean_end = self.marks.begin()
        self._stops.append(("marker", _closing(self.marks.end)))
        await self._begin("intake", self.intake.start(after_unclean_end=after_unclean_end), self.intake.stop)
        self._stops.append(("sources", self._save_sources))
        self.backups = Backups(self.durable, settings.backup, settings.data, self.clock, __version__, self.events.tell)
        await self._begin("backups", self.backups.start(), self.backups.stop)
        self.retention = Retention(
            self.store,
            self.tenants,
            settings.retention,
            settings.disk,
            self.clock,
            self._tell_of_retention,
            self.registry.count,
            deployment=Deployment(settings.store.cluster, embedded=not settings.store.url),
        )
        self._measure()
        self._run("retention", self._every(_RETENTION_EVERY_S, self._retain))
        if settings.own_telemetry_s:
            self._own = OwnTelemetry(__version__, f"{socket.gethostname()}:{os.getpid()}")
            self._run("own-telemetry", self._every(settings.own_telemetry_s, self._store_own))

        budget = BodyBudget(settings.limits.body)
        self.registry.read("gnomon_bodies_in_flight_bytes", lambda: budget.used_bytes)
        receiver = OtlpReceiver(
            self.intake, self._decode_context, int(settings.limits.future_s * 1e9), self.clock, self.registry
        )
        self._stops.append(("receiver", _closing(receiver.close)))
        edge = Edge(authenticator, settings.limits.body, budget, self.book)
        otlp_http = OtlpHttp(receiver, edge)
        writes = RemoteWriteReceiver(
            self.intake, self._write_context, int(settings.limits.future_s * 1e9), self.clock, self.registry
        )
        self._stops.append(("remote-write", _closing(writes.close)))
        remote_write = RemoteWrite(writes, edge)
        await self._listen_grpc(OtlpGrpc(receiver, edge, settings.tls))
        await self._listen_http("otlp-http", settings.otlp.http, otlp_http.routes("otlp-http"))
        edges_in = [*otlp_http.routes("http"), *remote_write.routes("http")]
        await self._listen_http("http", settings.listen, [*edges_in, *self._api(authenticator)])
        await self._start_scraping()
        if settings.own_telemetry_s:
            async with asyncio.timeout(60):
                await self._stored_own.wait()
        self.marks.ready(self.addresses, tls=settings.tls is not None)
        self.events.tell("ready", f"{time.monotonic() - self._began:.1f} s after the start")
        self._run("readiness", self._watch_readiness())
        self._run("sources", self._every(_JUDGE_SOURCES_EVERY_S, self._judge_sources))
        self._run("memory", self._every(_GIVE_BACK_EVERY_S, lambda: asyncio.to_thread(give_back)))
        self._run("sources-file", self._every(_SAVE_SOURCES_EVERY_S, self._save_sources))

    async def stop(self) -> None:
        """Stop in the reverse order of starting: listeners drain, intake commits what waits, the store closes."""
        if self._stops:
            self.events.tell("stopping")
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self._stops:
            name, stop = self._stops.pop()
            try:
                await stop()
            except Exception as error:  # noqa: BLE001  (the other parts must be stopped all the same)
                self.events.tell("request_failed", f"stopping {name}: {error!r}")
        self.events.tell("stopped")

    async def _begin(self, name: str, starting: Awaitable[Any], stop: Callable[[], Awaitable[None]]) -> None:
        began = time.monotonic()
        self._stops.append((name, stop))
        await starting
        self.parts.append(Part(name, "up", f"{time.monotonic() - began:.2f} s"))

    def _run(self, name: str, work: Any) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))

    # -- parts --------------------------------------------------------------------------------------------------------

    def _make_store(self) -> tuple[DurableStore, Store]:
        settings = self.settings
        if not settings.store.url:
            at_once = ("--concurrency", str(settings.query.concurrency))
            durable = DurableStore(
                EngineSettings(settings.data, settings.engine.memory_bytes, at_once), on_event=self._tell_of_store
            )
            return durable, durable
        address = Address(settings.store.url, "", settings.store.user, settings.store.password.get_secret_value())
        durable = DurableStore(
            address=address, deployment=Deployment(settings.store.cluster, embedded=False), on_event=self.events.tell
        )
        return durable, SpooledStore(durable, settings.data / "spool", settings.store.spool_bytes, self.events.tell)

    def _decode_context(self) -> DecodeContext:
        limits = self.settings.limits
        return DecodeContext(
            attribute_limits=AttributeLimits(
                limits.attributes_per_record, limits.attribute_key_bytes, limits.attribute_value_bytes
            ),
            body_limit_bytes=limits.log_body_bytes,
            seen=self.intake.seen,
        )

    def _write_context(self) -> WriteContext:
        limits = self.settings.limits
        series = SeriesLimits(
            labels_per_series=limits.attributes_per_record,
            label_name_bytes=limits.attribute_key_bytes,
            label_value_bytes=limits.attribute_value_bytes,
        )
        return WriteContext(series, seen=self.intake.seen)

    def _api(self, authenticator: Authenticator) -> list[BaseRoute]:
        query = self.settings.query
        limits = QueryLimits(query.deadline_s, query.memory_bytes, query.rows)
        grant = partial(_grant, authenticator, Scope.READ)
        admin_grant = partial(_grant, authenticator, Scope.ADMIN)
        return [
            *prometheus_api.routes(self._prometheus_parts(), grant, self.not_ready_because),
            *health.routes(self.registry, self.not_ready_because, partial(_may, authenticator, Scope.ADMIN)),
            *sql_api.routes(SqlDoor(self.store, self.tenants), grant, limits),
            *diagnosis.routes(
                self.sources,
                lambda request: authenticator.authenticate(request.headers),
                grant,
                self.diagnosis,
                self.clock,
            ),
            *backups_api.routes(self.backups, admin_grant),
            *disk_api.routes(self._disk_report, admin_grant),
            *native.routes(Explorer(self.store, self.tenants, limits), grant, self.status, self.clock),
            web.build(),
        ]

    def _prometheus_parts(self) -> prometheus_api.Parts:
        settings = self.settings
        limits = QueryLimits(settings.query.deadline_s, settings.query.memory_bytes, MOST_SAMPLES)
        days = settings.retention.days(settings.scrape.tenant, "metrics")
        shares = Shares()
        door = PromqlDoor(self.store, self.tenants, limits, self.memory, shares)
        self._stops.append(("promql", door.close))
        return prometheus_api.Parts(
            door=door,
            index=SeriesIndex(self.store, self.tenants, limits, self.memory, shares),
            scraping=self.scraper,
            scraped_tenant=settings.scrape.tenant,
            clock=self.clock,
            version=__version__,
            retention=f"{days}d" if days else "",
            started_ns=self.clock.now_ns(),
            options=Options(deadline_s=settings.query.deadline_s),
        )

    def _count_look(self, cache: str, found: bool) -> None:
        self.registry.count("gnomon_query_cache_lookups_total", cache=cache, outcome="hit" if found else "miss")

    def _tell_unread(self, error: GnomonError) -> None:
        self.events.tell("samples_unread", error.what)

    def _tell_memory(self, group: Group, stored: bool) -> None:
        if self.memory:
            self.memory.committed(group.tables, group.oldest_samples(), stored=stored)

    def _tell_of_retention(self, name: str, detail: str) -> None:
        self.events.tell(name, detail)
        if name == "partition_dropped":
            self.memory.dropped()

    def _tell_of_store(self, name: str, detail: str) -> None:
        if name == "engine_started" and self.registry.total("gnomon_events_total", event="engine_died"):
            self.registry.count("gnomon_engine_restarts_total")
        self.events.tell(name, detail)

    # -- listeners ----------------------------------------------------------------------------------------------------

    def _check_binds(self, tokens: Tokens) -> None:
        settings = self.settings
        for listen in (settings.listen, settings.otlp.grpc, settings.otlp.http):
            warning = check_bind((listen.host, listen.port), tokens, tls=settings.tls is not None) if listen else None
            if warning:
                self.events.tell("insecure_bind", warning)

    async def _listen_grpc(self, grpc_server: OtlpGrpc) -> None:
        listen = self.settings.otlp.grpc
        if not listen:
            self.parts.append(Part("otlp-grpc", "off", ""))
            return
        self._stops.append(("otlp-grpc", grpc_server.stop))
        port = await grpc_server.start(listen.host, listen.port)
        self._listening("otlp-grpc", (listen.host, port))

    async def _listen_http(self, name: str, listen: Listen, routes: Sequence[BaseRoute]) -> None:
        if not listen:
            self.parts.append(Part(name, "off", ""))
            return
        app: ASGIApp = Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS)
        strangers = Strangers(app, name, self.book)
        guarded = WebGuard(strangers, self.settings.access.web, strangers.refuse)
        server = HttpServer(
            guarded, (listen.host, listen.port), self.settings.tls, self.settings.limits.http, strangers.connection
        )
        self._stops.append((name, server.stop))
        await server.start()
        self._listening(name, server.address)

    def _listening(self, name: str, address: tuple[str, int]) -> None:
        self.addresses[name] = address
        self.parts.append(Part(name, "up", f"{address[0]}:{address[1]}"))
        self.events.tell("listening", f"{name} {address[0]}:{address[1]}")

    async def _start_scraping(self) -> None:
        if self.scraper:
            await self._begin("scrape", self.scraper.start(self.intake, self.intake.seen), self.scraper.stop)
        else:
            self.parts.append(Part("scrape", "off", ""))

    # -- watching -----------------------------------------------------------------------------------------------------

    def not_ready_because(self) -> str:
        """Empty while the server accepts and commits."""
        if self._stopping:
            return "stopping"
        supervisor = self.durable.supervisor
        if supervisor and not supervisor.pid:
            return "the engine is being restarted"
        if reason := self.intake.failing():
            return f"the last commit failed: {reason}"
        if self.settings.own_telemetry_s and not self._stored_own.is_set():
            return "nothing has been committed yet"
        return ""

    async def _watch_readiness(self) -> None:
        """Tell when it ends and when it is back."""
        known = ""
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            reason = self.not_ready_because()
            if reason != known:
                self.events.tell("not_ready" if reason else "ready", reason or "again")
                known = reason

    def status(self) -> Mapping[str, Any]:
        """What `/api/gnomon/v1/status` says."""
        total = partial(self.registry.total, "gnomon_received_records_total")
        reason = self.not_ready_because()
        return {
            "version": __version__,
            "engine": self.durable.supervisor.version if self.durable.supervisor else "",
            "uptime_s": time.monotonic() - self._began,
            "ready": not reason,
            "reason": reason,
            "parts": [{"name": part.name, "state": part.state, "detail": part.detail} for part in self.parts],
            "ingest": {
                "spans": int(total(signal="traces")),
                "logs": int(total(signal="logs")),
                "samples": int(total(signal="metrics")),
                "rejected": int(self.registry.total("gnomon_refused_records_total")),
            },
            "disk": {
                "used_bytes": int(self.registry.total("gnomon_disk_used_bytes")),
                "free_bytes": self._free_bytes(),
            },
        }

    def diagnosis(self) -> Mapping[str, Any]:
        """What `/api/gnomon/v1/diagnosis` says: what only the server itself can know, for `gnomon doctor`."""
        supervisor, settings = self.durable.supervisor, self.settings
        return {
            "pid": os.getpid(),
            "data": str(settings.data.absolute()),
            "now_ns": self.clock.now_ns(),
            "monotonic_s": time.monotonic() - self._began,
            "schema": self.durable.schema_number,
            "tls": settings.tls is not None,
            "listen": {name: f"{host}:{port}" for name, (host, port) in self.addresses.items()},
            "engine": {
                "pid": supervisor.pid if supervisor else 0,
                "restarts": supervisor.restarts if supervisor else 0,
                "memory_bytes": settings.engine.memory_bytes,
            },
            "turned_away": self.book.listed(),
            "warnings": [
                {"at_ns": event.at_ns, "name": event.name, "detail": event.detail} for event in self.events.warnings()
            ],
        }

    async def _disk_report(self) -> DiskReport:
        settings = self.settings
        deployment = Deployment(settings.store.cluster, embedded=not settings.store.url)
        now = datetime.fromtimestamp(self.clock.now_ns() / 1e9, UTC)
        return await read_report(self.store, deployment, settings.disk, self.tenants.names(), now)

    def _free_bytes(self) -> int:
        with contextlib.suppress(OSError):
            return shutil.disk_usage(self.settings.data).free
        return 0

    def _measure(self) -> None:
        self.registry.read("gnomon_query_cache_bytes", lambda: self.memory.results.bytes)
        self.registry.read("gnomon_query_samples_bytes", lambda: self.memory.samples.bytes)
        self.registry.read("gnomon_intake_queued_bytes", lambda: self.intake.queued_bytes)
        self.registry.read("gnomon_disk_free_bytes", self._free_bytes)
        self.registry.read("gnomon_ready", lambda: float(not self.not_ready_because()))

    async def _retain(self) -> None:
        try:
            await self.retention.run_once()
            usage = self.retention.usage
            self.registry.set("gnomon_disk_used_bytes", usage.held_bytes + usage.leaving_bytes)
        except GnomonError as error:
            self.events.tell("retention_failed", error.what)

    async def _judge_sources(self) -> None:
        self.sources.judge(self.clock.now_ns())

    async def _save_sources(self) -> None:
        try:
            await asyncio.to_thread(save, self.sources.dump(), self.settings.data / "sources.json")
        except GnomonError as error:
            self.events.tell("sources_unsaved", error.what)

    async def _store_own(self) -> None:
        now_ns = self.clock.now_ns()
        batches = (
            self._own.metrics(self.registry, now_ns),
            self._own.logs(self.events.take(), now_ns),
            self._own.spans(self.spans.take(), now_ns),
        )
        try:
            for batch in batches:
                await self.intake.submit(batch)
            self._stored_own.set()
        except GnomonError as error:
            self.events.tell("own_telemetry_lost", error.what)

    async def _every(self, period_s: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await work()
            await asyncio.sleep(period_s)


def _grant(authenticator: Authenticator, scope: Scope, request: Any) -> Any:
    grant = authenticator.authenticate(request.headers)
    grant.require(scope)
    return grant


def _may(authenticator: Authenticator, scope: Scope, request: Any) -> bool:
    try:
        _grant(authenticator, scope, request)
    except GnomonError:
        return False
    return True


def _closing(close: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def stop() -> None:
        close()

    return stop
