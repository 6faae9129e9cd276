"""Redis clients, synchronous and asyncio, of one server or of a cluster: one span a command, one a pipeline.

What stands in a span is the command's name and a `?` for each argument. Publishing is a command; subscriptions are
left alone, and so is what a client says to its server on its own account (`HELLO`, `AUTH`, pings of the pool).
https://opentelemetry.io/docs/specs/semconv/database/redis/
"""

import functools
import inspect
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.client
import redis.asyncio.cluster
import redis.client
import redis.cluster

from gnomon.context import current, suppressed
from gnomon.integrations.database_client import Client, Operation, Operations, server_labels
from gnomon.integrations.telemetry import Telemetry

log = logging.getLogger("gnomon.integrations")

MOST_SHAPES = 1024
LONGEST_WORD = 32
# Of one command's arguments, and of one pipeline's commands; beyond these stands "…".
MOST_ARGUMENTS, MOST_COMMANDS = 16, 32
OTHER = "_OTHER"
# Whose second word belongs to their name.
CONTAINERS = frozenset({
    "ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "FUNCTION", "HIMPORT", "LATENCY", "MEMORY", "MODULE",
    "OBJECT", "PUBSUB", "SCRIPT", "SENTINEL", "SLOWLOG", "XGROUP", "XINFO",
})  # fmt: skip
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._|-]{0,31}")
_CODE = re.compile(r"[A-Z][A-Z0-9]{2,31}(?= )")

COMMANDS = (
    (redis.client.Redis, "execute_command"),
    (redis.client.Pipeline, "immediate_execute_command"),
    (redis.asyncio.client.Redis, "execute_command"),
    (redis.asyncio.client.Pipeline, "immediate_execute_command"),
    (redis.cluster.RedisCluster, "execute_command"),
    (redis.asyncio.cluster.RedisCluster, "execute_command"),
)
PIPELINES = (
    (redis.client.Pipeline, "execute"),
    (redis.asyncio.client.Pipeline, "execute"),
    (redis.cluster.ClusterPipeline, "execute"),
    (redis.asyncio.cluster.ClusterPipeline, "execute"),
)

Server = tuple[str, int | None, str]
"""Host or path of the socket, port, number of the database."""
Sent = tuple[Server, str]
"""Whom to, and the operation's name."""


def install(telemetry: Telemetry) -> Callable[[], None]:
    """Follow every command of every client, those that exist among them."""
    commands = Commands(telemetry)
    before = [(owner, name, owner.__dict__[name]) for owner, name in (*COMMANDS, *PIPELINES) if name in owner.__dict__]
    for owner, name, original in before:
        begin = commands.pipeline if (owner, name) in PIPELINES else commands.command
        setattr(owner, name, _followed(original, begin))

    def undo() -> None:
        for owner, name, original in before:
            setattr(owner, name, original)

    return undo


def _followed(original: Any, begin: Callable[[Any, tuple[Any, ...]], Operation[Sent] | None]) -> Any:
    """The method, with a span around it."""
    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def followed_async(self: Any, *args: Any, **options: Any) -> Any:
            operation = begin(self, args)
            if operation is None:
                return await original(self, *args, **options)
            try:
                result = await original(self, *args, **options)
            except BaseException as error:
                operation.end(error)
                raise
            operation.end(None)
            return result

        return followed_async

    @functools.wraps(original)
    def followed(self: Any, *args: Any, **options: Any) -> Any:
        operation = begin(self, args)
        if operation is None:
            return original(self, *args, **options)
        try:
            result = original(self, *args, **options)
        except BaseException as error:
            operation.end(error)
            raise
        operation.end(None)
        return result

    return followed


