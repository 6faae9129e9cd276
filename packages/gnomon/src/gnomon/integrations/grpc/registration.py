"""Servers that were made before us: their handlers are wrapped when they are registered.

`TracedGRPCService` starts the SDK where a service is made, and by then its server often is there. Of such a server no
interceptor of ours hears, so calls of methods that nobody serves go unseen.
"""

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import grpc

from gnomon.integrations.grpc.server import Handlers


class Earlier:
    """Servers of one library that we have no interceptor in.

    Args:
        make: gives the wrapped handlers of a server.
    """

    def __init__(self, make: Callable[[], Handlers]) -> None:
        self._make = make
        self._ours: weakref.WeakSet[Any] = weakref.WeakSet()

    def ours(self, server: Any) -> None:
        """Leave this one: it has our interceptor."""
        self._ours.add(server)

    def generic(self, original: Callable[..., Any], server: Any, handlers: Iterable[Any]) -> Any:
        """In the place of `add_generic_rpc_handlers`."""
        if server in self._ours:
            return original(server, handlers)
        known = self._make()
        return original(server, tuple(Followed(handler, known) for handler in handlers))

    def registered(self, original: Callable[..., Any], server: Any, service: str, handlers: Mapping[str, Any]) -> Any:
        """In the place of `add_registered_method_handlers`."""
        if server in self._ours:
            return original(server, service, handlers)
        known = self._make()
        wrapped = {name: known.wrapped(handler, f"/{service}/{name}") for name, handler in handlers.items()}
        return original(server, service, wrapped)


class Followed(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """A generic handler whose methods are followed."""

    def __init__(self, handler: Any, known: Handlers) -> None:
        self._handler, self._known = handler, known

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)

    def service(self, handler_call_details: Any) -> Any:
        """The method's handler, wrapped; None where another one may have it."""
        handler = self._handler.service(handler_call_details)
        return None if handler is None else self._known.wrapped(handler, handler_call_details.method)
