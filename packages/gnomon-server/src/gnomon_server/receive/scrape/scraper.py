"""All jobs and their targets: discovered again and again, a loop for each, batches handed to intake."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from gnomon_server.decode.otlp.context import Seen
from gnomon_server.errors import GnomonError, InvalidInput
from gnomon_server.model.batch import Batch
from gnomon_server.model.relabel import Relabeller
from gnomon_server.receive.edge import Sink, count_stored
from gnomon_server.receive.scrape.client import TargetClient
from gnomon_server.receive.scrape.digest import TargetDigest
from gnomon_server.receive.scrape.discovery import Discovery, Labels
from gnomon_server.receive.scrape.loop import Loop, Surroundings
from gnomon_server.receive.scrape.settings import ScrapeConfig, ScrapeSettings
from gnomon_server.receive.scrape.targets import DroppedTarget, Target, make_target
from gnomon_server.selfmon.clock import Clock
from gnomon_server.selfmon.registry import Registry

_LOOK_EVERY_S = 2.0  # one stat a file; Prometheus is told by inotify, which network file systems do not have
_THREADS = 4  # so that the first scrape of a huge target, 10 us a series, does not hold up the others
_IDLE_S = 120.0  # a connection is kept for the next scrape: longer than the usual interval of a minute
_LABELS = {"signal": "metrics", "protocol": "scrape"}


@dataclass(slots=True)
class _Job:
    config: ScrapeConfig
    discovery: Discovery
    client: TargetClient
    relabeller: Relabeller
    found: list[Labels] | None = None
    loops: dict[Any, Loop] = field(default_factory=dict)
    ending: dict[Any, tuple[Loop, asyncio.Task[None]]] = field(default_factory=dict)
    dropped: list[DroppedTarget] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Scraper:
    """Scrapes every target of every job. GnomonError on creation when the jobs' files have mistakes."""

    def __init__(self, settings: ScrapeSettings, clock: Clock, registry: Registry, future_ns: int) -> None:
        self._settings = settings
        self._configs = settings.jobs()
        self._sink: Sink
        self._seen: Seen
        self._registry = registry
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="scrape-decode")
        self._around = Surroundings(
            clock,
            self._pool,
            asyncio.Semaphore(settings.concurrency),
            self._store_soon,
            lambda count: registry.count("gnomon_received_bytes_total", count, **_LABELS),
            future_ns,
        )
        self._jobs: list[_Job] = []
        self._storing: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._watch: asyncio.Task[None] | None = None

    def __bool__(self) -> bool:
        return bool(self._configs)

    def targets(self) -> list[Target]:
        """The active targets, by job and address."""
        found = [loop.digest.target for job in self._jobs for loop in job.loops.values()]
        return sorted(found, key=lambda target: (target.job, target.url))

    def dropped(self) -> list[DroppedTarget]:
        """The targets that relabelling dropped."""
        return [target for job in self._jobs for target in job.dropped]

    def problems(self) -> list[str]:
        """What is wrong with the discovery of targets, in words."""
        return [
            words
            for job in self._jobs
            for words in (*(f"{path}: {why}" for path, why in job.discovery.problems.items()), *job.problems)
        ]

    async def start(self, sink: Sink, seen: Seen) -> None:
        """Find the targets and begin. InvalidInput when a job's certificates cannot be used."""
        self._sink, self._seen = sink, seen
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
        )
        for config in self._configs:
            client, rules = TargetClient(self._session, config), Relabeller(config.relabel_configs)
            self._jobs.append(_Job(config, Discovery(config), client, rules))
        await self._look()
        self._watch = asyncio.create_task(self._look_again(), name="scrape-discovery")

    async def stop(self) -> None:
        """Also after a failed `start`. Stop asking, wait until what was scraped is stored, close."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        endings = [task for job in self._jobs for _, task in job.ending.values()]
        for task in endings:
            task.cancel()
        loops = [loop for job in self._jobs for loop in job.loops.values()]
        await asyncio.gather(*endings, *(loop.stop() for loop in loops), return_exceptions=True)
        await asyncio.gather(*self._storing, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # -- targets ------------------------------------------------------------------------------------------------------

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await self._look()

    async def _look(self) -> None:
        for job in self._jobs:
            found = await asyncio.to_thread(job.discovery.read)
            if found != job.found:
                job.found = found
                self._follow(job, found)

    def _follow(self, job: _Job, found: Iterable[Labels]) -> None:
        """Start what is new, end what is gone, leave what stays."""
        targets: dict[Any, Target] = {}
        job.dropped, job.problems = [], []
        for labels in found:
            try:
                made = make_target(job.config, job.relabeller, labels)
            except InvalidInput as error:
                job.problems.append(str(error))
                continue
            if isinstance(made, DroppedTarget):
                job.dropped.append(made)
            else:
                targets.setdefault(made.key, made)
        for key in [key for key in job.loops if key not in targets]:
            self._end(job, key)
        for key, target in targets.items():
            if key not in job.loops:
                self._begin(job, key, target)
        limit = job.config.target_limit
        over = bool(limit) and len(targets) > limit
        for loop in job.loops.values():
            loop.forced_error = f"{len(targets)} targets, target_limit is {limit}" if over else ""

    def _begin(self, job: _Job, key: Any, target: Target) -> None:
        if key in job.ending:  # it is back: its series go on
            loop, task = job.ending.pop(key)
            task.cancel()
            digest = loop.digest
        else:
            digest = TargetDigest(target, job.config, self._settings.tenant, self._seen)
        job.loops[key] = Loop(digest, job.client, self._around)
        job.loops[key].start()

    def _end(self, job: _Job, key: Any) -> None:
        loop = job.loops.pop(key)
        task = asyncio.create_task(loop.end(), name=f"end of {loop.digest.target.url}")
        job.ending[key] = loop, task
        task.add_done_callback(lambda done: job.ending.pop(key, None) if job.ending.get(key) == (loop, done) else None)

    # -- storing ------------------------------------------------------------------------------------------------------

    def _store_soon(self, batch: Batch, stored: Callable[[], None]) -> None:
        """Without waiting: a store that is slow, or away for a moment, must not hold up the next scrape.

        What waits is bounded by intake's queue, which refuses what goes beyond it.
        """
        task = asyncio.create_task(self._store(batch, stored))
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def _store(self, batch: Batch, stored: Callable[[], None]) -> None:
        try:
            await self._sink.submit(batch)
        except GnomonError as error:
            self._registry.count("gnomon_refused_requests_total", signal="metrics", reason=error.code)
            return
        stored()
        count_stored(self._registry, batch, **_LABELS)
