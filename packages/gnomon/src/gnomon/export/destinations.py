"""From settings to the way out: an outlet for each signal, and a pump for each host that they go to."""

import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnomon.errors import ExportError
from gnomon.export.http import Address, HttpSender
from gnomon.export.outlet import Batch, Outlet, Signal
from gnomon.export.pump import Pump
from gnomon.export.sender import Answer, Sender, Verdict
from gnomon.export.spool import Spool
from gnomon.process.clock import SYSTEM, Clock

if TYPE_CHECKING:
    from gnomon.config.export import ExportSettings

log = logging.getLogger("gnomon.export")
HTTP_PORT, GRPC_PORT = 4318, 4317

Handed = Callable[[Signal, bytes], object]
"""Someone else who is given what was delivered: exporters of third parties."""


@dataclass(frozen=True, slots=True)
class Destination:
    """What makes two signals go the same way."""

    protocol: str
    host: str
    port: int
    secure: bool
    headers: tuple[tuple[str, str], ...]
    compress: bool
    files: tuple[str | None, str | None, str | None]


class Nowhere:
    """Takes everything: for protocol `none`, where third parties' exporters and the console are all there is."""

    def send(self, signal: Signal, body: bytes, timeout_s: float) -> Answer:  # noqa: ARG002 - a sender's signature
        """Taken."""
        return Answer(Verdict.TAKEN)

    def close(self) -> None:
        """Nothing is open."""

    def abandon(self) -> None:
        """Nothing is shared."""


class Also:
    """A sender, and others who are handed a copy of each delivered request. What they make of it changes nothing."""

    def __init__(self, sender: Sender, handed: Handed) -> None:
        self._sender, self._handed = sender, handed

    def send(self, signal: Signal, body: bytes, timeout_s: float) -> Answer:
        """As the sender's."""
        answer = self._sender.send(signal, body, timeout_s)
        if answer.verdict is Verdict.TAKEN:
            self._handed(signal, body)
        return answer

    def close(self) -> None:
        """As the sender's."""
        self._sender.close()

    def abandon(self) -> None:
        """As the sender's."""
        self._sender.abandon()


def pumps(
    settings: "ExportSettings",
    outlets: Mapping[Signal, Outlet],
    encode: Callable[[Outlet, Batch], bytes],
    handed: Handed,
    clock: Clock = SYSTEM,
) -> list[Pump]:
    """One pump for each destination, in the order of the signals.

    Raises:
        ExportError: an address, certificate or library is wrong or missing.
    """
    ways: dict[Destination, dict[Signal, Address]] = {}
    for signal in outlets:
        destination, address = _destination(settings, signal)
        ways.setdefault(destination, {})[signal] = address
    made = []
    for destination, addresses in ways.items():
        owns = [_own(settings, signal) for signal in addresses]
        made.append(
            Pump(
                [outlets[signal] for signal in addresses],
                encode,
                Also(_sender(destination, addresses), handed),
                schedule_s=min(own["schedule_s"] for own in owns),
                timeout_s=min(own["timeout_s"] for own in owns),
                retry_s=max(own["retry_max_elapsed_s"] for own in owns),
                clock=clock,
                spool=Spool(Path(settings.spool_dir), settings.spool_bytes) if settings.spool_dir else None,
            )
        )
    return made


def _own(settings: "ExportSettings", signal: Signal) -> dict[str, Any]:
    """A signal's settings: its own, and where it has none, those of all."""
    own = getattr(settings, signal.value)
    found = {name: getattr(own, name) for name in type(own).model_fields}
    return {name: value if value not in (None, {}) else getattr(settings, name, None) for name, value in found.items()}


def _destination(settings: "ExportSettings", signal: Signal) -> tuple[Destination, Address]:
    own, single = _own(settings, signal), getattr(settings, signal.value).endpoint
    protocol = own["protocol"]
    grpc = protocol == "grpc"
    url = single or settings.endpoint or f"http://localhost:{GRPC_PORT if grpc else HTTP_PORT}"
    if "://" not in url:
        url = f"{'http' if own['insecure'] or not grpc else 'https'}://{url}"
    address = Address.of(url)
    if not single and not grpc:
        # The standard: the path is appended to an address for all signals, and one for a signal is used as it is.
        address = Address(address.secure, address.host, address.port, f"{address.path.rstrip('/')}/v1/{signal}")
    compress = own["compression"] == "gzip" or (own["compression"] == "auto" and not address.local)
    headers = {**_plain(settings.headers), **_plain(getattr(settings, signal.value).headers)}
    files = (own["certificate"], own["client_certificate"], own["client_key"])
    destination = Destination(
        protocol, address.host, address.port, address.secure, tuple(sorted(headers.items())), compress, files
    )
    return destination, address


def _plain(headers: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value.get_secret_value() if hasattr(value, "get_secret_value") else value
        for name, value in headers.items()
    }


def _sender(to: Destination, addresses: Mapping[Signal, Address]) -> Sender:
    if to.protocol in {"none", "console"}:
        return Nowhere()
    if to.protocol == "grpc":
        from gnomon.export.grpc import GrpcSender  # noqa: PLC0415 - grpcio is an extra

        return GrpcSender(
            f"{to.host}:{to.port}", secure=to.secure, headers=dict(to.headers), compress=to.compress, files=to.files
        )
    context = _tls(*to.files) if to.secure else None
    return HttpSender(addresses, dict(to.headers), compress=to.compress, context=context)


def _tls(authorities: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=authorities)
        if certificate:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        named = ", ".join(path for path in (authorities, certificate, key) if path)
        raise ExportError(f"TLS cannot be set up from {named}: {error}", hint="They are to be PEM files") from error
    return context
