"""Who calls, and who is called, as attributes."""

from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from gnomon.integrations.grpc.status import text

# Peers change with every connection.
MOST_PEERS = 1024

Pairs = tuple[tuple[str, Any], ...]


@lru_cache(MOST_PEERS)
def client_of(shown: str) -> Pairs:
    """Who called, as attributes; of grpc's `ipv4:10.0.0.7:51234`, `ipv6:[::1]:51234` or `unix:/run/shop.sock`."""
    family, _, address = unquote(shown).partition(":")
    if family not in {"ipv4", "ipv6"}:
        return (("network.peer.address", address or shown),)
    host, port = _host_and_port(address)
    named = (("client.address", host), ("network.peer.address", host))
    return named if port is None else (*named, ("network.peer.port", port))


def server_of(target: Any) -> Pairs:
    """Who is called, as attributes; of a channel's target: `dns:///pricing:50051`, `ipv4:10.0.0.7:50051`."""
    shown = text(target)
    scheme, colon, rest = shown.partition(":")
    address = rest.rpartition("/")[2] if rest.startswith("//") else rest if scheme in {"dns", "ipv4", "ipv6"} else shown
    if scheme == "unix" and colon:
        return (("server.address", rest),)
    host, port = _host_and_port(address)
    return (("server.address", host),) if port is None else (("server.address", host), ("server.port", port))


def _host_and_port(address: str) -> tuple[str, int | None]:
    host, _, port = address.rpartition(":")
    if host and port.isascii() and port.isdigit():
        return host.strip("[]"), int(port)
    return address.strip("[]"), None