class Commands(Operations[Sent]):
    """The commands and pipelines of all clients."""

    def __init__(self, telemetry: Telemetry) -> None:
        super().__init__(Client(telemetry, "gnomon.integrations.redis"))
        self._shapes: dict[tuple[str, str, int], tuple[str, str]] = {}

    def command(self, client: Any, args: tuple[Any, ...]) -> Operation[Sent] | None:
        """A command that is sent now; None where it shall leave no trace."""
        try:
            context = current()
            if suppressed(context) or not args:
                return None
            name, text = self._shape(args)
            return Operation(self, context, text, (_server(client), name), 0)
        except Exception:
            log.exception("A Redis command could not be followed")
            return None

    def pipeline(self, client: Any, _: tuple[Any, ...]) -> Operation[Sent] | None:
        """A pipeline that is sent now; None where it shall leave no trace, or is empty."""
        try:
            context = current()
            commands = _staged(client)
            if not commands or suppressed(context):
                return None
            shapes = [self._shape(command) for command in commands[:MOST_COMMANDS]]
            word = "MULTI" if _transaction(client) else "PIPELINE"
            names = {name for name, _ in shapes}
            # One name for all, if it is the same; the conventions write the batch's kind before it.
            name = f"{word} {names.pop()}" if len(names) == 1 and len(commands) <= MOST_COMMANDS else word
            text = "\n".join(text for text, _ in groupby(text for _, text in shapes))
            if len(commands) > MOST_COMMANDS:
                text += "\n…"
            return Operation(self, context, text, (_server(client), name), len(commands))
        except Exception:
            log.exception("A Redis pipeline could not be followed")
            return None

    def described(self, text: str, how: Sent) -> tuple[str, dict[str, Any], Mapping[str, Any]]:
        """The command's name is the span's."""
        (address, port, number), name = how
        labels = {**server_labels("redis", number, address, port), "db.operation.name": name}
        return name, labels, {"db.query.text": text}

    def code(self, error: BaseException) -> str:
        """The first word of what Redis answered: `WRONGTYPE`; empty when it was not Redis that failed."""
        if not isinstance(error, redis.ResponseError):
            return ""
        found = _CODE.match(str(error))
        return found[0] if found else "ERR"

    def _shape(self, args: Sequence[Any]) -> tuple[str, str]:
        """Name and text of a command: `("CONFIG SET", "CONFIG SET ? ?")`."""
        first, number = args[0], len(args)
        # The second word is looked at only where it may be part of the name: nothing else of the arguments is kept.
        second = args[1] if number > 1 and _short(first) and first in CONTAINERS else ""
        if not _short(first) or not _short(second):
            return _shape(first, second, number)
        shape = self._shapes.get((first, second, number))
        if shape is None:
            if len(self._shapes) >= MOST_SHAPES:
                self._shapes.clear()
            shape = self._shapes[first, second, number] = _shape(first, second, number)
        return shape


def _shape(first: Any, second: Any, number: int) -> tuple[str, str]:
    # redis-py splits the first argument at its spaces, so all of a command may stand in it, values too.
    words = _text(first).split()
    name = words[0].upper() if words and _NAME.fullmatch(words[0]) else OTHER
    arguments = number - 1 + len(words[1:])
    part = words[1] if len(words) > 1 else _text(second)
    if name in CONTAINERS and _NAME.fullmatch(part):
        name, arguments = f"{name} {part.upper()}", arguments - 1
    places = " ?" * min(arguments, MOST_ARGUMENTS) + (" …" if arguments > MOST_ARGUMENTS else "")
    return name, name + places


def _short(word: Any) -> bool:
    """Whether it may be remembered."""
    return word.__class__ is str and len(word) <= LONGEST_WORD


def _text(word: Any) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else word if isinstance(word, str) else ""


def _staged(client: Any) -> list[Sequence[Any]]:
    """The commands of a pipeline: tuples with their options, or objects of a cluster's."""
    strategy = getattr(client, "_execution_strategy", None)
    staged = client.command_stack if strategy is None else strategy._command_queue  # noqa: SLF001 - there is no public door
    return [command[0] if isinstance(command, tuple) else command.args for command in staged]


def _transaction(client: Any) -> bool:
    """Whether a pipeline is sent between MULTI and EXEC; `transaction` is a method where it is not the answer."""
    return True in (getattr(client, name, None) for name in ("transaction", "is_transaction", "explicit_transaction"))


def _server(client: Any) -> Server:
    """Whom a client speaks to; a cluster's chooses a node later on, and is known by none."""
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        return "", None, ""
    settings = pool.connection_kwargs
    if path := settings.get("path"):
        return path, None, str(settings.get("db") or 0)
    return settings.get("host") or "localhost", settings.get("port") or 6379, str(settings.get("db") or 0)
