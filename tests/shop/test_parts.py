"""The shop's broker, queue, cache and database, over all that they can be put on; what is not installed is skipped."""

import asyncio
import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.databases import postgres_server, redis_server, started
from tests.ports import free_port

from gnomon_shop import ledger
from gnomon_shop.faults.plan import Fault, Plan
from gnomon_shop.parts import cache, database, queue
from gnomon_shop.parts.broker import Broker
from gnomon_shop.parts.database import Database, NoConnectionError
from gnomon_shop.parts.effects import Effects
from gnomon_shop.parts.queue import Delivery, Transport
from gnomon_shop.parts.queue_broker import BrokerTransport
from gnomon_shop.settings import Settings

IDLE_MS = 300  # of Redis: how soon what a dead consumer held is another's


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """A Redis of our own."""
    with redis_server() as port:
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture(scope="module")
def amqp_url() -> Iterator[str]:
    """A RabbitMQ of our own, one node."""
    program = shutil.which("rabbitmq-server")
    if not program:
        pytest.skip("rabbitmq-server is not installed")
    port, distribution = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="shop-rabbit-") as folder:
        if os.getuid() == 0:  # the Debian package runs as its own user
            os.chown(folder, (user := pwd.getpwnam("rabbitmq")).pw_uid, user.pw_gid)
        log = Path(folder) / "out"
        config = Path(folder) / "rabbitmq.conf"
        config.write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\nvm_memory_high_watermark.absolute = 512MB\n")
        config.chmod(0o644)
        (Path(folder) / "plugins").write_text("[].")
        env = os.environ | {
            "RABBITMQ_NODENAME": f"shop-{port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/logs",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1",
            "ERL_EPMD_PORT": str(free_port()),  # the port mapper that it starts is ours as well, and ends with it
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "HOME": folder,
        }
        with started([program], log, lambda: b"Server startup complete" in log.read_bytes(), env=env) as process:
            yield f"amqp://guest:guest@127.0.0.1:{port}/"
            with suppress(ProcessLookupError):
                os.kill(int((Path(folder) / "pid").read_text()), 15)
            process.wait(30)
        subprocess.run(["epmd", "-kill"], env=env, check=False, capture_output=True)


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL of our own."""
    with postgres_server() as port:
        yield f"postgresql://shop@127.0.0.1:{port}/postgres"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Those of a process of the shop that is not there; its ledger is open."""
    own = Settings(dir=tmp_path, service="checkout", instance="checkout-1")
    ledger.open(own)
    return own


@pytest.fixture
def effects(settings: Settings) -> Effects:
    """No faults."""
    return Effects(settings)


def planted(settings: Settings, kind: str, target: str) -> Effects:
    """One fault, now and at full strength."""
    now = time.time_ns()
    Plan([Fault(kind, target, now - 10**9, now + 60 * 10**9)]).save(settings.dir / "plan.json")
    return Effects(settings)


# The queue.

Transports = Callable[[], Transport]


