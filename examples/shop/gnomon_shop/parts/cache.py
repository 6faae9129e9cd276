"""A cache: in this process's memory, or Redis by URL. A cache that is away is a cache that has nothing."""

import logging
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Protocol
from urllib.parse import urlsplit

from opentelemetry import metrics, trace
from opentelemetry.trace import SpanKind

from gnomon_shop import ledger
from gnomon_shop.parts.effects import Effects
from gnomon_shop.settings import Settings

MEMORY_ENTRIES = 10_000
REDIS_TIMEOUT_S = 1.0

log = logging.getLogger("shop.cache")
tracer = trace.get_tracer("shop.cache")
lookups = metrics.get_meter("shop.cache").create_counter("shop.cache.lookups", "{lookup}", "Looked up, by result")


class Cache(Protocol):
    """Bytes by key, each for a time."""

    async def get(self, key: str) -> bytes | None:
        """What was put there, unless its time is over."""

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keep it for a time."""

    async def drop(self, key: str) -> None:
        """Forget it; nothing happens when it is not there."""

    async def close(self) -> None:
        """Close the connections."""


class MemoryCache:
    """Of one process; the longest unused go when it is full. Nothing goes over a wire: no span, no operation."""

    def __init__(self, effects: Effects, entries: int = MEMORY_ENTRIES) -> None:
        self._effects, self._entries = effects, entries
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        """See `Cache`."""
        await self._effects.dependency()
        until, value = self._kept.get(key, (0.0, None))
        if value is not None and until <= monotonic():
            del self._kept[key]
            value = None
        if value is not None:
            self._kept.move_to_end(key)
        lookups.add(1, {"result": "miss" if value is None else "hit"})
        return value

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """See `Cache`."""
        self._kept[key] = (monotonic() + ttl_s, value)
        self._kept.move_to_end(key)
        if len(self._kept) > self._entries:
            self._kept.popitem(last=False)

    async def drop(self, key: str) -> None:
        """See `Cache`."""
        self._kept.pop(key, None)

    async def close(self) -> None:
        """Nothing is open."""


class RedisCache:
    """Redis, with a short deadline: an error is logged and counts as a miss."""

    def __init__(self, url: str, effects: Effects, prefix: str) -> None:
        from redis.asyncio import Redis  # noqa: PLC0415 - a third of a second that runs without Redis need not spend

        self._effects, self._prefix = effects, prefix
        self._redis = Redis.from_url(url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S)
        where = urlsplit(url)
        self._server = {"server.address": where.hostname or "localhost", "server.port": where.port or 6379}

    async def get(self, key: str) -> bytes | None:
        """See `Cache`."""
        value = await self._asked("GET", self._prefix + key)
        lookups.add(1, {"result": "miss" if value is None else "hit"})
        return value

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """See `Cache`."""
        await self._asked("SET", self._prefix + key, value, "PX", int(ttl_s * 1000))

    async def drop(self, key: str) -> None:
        """See `Cache`."""
        await self._asked("DEL", self._prefix + key)

    async def close(self) -> None:
        """See `Cache`."""
        await self._redis.aclose()

    async def _asked(self, command: str, *arguments: Any) -> Any:
        from redis.exceptions import RedisError  # noqa: PLC0415 - as above

        try:
            with self._spanned(command):
                await self._effects.dependency()
                return await self._redis.execute_command(command, *arguments)
        except (RedisError, OSError) as error:
            log.warning("cache %s failed, going on without: %s", command, error)
            return None

    @contextmanager
    def _spanned(self, command: str) -> Iterator[None]:
        described = {"db.system.name": "redis", "db.operation.name": command, **self._server}
        with (
            ledger.operation(command, "client", "cache") as operation,
            tracer.start_as_current_span(command, kind=SpanKind.CLIENT, attributes=described),
        ):
            operation.spanned()
            yield


def connect(settings: Settings, effects: Effects) -> Cache:
    """The cache that the settings name."""
    if settings.redis_url:
        return RedisCache(settings.redis_url, effects, f"{settings.service}:")
    return MemoryCache(effects)
