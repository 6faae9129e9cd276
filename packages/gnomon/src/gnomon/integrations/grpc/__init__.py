"""gRPC: servers and clients, blocking and asyncio, all four kinds of calls.

`install` follows every channel and server made from then on, whoever imported `grpc.server` or `grpc.insecure_channel`
before, for it changes what those make; and of earlier servers what is registered from then on. Whoever wants to say
where calls are followed takes the interceptors instead.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc import _channel as grpc_channel
from grpc import _server as grpc_server
from grpc.aio import _channel as grpc_aio_channel
from grpc.aio import _server as grpc_aio_server
from opentelemetry.trace import SpanKind

from gnomon.context import current
from gnomon.integrations.grpc import aio_client, client
from gnomon.integrations.grpc.addresses import Pairs, server_of
from gnomon.integrations.grpc.aio_server import AioServerInterceptor
from gnomon.integrations.grpc.aio_server import wrapped as aio_wrapped
from gnomon.integrations.grpc.calls import Side, mistake, suppressed
from gnomon.integrations.grpc.registration import Earlier
from gnomon.integrations.grpc.server import Handlers, ServerInterceptor, wrapped
from gnomon.integrations.telemetry import Telemetry

Undo = Callable[[], None]


def install(telemetry: Telemetry) -> Undo:
    """Follow the calls of all servers and channels made from now on; returns what undoes it.

    Options: `excluded_services`, full names of services that are counted, but make no spans (health and reflection).
    After the undoing, what was made in between is followed no longer either.
    """
    serving, calling = Side(telemetry, SpanKind.SERVER), Side(telemetry, SpanKind.CLIENT)
    blocking = Earlier(functools.partial(Handlers, serving, wrapped))
    aio = Earlier(functools.partial(Handlers, serving, aio_wrapped))
    undo = [
        _replace(grpc_server, "create_server", functools.partial(_serve, 2, ServerInterceptor, serving, blocking)),
        _replace(grpc_aio_server.Server, "__init__", functools.partial(_serve, 3, AioServerInterceptor, serving, aio)),
    ]
    for server, earlier in ((grpc_server._Server, blocking), (grpc_aio_server.Server, aio)):  # noqa: SLF001 - there is no other name for it
        undo.append(_replace(server, "add_generic_rpc_handlers", earlier.generic))
        if hasattr(server, "add_registered_method_handlers"):  # since grpcio 1.65
            undo.append(_replace(server, "add_registered_method_handlers", earlier.registered))
    for channel, callables in (
        (grpc_channel.Channel, client.CALLABLES),
        (grpc_aio_channel.Channel, aio_client.CALLABLES),
    ):
        undo += [_replace(channel, kind, functools.partial(_follow, wrap, calling)) for kind, wrap in callables.items()]

    def undone() -> None:
        serving.live = calling.live = False
        for restore in reversed(undo):
            restore()

    return undone


def server_interceptor(telemetry: Telemetry) -> grpc.ServerInterceptor:
    """For `grpc.server(..., interceptors=[...])`."""
    return ServerInterceptor(Side(telemetry, SpanKind.SERVER))


def aio_server_interceptor(telemetry: Telemetry) -> grpc.aio.ServerInterceptor:
    """For `grpc.aio.server(interceptors=[...])`."""
    return AioServerInterceptor(Side(telemetry, SpanKind.SERVER))


def client_interceptors(telemetry: Telemetry) -> Sequence[Any]:
    """For `grpc.intercept_channel(channel, *...)`."""
    return (client.ClientInterceptor(Side(telemetry, SpanKind.CLIENT)),)


def aio_client_interceptors(telemetry: Telemetry) -> Sequence[Any]:
    """For `grpc.aio.insecure_channel(..., interceptors=...)`: one for each kind of call."""
    side = Side(telemetry, SpanKind.CLIENT)
    return tuple(kind(side) for kind in aio_client.INTERCEPTORS)


def _replace(owner: Any, name: str, replacement: Callable[..., Any]) -> Undo:
    """Put a function in the place of another, which it is given first."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def replaced(*args: Any, **named: Any) -> Any:
        return replacement(original, *args, **named)

    setattr(owner, name, replaced)

    def restore() -> None:
        if getattr(owner, name) is replaced:  # else someone has wrapped it again, and calls us to the end
            setattr(owner, name, original)

    return restore


def _serve(
    position: int, kind: Any, side: Side, earlier: Earlier, original: Callable[..., Any], *args: Any, **named: Any
) -> Any:
    """Make a server with our interceptor before all others, unless it is among them."""
    given = list((args[position] if len(args) > position else named.get("interceptors")) or ())
    if not any(isinstance(one, kind) for one in given):
        interceptors = (kind(side), *given)
        if len(args) > position:
            args = (*args[:position], interceptors, *args[position + 1 :])
        else:
            named["interceptors"] = interceptors
    made = original(*args, **named)
    earlier.ours(args[0] if made is None else made)  # of a constructor, the first argument is what was made
    return made


def _follow(
    wrap: Any, side: Side, original: Callable[..., Any], channel: Any, method: Any, *args: Any, **named: Any
) -> Any:
    """Make a callable of a channel, wrapped; not one of an exporter."""
    made = original(channel, method, *args, **named)
    try:
        if not side.live or suppressed(current()):
            return made
        return wrap(made, side.method(method), _target_server(channel))
    except Exception as error:  # noqa: BLE001 - the host's call goes on, whatever we did wrong
        mistake("a gRPC channel could not be followed", error)
        return made


def _target_server(channel: Any) -> Pairs:
    target = channel._channel.target  # noqa: SLF001 - a channel tells it to nobody else
    return server_of(target() if callable(target) else target)
