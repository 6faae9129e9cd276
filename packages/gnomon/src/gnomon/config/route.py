"""One signal's way out, resolved: what its exporter is built from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from gnomon.config.export import ExportSettings, Protocol

Signal = Literal["traces", "metrics", "logs"]


@dataclass(frozen=True, slots=True)
class Route:
    """Everything about where and how one signal is sent; times in seconds."""

    signal: Signal
    protocol: Protocol
    url: str
    """With scheme; over HTTP with the signal's path."""
    headers: Mapping[str, str] = field(repr=False)
    """In the clear, names in lower case."""
    gzip: bool
    timeout_s: float
    certificate: str | None
    client_certificate: str | None
    client_key: str | None
    queue_size: int
    batch_size: int
    schedule_s: float
    retry_max_elapsed_s: float


def route(export: ExportSettings, signal: Signal) -> Route:
    """A signal's own settings go before those of all, whatever the source of either."""
    own = getattr(export, signal)

    def one(name: str) -> Any:
        value = getattr(own, name)
        return getattr(export, name) if value is None else value

    protocol = one("protocol")
    address = _with_scheme(one("endpoint") or _usual(protocol), insecure=one("insecure"))
    if own.endpoint is None and protocol == "http/protobuf":  # the standard: only the shared address is a base
        address = f"{address.rstrip('/')}/v1/{signal}"
    return Route(
        signal=signal, protocol=protocol, url=address,
        headers={name: value.get_secret_value() for name, value in {**export.headers, **own.headers}.items()},
        gzip=one("compression") == "gzip" or (one("compression") == "auto" and not _is_loopback(address)),
        timeout_s=one("timeout_s"), certificate=one("certificate"),
        client_certificate=one("client_certificate"), client_key=one("client_key"),
        queue_size=one("queue_size"), batch_size=one("batch_size"), schedule_s=one("schedule_s"),
        retry_max_elapsed_s=one("retry_max_elapsed_s"),
    )  # fmt: skip


def _usual(protocol: Protocol) -> str:
    return "http://localhost:4317" if protocol == "grpc" else "http://localhost:4318"


def _with_scheme(address: str, *, insecure: bool) -> str:
    return address if "://" in address else f"{'http' if insecure else 'https'}://{address}"


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
