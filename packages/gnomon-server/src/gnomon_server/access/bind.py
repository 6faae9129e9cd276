"""Where a server may listen: open on loopback, tokens anywhere else."""

import ipaddress

from gnomon_server.access.tokens import Tokens
from gnomon_server.errors import Forbidden


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or address, brackets allowed) can only be reached from this machine."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def check_bind(listen: tuple[str, int], tokens: Tokens, *, tls: bool) -> str | None:
    """Whether this server may listen there; a warning in words when tokens would travel in the clear.

    Raises:
        Forbidden: `bind_needs_token`.
    """
    host, port = listen
    if is_loopback(host):
        return None
    where = f"{host or '*'}:{port}"
    if not tokens:
        raise Forbidden(
            "bind_needs_token",
            f"{where} can be reached from other machines, and no token is configured",
            where=where,
            hint="configure access.tokens, or listen on 127.0.0.1",
        )
    return (
        None if tls else f"{where} has no TLS: tokens and telemetry can be read on the way (set tls.cert and tls.key)"
    )
