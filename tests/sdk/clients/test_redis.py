"""Redis clients against a real server."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Iterator
from inspect import isawaitable
from typing import Any

import pytest
import redis
import redis.asyncio
from opentelemetry import context as api
from opentelemetry.trace import StatusCode
from tests.databases import redis_server
from tests.ports import free_port
from tests.sdk.clients.seen import Seen
from tests.waiting import until

from gnomon.context import SPAN_KEY, current
from gnomon.integrations import database_client
from gnomon.integrations import redis as ours
from gnomon.integrations.redis import MOST_COMMANDS, Commands

DURATION = "db.client.operation.duration"


@pytest.fixture
def blocking(redis_port: int) -> Iterator[redis.Redis]:
    """A client of the synchronous kind."""
    with redis.Redis(port=redis_port, db=3) as client:
        yield client


@pytest.fixture(params=["blocking", "asyncio"])
async def client(request: pytest.FixtureRequest, redis_port: int) -> AsyncIterator[Any]:
    """A client of either kind, emptied."""
    library = redis if request.param == "blocking" else redis.asyncio
    made = library.Redis(port=redis_port, db=3)
    await done(made.flushall())
    yield made
    closed = getattr(made, "aclose", made.close)()
    await done(closed)


async def done(result: Any) -> Any:
    """The result, of either kind."""
    return await result if isawaitable(result) else result


async def test_a_command_is_a_span_without_its_values(client: Any, seen: Seen, redis_port: int) -> None:
    """Name, attributes and metric are those of the stable database conventions; a value is a `?`."""
    with seen.installed(ours):
        assert await done(client.set("user:alice", "hunter2"))
    assert seen.client.name == "SET"
    assert seen.told() == {
        "db.system.name": "redis",
        "db.operation.name": "SET",
        "db.namespace": "3",
        "db.query.text": "SET ? ?",
        "server.address": "localhost",
        "server.port": redis_port,
    }
    labels = ("db.system.name", "db.operation.name", "error.type")
    assert seen.counts(DURATION, *labels) == {("redis", "SET", None): 1}
    body = seen.exported()
    assert b"hunter2" not in body
    assert b"alice" not in body


async def test_the_span_is_a_child_and_is_over(client: Any, seen: Seen) -> None:
    """Its parent is what was current, and is current again."""
    with seen.installed(ours), seen.tracer.start_as_current_span("work") as work:
        await done(client.get("x"))
        assert current().get(SPAN_KEY) is work
    assert seen.client.parent == work.id


@pytest.mark.parametrize(("transaction", "word"), [(True, "MULTI"), (False, "PIPELINE")])
async def test_a_pipeline_is_one_span(client: Any, seen: Seen, transaction: bool, word: str) -> None:
    """With the number of its commands; what repeats in a row stands there once."""
    with seen.installed(ours):
        pipeline = client.pipeline(transaction=transaction)
        for number in range(3):
            pipeline.set(f"k{number}", "hunter2")
        pipeline.get("k0")
        assert (await done(pipeline.execute()))[-1] == b"hunter2"
        many = client.pipeline(transaction=transaction)
        for _ in range(2):
            many.incr("n")
        await done(many.execute())
        assert await done(client.pipeline().execute()) == []
    mixed, alike = seen.clients
    assert (mixed.name, alike.name) == (word, f"{word} INCRBY")
    assert mixed.attributes["db.query.text"] == "SET ? ?\nGET ?"
    assert mixed.attributes["db.operation.batch.size"] == 4
    assert b"hunter2" not in seen.exported()


async def test_watched_commands_are_sent_at_once(client: Any, seen: Seen) -> None:
    """Within a watching pipeline each command before MULTI is a span; then the transaction is one."""
    with seen.installed(ours):
        pipeline = client.pipeline()
        await done(pipeline.watch("k"))
        await done(pipeline.get("k"))
        pipeline.multi()
        pipeline.set("k", 1)
        await done(pipeline.execute())
    assert [span.name for span in seen.clients][:3] == ["WATCH", "GET", "MULTI SET"]


async def test_errors_are_named_and_their_words_left_out(client: Any, seen: Seen) -> None:
    """The status is Redis's first word; its message, which repeats what was sent, stays here."""
    with seen.installed(ours):
        await done(client.set("k", "v"))
        for command in (("LPUSH", "k", "hunter2"), ("NOSUCH", "hunter2")):
            with pytest.raises(redis.ResponseError):
                await done(client.execute_command(*command))
    wrong, unknown = seen.clients[1:]
    assert wrong.attributes["db.response.status_code"] == "WRONGTYPE"
    assert unknown.attributes["db.response.status_code"] == "ERR"
    assert (unknown.status.status_code, unknown.status.description) == (StatusCode.ERROR, "ResponseError: ERR")
    assert seen.counts(DURATION, "error.type") == {(None,): 1, ("ResponseError",): 2}
    assert b"hunter2" not in seen.exported()


async def test_values_inside_the_commands_own_text(client: Any, seen: Seen) -> None:
    """redis-py splits a command at its spaces: what stands behind the name is values there, too."""
    with seen.installed(ours):
        await done(client.execute_command("SET user hunter2"))
        await done(client.execute_command(b"GET", b"user"))
        await done(client.config_set("timeout", "100"))
        await done(client.execute_command("CONFIG", "GET", "timeout"))
        await done(client.mset({f"k{number}": "hunter2" for number in range(20)}))
    assert [span.attributes["db.query.text"] for span in seen.clients] == [
        "SET ? ?",
        "GET ?",
        "CONFIG SET ? ?",
        "CONFIG GET ?",
        "MSET" + " ?" * 16 + " …",
    ]
    assert b"hunter2" not in seen.exported()