@asynccontextmanager
async def over_broker() -> AsyncIterator[Transports]:
    """Connections to a broker in this process."""
    server = await Broker().serve("127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield lambda: BrokerTransport(host, port, "orders")
    server.close()


@pytest.fixture(params=["broker", "redis", "rabbitmq"])
async def transports(request: pytest.FixtureRequest) -> AsyncIterator[Transports]:
    """Makes connections to one queue, which is empty; each closed at the end."""
    made: list[Transport] = []
    name = f"orders-{time.monotonic_ns()}"

    def kept(transport: Transport) -> Transport:
        made.append(transport)
        return transport

    if request.param == "broker":
        async with over_broker() as connect:
            yield lambda: kept(connect())
            await asyncio.gather(*(one.close() for one in made))
        return
    if request.param == "redis":
        from gnomon_shop.parts.queue_redis import RedisTransport  # noqa: PLC0415 - only where it is spoken

        url = request.getfixturevalue("redis_url")
        yield lambda: kept(RedisTransport(url, name, f"consumer-{len(made)}", IDLE_MS))
    else:
        from gnomon_shop.parts.queue_rabbitmq import RabbitTransport  # noqa: PLC0415 - likewise

        url = request.getfixturevalue("amqp_url")
        yield lambda: kept(RabbitTransport(url, name))
    await asyncio.gather(*(one.close() for one in made))


async def taken(transport: Transport, number: int = 1, *, ack: bool = True) -> list[Delivery]:
    """So many deliveries, acknowledged; the connection goes on living."""
    found: list[Delivery] = []
    stream = transport.deliveries()
    async with asyncio.timeout(20):
        async for delivery in stream:
            found.append(delivery)
            if ack:
                await transport.ack(delivery)
            if len(found) == number:
                break
    if ack:
        await stream.aclose()  # type: ignore[attr-defined] - they are asynchronous generators
    else:
        found[0].headers["held by"] = "us"
        HELD.append(stream)
    return found


HELD: list[Any] = []  # what a consumer under test holds; let go with the transport


async def test_messages_come_in_order_with_their_headers(transports: Transports) -> None:
    """What is published is delivered whole, in order, and is gone when it is acknowledged."""
    sender, worker = transports(), transports()
    for number in range(3):
        await sender.publish(f"m{number}", {"order": number, "name": "ä"}, {"traceparent": f"00-{number}"})
    found = await taken(worker, 3)
    assert [(one.id, one.body["order"], one.headers["traceparent"]) for one in found] == [
        (f"m{number}", number, f"00-{number}") for number in range(3)
    ]
    assert {one.attempt for one in found} == {1}
    await eventually(sender.depth, 0)


async def test_what_a_dead_consumer_held_goes_to_another(transports: Transports) -> None:
    """A consumer that dies with a message in its hands loses nothing: another gets it, as a second attempt."""
    sender, mortal, heir = transports(), transports(), transports()
    await sender.publish("m", {"order": 1}, {})
    first = (await taken(mortal, ack=False))[0]
    await mortal.close()
    if isinstance(mortal, BrokerTransport):
        first.handle.close()
    second = (await taken(heir))[0]
    assert (second.id, second.body, second.attempt) == ("m", {"order": 1}, 2)
    await eventually(sender.depth, 0)


async def test_what_is_handed_back_comes_again(transports: Transports) -> None:
    """A message that was refused is delivered once more, and says so."""
    sender, worker = transports(), transports()
    await sender.publish("m", {}, {})
    attempts = []
    stream = worker.deliveries()
    async with asyncio.timeout(20):
        async for delivery in stream:
            attempts.append(delivery.attempt)
            if len(attempts) == 3:
                await worker.ack(delivery)
                break
            await worker.nack(delivery, 0.05)
    await stream.aclose()  # type: ignore[attr-defined] - as above
    assert attempts == [1, 2, 3]
    await eventually(sender.depth, 0)


async def test_the_depth_is_what_waits(transports: Transports) -> None:
    """The depth counts messages that nobody has taken yet."""
    sender = transports()
    for number in range(4):
        await sender.publish(str(number), {}, {})
    await eventually(sender.depth, 4)


async def eventually(ask: Callable[[], Awaitable[int]], expected: int) -> None:
    """The answer becomes what is expected: counts of a server lag behind."""
    seen = await ask()
    for _ in range(400):
        if seen == expected:
            return
        await asyncio.sleep(0.05)
        seen = await ask()
    pytest.fail(f"it stays {seen}, expected {expected}")


async def consumed(settings: Settings) -> int:
    """Messages that were worked on, by the ledger."""
    return sum(one.get("kind") == "consumer" for one in ledger.read(settings.dir))


async def test_a_message_fails_until_it_succeeds(settings: Settings, effects: Effects) -> None:
    """A handler's failure brings the message again; sender and consumer stand in the ledger as parent and child."""
    seen: list[dict[str, Any]] = []

    async def handle(body: dict[str, Any]) -> None:
        seen.append(body)
        if len(seen) == 1:
            raise ValueError("not yet")

    async with over_broker() as connect:
        orders = queue.Queue("orders", connect(), effects, "notification")
        with ledger.continued({"x-user": "u-1"}), ledger.operation("POST /checkout", "server"):
            await orders.send({"order": "o-1"})
        working = asyncio.create_task(orders.work(handle))
        await eventually(lambda: consumed(settings), 2)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await orders.close()
    sent = next(one for one in ledger.read(settings.dir) if one["kind"] == "producer")
    lines = [one for one in ledger.read(settings.dir) if one["kind"] == "consumer"]
    assert seen == [{"order": "o-1"}] * 2
    assert [(one["parent"], one["ok"]) for one in lines] == [(sent["op"], False), (sent["op"], True)]


async def test_a_broker_that_comes_back_is_used_again(settings: Settings, effects: Effects) -> None:
    """A sender whose broker was restarted connects anew by itself."""
    broker = await Broker().serve("127.0.0.1", 0)
    host, port = broker.sockets[0].getsockname()
    transport = BrokerTransport(host, port, "orders")
    await transport.publish("1", {}, {})
    broker.close()
    transport._streams[1].close()
    broker = await Broker().serve(host, port)
    await transport.publish("2", {}, {})
    assert [one.id for one in await taken(transport)] == ["2"]
    await transport.close()
    broker.close()


# The cache.


@pytest.fixture(params=["memory", "redis"])
async def kept(request: pytest.FixtureRequest, settings: Settings, effects: Effects) -> AsyncIterator[cache.Cache]:
    """A cache."""
    if request.param == "memory":
        one: cache.Cache = cache.MemoryCache(effects)
    else:
        one = cache.RedisCache(request.getfixturevalue("redis_url"), effects, f"{time.monotonic_ns()}:")
    yield one
    await one.close()


async def test_a_cache_keeps_and_forgets(kept: cache.Cache) -> None:
    """What is put is there until it is dropped or its time is over."""
    assert await kept.get("a") is None
    await kept.put("a", b"\x00bytes", 60)
    await kept.put("b", b"soon gone", 0.05)
    assert await kept.get("a") == b"\x00bytes"
    await asyncio.sleep(0.1)
    assert await kept.get("b") is None
    await kept.drop("a")
    assert await kept.get("a") is None


async def test_a_full_cache_forgets_the_longest_unused(effects: Effects) -> None:
    """Memory is bounded, and what is in use stays."""
    kept = cache.MemoryCache(effects, entries=2)
    await kept.put("old", b"1", 60)
    await kept.put("used", b"2", 60)
    await kept.get("old")
    await kept.put("new", b"3", 60)
    assert [await kept.get(key) for key in ("old", "used", "new")] == [b"1", None, b"3"]


async def test_a_cache_that_is_away_has_nothing(settings: Settings, effects: Effects) -> None:
    """Redis unreachable is a miss, not an error."""
    kept = cache.RedisCache(f"redis://127.0.0.1:{free_port()}/0", effects, "x:")
    await kept.put("a", b"1", 60)
    assert await kept.get("a") is None
    await kept.close()


# The database.

SCHEMA = ("CREATE TABLE IF NOT EXISTS things (id TEXT PRIMARY KEY, cents BIGINT NOT NULL)",)


@asynccontextmanager
async def opened(settings: Settings, effects: Effects) -> AsyncIterator[Database]:
    """A database with its table."""
    one = await Database.open(settings, effects, SCHEMA)
    try:
        yield one
    finally:
        await one.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def stored(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """Settings with either database."""
    if request.param == "sqlite":
        return settings
    url = request.getfixturevalue("postgres_url")
    return Settings(dir=settings.dir, service=settings.service, instance=settings.instance, database_url=url)


async def test_what_is_committed_lasts(stored: Settings, effects: Effects) -> None:
    """A commit is seen by the next connection, what was not committed is undone; each statement is in the ledger."""
    async with opened(stored, effects) as one:
        await one.rows("DELETE things", "DELETE FROM things")  # of an earlier test
        async with one.connection() as connection:
            await connection.run("INSERT things", "INSERT INTO things VALUES (:id, :cents)", id="a", cents=1)
            await connection.commit()
        async with one.connection() as connection:
            await connection.run("INSERT things", "INSERT INTO things VALUES (:id, :cents)", id="b", cents=2)
    async with opened(stored, effects) as one:
        rows = await one.rows("SELECT things", "SELECT * FROM things WHERE id IN :ids", ids=["a", "b"])
    assert [dict(row) for row in rows] == [{"id": "a", "cents": 1}]
    names = [line["name"] for line in ledger.read(stored.dir) if line.get("peer") == "database"]
    assert names == ["DELETE things", "INSERT things", "COMMIT", "INSERT things", "SELECT things"]


async def test_sqlite_is_in_wal_mode(settings: Settings, effects: Effects) -> None:
    """Readers do not wait for the writer."""
    async with opened(settings, effects) as one:
        assert await one.rows("PRAGMA", "PRAGMA journal_mode") == [{"journal_mode": "wal"}]


async def test_an_exhausted_pool_says_so(stored: Settings, effects: Effects, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every connection taken the next one fails in time, and works again when one is given back."""
    monkeypatch.setattr(database, "POOL_TIMEOUT_S", 0.2)
    async with opened(stored, effects) as one:
        held = [one.connection() for _ in range(database.POOL_SIZE)]
        for connection in held:
            await connection.__aenter__()
        with pytest.raises(NoConnectionError):
            await one.rows("SELECT", "SELECT 1 AS one")
        for connection in held:
            await connection.__aexit__(None, None, None)
        assert await one.rows("SELECT", "SELECT 1 AS one") == [{"one": 1}]


async def test_the_planned_exhaustion_holds_the_pool(settings: Settings) -> None:
    """At full strength hardly a connection comes free."""
    async with opened(settings, planted(settings, "pool_exhaustion", "checkout")) as one:

        async def used() -> int:
            return int(one._engine.pool.checkedout())

        await eventually(used, database.POOL_SIZE)


# The ledger.


def test_a_line_cut_short_is_left_out(settings: Settings) -> None:
    """A process killed while it wrote leaves the ledger readable."""
    ledger.fact("visit", user="u-1")
    with next((settings.dir / "ledger").iterdir()).open("ab") as file:
        file.write(b'{"fact": "vis')
    assert [line["fact"] for line in ledger.read(settings.dir)] == ["visit"]


def test_parentage_travels_in_headers(settings: Settings) -> None:
    """What a caller sends makes the next operation its child, in the same request, for the same visitor."""
    with ledger.continued({"x-user": "u-1", "x-session": "s-1"}), ledger.operation("GET /", "client", "gateway"):
        sent = json.loads(json.dumps(ledger.headers()))
    with ledger.continued(sent), ledger.operation("GET /", "server") as served:
        assert ledger.visitor() == ("u-1", "s-1")
    lines = list(ledger.read(settings.dir))
    assert lines[1]["parent"] == lines[0]["op"]
    assert {line["request"] for line in lines} == {lines[0]["op"]}
    assert served.ok


def test_an_exception_makes_an_operation_a_failed_one(settings: Settings) -> None:
    """Who does not say how it ended has it said by the exception."""
    with pytest.raises(KeyError), ledger.operation("settle", "internal"):
        raise KeyError("x")
    assert [(line["ok"], line["status"]) for line in ledger.read(settings.dir)] == [(False, "KeyError")]
