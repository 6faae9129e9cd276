"""From settings to the way out: an outlet for each signal, and a pump for each host that they go to."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnomon.config.route import Route, route
from gnomon.errors import ExportError
from gnomon.export.http import Address, HttpSender
from gnomon.export.outlet import Batch, Outlet, Reason, Signal
from gnomon.export.proxy import proxy_for
from gnomon.export.pump import Pump
from gnomon.export.remote_write import HEADERS, RemoteWriteSender
from gnomon.export.sender import Answer, Sender, Verdict
from gnomon.export.spool import Spool
from gnomon.process.clock import SYSTEM, Clock

if TYPE_CHECKING:
    from gnomon.config.export import ExportSettings
    from gnomon.config.remote_write import RemoteWriteSettings

Handed = Callable[[Signal, bytes], object]
"""Someone else who is given what was delivered: exporters of third parties."""


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

    def dropped(signal: Signal, records: int) -> None:
        outlets[signal].counts.drop(records, Reason.SPOOL_FULL)

    ways: dict[tuple[Any, ...], list[Route]] = {}
    for signal in outlets:
        way = route(settings, signal.value)
        ways.setdefault(_destination(way), []).append(way)
    return [
        Pump(
            [outlets[Signal(way.signal)] for way in together],
            encode,
            Also(_sender(together), handed),
            schedule_s=together[0].schedule_s,
            timeout_s=together[0].timeout_s,
            retry_s=together[0].retry_max_elapsed_s,
            clock=clock,
            spool=Spool(Path(settings.spool_dir), settings.spool_bytes, dropped) if settings.spool_dir else None,
        )
        for together in ways.values()
    ]


def remote_write_sender(url: str, settings: "RemoteWriteSettings", way: Route) -> RemoteWriteSender:
    """To Prometheus' remote write, with the certificates of another way.

    Raises:
        ExportError: the address or a certificate is wrong, or the library that packs is missing.
    """
    address = Address.of(url)
    headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
    context = _tls(way.certificate, way.client_certificate, way.client_key) if address.secure else None
    proxy = proxy_for(address.host, address.port, secure=address.secure)
    return RemoteWriteSender(HttpSender({Signal.METRICS: address}, headers | HEADERS, context=context, proxy=proxy))


def _destination(way: Route) -> tuple[Any, ...]:
    """What makes two signals go the same way; one with times of its own has a thread that keeps them."""
    address = Address.of(way.url)
    files = (way.certificate, way.client_certificate, way.client_key)
    return (
        way.protocol,
        address.secure,
        address.host,
        address.port,
        tuple(sorted(way.headers.items())),
        way.gzip,
        files,
        (way.schedule_s, way.timeout_s, way.retry_max_elapsed_s),
    )


def _sender(together: Sequence[Route]) -> Sender:
    way = together[0]
    if way.protocol in {"none", "console"}:
        return Nowhere()
    address = Address.of(way.url)
    if way.protocol == "grpc":
        from gnomon.export.grpc import GrpcSender  # noqa: PLC0415 - grpcio is an extra

        return GrpcSender(
            address.authority,
            secure=address.secure,
            headers=way.headers,
            compress=way.gzip,
            certificate=way.certificate,
            client_certificate=way.client_certificate,
            client_key=way.client_key,
        )
    context = _tls(way.certificate, way.client_certificate, way.client_key) if address.secure else None
    addresses = {Signal(one.signal): Address.of(one.url) for one in together}
    proxy = proxy_for(address.host, address.port, secure=address.secure)
    return HttpSender(addresses, way.headers, compress=way.gzip, context=context, proxy=proxy)


def _tls(authorities: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context()
        if authorities:
            context.load_verify_locations(authorities)
        if certificate:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        named = ", ".join(path for path in (authorities, certificate, key) if path)
        raise ExportError(f"TLS cannot be set up from {named}: {error}", hint="They are to be PEM files") from error
    return context