async def test_blocking_commands_and_subscriptions(client: Any, seen: Seen) -> None:
    """A command that waits is a span as long as that; publishing is one, listening none."""
    with seen.installed(ours):
        assert await done(client.blpop("nothing", timeout=1)) is None
        pubsub = client.pubsub()
        await done(pubsub.subscribe("news"))
        await done(pubsub.get_message(timeout=1))
        assert await done(client.publish("news", "hunter2")) == 1
        await done(getattr(pubsub, "aclose", pubsub.close)())
    waited, published = seen.clients
    assert (waited.name, published.name) == ("BLPOP", "PUBLISH")
    assert waited.end_time - waited.start_time > 5e8


@pytest.mark.parametrize("library", [redis, redis.asyncio])
async def test_nobody_there(library: Any, seen: Seen) -> None:
    """A refused connection is an error by its exception's name, without a status of Redis."""
    client = library.Redis(port=free_port())
    with seen.installed(ours), pytest.raises(redis.ConnectionError):
        await done(client.get("k"))
    await done(getattr(client, "aclose", client.close)())
    assert seen.told()["error.type"] == "ConnectionError"
    assert "db.response.status_code" not in seen.told()


async def test_cancellation_is_no_error(redis_port: int, seen: Seen) -> None:
    """The span ends, named so."""
    async with redis.asyncio.Redis(port=redis_port) as client:
        with seen.installed(ours):
            task = asyncio.create_task(client.blpop("nothing", timeout=30))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert seen.told()["error.type"] == "CancelledError"
    assert seen.client.status.status_code is StatusCode.UNSET


def test_suppressed_and_uninstalled(blocking: redis.Redis, seen: Seen) -> None:
    """Neither leaves a trace; what is undone is as it was."""
    before = redis.Redis.execute_command
    with seen.installed(ours):
        token = api.attach(api.set_value("suppress_instrumentation", value=True))
        blocking.get("k")
        blocking.pipeline().get("k").execute()
        api.detach(token)
    assert redis.Redis.execute_command is before
    blocking.get("k")
    assert not seen.spans


@pytest.mark.parametrize("broken", ["_server", "_staged", "suppressed", "Commands.code", "Commands.described"])
def test_our_faults_stay_with_us(
    broken: str, blocking: redis.Redis, seen: Seen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever of ours raises, commands are sent, answered and fail as ever."""

    def raising(*_: Any) -> Any:
        raise RuntimeError("ours")

    monkeypatch.setattr(f"{ours.__name__}.{broken}", raising)
    with seen.installed(ours), caplog.at_level(logging.CRITICAL + 1):
        assert blocking.set("k", "v")
        assert blocking.pipeline().get("k").execute() == [b"v"]
        with pytest.raises(redis.ResponseError):
            blocking.lpush("k", "x")
    assert current().get(SPAN_KEY) is None


def test_what_is_known_is_bounded(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invented commands do not fill the memory."""
    monkeypatch.setattr(database_client, "MOST_KNOWN", 3)
    monkeypatch.setattr(ours, "MOST_SHAPES", 3)
    commands = Commands(seen.telemetry)
    for number in range(10):
        commands.known("", (("h", 1, "0"), f"C{number}"))
        commands._shape((f"C{number}", "x"))
    assert 0 < len(commands._known) <= 3
    assert 0 < len(commands._shapes) <= 3


def test_long_pipelines_and_unix_sockets(seen: Seen, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Of a long pipeline the first commands are shown; a socket's path stands as the address."""
    path = str(tmp_path_factory.mktemp("s") / "redis.sock")
    with redis_server("--unixsocket", path), redis.Redis(unix_socket_path=path) as client, seen.installed(ours):
        pipeline = client.pipeline(transaction=False)
        for name, _ in zip(itertools.cycle(("a", "b")), range(MOST_COMMANDS + 1), strict=False):
            pipeline.get(name)
        pipeline.execute()
    assert seen.told()["db.query.text"] == "GET ?\n…"
    assert seen.told()["db.operation.batch.size"] == MOST_COMMANDS + 1
    assert seen.told()["server.address"] == path
    assert "server.port" not in seen.told()


@pytest.mark.parametrize("library", [redis.cluster, redis.asyncio.cluster])
async def test_a_clusters_commands(library: Any, seen: Seen) -> None:
    """A cluster's client chooses the node itself; its commands and pipelines are spans all the same."""
    with redis_server("--cluster-enabled", "yes", "--cluster-port", str(free_port())) as port:
        with redis.Redis(port=port) as node:
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            until(lambda: node.cluster("INFO")["cluster_state"] == "ok")
        client = library.RedisCluster(host="127.0.0.1", port=port)
        with seen.installed(ours):
            assert await done(client.set("k", "hunter2"))
            pipeline = client.pipeline()
            pipeline.get("k")
            pipeline.get("k")
            assert await done(pipeline.execute()) == [b"hunter2", b"hunter2"]
        await done(getattr(client, "aclose", client.close)())
    names = [span.name for span in seen.clients]
    assert "SET" in names
    assert "PIPELINE GET" in names
    assert b"hunter2" not in seen.exported()


def test_without_metrics_there_are_spans(blocking: redis.Redis) -> None:
    """Metrics switched off: nothing is registered."""
    seen = Seen(metrics=False)
    with seen.installed(ours):
        blocking.get("k")
    assert seen.client.name == "GET"
    assert not seen.registry.collect()
